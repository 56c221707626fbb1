"""What the ledgers say, counted: rules that records broke, cells that were repaired, flags, ratings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.ledger_reading import count_ledger
from curation.ratings import artifact_column
from curation.repair import FILLING, UNHELD
from curation.repair.page import rule_meanings
from schemas.dictionary import RESOURCES, table
from schemas.published import IMAGE_RESOURCES, flag_meanings, published_table

EXAMPLES = 2
_SHOWN = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Fault:
    """A rule that records broke.

    Attributes:
        rule: its name.
        fate: what breaking it leads to.
        meaning: in words.
        counts: by resource, rows of ``audit/quarantine.csv``.
        examples: of the first ones: record id, column (or nothing), what was found (or nothing).
    """

    rule: str
    fate: str
    meaning: str
    counts: Mapping[str, int]
    examples: tuple[tuple[str, str | None, str | None], ...]

    @property
    def total(self) -> int:
        """Over all resources."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Repaired:
    """A rule of repair that changed cells.

    Attributes:
        rule: its id.
        meaning: why it is there.
        counts: by resource, cells of ``audit/repairs.csv`` that name it.
        emptied: how many of them hold nothing now.
        column: of the example; old: what was received; new: what the cell holds now.
        evidence: what decided it.
    """

    rule: str
    meaning: str
    counts: Mapping[str, int]
    emptied: int
    column: str
    old: str | None
    new: str | None
    evidence: str | None

    @property
    def total(self) -> int:
        """Over all resources."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Repairs:
    """Cells of the curated tables that are not what was received; each is counted once.

    Attributes:
        rules: that changed them, the most frequent first.
        repaired: cells that hold another value than was received, or one that was received elsewhere.
        filled: those where nothing was received, and the sidecar of the public image has a value.
        emptied: those whose value is wrong for sure, and that hold none now.
        unheld: those whose value the column cannot hold.
    """

    rules: tuple[Repaired, ...]
    repaired: int
    filled: int
    emptied: int
    unheld: int


@dataclass(frozen=True)
class Flag:
    """A flag that rows of the curated tables have.

    Attributes:
        name: of the flag.
        meaning: in words.
        counts: by resource, images.
    """

    name: str
    meaning: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Over all resources."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Rated:
    """What raters said.

    Attributes:
        labels: by label, how many ratings; worst first.
        unread: ratings whose value could not be read.
        artifacts: by artifact, in words, how many ratings name it, most first.
        ratings: all.
        images: that were rated.
    """

    labels: Mapping[str, int]
    unread: int
    artifacts: Mapping[str, int]
    ratings: int
    images: int


def faults(folder: Path) -> list[Fault]:
    """Rules that records broke, the most frequent first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str], list[tuple[str, str | None, str | None]]] = {}

    def count(batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            rows = pa.table(batch)
            for row in _grouped(rows, ["rule", "fate", "resource"]):
                counts[row["rule"], row["fate"], row["resource"]] += row["count_all"]
            for rule, fate in {(rule, fate) for rule, fate, _ in counts}:
                known = examples.setdefault((rule, fate), [])
                if len(known) < EXAMPLES:
                    of_rule = rows.filter(pc.and_(pc.equal(rows["rule"], rule), pc.equal(rows["fate"], fate)))
                    for one in of_rule.slice(0, EXAMPLES - len(known)).to_pylist():
                        known.append((one["record_id"], one["column"], one["found"]))

    names = ("record_id", "resource", "fate", "column", "rule", "found")
    count_ledger(folder / "audit" / "quarantine.csv", names, count)
    rule_column = next(c for c in published_table("quarantine").columns if c.name == "rule")
    meanings = dict(rule_column.levels)
    found = [
        Fault(
            rule,
            fate,
            meanings.get(rule, ""),
            {resource: counts[rule, fate, resource] for resource in RESOURCES},
            tuple((_short(i) or "", c, _short(f)) for i, c, f in shown),
        )
        for (rule, fate), shown in examples.items()
    ]
    return sorted(found, key=lambda one: (one.fate != "quarantined", -one.total, one.rule))


@dataclass
class _Cells:
    counts: Counter[str] = field(default_factory=Counter)
    emptied: int = 0
    example: dict[str, str | None] = field(default_factory=dict)
    rank: int = 9


def repairs(folder: Path) -> Repairs:
    """What the ledger of repairs has, by rule and by what was done."""
    cells: dict[str, _Cells] = {}
    done: Counter[str] = Counter()

    def count(batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            _count_cells(pa.table(batch), cells, done)

    names = ("resource", "column", "old", "new", "rule", "evidence")
    count_ledger(folder / "audit" / "repairs.csv", names, count)
    meanings = rule_meanings()
    found = [
        Repaired(
            rule,
            meanings.get(rule, ""),
            {resource: of_rule.counts[resource] for resource in IMAGE_RESOURCES},
            of_rule.emptied,
            of_rule.example["column"] or "",
            _short(of_rule.example["old"]),
            _short(of_rule.example["new"]),
            _short(of_rule.example["evidence"]),
        )
        for rule, of_rule in cells.items()
    ]
    found.sort(key=lambda one: (-one.total, one.rule))
    return Repairs(tuple(found), done["repaired"], done["filled"], done["emptied"], done["unheld"])


def _count_cells(rows: pa.Table, cells: dict[str, _Cells], done: Counter[str]) -> None:
    """Count what was done to some cells, and their rules; a cell that several rules changed counts for each of them."""
    rows = rows.append_column("emptied", pc.is_null(rows["new"]))
    rows = rows.append_column("unreceived", pc.is_null(rows["old"]))
    kinds = ["rule", "resource", "emptied", "unreceived"]
    for row in _grouped(rows, kinds):
        several = row["rule"].split(" ")
        filled = row["unreceived"] and FILLING in several
        emptied = "unheld" if several == [UNHELD] else "emptied"
        done[emptied if row["emptied"] else "filled" if filled else "repaired"] += row["count_all"]
        # The most telling example: one rule alone, with a value before and after.
        rank = 4 * (len(several) > 1) + 2 * row["emptied"] + row["unreceived"]
        for rule in several:
            of_rule = cells.setdefault(rule, _Cells())
            of_rule.counts[row["resource"]] += row["count_all"]
            of_rule.emptied += row["count_all"] if row["emptied"] else 0
            if rank < of_rule.rank:
                same = [pc.equal(rows[kind], row[kind]) for kind in kinds]
                mask = pc.and_(pc.and_(same[0], same[1]), pc.and_(same[2], same[3]))
                of_rule.example, of_rule.rank = rows.filter(mask).slice(0, 1).to_pylist()[0], rank


def flags(folder: Path) -> list[Flag]:
    """Flags that images have, the most frequent first."""
    counts: dict[str, Counter[str]] = {}
    meanings: dict[str, str] = {}
    for resource in IMAGE_RESOURCES:
        meanings = flag_meanings(resource) | meanings
        with pq.ParquetFile(folder / "parquet" / f"{resource}_curated.parquet") as file:
            for batch in file.iter_batches(columns=["flags"]):
                for row in pc.value_counts(batch.column(0).drop_null()).to_pylist():
                    for name in row["values"].split(" "):
                        counts.setdefault(name, Counter())[resource] += row["counts"]
    found = [
        Flag(name, meanings.get(name, ""), {resource: of_flag[resource] for resource in IMAGE_RESOURCES})
        for name, of_flag in counts.items()
    ]
    return sorted(found, key=lambda one: (-one.total, one.name))


def rated(folder: Path) -> Rated:
    """What raters said, counted."""
    columns = {column.name: column for column in published_table("rating").columns}
    labels = dict.fromkeys((value for value, _ in columns["rating_label"].levels), 0)
    named = {artifact_column(code): words for code, words in artifact_words().items()}
    artifacts = Counter(dict.fromkeys(named, 0))
    unread, ratings, images = 0, 0, set()
    with pq.ParquetFile(folder / "parquet" / "rating.parquet") as file:
        for batch in file.iter_batches(columns=["md5sum", "rating_label", *named]):
            for label in batch["rating_label"].to_pylist():
                if label is None:
                    unread += 1
                else:
                    labels[label] = labels.get(label, 0) + 1
            for name in named:
                artifacts[name] += pc.sum(batch[name]).as_py() or 0
            images.update(batch["md5sum"].to_pylist())
            ratings += len(batch)
    by_count = sorted(
        ((named[name], count) for name, count in artifacts.items()), key=lambda one: (-one[1], one[0])
    )
    return Rated(labels, unread, dict(by_count), ratings, len(images - {None}))


def artifact_words() -> dict[str, str]:
    """Codes of artifacts, and the first words of what the dictionary says of them."""
    comment = next(column for column in table("rating").columns if column.name == "comment")
    return {code: meaning.partition(",")[0] for code, meaning in comment.levels}


def _grouped(rows: pa.Table, names: list[str]) -> list[dict]:
    """How often each combination of values stands there, in order of its first row."""
    return rows.group_by(names, use_threads=False).aggregate([([], "count_all")]).to_pylist()


def _short(text: str | None) -> str | None:
    if text is None or len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN - 1]}…"
