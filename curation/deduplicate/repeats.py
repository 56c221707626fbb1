"""How repeated runs of one MRIQC version on one image compare: exact or noisy, and how far they spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from dask.delayed import delayed

from curation.deduplicate.fates import Decision
from curation.engine import Engine
from curation.partitions import Partition

KINDS = ("first", "exact", "noisy")
BLOCK_BYTES = 96 << 20
"""Memory for the values of IQMs that are compared at a time."""
_MISSING = np.uint64(0x7FF8_0000_0000_1DEA).view("float64")
"""A NaN that stands for a missing value; NaNs that were sent have other bits."""
_MISSING_BITS = _MISSING.view("int64")
_NAN_BITS = np.float64("nan").view("int64")


@dataclass(frozen=True)
class Repeats:
    """What a comparison found.

    Attributes:
        kind: per record of :attr:`Decision.records`: ``first``, ``exact`` or ``noisy``; missing where nothing repeats.
        spread: per row of :attr:`Decision.curated`: the image's ``iqm_spread``, NaN where no run was repeated.
    """

    kind: pd.Series
    spread: np.ndarray


def compare_repeats(
    typed: Sequence[Partition], decision: Decision, iqms: Sequence[str], engine: Engine
) -> Repeats:
    """Compare the records of one run (image, version and settings) with the first of them.

    The spread of an image is the largest, over IQMs and runs, of the range of the IQM's finite values in the run
    divided by its interquartile range (linear between ranks) over the finite values of the curated table. An IQM whose
    interquartile range is zero, or is not known since the table has no two finite values of it, is left out, and so is
    a run with less than two finite values of it; a run of which nothing is left has no spread. Identical records spread
    by 0. A quotient beyond the largest double is infinite.

    Args:
        typed: typed columns, a file a part.
        decision: what became of the records.
        iqms: names of the IQMs' columns.
        engine: in whose threads they are compared.
    """
    records = decision.records
    sound = records.index[records["run"] >= 0]
    order = sound[np.argsort(records.loc[sound, "run"].to_numpy(), kind="stable")]
    runs = records.loc[order, "run"].to_numpy()
    sizes = np.bincount(runs) if len(runs) else np.array([], dtype=int)
    repeated = sizes[runs] > 1 if len(runs) else np.array([], dtype=bool)
    order, runs = order[repeated], runs[repeated]
    starts = np.flatnonzero(np.diff(runs, prepend=-1))
    curated = np.flatnonzero(records["best"].to_numpy() == records.index.to_numpy())
    block = _Block(typed, records["part"].to_numpy(), records["row"].to_numpy(), order, starts, curated)
    same = np.ones(len(order), dtype=bool)
    spread = np.full(len(starts), np.nan)
    size = max(1, BLOCK_BYTES // (8 * max(1, len(records)) * engine.threads))
    calls = (delayed(block.compare)(iqms[start : start + size]) for start in range(0, len(iqms), size))
    for alike, spreads in engine.run_here(calls):
        same &= alike
        spread = np.fmax(spread, spreads)
    if len(starts):
        spread[np.logical_and.reduceat(same, starts)] = 0.0
    codes = np.full(len(records), -1)
    codes[order] = np.where(same, KINDS.index("exact"), KINDS.index("noisy"))
    codes[order[starts]] = KINDS.index("first")
    kind = pd.Series(pd.Categorical.from_codes(codes, list(KINDS)), index=records.index)
    by_group = pd.Series(spread, index=records.loc[order[starts], "group"]).groupby(level=0).max()
    return Repeats(kind, decision.curated["group"].map(by_group).to_numpy(dtype="float64"))


@dataclass(frozen=True)
class _Block:
    """What is compared.

    Attributes:
        typed: typed columns, a file a part.
        part, row: of each record.
        order: the records of repeated runs, run by run; starts: the places in it where runs begin.
        curated: the records of the curated table.
    """

    typed: Sequence[Partition]
    part: np.ndarray
    row: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    curated: np.ndarray

    def compare(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Of some IQMs: which records are like the first of their run in all, and how far each run spreads."""
        first = np.repeat(self.starts, np.diff(self.starts, append=len(self.order)))
        same = np.ones(len(self.order), dtype=bool)
        spread = np.full(len(self.starts), np.nan)
        for values in self._values(names):
            scale = interquartile_range(values[self.curated])
            repeated = values[self.order]
            bits = _bits(repeated)
            same &= bits == bits[first]
            if len(self.starts) and scale > 0:
                with np.errstate(over="ignore", invalid="ignore"):
                    spread = np.fmax(spread, _ranges(repeated, self.starts) / scale)
        return same, spread

    def _values(self, names: Sequence[str]) -> np.ndarray:
        """The IQMs of all records, a row an IQM."""
        by_part = np.argsort(self.part, kind="stable")
        bounds = np.searchsorted(self.part[by_part], np.arange(len(self.typed) + 1))
        values = np.full((len(names), len(self.part)), _MISSING)
        for number, partition in enumerate(self.typed):
            places = by_part[bounds[number] : bounds[number + 1]]
            if len(places):
                picked = partition.read(names).take(pa.array(self.row[places]))
                for column, value in zip(picked.columns, values, strict=True):
                    found = column.cast(pa.float64()).to_numpy()
                    value[places] = np.where(column.is_null().to_numpy(), _MISSING, found)
        return values


def _bits(values: np.ndarray) -> np.ndarray:
    """The 64 bits of doubles; every NaN that was sent has the same, and so have both zeros."""
    missing = values.view("int64") == _MISSING_BITS
    bits = (values + 0.0).view("int64")
    bits[np.isnan(values)] = _NAN_BITS
    bits[missing] = _MISSING_BITS
    return bits


def interquartile_range(values: np.ndarray) -> float:
    """Of the finite ones among some values, linear between ranks; 0 where it is not known."""
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
