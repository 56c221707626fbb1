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
    a, b = _distinct(keys_a), _distinct(keys_b)
    places = places_in(b, a)
    found = places >= 0
    missing = np.ones(len(a), dtype=bool)
    missing[places[found]] = False
    return Alignment(
        a, b, places[found], np.flatnonzero(found), np.flatnonzero(missing), np.flatnonzero(~found)
    )


def _distinct(keys: pa.ChunkedArray) -> pa.Array:
    """Keys that all differ. Published tables have no others; what somebody edited may."""
    column = pc.fill_null(whole(keys.cast(pa.string())), "")
    if pc.count_distinct(column).as_py() == len(column):
        return column
    texts = column.to_pandas()
    numbers = texts.groupby(texts).cumcount()
    again = numbers > 0
    texts = texts.where(~again, texts + " (" + (numbers + 1).astype(str) + ")")
    return pa.array(pd.Series(texts, dtype=object), pa.string())
