"""Defects of metrics, checksums and provenance, and of how numbers are written.

Each function plants its defect in a document, in place, and answers the detail for the truth (one a column,
where there are more); ``None`` when the document has nothing to plant it in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.demo.corpus.chance import pick
from flows.demo.corpus.images import Image
from flows.demo.corpus.model import Document

Detail = dict[str, Any] | None
Found = Detail | list[dict[str, Any]]

_NON_FINITE = ("NaN", "Infinity", "-Infinity")

_IMPOSSIBLE: dict[str, dict[str, float | int]] = {
    # Values no image can have: shares above one, counts and lengths below zero.
    "bold": {
        "fd_perc": 140.5,
        "fd_mean": -0.25,
        "size_t": -4,
        "efc": 3.7,
        "summary_fg_n": -12,
        "spacing_x": -3.0,
    },
    "T1w": {
        "tpm_overlap_gm": 1.8,
        "icvs_wm": -0.1,
        "size_x": 0,
        "efc": -0.4,
        "snrd_total": -5.0,
        "cjv": -2.5,
    },
    "T2w": {"tpm_overlap_wm": 1.3, "icvs_csf": 2.0, "size_z": -1, "spacing_z": 0.0, "wm2max": -0.2},
}


def get(document: Document, column: str) -> Any:
    """The value at a dotted path, ``None`` where there is none."""
    value: Any = document
    for key in column.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def put(document: Document, column: str, sent: Any) -> dict[str, Any]:
    """Write ``sent`` at a dotted path; answers the truth's detail."""
    *parents, last = column.split(".")
    level = document
    for key in parents:
        level = level.setdefault(key, {})
    detail = {"column": column, "true": level.get(last), "sent": sent}
    level[last] = sent
    return detail


def _metrics(document: Document, kind: type) -> list[str]:
    return [name for name, value in document.items() if isinstance(value, kind) and not name.startswith("_")]


def missing_checksum(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """No ``provenance.md5sum``."""
    del document["provenance"]["md5sum"]
    return {"column": "provenance.md5sum", "true": image.md5sum}


def malformed_checksum(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """A checksum that is not 32 lower-case hexadecimal digits."""
    md5sum = image.md5sum
    forms = (md5sum[:-1], md5sum.upper() + " ", f"{md5sum}  sub-01_T1w.nii.gz", "None", "", "z" * 32)
    return put(document, "provenance.md5sum", pick(rng, forms))


def missing_field(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """One field that the service requires is absent."""
    required = ("efc", "fber", "fwhm_avg", "spacing_x", "summary_bg_mean", "size_y", "bids_meta.subject_id")
    column = pick(rng, (*required, "provenance.version", "provenance.software"))
    detail = {"column": column, "true": get(document, column)}
    *parents, last = column.split(".")
    del (document[parents[0]] if parents else document)[last]
    return detail


def wrong_modality(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """``bids_meta.modality`` is not the resource the record was sent to."""
    others = [name for name in ("bold", "T1w", "T2w", "PDw", "anat") if name != image.resource]
    return put(document, "bids_meta.modality", pick(rng, others))


def testing_flag(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """A run of MRIQC's test suite."""
    return put(document, "provenance.settings.testing", True)


def not_mriqc(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """The record was written by another program."""
    return put(document, "provenance.software", pick(rng, ("fmriprep", "qap", "my_pipeline")))


def non_finite(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """A metric is not a number, or infinite."""
    column, sent = pick(rng, _metrics(document, float)), pick(rng, _NON_FINITE)
    return put(document, column, float(sent)) | {"sent": sent}


def out_of_range(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """A metric has a value no image can have."""
    column, sent = pick(rng, _IMPOSSIBLE[image.resource].items())
    return put(document, column, sent)


def integer_for_float(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """A whole number of a float field, sent without its point."""
    candidates = [name for name in _metrics(document, float) if document[name].is_integer()]
    meta = document["bids_meta"]
    candidates += [
        f"bids_meta.{name}" for name in meta if isinstance(meta[name], float) and meta[name].is_integer()
    ]
    if not candidates:
        return None
    column = pick(rng, candidates)
    return put(document, column, int(get(document, column)))


NUMBERS = ("efc", "fber", "spacing_z")
PARAMETERS = (
    "bids_meta.FlipAngle",
    "bids_meta.MultibandAccelerationFactor",
    "bids_meta.NumberOfAverages",
    "bids_meta.EchoTime",
    "bids_meta.EchoTrainLength",
    "bids_meta.RepetitionTime",
    "bids_meta.ParallelReductionFactorInPlane",
    "bids_meta.PixelBandwidth",
    "bids_meta.InversionTime",
)
"""Metrics and parameters whose numbers are written in another way."""


def text_number(document: Document, image: Image, rng: np.random.Generator, column: str) -> Detail:
    """A number, sent as text."""
    true = get(document, column)
    return None if true is None else put(document, column, str(true))


def one_element_list(document: Document, image: Image, rng: np.random.Generator, column: str) -> Detail:
    """A number, sent as a list of one."""
    true = get(document, column)
    return None if true is None else put(document, column, [true])


def scout_spacing(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """The image is a localizer: slices centimetres apart."""
    spacing = round(float(rng.uniform(22, 44)), 3)
    put(document, "size_x", pick(rng, (3, 5, 9)))
    return put(document, "spacing_x", spacing)


def tr_mismatch(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """Header and sidecar disagree on the repetition time: the one or the other is wrong."""
    true = get(document, "bids_meta.RepetitionTime")
    if true is None:
        return None
    if rng.random() < 0.5:
        return put(document, "spacing_tr", 1.0 if true != 1.0 else 0.002) | {"true": true}
    return put(document, "bids_meta.RepetitionTime", round(true + pick(rng, (0.25, 0.5)), 6))


def implausible_motion(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """Framewise displacement of centimetres: the realignment failed."""
    put(document, "fd_num", int(document["size_t"]))
    put(document, "fd_perc", 100.0)
    return put(document, "fd_mean", round(float(rng.uniform(30, 90)), 4))
