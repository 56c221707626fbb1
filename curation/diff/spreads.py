"""How far a spread can move where no record of its image changed: as far as the table's interquartile ranges did."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from curation.deduplicate.repeats import interquartile_range
from curation.diff.picking import grouped
from curation.diff.reading import TableFile, whole
from curation.diff.sameness import numbers

SLACK = 1e-9
"""Share by which a spread may leave its bounds: quotients are rounded."""


def scale_bounds(a: TableFile, b: TableFile, iqms: Sequence[str]) -> tuple[float, float]:
    """Between which factors the spread of an image can move from one table to the next, its records being the same.

    A spread is the largest of some ranges divided by interquartile ranges (see
    :func:`curation.deduplicate.compare_repeats`). The ranges are those of the image's records, so that the largest
    quotient moves by no more than the divisor that moves most. Where one table has no interquartile range of an IQM
    and the other has, the largest quotient may be another, and one bound is open.

    Args:
        a: the first curated table.
        b: the second.
        iqms: names of columns.
    """
    names = [name for name in iqms if name in a.kinds and name in b.kinds]
    before, now = (_interquartile_ranges(file, names) for file in (a, b))
    both = (before > 0) & (now > 0)
    moved = before[both] / now[both]
    low, high = (float(moved.min()), float(moved.max())) if len(moved) else (0.0, np.inf)
    if len(names) < len(iqms) or ((before > 0) & ~both).any():
        low = 0.0
    if len(names) < len(iqms) or ((now > 0) & ~both).any():
        high = np.inf
    return low * (1 - SLACK), high * (1 + SLACK)


def out_of_bounds(old: pa.Array, new: pa.Array, bounds: tuple[float, float]) -> np.ndarray:
    """Which spreads moved by another factor than they can, as texts before and now; 0 stays 0."""
    one, other = numbers(old), numbers(new)
    low, high = bounds
    above = np.zeros(len(one), dtype=bool)
    if not np.isinf(high):
        # A spread that comes needs an IQM that has come.
        above = (other > one * high) | (np.isnan(one) & ~np.isnan(other))
    below = other < one * low
    if low > 0:
        below |= np.isnan(other) & ~np.isnan(one)
    return above | below


def _interquartile_ranges(file: TableFile, names: Sequence[str]) -> np.ndarray:
    """Of columns; what was found out before is kept with the table."""

    def ranges(group: Sequence[str]) -> list[float]:
        columns = file.read(group)
        return [interquartile_range(_doubles(columns.column(name))) for name in group]

    todo = list(grouped(file, [name for name in names if name not in file.interquartile_ranges]))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="quartiles") as threads:
        for group, found in zip(todo, threads.map(ranges, todo), strict=True):
            file.interquartile_ranges.update(zip(group, found, strict=True))
    return np.array([file.interquartile_ranges[name] for name in names], dtype="float64")


def _doubles(column: pa.ChunkedArray) -> np.ndarray:
    """A column as doubles; where another version has texts in it, NaN for what is no number."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64()).to_numpy()
    return numbers(whole(column.cast(pa.string())))
