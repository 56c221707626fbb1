"""Harmonised vocabularies: one spelling each of manufacturers, scanners, fields, releases and tasks, in own columns."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.deduplicate import parse_version
from curation.free_text import REMOVED
from curation.repair.evidence import GYROMAGNETIC_RATIO
from schemas.dictionary import Resource
from schemas.vocabularies import manufacturer, nominal_field, scanner

_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
# What people call a resting state; BIDS names `rest` as the label of such tasks.
# https://bids-specification.readthedocs.io/en/stable/modality-specific-files/magnetic-resonance-imaging-data.html
_RESTING = frozenset(
    {
        "rest",
        "resting",
        "restingstate",
        "restingstatefmri",
        "reststate",
        "restfmri",
        "rs",
        "rsfmri",
        "fmrirest",
    }
)


def harmonise(resource: Resource, rows: pa.Table) -> dict[str, pa.Array]:
    """The harmonised columns of rows of one resource, by name.

    Args:
        resource: whose rows they are.
        rows: repaired columns of the dictionary's names.
    """
    models = rows.column("bids_meta_ManufacturersModelName")
    by_model = _mapped(models, lambda text: known.manufacturer if (known := scanner(text)) else None)
    versions = rows.column("provenance_version")
    found = {
        "manufacturer": pc.coalesce(_mapped(rows.column("bids_meta_Manufacturer"), manufacturer), by_model),
        "scanner_model": _mapped(models, lambda text: known.name if (known := scanner(text)) else None),
        "field_strength_nominal": _field(rows),
        "mriqc_version": _mapped(versions, _release),
        "mriqc_series": _mapped(versions, _series),
    }
    if resource == "bold":
        labels = _mapped(rows.column("bids_meta_task_id"), task)
        found["task"] = pc.coalesce(labels, _mapped(rows.column("bids_meta_TaskName"), task))
    return found


def task(text: str) -> str | None:
    """A task's label or name in lower case, letters and digits only; the names of resting states are ``rest``."""
    label = _NOT_ALPHANUMERIC.sub("", REMOVED.sub("", text).lower())
    return "rest" if label in _RESTING else label or None


def nominal_of_model(models: pa.ChunkedArray) -> pa.Array:
    """The nominal field of each model, in tesla; missing where a model is unknown or was sold with several."""
    return _mapped(models, _only_field, pa.float64())


def nominal_of_frequency(frequencies: pa.ChunkedArray) -> pa.Array:
    """The nominal field, in tesla, in which protons precess with each frequency (MHz); missing where none is near."""
    return _mapped(frequencies, lambda frequency: nominal_field(frequency / GYROMAGNETIC_RATIO), pa.float64())


def _field(rows: pa.Table) -> pa.Array:
    """What the record says, what the frequency says, what the model says: the first that says something."""
    received = rows.column("bids_meta_MagneticFieldStrength")
    return pc.if_else(
        pc.is_finite(received).fill_null(False),
        _mapped(received, nominal_field, pa.float64()),
        pc.coalesce(
            nominal_of_frequency(rows.column("bids_meta_ImagingFrequency")),
            nominal_of_model(rows.column("bids_meta_ManufacturersModelName")),
        ),
    )


def _only_field(text: str) -> float | None:
    known = scanner(text)
    return known.fields[0] if known is not None and len(known.fields) == 1 else None


def _release(text: str) -> str | None:
    known = parse_version(text)
    # With a local part it is a build between releases.
    return known.public if known is not None and known.local is None else None


def _series(text: str) -> str | None:
    # "0.10" alone would be read as the number 0.1.
    known = parse_version(text)
    return f"{known.major}.{known.minor}.x" if known is not None else None


def _mapped(
    column: pa.ChunkedArray, function: Callable[[Any], Any], kind: pa.DataType | None = None
) -> pa.Array:
    """A function of every value, called once for each distinct one."""
    encoded = column.combine_chunks().dictionary_encode()
    values = [function(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(values, kind or pa.string()).take(encoded.indices)


def differing(fields: pa.Array, others: pa.Array) -> np.ndarray:
    """Where two columns of fields hold different ones."""
    return pc.not_equal(fields, others).fill_null(False).to_numpy(zero_copy_only=False)
