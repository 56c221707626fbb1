"""How IQMs are distributed: histograms and quantiles by modality and manufacturer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.bids import unit
from schemas.dictionary import Resource, table
from schemas.published import IMAGE_RESOURCES

_ANATOMICAL = ("cjv", "cnr", "snr_total", "efc", "fber", "inu_range", "qi_2", "fwhm_avg")
IQMS: dict[Resource, tuple[str, ...]] = {
    "T1w": _ANATOMICAL,
    "T2w": _ANATOMICAL,
    "bold": ("fd_mean", "dvars_std", "tsnr", "gcor", "gsr_x", "gsr_y", "efc", "fber"),
}
"""Those that the report shows: of noise, contrast, artifacts, sharpness, and of head motion, signal and ghosts, those
that Esteban et al. (Sci Data 2019, Tables 2 and 3) describe and that are read most."""
ALL = "all"
MOST_GROUPS = 4
"""Manufacturers that are shown, those with the most images."""
LEAST_IMAGES = 10
"""A group of fewer images has no distribution worth a drawing."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LIMITS = (0.01, 0.99)
"""Axes go from quantile to quantile, so that a few wild values do not make them useless."""
SKEWED = 100
"""Values whose upper limit is so many times their lower quantile are drawn on a logarithmic axis."""
BINS = 36

Opener = Callable[[str], BufferedIOBase | None]


@dataclass(frozen=True)
class Spread:
    """How the finite values of a group spread.

    Attributes:
        images: how many there are.
        quantiles: their values at :data:`QUANTILES`.
    """

    images: int
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Distribution:
    """How one IQM is distributed.

    Attributes:
        column: its name.
        words: what it is, as the dictionary begins to explain it.
        unit: of its values; ``None`` where they have no dimension.
        direction: whether ``higher`` or ``lower`` is better, or ``neither``.
        limits: where the axis begins and ends.
        logarithmic: whether the axis is.
        shares: of each of :data:`BINS` bins between the limits, the share of all finite values that it has.
        spreads: by manufacturer, :data:`ALL` first.
    """

    column: str
    words: str
    unit: str | None
    direction: str
    limits: tuple[float, float]
    logarithmic: bool
    shares: tuple[float, ...]
    spreads: Mapping[str, Spread]


Distributions = Mapping[Resource, tuple[Distribution, ...]]


def distributions(open_table: Opener, like: Distributions | None = None) -> Distributions | None:
    """Measure the IQMs of curated tables; a column at a time is in memory.

    Args:
        open_table: opens a file by its path, ``None`` where it is not here.
        like: take limits and manufacturers from these, to compare with them.

    Returns:
        By modality; ``None`` if a table is not here. A column that a table does not have is left out.
    """
    found: dict[Resource, tuple[Distribution, ...]] = {}
    for resource in IMAGE_RESOURCES:
        stream = open_table(f"parquet/{resource}_curated.parquet")
        if stream is None:
            return None
        with stream, pq.ParquetFile(stream) as file:
            given = None if like is None else {one.column: one for one in like[resource]}
            found[resource] = tuple(_measure(file, resource, given))
    return found


def _measure(
    file: pq.ParquetFile, resource: Resource, given: Mapping[str, Distribution] | None
) -> Sequence[Distribution]:
    there = set(file.schema_arrow.names)
    makers = _makers(file, there)
    if given is None:
        groups = _largest(makers)
    else:
        groups = [name for name in next(iter(given.values())).spreads if name != ALL] if given else []
    columns = {column.name: column for column in table(resource).iqms}
    found = []
    for name in IQMS[resource]:
        if name not in there or (given is not None and name not in given):
            continue
        values = file.read([name]).column(0).to_numpy().astype("float64")
        finite = np.isfinite(values)
        limits, logarithmic = (
            _limits(values[finite]) if given is None else (given[name].limits, given[name].logarithmic)
        )
        spreads = {ALL: _spread(values[finite])}
        for group in groups:
            of_group = pc.equal(makers, group).fill_null(False).to_numpy(zero_copy_only=False)
            spreads[group] = _spread(values[finite & of_group])
        column = columns[name]
        shown_unit = unit(column)
        found.append(
            Distribution(
                name,
                column.description.partition(":")[0],
                None if shown_unit in (None, "1") else shown_unit,
                column.direction or "neither",
                limits,
                logarithmic,
                _shares(values[finite], bin_edges(limits, logarithmic)),
                spreads,
            )
        )
    return found


def _makers(file: pq.ParquetFile, there: set[str]) -> pa.Array:
    rows = file.metadata.num_rows
    if "manufacturer" not in there:
        return pa.nulls(rows, pa.string())
    found = file.read(["manufacturer"]).column(0).dictionary_encode().combine_chunks()
    return found if isinstance(found, pa.Array) else pa.nulls(0, pa.string())


def _largest(makers: pa.Array) -> list[str]:
    counts = pc.value_counts(makers.drop_null()).to_pylist()
    counts.sort(key=lambda one: (-one["counts"], one["values"]))
    return [one["values"] for one in counts if one["counts"] >= LEAST_IMAGES][:MOST_GROUPS]


def _limits(values: np.ndarray) -> tuple[tuple[float, float], bool]:
    if not len(values):
        return (0.0, 1.0), False
    low, lower, high = (float(bound) for bound in np.quantile(values, (LIMITS[0], QUANTILES[0], LIMITS[1])))
    if lower > 0 and high > SKEWED * lower:
        # A code such as -1 may be below the lower quantile.
        return (low if low > 0 else lower, high), True
    return ((low, high) if low < high else (low - 0.5, low + 0.5)), False


def bin_edges(limits: tuple[float, float], logarithmic: bool) -> np.ndarray:
    """Where the bins of a distribution begin and end, ``BINS + 1`` numbers."""
    return np.geomspace(*limits, BINS + 1) if logarithmic else np.linspace(*limits, BINS + 1)


def _shares(values: np.ndarray, edges: np.ndarray) -> tuple[float, ...]:
    counts, _ = np.histogram(values, edges)
    return tuple((counts / max(len(values), 1)).tolist())


def _spread(values: np.ndarray) -> Spread:
    if not len(values):
        return Spread(0, ())
    return Spread(len(values), tuple(np.quantile(values, QUANTILES).tolist()))
