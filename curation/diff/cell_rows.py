"""Rows and cells that differ, kept small until they are written: places, texts and numbers of causes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from curation.diff.aligning import Alignment

UNEXPLAINED = "unexplained"
CODE, DICTIONARY, RULES = "code changed", "dictionary changed", "rules or vocabularies changed"
RANKED = "records are ranked otherwise, as code or dictionary changed"
SCHEMA = "schema change"
OF_TABLE = "the whole table"
"""A cause: what is told in units of the whole table moves with other rows."""
SCALED = "iqm_spread"
"""The column whose values are in units of the whole table."""
BY_CODE = frozenset((CODE, DICTIONARY, RULES, RANKED))
"""Causes, or details of them, that no ledger tells: other code may do anything."""
CELLS = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("record_id", pa.string()),
        pa.field("old_record_id", pa.string()),
        pa.field("column", pa.string()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("old", pa.string()),
        pa.field("new", pa.string()),
        pa.field("relative_change", pa.float64()),
        pa.field("cause", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("rule", pa.string()),
    ]
)
"""Columns of the file of changed cells: a row a cell that differs, and, without a column, a row a row that was added
or removed. ``key`` is the checksum (of ratings the record's id), ``record_id`` the record that the row is made from in
the second version, ``old_record_id`` in the first; ``kind`` is ``row added``, ``row removed``, ``changed``,
``appeared``, ``disappeared`` or ``rounding``."""
Why = tuple[str, str | None, str | None]
"""A cause, what more is known, and the rules of repair."""


def is_by_code(cause: str, detail: str | None) -> bool:
    """Whether nothing but other code, another dictionary or other rules tells why something differs.

    Columns that another dictionary has otherwise are declared so, and anyone can read there what changed.
    """
    return (cause, detail) != (SCHEMA, DICTIONARY) and not BY_CODE.isdisjoint((cause, detail))


@dataclass
class Causes:
    """Causes by number; 0 is that there is none.

    Attributes:
        known: cause, detail and rule of each.
    """

    known: list[Why] = field(default_factory=lambda: [(UNEXPLAINED, None, None)])
    _numbers: dict[Why, int] = field(default_factory=dict, repr=False)

    def number(self, cause: str, detail: str | None = None, rule: str | None = None) -> int:
        """The number of a cause."""
        why = (cause, detail, rule)
        if why not in self._numbers:
            self._numbers[why] = len(self.known)
            self.known.append(why)
        return self._numbers[why]


@dataclass(frozen=True)
class Aligned:
    """The rows of a table in both versions.

    Attributes:
        table: its name.
        alignment: which rows are the same.
        records_a: of every row of the first version, the record that it is made from; records_b: of the second.
    """

    table: str
    alignment: Alignment
    records_a: pa.Array
    records_b: pa.Array


@dataclass(frozen=True)
class CellRows:
    """Cells of one column that differ, or rows that only one version has.

    Attributes:
        aligned: the rows of the table.
        column: its name; ``None`` for whole rows.
        places_a: rows in the first version; ``None`` for rows that were added.
        places_b: rows in the second; ``None`` for rows that were removed.
        kinds: of each, one of ``words``, by place.
        words: kinds.
        old: what cells were; ``None`` for whole rows. new: what they are.
        relative: how far numbers moved, NaN where nothing can be said; ``None`` for whole rows.
        why: numbers of causes.
        causes: what these mean.
    """

    aligned: Aligned
    column: str | None
    places_a: np.ndarray | None
    places_b: np.ndarray | None
    kinds: np.ndarray
    words: tuple[str, ...]
    old: pa.Array | None
    new: pa.Array | None
    relative: np.ndarray | None
    why: np.ndarray
    causes: Causes

    def __len__(self) -> int:
        return len(self.why)

    @property
    def keys(self) -> pa.Array:
        """Of the rows."""
        rows = self.aligned.alignment
        if self.places_b is not None:
            return rows.keys_b.take(pa.array(self.places_b))
        return rows.keys_a.take(pa.array(self.places_a))

    @property
    def record_ids(self) -> pa.Array:
        """Records that the rows are made from in the second version."""
        return self._records(self.aligned.records_b, self.places_b)

    @property
    def only_scaled(self) -> np.ndarray:
        """Which cells hold the same measure as before, in other units."""
        if self.column != SCALED:
            return np.zeros(len(self), dtype=bool)
        numbers = [number for number, (cause, _, _) in enumerate(self.causes.known) if cause == OF_TABLE]
        return np.isin(self.why, numbers)

    def slice(self, start: int, count: int) -> CellRows:
        """Some of them."""
        some = slice(start, start + count)
        names = ("places_a", "places_b", "kinds", "old", "new", "relative", "why")
        picked: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value[some] for name in names
        }
        return replace(self, **picked)

    def to_arrow(self) -> pa.Table:
        """As rows of :data:`CELLS`."""
        count = len(self)
        nothing = pa.nulls(count, pa.string())
        causes, details, rules = zip(*self.causes.known, strict=True)
        numbers = pa.array(self.why)
        relative = pa.nulls(count, pa.float64())
        if self.relative is not None:
            relative = pa.array(self.relative, mask=np.isnan(self.relative))
        columns = {
            "table": pa.repeat(pa.scalar(self.aligned.table, pa.string()), count),
            "key": self.keys,
            "record_id": self.record_ids,
            "old_record_id": self._records(self.aligned.records_a, self.places_a),
            "column": pa.repeat(pa.scalar(self.column, pa.string()), count),
            "kind": pa.array(self.words, pa.string()).take(pa.array(self.kinds)),
            "old": nothing if self.old is None else self.old.cast(pa.string()),
            "new": nothing if self.new is None else self.new.cast(pa.string()),
            "relative_change": relative,
            "cause": pa.array(causes, pa.string()).take(numbers),
            "detail": pa.array(details, pa.string()).take(numbers),
            "rule": pa.array(rules, pa.string()).take(numbers),
        }
        return pa.table([columns[name] for name in CELLS.names], schema=CELLS)

    def _records(self, records: pa.Array, places: np.ndarray | None) -> pa.Array:
        if places is None:
            return pa.nulls(len(self), pa.string())
        return records.take(pa.array(places)).cast(pa.string())

    def some(self, number: int, most: int) -> Iterator[int]:
        """Places of some cells with a cause."""
        yield from np.flatnonzero(self.why == number)[:most].tolist()
