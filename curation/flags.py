"""Flags: what about a record a reader should look at, though nothing of it is impossible."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.flatten import FORMULA, SET_ASIDE
from schemas import table
from schemas.dictionary import Resource

TR_SECONDS, TR_SHARE = 0.001, 0.01
"""How far the two repetition times may differ: headers hold single precision, sidecars are rounded to milliseconds."""


def flag(resource: Resource, rows: pa.Table, readings: pa.ChunkedArray) -> pa.Array:
    """The flags of rows of one resource, one text a row: sorted names with a blank between two; missing for none.

    Args:
        resource: whose rows they are.
        rows: columns of the dictionary's names.
        readings: what was noted when they were read (``curation.typed.READINGS``).
    """
    found: dict[str, np.ndarray] = {}
    for name, which in _found(resource, rows, readings):
        found[name] = found[name] | which if name in found else which
    texts = np.full(len(rows), "", dtype=object)
    for name in sorted(found):
        texts[found[name]] += name + " "
    return pa.array([text.rstrip() or None for text in texts], pa.string())


def _found(resource: Resource, rows: pa.Table, readings: pa.ChunkedArray) -> Iterator[tuple[str, np.ndarray]]:
    for column in table(resource).columns:
        if column.type not in ("number", "integer") or column.name not in rows.column_names:
            continue
        values = _numbers(rows, column.name)
        if column.is_iqm:
            yield "non_finite", ~np.isfinite(values) & ~rows.column(column.name).is_null().to_numpy()
        # What is not finite has a flag of its own, or is missing.
        finite = np.isfinite(values)
        for name, bound, side in column.plausible_ends:
            yield name, finite & (values < bound if side == "below" else values > bound)
    if resource == "bold":
        yield "tr_mismatch", _differ(_numbers(rows, "spacing_tr"), _numbers(rows, "bids_meta_RepetitionTime"))
    yield "formula_text", _noted(readings, f"^{FORMULA} {SET_ASIDE} from ")
    yield "unreadable_acquisition", _noted(readings, f"^[a-z]+ {SET_ASIDE} from bids_meta_")


def _numbers(rows: pa.Table, name: str) -> np.ndarray:
    return rows.column(name).cast(pa.float64()).to_numpy()


def _differ(header: np.ndarray, sidecar: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.abs(header - sidecar) > np.maximum(TR_SECONDS, TR_SHARE * np.abs(header))


def _noted(readings: pa.ChunkedArray, pattern: str) -> np.ndarray:
    """Rows of which something was noted that matches a regular expression."""
    which = np.zeros(len(readings), dtype=bool)
    matches = pc.match_substring_regex(pc.list_flatten(readings), pattern)
    which[pc.list_parent_indices(readings).filter(matches).to_numpy()] = True
    return which
