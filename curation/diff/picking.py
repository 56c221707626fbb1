"""Cells of some rows of a table: a few columns at a time are read whole, and what was not asked for is let go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
    rows = pa.array(places, pa.int64())

    def picked(group: Sequence[str]) -> list[pa.Array]:
        columns = file.read(group)
        return [_plain(whole(columns.column(name)).take(rows)) for name in group]

    groups = list(grouped(file, names))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="pick") as threads:
        found = [column for group in threads.map(picked, groups) for column in group]
    return dict(zip((name for group in groups for name in group), found, strict=True))


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
