"""Compares columns of aligned rows, cell by cell: doubles by their bits, everything else by value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curation.diff.reading import kind, whole
from curation.tables import moments

CHANGED, APPEARED, DISAPPEARED, ROUNDING = range(4)
KINDS = ("changed", "appeared", "disappeared", "rounding")
"""What a cell can have done: another value; a value where there was none; none where there was one; another value that
is the same but for rounding."""
NEAR_SHARE = 1e-9
"""Numbers that differ by no more than this share of the larger one are the same but for rounding: the service's records
have nine digits at least, and another order of the same sums changes the last digits of sixteen."""
NEAR_ULPS = 4
"""So many units in the last place are rounding, too: next to zero a double has fewer digits."""
_ISO_8601 = "%Y-%m-%dT%H:%M:%SZ"
"""Of times that are no whole seconds, with as many digits as they have."""


@dataclass(frozen=True)
class ChangedCells:
    """The cells of one column that differ.

    Attributes:
        column: its name.
        type: its type in the second table, in the dictionary's words.
        rows: places among the common rows, ascending.
        kinds: of each, its place in :data:`KINDS`.
        old: what it was, as CSV has it; new: what it is.
        relative: how far a number moved, as a share of the old one; NaN where nothing can be said: for other types,
            appeared and disappeared cells, values that are not finite, and a zero that became something else.
        emptied: whether the column has lost all its values.
    """

    column: str
    type: str
    rows: np.ndarray
    kinds: np.ndarray
    old: pa.Array
    new: pa.Array
    relative: np.ndarray
    emptied: bool


def compare_column(
    name: str, a: pa.ChunkedArray, b: pa.ChunkedArray, common_a: np.ndarray, common_b: np.ndarray
) -> ChangedCells | None:
    """Compare a column of two tables.

    Args:
        name: of the column.
        a: all of its cells in the one table.
        b: in the other.
        common_a: rows of ``a`` to compare.
        common_b: rows of ``b`` to compare them with.

    Returns:
        The cells that differ; ``None`` if none does.
    """
    if not len(common_a):
        return None
    whole_a, whole_b = whole(a), whole(b)
    if whole_a.null_count == len(whole_a) and whole_b.null_count == len(whole_b):
        return None
    one, other = _alike(whole_a, whole_b)
    valid_a, valid_b = _picked(_valid(one), common_a), _picked(_valid(other), common_b)
    differ = _differ(one, other, common_a, common_b, valid_a, valid_b)
    rows = np.flatnonzero(differ)
    if not len(rows):
        return None
    old, new = (_take(values, places[rows]) for values, places in ((whole_a, common_a), (whole_b, common_b)))
    kinds = np.full(len(rows), CHANGED, dtype="int8")
    kinds[~valid_a[rows]] = APPEARED
    kinds[~valid_b[rows]] = DISAPPEARED
    relative = np.full(len(rows), np.nan)
    if _is_number(whole_a.type) and _is_number(whole_b.type):
        both = kinds == CHANGED
        close, moved = _distances(_doubles(old)[both], _doubles(new)[both])
        relative[both] = moved
        kinds[np.flatnonzero(both)[close]] = ROUNDING
    emptied = whole_b.null_count == len(whole_b) and whole_a.null_count < len(whole_a)
    return ChangedCells(name, kind(b.type), rows, kinds, texts(old), texts(new), relative, emptied)


def texts(values: pa.Array) -> pa.Array:
    """Values as the CSV files have them, without quotes; empty where they are missing."""
    data = values.type
    if pa.types.is_floating(data):
        return _texts_of_doubles(values)
    if pa.types.is_timestamp(data):
        seconds = values.cast(pa.timestamp("s", values.type.tz), safe=False)
        # Published times are whole seconds; what somebody edited may not be.
        is_whole = pc.all(pc.equal(seconds.cast(values.type), values)).as_py() is not False
        return moments(seconds).cast(pa.string()) if is_whole else pc.strftime(values, format=_ISO_8601)
    return values.cast(pa.string())


def _texts_of_doubles(values: pa.Array) -> pa.Array:
    """In the shortest form that reads back to the same double."""
    numbers = _doubles(values)
    found = (
        orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        .decode()
        .split(",")
    )
    for place in np.flatnonzero(~np.isfinite(numbers)):  # orjson has null for them
        found[place] = str(float(numbers[place]))
    return pa.array(found if len(numbers) else [], pa.string(), mask=~_valid(values))


def _alike(a: pa.Array, b: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Two columns of one type; of different ones as doubles where both are numbers, else as texts."""
    if pa.types.is_dictionary(a.type) and pa.types.is_dictionary(b.type):
        return _codes(a, b)
    a, b = (one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in (a, b))
    if pa.types.is_timestamp(a.type) and pa.types.is_timestamp(b.type):
        return a.cast(pa.timestamp("ms")).view(pa.int64()), b.cast(pa.timestamp("ms")).view(pa.int64())
    if kind(a.type) == kind(b.type):
        if pa.types.is_string(a.type) != pa.types.is_string(b.type):
            return a.cast(pa.large_string()), b.cast(pa.large_string())
        return a, b
    if _is_number(a.type) and _is_number(b.type):
        return a.cast(pa.float64(), safe=False), b.cast(pa.float64(), safe=False)
    return texts(a), texts(b)


