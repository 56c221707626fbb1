"""Compares two versions: tables cell by cell, then the ledgers for causes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.diff.aligning import align
from curation.diff.cell_rows import Aligned, Causes
from curation.diff.cells import ChangedCells, compare_column
from curation.diff.departures import Passing
from curation.diff.disproof import counterpart
from curation.diff.evidence import Wanted, read_ledgers
from curation.diff.explaining import Draft, explain
from curation.diff.listed import absent, gone, lists_files, require_tables, strays
from curation.diff.model import Difference, Side, TableDifference
from curation.diff.reading import (
    COMPARED,
    LEDGERS_READ,
    TableFile,
    has_table,
    missing_content,
    open_pair,
    open_table,
    same_table,
    table_key,
    whole,
)
from curation.diff.rows import Evidence, resource_of
from curation.diff.version import SNAPSHOT, Version
from curation.errors import DatasetError
from schemas import RESOURCES
from schemas.published import IMAGE_RESOURCES

Files = tuple[TableFile, TableFile]
"""One table of the two versions."""
GROUP_BYTES = 160_000_000
"""Memory for the columns of both tables that one thread compares at a time."""
_OLDER = (
    "the two versions are of different dictionaries: columns that only one of them has, or has with another type, are "
    "told as such, and their cells are not counted as changed"
)


def compare(
    a: Version,
    b: Version,
    *,
    hold_to_list: bool = True,
    on_table: Callable[[str], None] = lambda name: None,
) -> Difference:
    """Compare two versions: all seven tables, all rows, all cells, each with its cause.

    Args:
        a: the first version, usually the older one.
        b: the second.
        hold_to_list: whether to look if the files are those that the versions list, and not only if all ledgers are
            there; who has just made them need not.
        on_table: told what is compared.

    Raises:
        DatasetError: content is not on this machine, or git failed.
        UsageError: a table or ledger cannot be read as such.
    """
    for version in (a, b):
        require_tables(version)
    look = strays if hold_to_list else gone
    edited = [stray for version in (a, b) for stray in look(version)]
    with tempfile.TemporaryDirectory() as scratch:
        differing = [name for name in COMPARED if not same_table(a, b, name)]
        _require_content(a, b, differing)
        drafts = []
        for name in differing:
            on_table(name)
            drafts.append(draft(a, b, name, Path(scratch)))
        opened = _Opened(a, b, drafts, Path(scratch))
        tables = explain_all(a, b, drafts, opened.beside)
    identical = [name for name in COMPARED if name not in differing and has_table(a, name)]
    return Difference(
        side(a),
        side(b),
        tuple(sorted((t for t in tables if not t.is_empty), key=lambda t: t.severity, reverse=True)),
        tuple(identical),
        tuple(table.name for table in tables if table.is_empty),
        changed_versions(a, b),
        (*_notes(a, b), *opened.notes),
        tuple(edited),
    )


@dataclass
class _Opened:
    """Tables that were compared, and those beside them that show the same records.

    Attributes:
        a, b: the versions.
        drafts: what differs.
        scratch: a folder for what is made of CSV.
        notes: tables that could not be looked into.
    """

    a: Version
    b: Version
    drafts: Sequence[Draft]
    scratch: Path
    notes: list[str] = field(default_factory=list)

    def beside(self, draft: Draft) -> Files | None:
        """The other table of the same records, of both versions; ``None`` where one has none, or it is not here."""
        if (name := counterpart(draft.aligned.table)) is None:
            return None
        for one in self.drafts:
            if one.aligned.table == name:
                return (one.a, one.b) if one.only_in is None else None
        if not all(has_table(version, name) for version in (self.a, self.b)):
            return None
        here = [version for version in (self.a, self.b) if _has_content(version, name)]
        if not here:
            self.notes.append(
                f"{name} is the same in both versions and its content is not on this machine: changed cells were not "
                "held against it"
            )
            return None
        # The same bytes: one file is both.
        file = open_table(here[0], name, self.scratch / "beside")
        return file, file


def _has_content(version: Version, table: str) -> bool:
    """Whether a table's content is on this machine, in any form."""
    return not any(name.startswith(("csv/", "parquet/")) for name in missing_content(version, [table]))


