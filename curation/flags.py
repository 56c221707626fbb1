"""Flags: what about a record a reader should look at, though nothing of it is impossible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from curation.flatten import FORMULA
from curation.harmonise import differing, nominal_of_frequency, nominal_of_model
from curation.repair import NEAR_SECONDS, NEAR_SHARE, Repaired
from schemas import table
from schemas.dictionary import Resource

ECHO_TIME, REPETITION_TIME = "echo-time-milliseconds", "repetition-time-milliseconds"
_LEFT = ("formula_text", "unreadable_acquisition")


def flag(
    resource: Resource,
    repaired: Repaired,
    harmonised: Mapping[str, pa.Array],
    others: Mapping[str, np.ndarray] | None = None,
) -> pa.Array:
    """The flags of rows of one resource, one text a row: sorted names with a blank between two; missing for none.

    Args:
        resource: whose rows they are.
        repaired: the rows after repairs, and what these left.
        harmonised: the harmonised columns, by name.
        others: flags that were found elsewhere, to the rows that have them.
    """
    found: dict[str, np.ndarray] = {}
    for name, which in (*_found(resource, repaired, harmonised), *(others or {}).items()):
        found[name] = found[name] | which if name in found else which
    texts = np.full(len(repaired.rows), "", dtype=object)
    for name in sorted(found):
        texts[found[name]] += name + " "
    return pa.array([text.rstrip() or None for text in texts], pa.string())


def _found(
    resource: Resource, repaired: Repaired, harmonised: Mapping[str, pa.Array]
) -> Iterator[tuple[str, np.ndarray]]:
    rows = repaired.rows
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
    yield "undecidable_value", repaired.undecided
    yield (
        "echo_after_repetition",
        _numbers(rows, "bids_meta_EchoTime") >= _numbers(rows, "bids_meta_RepetitionTime"),
    )
    yield "repetition_time_doubtful", _doubtful(resource, repaired)
    yield from _left(repaired)
    yield from _of_scanner(rows, harmonised)


def _doubtful(resource: Resource, repaired: Repaired) -> np.ndarray:
    """Where the echo time was in milliseconds, and the repetition time may be, too: read so, it is still the longer."""
    which = np.zeros(len(repaired.rows), dtype=bool)
    if resource == "bold":
        return which  # the header tells
    which[repaired.by_rule.get(ECHO_TIME, {}).get("bids_meta_EchoTime", [])] = True
    which[repaired.by_rule.get(REPETITION_TIME, {}).get("bids_meta_RepetitionTime", [])] = False
    echo, repetition = (
        _numbers(repaired.rows, f"bids_meta_{name}") for name in ("EchoTime", "RepetitionTime")
    )
    with np.errstate(invalid="ignore"):
        return which & (repetition / 1000 > echo)


def _left(repaired: Repaired) -> Iterator[tuple[str, np.ndarray]]:
    """Values that were received for a cell and are not in it."""
    for name, received in repaired.left.items():
        empty = repaired.rows.column(name).is_null().to_numpy()
        which = {flag_name: np.zeros(len(empty), dtype=bool) for flag_name in _LEFT}
        for place, found in received.items():
            which[_LEFT[0 if any(one.why == FORMULA for one in found) else 1]][place] = True
        if not name.startswith("bids_meta_"):
            del which[_LEFT[1]]
        yield from ((flag_name, where & empty) for flag_name, where in which.items())


def _of_scanner(rows: pa.Table, harmonised: Mapping[str, pa.Array]) -> Iterator[tuple[str, np.ndarray]]:
    """Names that no vocabulary has, and fields that contradict each other."""
    models = rows.column("bids_meta_ManufacturersModelName")
    for name, texts in (("manufacturer", rows.column("bids_meta_Manufacturer")), ("scanner_model", models)):
        yield f"unknown_{name}", texts.is_valid().to_numpy() & ~harmonised[name].is_valid().to_numpy(False)
    nominal = harmonised["field_strength_nominal"]
    others = nominal_of_frequency(rows.column("bids_meta_ImagingFrequency")), nominal_of_model(models)
    yield "field_strength_mismatch", differing(nominal, others[0]) | differing(nominal, others[1])


def _numbers(rows: pa.Table, name: str) -> np.ndarray:
    return rows.column(name).cast(pa.float64()).to_numpy()


def _differ(header: np.ndarray, sidecar: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.abs(header - sidecar) > np.maximum(NEAR_SECONDS, NEAR_SHARE * np.abs(header))
