"""What is planted in image records, in how many of them, and in what order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from flows.demo.corpus import plant_meta as meta
from flows.demo.corpus import plant_personal as personal
from flows.demo.corpus import plant_values as values
from flows.demo.corpus.images import Image
from flows.demo.corpus.model import Document

IMAGES = ("bold", "T1w", "T2w")
Scope = Literal["single", "record", "image", "study"]
Plant = Callable[[Document, Image, np.random.Generator], values.Found]


@dataclass(frozen=True)
class Sowing:
    """How often a defect is planted in one resource, and in what.

    Attributes:
        plants: variants; those planted least so far come first.
        count: how many images, records or studies get it.
        scope: ``single``, an image with one record (where repeats would stop being repeats); ``record``,
            one of those or one other-version repeat; ``image`` and ``study``, all records of one.
    """

    defect: str
    plants: tuple[Plant, ...]
    count: int
    scope: Scope
    resources: tuple[str, ...] = IMAGES


_TIMES = {
    "echo-time-ms": ("EchoTime",),
    "repetition-time-ms": ("RepetitionTime",),
    "both-times-ms": ("EchoTime", "RepetitionTime"),
    "inversion-time-ms": ("InversionTime",),
    "delay-time-ms": ("DelayTime",),
    "readout-time-ms": ("TotalReadoutTime",),
}


def _times(defect: str, count: int, *resources: str) -> Sowing:
    plant = partial(meta.milliseconds, names=_TIMES[defect])
    return Sowing(defect, (plant,), count, "image", resources)


def _unnamed(cast: int, count: int, *resources: str) -> Sowing:
    plant = partial(meta.unnamed_scanner, cast=cast)
    return Sowing("unnamed-scanner", (plant,), count, "image", resources)


_SPACINGS = tuple(partial(meta.echo_spacing_unit, factor=factor) for factor in (10**3, 10**6))
_LETTERS = tuple(partial(meta.phase_encoding_letters, style=style) for style in meta.LETTERS)
_SLICES = tuple(partial(meta.slice_encoding, listed=listed) for listed in (False, True))
_MISSPELLED = tuple(
    partial(meta.misspelled_key, name=name, sent_key=sent_key) for name, sent_key in meta.MISSPELLED
)
_SERIALS = tuple(partial(personal.device_serial, again=again) for again in (False, True))
_SUBJECTS = tuple(
    partial(personal.plain_subject_id, again=column)
    for column in ("", "bids_meta.SeriesDescription", "bids_meta.ProtocolName")
)
_PERSONAL = tuple(partial(personal.personal_text, text=text) for text in personal.PERSONAL)
_TEXT_NUMBERS, _TEXT_PARAMETERS, _LISTED_NUMBERS, _LISTED_PARAMETERS = (
    tuple(partial(plant, column=column) for column in columns)
    for plant in (values.text_number, values.one_element_list)
    for columns in (values.NUMBERS, values.PARAMETERS)
)

# What fits few images comes first.
SOWINGS: tuple[Sowing, ...] = (
    Sowing("imaging-frequency-hz", (meta.imaging_frequency_hz,), 1, "study", ("bold", "T2w")),
    Sowing("device-serial", _SERIALS, 2, "study"),
    _unnamed(0, 4, "bold", "T2w"),
    _unnamed(1, 3, "bold"),
    _unnamed(2, 5, "bold", "T1w"),
    _times("delay-time-ms", 3, "bold"),
    _times("inversion-time-ms", 8, "T1w"),
    _times("readout-time-ms", 6, "bold"),
    _times("echo-time-ms", 14, "bold"),
    _times("echo-time-ms", 4, "T1w"),
    _times("echo-time-ms", 3, "T2w"),
    _times("repetition-time-ms", 8, "bold", "T1w"),
    _times("both-times-ms", 6, "bold", "T1w"),
    _times("both-times-ms", 3, "T2w"),
    Sowing("echo-spacing-unit", _SPACINGS, 6, "image", ("bold",)),
    Sowing("echo-spacing-unit", _SPACINGS, 4, "image", ("T2w",)),
    Sowing("slice-encoding-letters", _SLICES, 6, "image", ("bold", "T2w")),
    Sowing("phase-encoding-letters", _LETTERS, 8, "image", ("bold", "T1w")),
    Sowing("phase-encoding-letters", _LETTERS, 4, "image", ("T2w",)),
    Sowing("encoding-list", (meta.encoding_list,), 4, "image"),
    Sowing("misspelled-key", _MISSPELLED, 10, "image", ("bold", "T1w")),
    Sowing("misspelled-key", _MISSPELLED, 8, "image", ("T2w",)),
    Sowing("scout-spacing", (values.scout_spacing,), 8, "image", ("T1w",)),
    Sowing("implausible-motion", (values.implausible_motion,), 6, "image", ("bold",)),
    Sowing("tr-mismatch", (values.tr_mismatch,), 10, "image", ("bold",)),
    Sowing("plain-subject-id", _SUBJECTS, 5, "image"),
    Sowing("plain-session-id", (personal.plain_session_id,), 2, "image"),
    Sowing("email", (personal.email,), 5, "image"),
    Sowing("personal-free-text", _PERSONAL, 9, "image"),
    Sowing("hostile-text", (meta.hostile_text,), 7, "image"),
    Sowing("missing-checksum", (values.missing_checksum,), 3, "single"),
    Sowing("malformed-checksum", (values.malformed_checksum,), 3, "single"),
    Sowing("testing-flag", (values.testing_flag,), 4, "single"),
    Sowing("missing-required-field", (values.missing_field,), 5, "record"),
    Sowing("wrong-modality", (values.wrong_modality,), 3, "record"),
    Sowing("not-mriqc", (values.not_mriqc,), 2, "record"),
    Sowing("non-finite", (values.non_finite,), 5, "record"),
    Sowing("out-of-hard-range", (values.out_of_range,), 5, "record"),
    Sowing("text-number", _TEXT_PARAMETERS, 6, "record"),
    Sowing("text-number", _TEXT_NUMBERS, 3, "record"),
    Sowing("one-element-list", _LISTED_PARAMETERS, 6, "record"),
    Sowing("one-element-list", _LISTED_NUMBERS, 3, "record"),
    Sowing("integer-for-float", (values.integer_for_float,), 8, "record"),
)
