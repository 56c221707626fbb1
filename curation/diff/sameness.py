"""Whether two texts say the same of a cell: what ledgers, tables and computations have it as."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

NUMBERS = frozenset(("number", "integer"))
"""Types, in the dictionary's words, of columns of numbers: only these have more than one text for a value."""


def same_texts(ledger: np.ndarray, cells: pa.Array, kind: str | None) -> np.ndarray:
    """Whether ledger and cell hold the same: the same text, or texts of the same number; JSON of a text is it, too.

    Args:
        ledger: what a ledger has.
        cells: what the table has, as texts.
        kind: the type of the column; numbers are compared as such, all else by its text.
    """
    ours = np.asarray(cells.to_numpy(zero_copy_only=False), dtype=object)
    same = ledger == ours
    for place in np.flatnonzero(~same):
        one, other = ledger[place], ours[place]
        if one is None or other is None:
            # An empty text and a missing one, and NaN, say as little.
            same[place] = (one or "") == ("" if other == "nan" else other or "")
        else:
            same[place] = (kind in NUMBERS and _number(one) == _number(other) is not None) or _plain(
                one
            ) == other
    return same.astype(bool)


def same_cells(one: pa.Array, other: pa.Array, kind: str | None) -> np.ndarray:
    """Whether cells of two tables, as texts, hold the same: both nothing, the same text, or the same double.

    Args:
        one, other: the cells.
        kind: the type of the column; numbers are compared as such, all else by its text.
    """
    one, other = (values.cast(pa.large_string()) for values in (one, other))
    nothing = pc.and_(one.is_null(), other.is_null())
    same = pc.or_(pc.fill_null(pc.equal(one, other), False), nothing).to_numpy(zero_copy_only=False).copy()
    places = np.flatnonzero(~same)
    if len(places) and kind in NUMBERS:
        a, b = (numbers(values.take(pa.array(places))) for values in (one, other))
        same[places] = (a == b) & (np.signbit(a) == np.signbit(b))
    return same


def numbers(cells: pa.Array) -> np.ndarray:
    """Cells, as texts, as doubles; NaN for what is no number."""
    return pd.to_numeric(cells.to_pandas(), errors="coerce").to_numpy("float64")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(text: str) -> str | None:
    """The text of which this is JSON."""
    if not text.startswith('"'):
        return None
    try:
        return str(json.loads(text))
    except ValueError:
        return None