def _codes(a: pa.Array, b: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Numbers of the texts of two columns, the same ones for the same texts."""
    mapped = pc.index_in(b.dictionary, value_set=a.dictionary)
    new = pa.array(np.arange(len(b.dictionary)) + len(a.dictionary), pa.int32())
    return a.indices.cast(pa.int64()), pc.coalesce(mapped, new).take(b.indices).cast(pa.int64())


def _differ(
    a: pa.Array,
    b: pa.Array,
    common_a: np.ndarray,
    common_b: np.ndarray,
    valid_a: np.ndarray,
    valid_b: np.ndarray,
) -> np.ndarray:
    """Which cells differ: one is missing and the other not, or both have values that are not the same."""
    differ = valid_a != valid_b
    if not (valid_a & valid_b).any():
        return differ
    if pa.types.is_floating(a.type) or pa.types.is_integer(a.type):
        bits_a, bits_b = (_picked(_bits(values), places) for values, places in ((a, common_a), (b, common_b)))
        return differ | ((bits_a != bits_b) & valid_a & valid_b)
    unequal = pc.not_equal(_take(a, common_a), _take(b, common_b))
    return differ | pc.fill_null(unequal, False).to_numpy(zero_copy_only=False)


def _bits(values: pa.Array) -> np.ndarray:
    """The 64 bits of numbers; those of missing ones mean nothing."""
    data = pa.float64() if pa.types.is_floating(values.type) else pa.int64()
    wide = values.cast(data)
    buffer = wide.buffers()[1]
    if buffer is None:
        return np.zeros(len(wide), dtype="int64")
    return np.frombuffer(buffer, dtype="int64", count=len(wide) + wide.offset)[wide.offset :]


def _doubles(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, 0).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _valid(values: pa.Array) -> np.ndarray:
    if not values.null_count:
        return np.ones(len(values), dtype=bool)
    return values.is_valid().to_numpy(zero_copy_only=False)


def _picked(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values at places; a view where they follow one another."""
    if is_run(places):
        return values[places[0] : places[0] + len(places)]
    return values[places]


def _take(values: pa.Array, places: np.ndarray) -> pa.Array:
    if is_run(places):
        return values.slice(places[0], len(places))
    return values.take(pa.array(places))


def is_run(places: np.ndarray) -> bool:
    """Whether places follow one another."""
    return (
        len(places) > 0
        and int(places[-1]) - int(places[0]) == len(places) - 1
        and bool((np.diff(places) == 1).all())
    )


def _is_number(data: pa.DataType) -> bool:
    return bool(pa.types.is_floating(data) or pa.types.is_integer(data))


def _distances(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which numbers are within rounding of each other, and how far each moved as a share of the old one."""
    with np.errstate(all="ignore"):
        moved = np.abs(new - old)
        larger = np.maximum(np.abs(old), np.abs(new))
        finite = np.isfinite(old) & np.isfinite(new)
        # Above the largest double there is none, and no unit of it.
        units = np.nan_to_num(np.spacing(larger), nan=0.0, posinf=0.0)
        close = finite & ((moved <= NEAR_SHARE * larger) | (moved <= NEAR_ULPS * units))
        relative = moved / np.abs(old)
    relative[~np.isfinite(relative)] = np.nan
    return close, relative
