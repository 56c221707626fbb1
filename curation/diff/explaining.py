"""From cells that differ to a table's part of the result: causes are attributed and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.diff.aligning import Alignment
from curation.diff.causes import SUBJECT, Attribution, same_subjects
from curation.diff.cell_rows import SCHEMA, Aligned, Causes, CellRows, is_by_code
from curation.diff.cells import APPEARED, CHANGED, DISAPPEARED, KINDS, ROUNDING, ChangedCells
from curation.diff.disproof import make_disproof
from curation.diff.model import UNEXPLAINED, Cause, CellExample, ColumnDifference, Retyped, TableDifference
from curation.diff.reading import TableFile, whole
from curation.diff.rows import Evidence, Pairs, pair_rows, why_added, why_removed
from schemas.published import IMAGE_RESOURCES

EXAMPLES = 3
"""Keys that a cause names."""
UNEXPLAINED_CELLS = 10
"""Cells without a cause that a table names; the file of changed cells has all."""
ROW_ADDED, ROW_REMOVED, CELL_CHANGED = "row added", "row removed", "cell changed"


@dataclass(frozen=True)
class Draft:
    """How a table differs, without causes.

    Attributes:
        aligned: its rows in both versions.
        a, b: its files.
        only_in: ``a`` or ``b`` where the other version has no such table.
        cells: those that differ, a column at a time.
    """

    aligned: Aligned
    a: TableFile
    b: TableFile
    only_in: str | None
    cells: tuple[ChangedCells, ...]

    @property
    def rows(self) -> np.ndarray:
        """Places among the common rows of those with cells that differ."""
        return np.unique(np.concatenate([one.rows for one in self.cells] or [np.array([], dtype="int64")]))

    @property
    def record_ids(self) -> list[pa.Array]:
        """Records of all rows that differ."""
        rows, aligned = self.aligned.alignment, self.aligned
        return [
            aligned.records_a.take(pa.array(np.concatenate([rows.only_a, rows.common_a[self.rows]]))),
            aligned.records_b.take(pa.array(np.concatenate([rows.only_b, rows.common_b[self.rows]]))),
        ]

    @property
    def checksums(self) -> list[pa.Array]:
        """Of the images of all rows that differ."""
        rows, changed = self.aligned.alignment, self.rows
        if self.aligned.table.removesuffix("_curated") in IMAGE_RESOURCES:
            return [
                rows.keys_a.take(pa.array(rows.only_a)),
                rows.keys_b.take(pa.array(np.concatenate([rows.only_b, rows.common_b[changed]]))),
            ]
        return [
            self.images(self.a, np.concatenate([rows.only_a, rows.common_a[changed]])),
            self.images(self.b, np.concatenate([rows.only_b, rows.common_b[changed]])),
        ]

    def images(self, file: TableFile, places: np.ndarray) -> pa.Array:
        """Checksums that rows of ratings name."""
        return _column(file, "md5sum").take(pa.array(places))


def explain(
    draft: Draft,
    evidence: Evidence,
    others: tuple[TableFile, TableFile] | None,
    *,
    alone: bool = False,
) -> TableDifference:
    """Find out why everything that differs in a table does.

    Args:
        draft: what differs.
        evidence: what causes are taken from.
        others: in both versions the other table that shows the same records; ``None`` where there is none.
        alone: whether the draft is of one row, and not of a whole table.
    """
    aligned, rows = draft.aligned, draft.aligned.alignment
    retyped = tuple(
        Retyped(name, draft.a.kinds[name], kind)
        for name, kind in draft.b.kinds.items()
        if name in draft.a.kinds and draft.a.kinds[name] != kind
    )
    whole_rows = _whole_rows(draft, evidence)
    pairs, changed = _pairs(draft, evidence), draft.rows
    neighbours = _Neighbours(draft, evidence, pairs, alone)
    disproof = make_disproof(
        pairs,
        rows,
        changed,
        (draft.a, draft.b),
        others,
        (aligned.records_a, aligned.records_b),
        draft.cells,
        evidence,
        alone=alone,
    )
    attribution = Attribution(
        pairs,
        changed,
        evidence,
        neighbours.of,
        disproof,
        frozenset(one.name for one in retyped),
        frozenset(draft.a.kinds.keys() & draft.b.kinds.keys()),
    )
    why = attribution.causes(draft.cells)
    cells = [_cell_rows(aligned, one, why[one.column], evidence.causes) for one in draft.cells]
    columns = [_column_difference(one, made) for one, made in zip(draft.cells, cells, strict=True)]
    scaled_cells, scaled_rows = _only_scaled(cells, draft.b.rows)
    columns_added = tuple(name for name in draft.b.kinds if name not in draft.a.kinds)
    columns_removed = tuple(name for name in draft.a.kinds if name not in draft.b.kinds)
    return TableDifference(
        name=aligned.table,
        only_in=draft.only_in,
        rows=(draft.a.rows, draft.b.rows),
        added=len(rows.only_b),
        removed=len(rows.only_a),
        changed=len(changed),
        only_scaled_rows=scaled_rows,
        only_scaled_cells=scaled_cells,
        columns_added=columns_added,
        columns_removed=columns_removed,
        columns_retyped=retyped,
        schema_causes=tuple(
            _schema_causes(columns_removed, [*columns_added, *(one.name for one in retyped)], evidence)
        ),
        columns=tuple(sorted(columns, key=_column_rank)),
        row_causes=tuple(_counted(whole_rows)),
        cell_causes=tuple(_counted(cells)),
        unexplained_cells=tuple(_unexplained(cells)),
        cells=(*whole_rows, *cells),
    )


def _only_scaled(cells: Sequence[CellRows], rows: int) -> tuple[int, int]:
    """How many cells hold the same measure in other units, and of how many rows nothing else differs."""
    scaled, otherwise, count = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool), 0
    for some in cells:
        which, places = some.only_scaled, some.places_b
        if places is not None:
            count += int(which.sum())
            scaled[places[which]] = True
            otherwise[places[~which]] = True
    return count, int((scaled & ~otherwise).sum())


def _whole_rows(draft: Draft, evidence: Evidence) -> list[CellRows]:
    """Rows that only one version has."""
    rows = draft.aligned.alignment
    found = []
    for places, kind, why in (
        (rows.only_a, ROW_REMOVED, why_removed), (rows.only_b, ROW_ADDED, why_added),
    ):  # fmt: skip
        if not len(places):
            continue
        numbers = why(draft.aligned, evidence)
        versions = evidence.of_versions("dictionary", "code", "mriqc-snapshot")
        vanished = draft.only_in == "a" and evidence.same_dictionary
        if draft.only_in is not None and versions is not None and not vanished:
            numbers[numbers == 0] = evidence.causes.number(SCHEMA, versions)
        removed = kind == ROW_REMOVED
        found.append(
            CellRows(
                draft.aligned, None, places if removed else None, None if removed else places,
                np.zeros(len(places), dtype="int8"), (kind,), None, None, None, numbers, evidence.causes,
            )
        )  # fmt: skip
    return found


def _pairs(draft: Draft, evidence: Evidence) -> Pairs:
    aligned, rows, changed = draft.aligned, draft.aligned.alignment, draft.rows
    places_a, places_b = rows.common_a[changed], rows.common_b[changed]
    keys = rows.keys_b.take(pa.array(places_b))
    checksums = keys if aligned.table != "rating" else draft.images(draft.b, places_b)
    return pair_rows(
        aligned.table,
        keys,
        checksums,
        aligned.records_a.take(pa.array(places_a)),
        aligned.records_b.take(pa.array(places_b)),
        evidence,
    )


@dataclass(frozen=True)
class _Neighbours:
    """Whether another image of the same subject and session came, went, or is made from another record."""

    draft: Draft
    evidence: Evidence
    pairs: Pairs
    alone: bool

    def of(self, places: np.ndarray) -> np.ndarray:
        """Of rows with cells that differ."""
        draft, rows = self.draft, self.draft.aligned.alignment
        if self.alone:
            same = self.evidence.a.same_shown(self.evidence.b, self.pairs.resource)
            return np.full(len(places), not same)
        moved = draft.rows[self.pairs.base > 0]
        subjects_a, subjects_b = (_subjects(file) for file in (draft.a, draft.b))
        others = pa.concat_tables(
            [
                subjects_a.take(pa.array(np.concatenate([rows.only_a, rows.common_a[moved]]))),
                subjects_b.take(pa.array(np.concatenate([rows.only_b, rows.common_b[moved]]))),
            ]
        )
        asked = draft.rows[places]
        return same_subjects(subjects_a.take(pa.array(rows.common_a[asked])), others) | same_subjects(
            subjects_b.take(pa.array(rows.common_b[asked])), others
        )


def _subjects(file: TableFile) -> pa.Table:
    return pa.table({name: _column(file, name) for name in SUBJECT})


def _column(file: TableFile, name: str) -> pa.Array:
    if name not in file.kinds:
        return pa.nulls(file.rows, pa.string())
    return whole(file.read([name]).column(name).cast(pa.string()))


def _cell_rows(aligned: Aligned, cells: ChangedCells, why: np.ndarray, causes: Causes) -> CellRows:
    rows: Alignment = aligned.alignment
    return CellRows(
        aligned, cells.column, rows.common_a[cells.rows], rows.common_b[cells.rows], cells.kinds, KINDS, cells.old,
        cells.new, cells.relative, why, causes,
    )  # fmt: skip


def _column_difference(cells: ChangedCells, made: CellRows) -> ColumnDifference:
    counts = np.bincount(cells.kinds, minlength=len(KINDS))
    moved = cells.relative[(cells.kinds == CHANGED) & ~np.isnan(cells.relative)]
    return ColumnDifference(
        cells.column,
        int(counts[CHANGED]),
        int(counts[APPEARED]),
        int(counts[DISAPPEARED]),
        int(counts[ROUNDING]),
        float(np.median(moved)) if len(moved) else None,
        float(moved.max()) if len(moved) else None,
        cells.emptied,
        tuple(_counted([made])),
        next(_examples(made, [next(made.some(0, 1), 0)])),
    )


def _column_rank(column: ColumnDifference) -> tuple[int, int, bool, int, int, str]:
    unexplained = sum(cause.count for cause in column.causes if not cause.is_explained)
    by_code = sum(cause.count for cause in column.causes if cause.is_by_code)
    return (-unexplained, -by_code, not column.emptied, -column.disappeared, -column.cells, column.name)


def _schema_causes(removed: Sequence[str], others: Sequence[str], evidence: Evidence) -> Iterator[Cause]:
    """Why columns vanished, and why others came or have another type.

    What one dictionary declares stays, whatever the code.
    """
    versions = evidence.of_versions("dictionary", "code", "mriqc-snapshot")
    lost, other = (list(removed), list(others)) if evidence.same_dictionary else ([], [*removed, *others])
    for names, cause in ((lost, None), (other, versions)):
        if names:
            why = UNEXPLAINED if cause is None else SCHEMA
            yield Cause("schema", why, cause, None, len(names), tuple(names[:EXAMPLES]))


def _counted(groups: Sequence[CellRows]) -> Iterator[Cause]:
    """Causes with counts: unexplained ones first, then the most frequent."""
    counts: dict[tuple[str, int], int] = {}
    examples: dict[tuple[str, int], list[str]] = {}
    for group in groups:
        kind = group.words[0] if group.column is None else CELL_CHANGED
        for number, count in enumerate(np.bincount(group.why).tolist()):
            if count:
                key = (kind, number)
                counts[key] = counts.get(key, 0) + count
                some = examples.setdefault(key, [])
                if len(some) < EXAMPLES:
                    places = list(group.some(number, EXAMPLES))
                    new = group.keys.take(pa.array(places, pa.int64())).to_pylist()
                    some += [one for one in dict.fromkeys(new) if one not in some][: EXAMPLES - len(some)]
    if not groups:
        return
    known = groups[0].causes.known
    ordered = sorted(
        counts,
        key=lambda key: (
            key[1] != 0,
            not is_by_code(*known[key[1]][:2]),
            -counts[key],
            key[0],
            known[key[1]][0],
            str(known[key[1]]),
        ),
    )
    for kind, number in ordered:
        cause, detail, rule = known[number]
        yield Cause(kind, cause, detail, rule, counts[kind, number], tuple(examples[kind, number]))


def _unexplained(groups: Sequence[CellRows]) -> Iterator[CellExample]:
    left = UNEXPLAINED_CELLS
    for group in groups:
        places = list(group.some(0, left))
        left -= len(places)
        yield from _examples(group, places)


def _examples(group: CellRows, places: Sequence[int]) -> Iterator[CellExample]:
    """Some cells of a column."""
    if not places or group.old is None or group.new is None:
        return
    picked = pa.array(places, pa.int64())
    shown = (group.keys, group.record_ids, group.old, group.new)
    for key, record_id, old, new in zip(*(values.take(picked).to_pylist() for values in shown), strict=True):
        yield CellExample(key, record_id, str(group.column), old, new)
