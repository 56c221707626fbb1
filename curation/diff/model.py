"""What a comparison found: one result, of which every form (terminal, JSON, page, Parquet, exit code) is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from curation.diff.cell_rows import UNEXPLAINED, CellRows, is_by_code
from curation.diff.listed import Stray

DIFFERENT = 10
"""Exit code of a comparison that found differences; 0 is that of one that found none."""

FORMAT = 1
"""Of the JSON form."""


@dataclass(frozen=True)
class Cause:
    """Why some rows or cells differ.

    Attributes:
        kind: ``row added``, ``row removed`` or ``cell changed``.
        cause: in a few words; :data:`UNEXPLAINED` where no ledger and no version tells.
        detail: what more is known; ``None`` for nothing.
        rule: the rules of repair, a blank between two; ``None`` where none is involved.
        count: how many rows or cells.
        examples: keys of some.
    """

    kind: str
    cause: str
    detail: str | None
    rule: str | None
    count: int
    examples: tuple[str, ...] = ()

    @property
    def is_explained(self) -> bool:
        """Whether there is evidence."""
        return self.cause != UNEXPLAINED

    @property
    def is_by_code(self) -> bool:
        """Whether the only evidence is that the versions were made with other code, dictionary or rules."""
        return is_by_code(self.cause, self.detail)


@dataclass(frozen=True)
class CellExample:
    """One changed cell.

    Attributes:
        key: of its row.
        record_id: the record that its row is made from now.
        column: where it stands.
        old: what it was, as CSV has it; ``None`` for nothing. new: what it is.
    """

    key: str
    record_id: str | None
    column: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class ColumnDifference:
    """Cells of one column that differ, in rows that both versions have.

    Attributes:
        name: of the column.
        changed: another value, beyond rounding.
        appeared: a value where there was none.
        disappeared: none where there was a value.
        rounding: another value that is the same but for rounding.
        median_change: of numbers beyond rounding, the median relative change; ``None`` where there is none.
        largest_change: the largest.
        emptied: whether it has no value left at all.
        causes: why, most frequent first, unexplained ones before.
        example: the first of the cells, one without a cause if there is one.
    """

    name: str
    changed: int
    appeared: int
    disappeared: int
    rounding: int
    median_change: float | None
    largest_change: float | None
    emptied: bool
    causes: tuple[Cause, ...]
    example: CellExample

    @property
    def cells(self) -> int:
        """All cells that differ."""
        return self.changed + self.appeared + self.disappeared + self.rounding


@dataclass(frozen=True)
class Retyped:
    """A column of another type.

    Attributes:
        name: of the column.
        old: its type in the dictionary's words; new: the type it has now.
    """

    name: str
    old: str
    new: str


@dataclass(frozen=True)
class TableDifference:
    """How a table of two versions differs.

    Attributes:
        name: e.g. ``T1w_curated``.
        only_in: ``a`` or ``b`` where the other version has no such table.
        rows: how many the two versions have.
        added: rows that only the second has; removed: those that only the first has.
        changed: rows with a cell that differs.
        only_scaled_rows: of these, rows that hold the same measures in other units, and nothing else that differs.
        only_scaled_cells: cells that hold the same measure in other units: those of the whole table, which moved.
        columns_added, columns_removed, columns_retyped: which.
        schema_causes: why columns differ.
        columns: those with cells that differ, most severe first.
        row_causes: why rows were added or removed.
        cell_causes: why cells differ, over all columns.
        unexplained_cells: some of the cells that differ without a cause.
        cells: every row and cell that differs, a column at a time.
    """

    name: str
    only_in: str | None
    rows: tuple[int, int]
    added: int
    removed: int
    changed: int
    only_scaled_rows: int
    only_scaled_cells: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_retyped: tuple[Retyped, ...]
    schema_causes: tuple[Cause, ...]
    columns: tuple[ColumnDifference, ...]
    row_causes: tuple[Cause, ...]
    cell_causes: tuple[Cause, ...]
    unexplained_cells: tuple[CellExample, ...]
    cells: tuple[CellRows, ...] = field(repr=False, compare=False)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """All causes."""
        return (*self.schema_causes, *self.row_causes, *self.cell_causes)

    @property
    def unexplained(self) -> int:
        """Rows, cells and columns without a cause."""
        return sum(cause.count for cause in self.causes if not cause.is_explained)

    @property
    def by_code(self) -> int:
        """Rows, cells and columns whose only cause is that code, dictionary or rules changed."""
        return sum(cause.count for cause in self.causes if cause.is_by_code)

    @property
    def is_empty(self) -> bool:
        """Whether all rows, cells and columns are the same, whatever the bytes of the files."""
        return not self.causes

    @property
    def emptied(self) -> tuple[str, ...]:
        """Columns that lost all their values."""
        return tuple(column.name for column in self.columns if column.emptied)

    @property
    def severity(self) -> tuple[int, int, int, int, int]:
        """Larger is more severe.

        Unexplained; what only other code explains; lost rows, columns and emptied columns; changed cells; added rows.
        """
        lost = self.removed + len(self.emptied) + len(self.columns_removed)
        cells = sum(column.cells for column in self.columns)
        return (
            self.unexplained,
            self.by_code,
            lost,
            cells + len(self.columns_retyped),
            self.added + len(self.columns_added),
        )


@dataclass(frozen=True)
class Side:
    """A version that was compared.

    Attributes:
        name: as it was asked for.
        commit: of its dataset; ``None`` for a folder.
        newest_record: creation time of its newest record, ISO 8601.
        versions: what it was made with, as ``snapshot.json`` has it.
        tables: counts of records by resource, as ``snapshot.json`` has them.
        repairs: cells repaired and left empty by each rule, over all tables.
        public: public images by table.
    """

    name: str
    commit: str | None
    newest_record: str | None
    versions: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, int]]
    repairs: Mapping[str, int]
    public: Mapping[str, int]


@dataclass(frozen=True)
class Counts:
    """Over all tables: rows, cells, those that are only told in other units, what has no cause, and what has none but
    other code, dictionary or rules."""

    added: int
    removed: int
    changed: int
    cells: int
    only_scaled_rows: int
    only_scaled_cells: int
    unexplained: int
    by_code: int


@dataclass(frozen=True)
class Difference:
    """How two versions differ.

    Attributes:
        a: the first version; b: the second.
        tables: those that differ, most severe first.
        identical: those that were skipped as their files are the same.
        same_values: those whose files differ, and whose rows, cells and columns do not.
        versions: of what they were made with, what changed: old and new.
        notes: what a reader has to know of the comparison.
        strays: files that are not those that their version lists.
    """

    a: Side
    b: Side
    tables: tuple[TableDifference, ...]
    identical: tuple[str, ...]
    same_values: tuple[str, ...]
    versions: Mapping[str, tuple[Any, Any]]
    notes: tuple[str, ...]
    strays: tuple[Stray, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no table differs."""
        return not self.tables

    @property
    def exit_code(self) -> int:
        """0 for no difference, neither of tables nor of a version from what it lists; else :data:`DIFFERENT`."""
        return 0 if self.is_empty and not self.strays else DIFFERENT

    @property
    def unexplained(self) -> int:
        """Rows, cells and columns without a cause, over all tables."""
        return sum(table.unexplained for table in self.tables)

    @property
    def by_code(self) -> int:
        """Rows, cells and columns whose only cause is that code, dictionary or rules changed, over all tables."""
        return sum(table.by_code for table in self.tables)

    @property
    def counts(self) -> Counts:
        """Sums over all tables."""
        return Counts(
            sum(table.added for table in self.tables),
            sum(table.removed for table in self.tables),
            sum(table.changed for table in self.tables),
            sum(column.cells for table in self.tables for column in table.columns),
            sum(table.only_scaled_rows for table in self.tables),
            sum(table.only_scaled_cells for table in self.tables),
            self.unexplained,
            self.by_code,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it but the cells, for JSON."""
        return {
            "format": FORMAT,
            "a": asdict(self.a),
            "b": asdict(self.b),
            "is_empty": self.is_empty,
            "counts": asdict(self.counts),
            "versions": {name: {"a": old, "b": new} for name, (old, new) in self.versions.items()},
            "notes": list(self.notes),
            "strays": [asdict(stray) for stray in self.strays],
            "identical": list(self.identical),
            "same_values": list(self.same_values),
            "tables": [_table_json(table) for table in self.tables],
        }


def _table_json(table: TableDifference) -> dict[str, Any]:
    shown = {
        name: getattr(table, name) for name in table.__dataclass_fields__ if name not in ("cells", "rows")
    }
    plain: dict[str, Any] = {
        name: _plain(value) for name, value in (shown | {"emptied": table.emptied}).items()
    }
    return plain | {
        "rows": {"a": table.rows[0], "b": table.rows[1]},
        "unexplained": table.unexplained,
        "by_code": table.by_code,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
