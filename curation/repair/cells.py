"""The cells that rules look at: columns of some rows, and what was received for them otherwise than they hold it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.flatten import AS_TEXT, Aside
from schemas import Column, table
from schemas.dictionary import Resource


class Cells:
    """Columns of some rows of one resource, as arrays that can be changed.

    Args:
        resource: whose rows they are.
        rows: columns of the dictionary's names, and ``created``.
        asides: of each row; type ``ASIDES_TYPE``.
        given: what the sidecar of each row's public image says: columns of the dictionary's names, ``sidecar_path``.

    A number that was sent as text is not in its cell at first, as it was not received as one.

    Attributes:
        resource: whose rows they are.
        asides: column to row to what was received for the cell.
    """

    def __init__(
        self, resource: Resource, rows: pa.Table, asides: pa.ChunkedArray, given: pa.Table | None = None
    ) -> None:
        self.resource = resource
        self._given = given
        self._said: dict[str, np.ndarray] = {}
        self._rows = rows
        self._columns = {column.name: column for column in table(resource).columns}
        self._arrays: dict[str, np.ndarray] = {}
        self._empty: dict[str, np.ndarray] = {}
        self.asides: dict[str, dict[int, list[Aside]]] = defaultdict(dict)
        owners = pc.list_parent_indices(asides).to_pylist()
        for place, one in zip(owners, pc.list_flatten(asides).to_pylist(), strict=True):
            self.asides[one["column"]].setdefault(place, []).append(Aside(**one))
        for name, received in self.asides.items():
            as_text = [place for place, found in received.items() if any(a.why == AS_TEXT for a in found)]
            if as_text:
                self.put(name, np.array(as_text), [None] * len(as_text))

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> Column:
        """The dictionary's row of a column."""
        return self._columns[name]

    def is_number(self, name: str) -> bool:
        """Whether a column holds numbers."""
        return self._columns[name].type in ("number", "integer")

    def values(self, name: str) -> np.ndarray:
        """The column as it is now: doubles with NaN for missing ones, or objects with ``None``."""
        if name not in self._arrays:
            column = self._rows.column(name)
            if self.is_number(name):
                self._arrays[name] = column.cast(pa.float64()).to_numpy().copy()
            else:
                self._arrays[name] = np.array([*column.to_pylist(), None], dtype=object)[:-1]
        return self._arrays[name]

    def empty(self, name: str) -> np.ndarray:
        """Which cells of a column hold nothing now (or NaN or an empty text, which say as little)."""
        if name not in self._empty:
            self._empty[name] = _says_nothing(self._rows.column(name))
        return self._empty[name].copy()

    def missing(self, name: str) -> np.ndarray:
        """Which cells of a column are empty and were received as nothing: not as NaN, nor as an empty text."""
        return self.empty(name) & self._rows.column(name).is_null().to_numpy()

    def said(self, name: str) -> np.ndarray:
        """Of which rows the sidecar of the public image says something of a column."""
        if self._given is None or name not in self._given.column_names:
            return np.zeros(len(self), dtype=bool)
        column = self._given.column(name)
        finite = pc.is_finite(column) if pa.types.is_floating(column.type) else column.is_valid()
        return ~_says_nothing(column) & finite.fill_null(False).to_numpy()

    def given(self, name: str) -> np.ndarray | None:
        """What sidecars of public images say of a column; ``None`` where there are no such images at all."""
        if name not in self._said:
            if self._given is None or name not in self._given.column_names:
                return None
            column = self._given.column(name)
            number = name in self._columns and self.is_number(name)
            self._said[name] = (
                column.cast(pa.float64()).to_numpy()
                if number
                else np.array([*column.to_pylist(), None], dtype=object)[:-1]
            )
        return self._said[name]

    def put(self, name: str, places: np.ndarray, values: Sequence[Any]) -> None:
        """Change some cells; ``None`` empties one."""
        kind = "float64" if self.is_number(name) else object
        if len(places):
            self.empty(name)  # as they were received
            self._empty[name][places] = [value is None or value == "" or value != value for value in values]
        self.values(name)[places] = np.array([*values, None], dtype=kind)[:-1]

    @property
    def created(self) -> np.ndarray:
        """Creation times in seconds since 1970; infinite where unknown: before no day."""
        seconds = self._rows.column("created").cast(pa.int64()).cast(pa.float64())
        return seconds.fill_null(np.inf).to_numpy()

    def arrow(self, name: str, places: np.ndarray) -> pa.ChunkedArray:
        """The received column with what it holds now in some places."""
        column = self._rows.column(name)
        found = [self.values(name)[place] for place in places]
        values = [None if value is None or value != value else value for value in found]
        if self.column(name).type == "integer":
            values = [None if value is None else int(value) for value in values]
        mask = np.zeros(len(column), dtype=bool)
        mask[places] = True
        return pc.replace_with_mask(column.combine_chunks(), pa.array(mask), pa.array(values, column.type))


def _says_nothing(column: pa.ChunkedArray) -> np.ndarray:
    """Which cells are missing, NaN or an empty text."""
    nothing = column.is_null(nan_is_null=pa.types.is_floating(column.type))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        nothing = pc.or_(nothing, pc.fill_null(pc.equal(pc.binary_length(column), 0), False))
    return np.array(nothing.to_numpy())
