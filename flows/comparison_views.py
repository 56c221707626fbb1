"""Comparisons for a terminal: they fit into 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from curation.diff import life_words, words
from curation.diff.life import Event, Life
from curation.diff.model import Cause, Difference, Side, TableDifference

MOST_COLUMNS = 8
"""Columns of a table that a terminal shows; ``--html`` and ``--json`` have all."""
MOST_CELLS = 5
_BAD, _DOUBTFUL, _HEAD = "bold red", "yellow", "bold"


def difference_lines(found: Difference) -> Iterator[RenderableType]:
    """The result, most severe first."""
    yield _sides(found.a, found.b)
    yield from (Text(line, style=_BAD) for line in words.edited(found))
    yield Text(words.headline(found))
    if found.unexplained or not found.is_empty:
        yield Text(words.verdict(found), style=_style(found) or "green")
    if skipped := words.skipped(found):
        yield Text(f"{skipped}.", style="dim")
    for note in found.notes:
        yield Text(f"Note: {note}.", style="dim")
    for name, (old, new) in found.versions.items():
        yield Text(f"Other {words.version_words(name, old, new)}", style="dim")
    if found.is_empty:
        return
    if found.unexplained:
        yield from _unexplained(found)
    if found.by_code:
        yield from _by_code(found)
    if lost := list(words.severe(found)):
        yield Text("\nLost", style=_HEAD)
        yield from (Padding(Text(line), (0, 0, 0, 2)) for line in lost)
    yield _overview(found)
    for table in found.tables:
        yield from _table(table)


def _sides(a: Side, b: Side) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for letter, side in (("A", a), ("B", b)):
        commit = side.commit[:10] if side.commit else "folder"
        newest = f"newest record {side.newest_record}" if side.newest_record else "no records"
        table.add_row(
            Text(letter, style=_HEAD), Text(side.name, overflow="fold"), commit, Text(newest, style="dim")
        )
    return table


def _unexplained(found: Difference) -> Iterator[RenderableType]:
    yield Text("\nUnexplained", style=_BAD)
    for table in found.tables:
        for cause in table.causes:
            if not cause.is_explained:
                text = f"{table.name}: {words.counted(cause)}, e.g. {', '.join(cause.examples[:1])}"
                yield Padding(Text(text, style=_BAD), (0, 0, 0, 2))
        for cell in table.unexplained_cells[:MOST_CELLS]:
            yield Padding(Text(f"{cell.key} {cell.column}"), (0, 0, 0, 4))
            yield Padding(Text(f"was {words.shown(cell.old)}, is {words.shown(cell.new)}"), (0, 0, 0, 6))


def _by_code(found: Difference) -> Iterator[RenderableType]:
    yield Text("\nWithout a cause in the ledgers: other code, dictionary or rules", style=_DOUBTFUL)
    for table in found.tables:
        for cause in table.causes:
            if cause.is_by_code:
                text = f"{table.name}: {words.counted(cause)}, {words.cause_words(cause)}, e.g. {cause.examples[0]}"
                yield Padding(Text(text), (0, 0, 0, 2))


def _style(found: Difference | TableDifference | Cause | Life) -> str:
    """How it is shown: what has no cause, and what only other code explains, apart from the rest."""
    if isinstance(found, Cause):
        return _DOUBTFUL if found.is_by_code else "" if found.is_explained else _BAD
    return _BAD if found.unexplained else _DOUBTFUL if found.by_code else ""


def _overview(found: Difference) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("")
    for name in ("rows in A", "in B", "added", "removed", "changed", "unexplained"):
        table.add_column(name, justify="right")
    for one in found.tables:
        numbers = (*one.rows, one.added, one.removed, one.changed, one.unexplained)
        table.add_row(Text(one.name), *(f"{number:,}" for number in numbers), style=_style(one))
    return table


def _table(found: TableDifference) -> Iterator[RenderableType]:
    yield Text(found.name + (f" (only in {found.only_in.upper()})" if found.only_in else ""), style=_HEAD)
    for line in words.columns_words(found):
        yield Padding(Text(line), (0, 0, 0, 2))
    yield _causes(found.causes)
    if found.columns:
        yield _columns(found)
    yield Text("")


def _causes(causes: tuple[Cause, ...]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", min_width=9)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for cause in causes:
        words_ = Text(words.cause_words(cause))
        table.add_row(f"{cause.count:,}", cause.kind, words_, style=_style(cause))
    return table


def _columns(found: TableDifference) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption_justify="left")
    table.add_column("column", overflow="fold", max_width=28)
    for name in ("changed", "new", "gone", "round", "median", "largest"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.columns[:MOST_COLUMNS]:
        numbers = (one.changed, one.appeared, one.disappeared, one.rounding)
        moved = (
            "" if value is None else words.share(value) for value in (one.median_change, one.largest_change)
        )
        name = f"{one.name} (emptied)" if one.emptied else one.name
        table.add_row(Text(name), *(f"{number:,}" if number else "" for number in numbers), *moved)
    if len(found.columns) > MOST_COLUMNS:
        table.caption = f"and {len(found.columns) - MOST_COLUMNS:,} more columns: --html or --json"
    return table


def life_lines(found: Life) -> Iterator[RenderableType]:
    """The life of a record, a version after the other."""
    yield Text(f"The life of {found.asked}", style=_HEAD)
    yield from (Text(line, style=_BAD) for line in life_words.edited(found))
    yield Text(life_words.verdict(found), style=_style(found) or "green")
    if found.left_out:
        yield Text(life_words.left_out(found))
    for stage in found.stages:
        newest = f"  newest record {stage.newest_record}" if stage.newest_record else ""
        commit = "" if stage.commit.startswith(stage.version) else f"  commit {stage.commit[:10]}"
        yield Text.assemble("\n", (stage.version, _HEAD), (f"{commit}{newest}", "dim"))
        fates = [life_words.fate_words(fate) for fate in stage.fates] or [life_words.NO_FATE]
        yield from (Padding(Text(line), (0, 0, 0, 2)) for line in fates)
        if stage.tables:
            yield Padding(Text(f"in {', '.join(dict.fromkeys(stage.tables))}", style="dim"), (0, 0, 0, 2))
        for event in stage.events:
            style = _BAD if event.is_unexplained else _DOUBTFUL if event.by_code else ""
            yield Padding(Text(_event_words(event), style=style), (0, 0, 0, 4))


def _event_words(event: Event) -> str:
    what = f"{event.where}.{event.column} {event.what}" if event.column else f"{event.where}: {event.what}"
    if event.old is not None or event.new is not None:
        what += f", {words.shown(event.old)} to {words.shown(event.new)}"
    why = life_words.event_cause(event)
    return f"{what}: {why}" if why else what
