"""Personal data, planted as in ``plant_values``. All people, numbers and addresses are invented.

The detail of each has ``personal``: every text in the document that must not be published.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np

from flows.demo.corpus.chance import pick, sha256
from flows.demo.corpus.images import Image
from flows.demo.corpus.model import Document
from flows.demo.corpus.plant_values import Detail, get, put


class PersonalText(NamedTuple):
    """What stands at ``column``, and which parts of it are ``personal``.

    ``kind`` is one of ``birth-date``, ``email``, ``moment`` (when somebody was scanned), ``name``,
    ``telephone``, ``uid`` (of DICOM) and ``url`` (with credentials).
    """

    kind: str
    column: str
    sent: Any
    personal: tuple[str, ...]


_UID = "1.3.12.2.1107.5.2.32.35131.3000001209171403570000"
_CREDENTIALS = ("jane:s3cret", "s3cret")

PERSONAL = (
    PersonalText("name", "bids_meta.PatientName", "DOE^JANE^Q", ("DOE^JANE^Q",)),
    PersonalText(
        "telephone",
        "bids_meta.ImageComments",
        "participant moved; call 202-555-0171 to reschedule",
        ("202-555-0171",),
    ),
    PersonalText("url", "bids_meta.DataSource", "https://jane:s3cret@data.example.org/x", _CREDENTIALS),
    PersonalText("uid", "bids_meta.StudyInstanceUID", f"{_UID}.100", (f"{_UID}.100",)),
    PersonalText(
        "moment",
        "bids_meta.AcquisitionDateTime",
        "2018-04-12T09:31:52.610000",
        ("2018-04-12T09:31:52.610000",),
    ),
    PersonalText("birth-date", "bids_meta.PatientBirthDate", "19840302", ("19840302",)),
    PersonalText("name", "bids_meta.OperatorsName", "Rasmus Ohlendorf", ("Rasmus Ohlendorf",)),
    PersonalText(
        "telephone",
        "bids_meta.ReferringPhysicianName",
        "Dr. Amina Example, phone +1 202-555-0143",
        ("Amina Example", "202-555-0143"),
    ),
    PersonalText(
        "email",
        "bids_meta.ProtocolName",
        "T1_mprage for max.mustermann@example.org",
        ("max.mustermann@example.org", "max.mustermann"),
    ),
    PersonalText(
        "url", "provenance.webapi_url", "https://jane:s3cret@mriqc.example.org/api/v1", _CREDENTIALS
    ),
    PersonalText("uid", "bids_meta.global.const.SOPInstanceUID", f"{_UID}.207", (f"{_UID}.207",)),
    PersonalText(
        "moment",
        "bids_meta.StudyComment",
        "scanned 2018-04-12 09:31:52, after lunch",
        ("2018-04-12 09:31:52",),
    ),
    PersonalText(
        "birth-date", "bids_meta.Instructions", "control, born 1984-03-02, right-handed", ("1984-03-02",)
    ),
    PersonalText("name", "bids_meta.global.const.PerformingPhysicianName", "Ohm^Petra^^Dr.", ("Ohm^Petra",)),
    PersonalText(
        "telephone", "bids_meta.ProtocolName", "rest (call +1 (202) 555-0126 ext. 12)", ("(202) 555-0126",)
    ),
    PersonalText("name", "bids_meta.OperatorName", "Zoë Ångström", ("Zoë Ångström", "Ångström")),
    PersonalText("uid", "bids_meta.SequenceName", f"epfid2d1_64 {_UID}.311", (f"{_UID}.311",)),
    PersonalText("moment", "bids_meta.AcquisitionTime", "14:07:33.280000", ("14:07:33.280000",)),
    PersonalText("birth-date", "bids_meta.ImageComments", "DOB 02.03.1984, glasses removed", ("02.03.1984",)),
    PersonalText(
        "telephone", "bids_meta.InstitutionAddress", "1 Example Street, 202.555.0188", ("202.555.0188",)
    ),
    PersonalText(
        "name", "bids_meta.global.const.OperatorsName", ["Zoë Ångström"], ("Zoë Ångström", "Ångström")
    ),
    PersonalText(
        "moment",
        "bids_meta.global.const.ContentDateTime",
        "20180412093152.610000",
        ("20180412093152.610000", "20180412093152"),
    ),
    PersonalText(
        "email",
        "bids_meta.ContactInformation",
        {"name": "Li Placeholder", "mail": "li.placeholder@example.org"},
        ("Li Placeholder", "li.placeholder@example.org"),
    ),
    PersonalText("telephone", "bids_meta.StudyComment", "mobile +12025550199", ("2025550199",)),
    PersonalText(
        "birth-date",
        "bids_meta.ProtocolName",
        "head_JANE_DOE_1984-03-02",
        ("JANE_DOE", "1984-03-02"),
    ),
    PersonalText("telephone", "bids_meta.TaskDescription", "Questions? 001 202 555 0114", ("202 555 0114",)),
)
"""Each of them is planted once at least."""


def personal_text(document: Document, image: Image, rng: np.random.Generator, text: PersonalText) -> Detail:
    """One of :data:`PERSONAL`."""
    detail = put(document, text.column, deepcopy(text.sent))
    return detail | {"sent": deepcopy(text.sent), "kind": text.kind, "personal": list(text.personal)}


def plain_subject_id(document: Document, image: Image, rng: np.random.Generator, again: str = "") -> Detail:
    """The subject's label in clear, where the client should have hashed it.

    Args:
        again: column where the label stands a second time.
    """
    label = f"KT{image.label}" if image.label.isdigit() else image.label
    sent = f"sub-{label}" if again else label
    detail = put(document, "bids_meta.subject_id", sent) | {"true": sha256(sent), "personal": [label]}
    if again:
        detail["repeated"] = [put(document, again, f"{image.resource}_{sent}_run1")]
    return detail


def plain_session_id(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """The session's label in clear, with the day on which it was."""
    if get(document, "bids_meta.session_id") is None:
        return None
    label = f"{image.sent - timedelta(days=int(rng.integers(20, 400))):ses-%Y%m%d}"
    detail = put(document, "bids_meta.session_id", label)
    return detail | {"true": sha256(label), "personal": [label, label.removeprefix("ses-")]}


def email(document: Document, image: Image, rng: np.random.Generator) -> Detail:
    """The submitter's e-mail address."""
    name = pick(rng, ("mri.lab", "data", "j.doe", "imaging-core", "phd7"))
    address = f"{name}@example.org"
    return put(document, "provenance.email", address) | {"personal": [address]}


def device_serial(document: Document, image: Image, rng: np.random.Generator, again: bool = False) -> Detail:
    """The scanner's serial number: the same for all images of a study.

    Args:
        again: whether it stands in undeclared keys too.
    """
    if "Manufacturer" not in document["bids_meta"]:
        return None
    # Longer than real ones, lest a metric has its digits by chance.
    serial = str(int(rng.integers(10**11, 10**12)))
    detail = put(document, "bids_meta.DeviceSerialNumber", serial) | {"personal": [serial]}
    if again:
        places = {"bids_meta.ScannerID": serial, "bids_meta.global.const.ScannerLabel": f"MR{serial}, bay 2"}
        detail["repeated"] = [put(document, column, sent) for column, sent in places.items()]
    return detail
