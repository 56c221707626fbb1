"""What was measured beside what is aimed at, as ratios: absolute figures are those of one machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.diff import Diffing
from benchmarks.pulling import Pulling
from benchmarks.scaling import SIZES
from benchmarks.whole import Work, rate_ratio, time_ratio

MEMORY_RECORDS = 500_000
"""Records at which peak memory has a bound of its own."""


@dataclass(frozen=True)
class Ratio:
    """One figure.

    Attributes:
        what: of what to what.
        found: what was measured; ``None`` where it was not.
        bound: what is aimed at; ``None`` where nothing is.
        at_most: whether ``found`` may be at most ``bound``, or has to be at least that.
        unit: of both; ``x`` for a ratio.
    """

    what: str
    found: float | None
    bound: float | None = None
    at_most: bool = True
    unit: str = "x"

    @property
    def reached(self) -> bool | None:
        """Whether ``found`` is what is aimed at; ``None`` where it was not measured or nothing is aimed at."""
        if self.found is None or self.bound is None:
            return None
        return self.found <= self.bound if self.at_most else self.found >= self.bound


def ratios(figures: Mapping[str, Any]) -> list[Ratio]:
    """The ratios of all that was measured, by the names of :mod:`benchmarks.__main__`."""
    found: list[Ratio] = []
    if (whole := figures.get("whole")) is not None:
        found += _of_whole(whole)
    found += _of_scaling(figures.get("whole", {}), figures.get("scaling", {}))
    pull: Pulling | None = figures.get("pull")
    if pull is not None:
        found.append(Ratio("records/s: pull / client that discards", pull.ratio))
    diff: Diffing | None = figures.get("diff")
    if diff is not None:
        found.append(Ratio("time: diff with causes / pyarrow reads and joins", diff.ratio, 3.0))
        found.append(Ratio(f"peak memory: diff of {diff.rows:,} rows", diff.diff_peak_mb, 2_000.0, unit="MB"))
        found.append(Ratio("cells of a diff without a cause", float(diff.unexplained), 0.0, unit=""))
    return found


def _of_whole(works: Mapping[str, Work]) -> Iterator[Ratio]:
    curate, night, duckdb, pandas = (works[name] for name in ("curate", "night", "duckdb", "pandas"))
    yield Ratio("time: curate from nothing / DuckDB", time_ratio(curate, duckdb), 2.5)
    yield Ratio("records/s: curate from nothing / pandas", rate_ratio(curate, pandas), 10.0, at_most=False)
    yield Ratio("time: night with 1 % new / curate from nothing", time_ratio(night, curate), 0.25)
    yield Ratio("time: import / curate from nothing", time_ratio(works["import"], curate))
    yield Ratio("peak memory: curate from nothing / DuckDB", curate.peak_mb / duckdb.peak_mb)


def _of_scaling(works: Mapping[str, Work], sizes: Mapping[int, Work]) -> Iterator[Ratio]:
    """Of memory, and of how speed holds; without measurements the ratios that are to be measured."""
    measured = [*sizes.values(), *(work for name, work in works.items() if name == "curate")]
    peaks = [work.peak_mb for work in measured if work.records == MEMORY_RECORDS]
    what = f"peak memory: curate {MEMORY_RECORDS:,} records"
    yield Ratio(what, max(peaks, default=None), 1_000.0, unit="MB")
    by_size = sorted(sizes or SIZES)
    least, middle, most = by_size[0], by_size[-2], by_size[-1]
    memory = sizes[most].peak_mb / sizes[middle].peak_mb if sizes else None
    speed = rate_ratio(sizes[most], sizes[least]) if sizes else None
    yield Ratio(f"peak memory: {most:,} / {middle:,} records", memory, 1.2)
    what = f"records/s: {most:,} / {least:,} records"
    yield Ratio(what, speed, 0.85, at_most=False)