def explain_all(
    a: Version,
    b: Version,
    drafts: Sequence[Draft],
    beside: Callable[[Draft], Files | None],
    *,
    alone: bool = False,
) -> list[TableDifference]:
    """Find the causes of all that differs.

    Args:
        a: the first version.
        b: the second.
        drafts: what differs, table by table.
        beside: opens the other table that shows the same records, of both versions, if it can.
        alone: whether drafts are of one row each, and not of whole tables.
    """
    if not drafts:
        return []
    images = any(one.aligned.table != "rating" for one in drafts)
    evidence = evidence_of(a, b, _wanted(drafts), LEDGERS_READ if images else LEDGERS_READ[:1])
    return [explain(one, evidence, beside(one), alone=alone) for one in drafts]


def evidence_of(
    a: Version, b: Version, wanted: dict[str, Wanted], names: Sequence[str] = LEDGERS_READ[:1]
) -> Evidence:
    """What ledgers and ``snapshot.json`` of two versions say.

    Args:
        a: the first version.
        b: the second.
        wanted: records and images that will be asked for, by resource; all resources have to be there.
        names: the ledgers that will be asked.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="ledgers") as threads:
        one, other = threads.map(lambda version: read_ledgers(version, wanted, names), (a, b))
    passing: dict[str, Passing] = {
        name: Passing(name, a, b, one.records[name], other.records[name]) for name in wanted
    }
    return Evidence(one, other, frozenset(changed_versions(a, b)), passing, Causes())


def draft(a: Version, b: Version, name: str, scratch: Path) -> Draft:
    """Compare a table of two versions, without causes.

    Args:
        a: the first version.
        b: the second; one of them has the table.
        name: of the table.
        scratch: a folder for what is made of CSV.
    """
    only_in = None if has_table(a, name) and has_table(b, name) else "b" if has_table(b, name) else "a"
    if only_in is None:
        files = open_pair(a, b, name, scratch)
    else:
        there = open_table(b if only_in == "b" else a, name, scratch)
        nothing = TableFile(_nothing_like(there, scratch / f"{name}-nothing.parquet"))
        files = (nothing, there) if only_in == "b" else (there, nothing)
    return draft_of(name, *files, only_in)


def draft_of(name: str, a: TableFile, b: TableFile, only_in: str | None = None) -> Draft:
    """Compare two tables, without causes.

    Args:
        name: of both.
        a: the first.
        b: the second.
        only_in: ``a`` or ``b`` where the other version has no such table.
    """
    key = table_key(name)
    (keys_a, records_a), (keys_b, records_b) = (_keys(file, key) for file in (a, b))
    aligned = Aligned(name, align(keys_a, keys_b), whole(records_a), whole(records_b))
    return Draft(aligned, a, b, only_in, tuple(_cells(a, b, aligned)))


def _keys(file: TableFile, key: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    names = dict.fromkeys((key, "record_id"))
    found = file.read([name for name in names if name in file.kinds])
    nothing = pa.chunked_array([pa.nulls(file.rows, pa.string())])
    columns = [found.column(name) if name in found.column_names else nothing for name in (key, "record_id")]
    return columns[0].cast(pa.string()), columns[1].cast(pa.string())


def _nothing_like(file: TableFile, path: Path) -> Path:
    """A table with the columns of another, and no rows."""
    pq.write_table(file.read(list(file.kinds)).slice(0, 0), path)
    return path


def _cells(a: TableFile, b: TableFile, aligned: Aligned) -> Iterator[ChangedCells]:
    """Cells that differ, a column at a time, of columns that both tables have; groups of columns in threads."""
    rows = aligned.alignment
    if not len(rows.common_a):
        return

    def compared(names: Sequence[str]) -> list[ChangedCells | None]:
        columns_a, columns_b = a.read(names), b.read(names)
        return [
            compare_column(name, columns_a.column(name), columns_b.column(name), rows.common_a, rows.common_b)
            for name in names
        ]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="diff") as threads:
        for group in threads.map(compared, _groups(a, b)):
            yield from (cells for cells in group if cells is not None)


def _groups(a: TableFile, b: TableFile) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for name in b.kinds:
        if name not in a.kinds:
            continue
        bytes_ = a.memory(name) + b.memory(name)
        if group and size + bytes_ > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(name)
        size += bytes_
    if group:
        yield group


def _wanted(drafts: Sequence[Draft]) -> dict[str, Wanted]:
    """Records and images of all rows that differ, by resource."""
    ids: dict[str, list[pa.Array]] = {name: [] for name in RESOURCES}
    sums: dict[str, list[pa.Array]] = {name: [] for name in RESOURCES}
    for one in drafts:
        resource = resource_of(one.aligned.table)
        ids[resource] += one.record_ids
        of = (resource,) if resource in IMAGE_RESOURCES else (resource, *IMAGE_RESOURCES)
        for name in of:
            sums[name] += one.checksums
    return {name: Wanted(_distinct(ids[name]), _distinct(sums[name], lower=True)) for name in RESOURCES}


def _distinct(arrays: Sequence[pa.Array], *, lower: bool = False) -> pa.Array:
    texts = pa.chunked_array([one.cast(pa.string()) for one in arrays], pa.string()).drop_null()
    return (pc.utf8_lower(texts) if lower else texts).unique()


def _require_content(a: Version, b: Version, tables: Sequence[str]) -> None:
    """Check that all that will be read is on this machine, so that all that is not is told at once.

    Raises:
        DatasetError: something is not.
    """
    for version in (a, b):
        missing = missing_content(version, tables) if tables else []
        if missing:
            raise DatasetError(
                f"{version.name}: the content of {len(missing)} file(s) is not on this machine, {missing[0]} for one; "
                f"{version.files.ways(missing)}"
            )


def side(version: Version) -> Side:
    """What a result says of a version."""
    said = version.snapshot
    rules = {
        rule: sum(counts.get("repaired", 0) + counts.get("undecided", 0) for counts in by_table.values())
        for rule, by_table in (said.get("repairs") or {}).items()
    }
    public = {name: counts.get("public", 0) for name, counts in (said.get("public") or {}).items()}
    return Side(
        version.name,
        version.commit,
        said.get("newest_record"),
        version.versions,
        dict(said["tables"]),
        rules,
        public,
    )


def changed_versions(a: Version, b: Version) -> dict[str, tuple[Any, Any]]:
    """Of what two versions were made with, what changed: old and new."""
    one, other = a.versions, b.versions
    return {
        name: (one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    }


def _notes(a: Version, b: Version) -> Iterator[str]:
    changed = changed_versions(a, b)
    if "dictionary" in changed:
        yield _OLDER
    formats = a.snapshot.get("format"), b.snapshot.get("format")
    if formats[0] != formats[1]:
        yield f"snapshot.json is of format {formats[0]} in {a.name} and of format {formats[1]} in {b.name}"
    for version in (a, b):
        for name in LEDGERS_READ:
            file = f"audit/{name}.csv"
            if not version.has(file) and file not in (version.snapshot.get("files") or {}):
                yield f"{version.name} has no {file}: what only that ledger tells has no cause"
        if missing := absent(version):
            yield (
                f"{version.name} lacks {len(missing)} file(s) that its {SNAPSHOT} lists, {missing[0]} for one; the "
                "comparison does without"
            )
        if not lists_files(version):
            yield f"{SNAPSHOT} of {version.name} lists no files: whether they were changed since cannot be told"
