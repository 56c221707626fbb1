"""Which rows of two tables are the same: alignment on their keys, over all rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curation.diff.reading import places_in, whole


@dataclass(frozen=True)
class Alignment:
    """Rows of two tables side by side.

    Attributes:
        keys_a: of all rows of the one table; keys_b: of the other. A key that stands in several rows has a number from
            its second on, so that all keys differ.
        common_a: rows of the one table that the other has; common_b: where it has them, ascending.
        only_a: rows that only the one table has, ascending; only_b: those that only the other has.
    """

    keys_a: pa.Array
    keys_b: pa.Array
    common_a: np.ndarray
    common_b: np.ndarray
    only_a: np.ndarray
    only_b: np.ndarray


def align(keys_a: pa.ChunkedArray, keys_b: pa.ChunkedArray) -> Alignment:
    """Align rows on their keys."""
    a, b = (pc.fill_null(whole(keys.cast(pa.string())), "") for keys in (keys_a, keys_b))
    found = _aligned(a, b)
    if _repeats(found):
        found = _aligned(_numbered(a), _numbered(b))
    return found


def _aligned(a: pa.Array, b: pa.Array) -> Alignment:
    places = places_in(b, a)
    found = places >= 0
    missing = np.ones(len(a), dtype=bool)
    missing[places[found]] = False
    return Alignment(
        a, b, places[found], np.flatnonzero(found), np.flatnonzero(missing), np.flatnonzero(~found)
    )


def _repeats(found: Alignment) -> bool:
    """Whether a key stands in several rows of one table: looked for where aligned rows would show it."""
    if len(found.common_a) and np.bincount(found.common_a).max() > 1:
        return True
    only_a, only_b = (
        keys.take(pa.array(places))
        for keys, places in ((found.keys_a, found.only_a), (found.keys_b, found.only_b))
    )
    # Of equal keys of the first table only the first row is found.
    again = len(only_a) and pc.any(pc.is_in(found.keys_b, value_set=only_a)).as_py()
    return bool(again) or any(len(keys.unique()) < len(keys) for keys in (only_a, only_b))


def _numbered(keys: pa.Array) -> pa.Array:
    """Keys that all differ. Published tables have no others; what somebody edited may."""
    texts = pd.Series(keys.to_pylist(), dtype=object)
    numbers = texts.groupby(texts).cumcount() + 1
    return pa.array(texts.where(numbers == 1, texts + " (" + numbers.astype(str) + ")").tolist(), pa.string())
