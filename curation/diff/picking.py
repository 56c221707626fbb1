"""Cells of some rows of a table: a few columns at a time are read whole, and what was not asked for is let go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from curation.diff.reading import TableFile, whole

GROUP_BYTES = 40_000_000
"""Memory for the columns that one thread reads at a time."""


def pick(file: TableFile, names: Sequence[str], places: np.ndarray) -> dict[str, pa.Array]:
    """Cells of rows.

    Args:
        file: a table.
        names: of columns that it has.
        places: of the rows, in any order.
    """
    return pick_each(file, dict.fromkeys(names, places))


def pick_each(file: TableFile, places: Mapping[str, np.ndarray]) -> dict[str, pa.Array]:
    """Cells of some rows of each column.

    Args:
        file: a table.
        places: of the rows, in any order, by the name of a column that it has.
    """

    def picked(group: Sequence[str]) -> list[pa.Array]:
        columns = file.read(group)
        return [
            _plain(whole(columns.column(name)).take(pa.array(places[name], pa.int64()))) for name in group
        ]

    groups = list(grouped(file, [name for name, rows in places.items() if len(rows)]))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="pick") as threads:
        found = [column for group in threads.map(picked, groups) for column in group]
    cells = dict(zip((name for group in groups for name in group), found, strict=True))
    nothing = (name for name in places if name not in cells)
    return cells | {name: pa.array([], file.types[name]) for name in nothing}


def grouped(file: TableFile, names: Sequence[str]) -> Iterator[list[str]]:
    """Columns to read at a time, in their order."""
    group: list[str] = []
    size = 0
    for name in names:
        if group and size + file.memory(name) > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(name)
        size += file.memory(name)
    if group:
        yield group


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
