"""How repeated runs of one MRIQC version on one image compare: exact or noisy, and how far they spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from curation.deduplicate.fates import Decision
from curation.typed import read_typed

COLUMNS_AT_ONCE = 16
"""IQMs held in memory at a time: 8 bytes a value."""
_MISSING = np.iinfo("int64").min
_NAN = np.float64("nan").view("int64")


@dataclass(frozen=True)
class Repeats:
    """What a comparison found.

    Attributes:
        kind: per record of :attr:`Decision.records`: ``first``, ``exact`` or ``noisy``; missing where nothing repeats.
        spread: per row of :attr:`Decision.curated`: the image's ``iqm_spread``, NaN where no run was repeated.
    """

    kind: pd.Series
    spread: np.ndarray


def compare_repeats(paths: Sequence[Path], decision: Decision, iqms: Sequence[str]) -> Repeats:
    """Compare the records of one run (image, version and settings) with the first of them.

    The spread of an image is the largest, over IQMs and runs, of the range of the IQM's finite values in the run
    divided by its interquartile range (linear between ranks) over the finite values of the curated table. An IQM whose
    interquartile range is zero, or is not known since the table has no two finite values of it, is left out, and so is
    a run with less than two finite values of it; a run of which nothing is left has no spread. Identical records spread
    by 0. A quotient beyond the largest double is infinite.

    Args:
        paths: typed columns, a file a part.
        decision: what became of the records.
        iqms: names of the IQMs' columns.
    """
    records = decision.records
    sound = records.index[records["run"] >= 0]
    order = sound[np.argsort(records.loc[sound, "run"].to_numpy(), kind="stable")]
    runs = records.loc[order, "run"].to_numpy()
    sizes = np.bincount(runs) if len(runs) else np.array([], dtype=int)
    repeated = sizes[runs] > 1 if len(runs) else np.array([], dtype=bool)
    order, runs = order[repeated], runs[repeated]
    starts = np.flatnonzero(np.diff(runs, prepend=-1))
    first = np.repeat(starts, np.diff(starts, append=len(runs)))
    same = np.ones(len(order), dtype=bool)
    spread = np.full(len(starts), np.nan)
    curated = np.flatnonzero(records["best"].to_numpy() == records.index.to_numpy())
    for matrix in _columns(paths, records, iqms):
        for values, bits in matrix:
            same &= bits[order] == bits[order][first]
            scale = _interquartile_range(values[curated])
            if len(starts) and scale > 0:
                with np.errstate(over="ignore", invalid="ignore"):
                    spread = np.fmax(spread, _ranges(values[order], starts) / scale)
    if len(starts):
        spread[np.logical_and.reduceat(same, starts)] = 0.0
    kind = pd.Series(None, index=records.index, dtype="str")
    kind[order] = np.where(same, "exact", "noisy")
    kind[order[starts]] = "first"
    by_group = pd.Series(spread, index=records.loc[order[starts], "group"]).groupby(level=0).max()
    return Repeats(kind, decision.curated["group"].map(by_group).to_numpy(dtype="float64"))


def _columns(
    paths: Sequence[Path], records: pd.DataFrame, names: Sequence[str]
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """IQMs of all records, some columns at a time: values (NaN where missing), and bits that tell missing from NaN."""
    parts = records["part"].to_numpy()
    by_part = np.argsort(parts, kind="stable")
    bounds = np.searchsorted(parts[by_part], np.arange(len(paths) + 1))
    rows = records["row"].to_numpy()
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        wanted = names[start : start + COLUMNS_AT_ONCE]
        values = np.full((len(wanted), len(records)), np.nan)
        bits = np.full((len(wanted), len(records)), _MISSING)
        for number, path in enumerate(paths):
            places = by_part[bounds[number] : bounds[number + 1]]
            if len(places):
                picked = read_typed(path, wanted).take(pa.array(rows[places]))
                for column, (value, bit) in zip(picked.columns, zip(values, bits, strict=True), strict=True):
                    value[places] = found = column.cast(pa.float64()).to_numpy()
                    bit[places] = np.where(column.is_null().to_numpy(), _MISSING, _bits(found))
        yield list(zip(values, bits, strict=True))


def _bits(values: np.ndarray) -> np.ndarray:
    """The 64 bits of doubles; every NaN has the same, and so have both zeros."""
    return np.where(np.isnan(values), _NAN, (values + 0.0).view("int64"))


def _interquartile_range(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return 0.0
    low, high = np.quantile(finite, [0.25, 0.75])
    return float(high - low)


def _ranges(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The range of the finite values of each run; NaN where there are less than two."""
    finite = np.isfinite(values)
    enough = np.add.reduceat(finite.astype("int64"), starts) > 1
    highest = np.maximum.reduceat(np.where(finite, values, -np.inf), starts)
    lowest = np.minimum.reduceat(np.where(finite, values, np.inf), starts)
    return np.where(enough, highest - lowest, np.nan)
