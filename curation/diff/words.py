"""What a result says in words: lines for the terminal, the page and ``CHANGES.md`` come from here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curation.diff.cell_rows import SCALED
from curation.diff.listed import Stray
from curation.diff.model import Cause, ColumnDifference, Difference, TableDifference

LATER = "new record"
_MADE_WITH = {
    "code": "the code", "mriqc-snapshot": "the code", "dictionary": "the dictionary", "rules": "the rules",
    "numpy": "NumPy",
}  # fmt: skip
"""What tables are made with, by its name in ``snapshot.json``."""
_STRAYS = {
    "changed": "is not the file that its snapshot.json lists: it was changed or damaged after it was made",
    "gone": "is gone, which its snapshot.json lists: what only it tells has no cause",
    "not listed": "is a file that its snapshot.json does not list: it was put there after that was made",
}


def headline(difference: Difference) -> str:
    """The result in a sentence."""
    counts = difference.counts
    if difference.is_empty:
        return "No difference."
    differ = "differ" if len(difference.tables) > 1 else "differs"
    return (
        f"{number_of(len(difference.tables), 'table')} of {_tables(difference)} {differ}: "
        f"{number_of(counts.added, 'row')} added, {counts.removed:,} removed, {counts.changed:,} changed in "
        f"{number_of(counts.cells, 'cell')}{_only_scaled(counts.only_scaled_rows, counts.only_scaled_cells)}."
    )


def edited(difference: Difference) -> list[str]:
    """What is to be said of files that are not those that their version lists, and what to do."""
    return told_of(difference.strays)


def told_of(strays: Sequence[Stray]) -> list[str]:
    """What is to be said of files that are not those that their version lists, and what to do."""
    found = [f"{stray.file} of {stray.version} {_STRAYS[stray.why]}" for stray in strays]
    return [*found, "get these versions again before you trust what follows"] if found else []


def verdict(difference: Difference) -> str:
    """Whether everything has a cause that ledgers tell."""
    if difference.is_empty:
        return "There is nothing to explain."
    said = []
    if difference.unexplained:
        said.append(_without_cause(difference))
    if difference.by_code:
        said.append(f"{by_code(difference)}: look at {_them(difference.by_code)}.")
    if not said and difference.strays:
        return "Every change that was found has a cause, but files were changed or are gone: nothing of them is sure."
    return " ".join(said) or "Every change has a cause."


def _without_cause(difference: Difference) -> str:
    have = "has" if difference.unexplained == 1 else "have"
    files = "look at the files that were changed or are gone"
    why = files if difference.strays else "an error of ours, please report it"
    return f"{difference.unexplained:,} of the changes {have} no cause: {why}."


def by_code(difference: Difference) -> str:
    """How many changes only other code, dictionary or rules explain, and which of these changed."""
    have = "change has" if difference.by_code == 1 else "changes have"
    changed = dict.fromkeys(words for name, words in _MADE_WITH.items() if name in difference.versions)
    return f"{difference.by_code:,} {have} no other cause than that {_and(list(changed))} changed"


def counted(cause: Cause) -> str:
    """How many changes of which kind, e.g. ``2 rows removed``."""
    what, _, done = cause.kind.partition(" ")
    return (
        f"{number_of(cause.count, what)} {done}" if done else f"{number_of(cause.count, 'change')} of {what}"
    )


def skipped(difference: Difference) -> str:
    """What was not compared cell by cell, or turned out the same."""
    parts = []
    if difference.identical:
        parts.append(
            f"{number_of(len(difference.identical), 'table')} skipped as the files are the same "
            f"({', '.join(difference.identical)})"
        )
    if difference.same_values:
        parts.append(f"other bytes, but the same values: {', '.join(difference.same_values)}")
    return "; ".join(parts)


def severe(difference: Difference) -> Iterator[str]:
    """What was lost: rows, columns, and columns that emptied."""
    for table in difference.tables:
        if table.removed:
            causes = ", ".join(
                f"{one.count:,} {one.cause}" for one in table.row_causes if one.kind == "row removed"
            )
            yield f"{table.name} lost {number_of(table.removed, 'row')}: {causes}"
        if table.columns_removed:
            yield f"{table.name} lost {number_of(len(table.columns_removed), 'column')}: {_some(table.columns_removed)}"
        if table.emptied:
            yield f"{_some(table.emptied)} of {table.name} lost all values"


def cause_words(cause: Cause) -> str:
    """A cause with its details."""
    more = [part for part in (cause.rule, cause.detail) if part]
    return f"{cause.cause} ({', '.join(more)})" if more else cause.cause


def column_words(column: ColumnDifference) -> str:
    """How the cells of a column differ."""
    kinds = {
        "changed": column.changed,
        "appeared": column.appeared,
        "disappeared": column.disappeared,
        "within rounding": column.rounding,
    }
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)


def change_words(column: ColumnDifference) -> str:
    """How far the numbers of a column moved; empty where nothing can be said."""
    if column.median_change is None or column.largest_change is None:
        return ""
    return f"median {share(column.median_change)}, largest {share(column.largest_change)}"


def share(value: float) -> str:
    """A relative change as people read it."""
    if value >= 10:
        return f"{value:,.3g}x" if value < 1e6 else f"{value:.1e}x"
    percent = value * 100
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.0f} %"


def version_words(name: str, old: object, new: object) -> str:
    """What changed of what the versions were made with."""
    one, other = (str(value)[:12] if value is not None else "none" for value in (old, new))
    return f"{name}: {one} to {other}"


def shown(value: str | None) -> str:
    """A cell, cut where it is long."""
    return "empty" if value is None else value if len(value) <= 60 else value[:57] + "..."


def columns_words(table: TableDifference) -> Iterator[str]:
    """Columns that came, went or have another type."""
    for what, names in (("new", table.columns_added), ("gone", table.columns_removed)):
        if names:
            yield f"{number_of(len(names), 'column')} {what}: {', '.join(names)}"
    if table.columns_retyped:
        retyped = (f"{one.name} ({one.old} to {one.new})" for one in table.columns_retyped)
        yield f"{number_of(len(table.columns_retyped), 'column')} of another type: {', '.join(retyped)}"


def summary_lines(difference: Difference) -> list[str]:
    """Short Markdown bullets for an entry of ``CHANGES.md``: what a release changed.

    Args:
        difference: of the release before, and the one to describe.
    """
    lines = [f"- **{line}**" for line in edited(difference)]
    if difference.is_empty:
        return [*lines, "- No table changed."]
    if difference.unexplained:
        lines.append(f"- **{_without_cause(difference)}**")
    if difference.by_code:
        lines.append(f"- {by_code(difference)}; look at {_them(difference.by_code)}")
    lines += [f"- {line}" for line in _records(difference)]
    for table in sorted(difference.tables, key=lambda one: one.name):
        lines.append(f"- `{table.name}`: {_rows(table)}{_cells(table)}")
        lines += [f"- `{table.name}`: {words}" for words in columns_words(table)]
    lines += [f"- {line}" for line in (_repairs(difference), _public(difference)) if line]
    if difference.versions:
        changed = sorted(set(difference.versions) - {"index", "pyarrow", "numpy"})
        if changed:
            lines.append(f"- Made with another version of: {', '.join(changed)}")
    return lines


def _records(difference: Difference) -> Iterator[str]:
    """Records received and withdrawn, by resource."""
    parts = []
    for resource, counts in difference.b.tables.items():
        before = difference.a.tables.get(resource, {})
        more = {kind: counts.get(kind, 0) - before.get(kind, 0) for kind in ("received", "withdrawn")}
        if any(more.values()):
            words = [f"{number:+,} {kind}" for kind, number in more.items() if number]
            parts.append(f"{resource} {', '.join(words)}")
    if parts:
        yield f"Records: {'; '.join(parts)}"


def _rows(table: TableDifference) -> str:
    what = "ratings" if table.name == "rating" else "images"
    words = f"{table.rows[1]:,} {what}"
    by_kind = {"row added": table.added, "row removed": table.removed}
    for kind, number in by_kind.items():
        if number:
            causes = _causes([one for one in table.row_causes if one.kind == kind], number)
            words += f", {number:,} {kind.removeprefix('row ')}{causes}"
    return words


def _causes(causes: list[Cause], number: int) -> str:
    if len(causes) == 1 and causes[0].cause == LATER:
        return ""
    if len(causes) == 1:
        return f" ({cause_words(causes[0])})"
    return f" ({', '.join(f'{one.count:,} {cause_words(one)}' for one in causes)})"


def _cells(table: TableDifference) -> str:
    if not table.changed:
        return ""
    counts: dict[str, int] = {}
    for one in table.cell_causes:
        counts[one.cause] = counts.get(one.cause, 0) + one.count
    causes = ", ".join(
        f"{count:,} {cause}" for cause, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    )
    scaled = f", {table.only_scaled_rows:,} of them only in scale" if table.only_scaled_rows else ""
    return f", {table.changed:,} changed{scaled} (cells: {causes})"


def _only_scaled(rows: int, cells: int) -> str:
    """What of the changes is none of a measure."""
    return (
        f" ({rows:,} of the rows and {cells:,} of the cells only in the scale of {SCALED})" if cells else ""
    )


def _repairs(difference: Difference) -> str:
    """Cells repaired by each rule, where their number changed."""
    before, now = difference.a.repairs, difference.b.repairs
    changed = {rule: now.get(rule, 0) - before.get(rule, 0) for rule in sorted({*before, *now})}
    words = [f"{rule} {now.get(rule, 0):,} ({more:+,})" for rule, more in changed.items() if more]
    return f"Repaired cells by rule: {', '.join(words)}" if words else ""


def _public(difference: Difference) -> str:
    before, now = difference.a.public, difference.b.public
    changed = {name: now.get(name, 0) - before.get(name, 0) for name in sorted({*before, *now})}
    words = [f"{name} {now.get(name, 0):,} ({more:+,})" for name, more in changed.items() if more]
    return f"Public images: {', '.join(words)}" if words else ""


def _tables(difference: Difference) -> int:
    return len(difference.tables) + len(difference.identical) + len(difference.same_values)


def number_of(number: int, what: str) -> str:
    """So many of something."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _some(names: tuple[str, ...], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
