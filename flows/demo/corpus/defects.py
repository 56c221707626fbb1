"""The catalogue of planted defects, and the hand that plants them in image records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from flows.demo.corpus import plant_meta as meta
from flows.demo.corpus import plant_values as values
from flows.demo.corpus.chance import stream
from flows.demo.corpus.images import ENTITIES, Image
from flows.demo.corpus.model import Document, Planted
from flows.demo.corpus.submissions import Submission
from schemas import table

DEFECTS: dict[str, str] = {
    "exact-repeat": "The same image, sent again by the same MRIQC version with identical metrics.",
    "noisy-repeat": "The same image and MRIQC version, with metrics that differ by run-to-run noise.",
    "other-version-repeat": "The same image, processed by another MRIQC version whose metrics are shifted.",
    "frequent-image": "One image that was sent some forty times.",
    "missing-checksum": "The record does not say which image it describes.",
    "malformed-checksum": "The image's checksum is not 32 lower-case hexadecimal digits.",
    "missing-required-field": "A field that the service requires is absent.",
    "wrong-modality": "The record names another modality than that of the resource it was sent to.",
    "testing-flag": "The record comes from a run in MRIQC's testing mode.",
    "not-mriqc": "The record was written by another program than MRIQC.",
    "non-finite": "A metric is NaN or infinite.",
    "out-of-hard-range": "A metric has a value that no image can have.",
    "undeclared-keys": "The record has acquisition keys that the data dictionary does not know.",
    "integer-for-float": "A whole number was sent as an integer where a float is declared.",
    "text-number": "A number was sent as text.",
    "one-element-list": "A number was sent as a list of one.",
    "misspelled-key": "An acquisition key is misspelled.",
    "field-strength-cast": "The service cut the field strength to an integer (records before 2019-01-16).",
    "echo-time-ms": "The echo time is in milliseconds instead of seconds.",
    "imaging-frequency-hz": "The imaging frequency is in hertz instead of megahertz.",
    "no-acquisition-parameters": "The record has no acquisition parameters.",
    "phase-encoding-letters": "The phase encoding direction is not written in BIDS' letters.",
    "plain-subject-id": "The subject's label was sent in clear instead of hashed.",
    "email": "The record carries its submitter's e-mail address.",
    "device-serial": "The record carries the scanner's serial number.",
    "personal-free-text": "A name, a telephone number or an e-mail address stands in free text.",
    "scout-spacing": "The image is a localizer with slices centimetres apart.",
    "tr-mismatch": "The repetition times of header and sidecar differ.",
    "implausible-motion": "The mean framewise displacement is centimetres.",
    "hostile-text": "A text breaks careless writers of CSV, spreadsheets, reports or terminals.",
    "rating-word": "The rating is a word, as in the first years, or a test's.",
    "rating-broken-comment": "The rating's comment begins like JSON, but cannot be read as such.",
    "rating-unknown-code": "The rating's comment names an artifact that the widget does not offer.",
    "rating-repeat": "The same person rated the same image before.",
    "rating-orphan": "The rated image is in no table.",
}
"""Name to one sentence."""

IMAGES = ("bold", "T1w", "T2w")
Scope = Literal["single", "record", "image", "study"]
Plant = Callable[[Document, Image, np.random.Generator], values.Detail]


@dataclass(frozen=True)
class Record:
    """A stored document, and the submission it came from."""

    document: Document
    submission: Submission


@dataclass(frozen=True)
class Sowing:
    """How often a defect is planted in one resource, and in what.

    Attributes:
        count: how many images, records or studies get it.
        scope: ``single``, an image with one record (where repeats would stop being repeats); ``record``,
            one of those or one other-version repeat; ``image`` and ``study``, all records of one.
    """

    defect: str
    plant: Plant
    count: int
    scope: Scope
    resources: tuple[str, ...] = IMAGES


SOWINGS: tuple[Sowing, ...] = (
    Sowing("imaging-frequency-hz", meta.imaging_frequency_hz, 1, "study", ("bold", "T2w")),
    Sowing("device-serial", meta.device_serial, 2, "study"),
    Sowing("echo-time-ms", meta.echo_time_ms, 14, "image", ("bold",)),
    Sowing("echo-time-ms", meta.echo_time_ms, 4, "image", ("T1w",)),
    Sowing("scout-spacing", values.scout_spacing, 8, "image", ("T1w",)),
    Sowing("implausible-motion", values.implausible_motion, 6, "image", ("bold",)),
    Sowing("tr-mismatch", values.tr_mismatch, 10, "image", ("bold",)),
    Sowing("misspelled-key", meta.misspelled_key, 6, "image"),
    Sowing("phase-encoding-letters", meta.phase_encoding_letters, 7, "image", ("bold", "T1w")),
    Sowing("plain-subject-id", meta.plain_subject_id, 5, "image"),
    Sowing("email", values.email, 5, "image"),
    Sowing("personal-free-text", meta.personal_text, 5, "image"),
    Sowing("hostile-text", meta.hostile_text, 7, "image"),
    Sowing("missing-checksum", values.missing_checksum, 3, "single"),
    Sowing("malformed-checksum", values.malformed_checksum, 3, "single"),
    Sowing("testing-flag", values.testing_flag, 4, "single"),
    Sowing("missing-required-field", values.missing_field, 5, "record"),
    Sowing("wrong-modality", values.wrong_modality, 3, "record"),
    Sowing("not-mriqc", values.not_mriqc, 2, "record"),
    Sowing("non-finite", values.non_finite, 5, "record"),
    Sowing("out-of-hard-range", values.out_of_range, 5, "record"),
    Sowing("text-number", values.text_number, 4, "record"),
    Sowing("one-element-list", values.one_element_list, 4, "record"),
    Sowing("integer-for-float", values.integer_for_float, 8, "record"),
)


def _groups(records: list[Record], scope: Scope) -> Iterator[tuple[str, list[Record]]]:
    grouped: dict[str, list[Record]] = {}
    for record in records:
        image = record.submission.image
        grouped.setdefault(image.study if scope == "study" else image.md5sum, []).append(record)
    for name, members in grouped.items():
        if scope in ("image", "study") or len(members) == 1:
            yield name, members
        elif scope == "record":
            versions = [m for m in members if m.submission.kind == "other-version-repeat"]
            if versions:
                yield name, versions[:1]


def sow(records: list[Record], resource: str, spared: set[str], seed: int) -> Iterator[Planted]:
    """Plant :data:`SOWINGS` in the ``records`` of one resource: at most one in an image.

    Args:
        spared: checksums of images that get none.
    """
    taken = set(spared)
    for sowing in SOWINGS:
        if resource not in sowing.resources:
            continue
        rng = stream(seed, "sow", resource, sowing.defect)
        groups = list(_groups(records, sowing.scope))
        left = sowing.count
        for place in rng.permutation(len(groups)):
            name, members = groups[int(place)]
            free = [member for member in members if member.submission.image.md5sum not in taken]
            planted = [
                p for member in free if (p := _plant(sowing, member, stream(seed, sowing.defect, name)))
            ]
            if planted:
                yield from planted
                taken |= {member.submission.image.md5sum for member in free}
                left -= 1
            if not left:
                break


def _plant(sowing: Sowing, record: Record, rng: np.random.Generator) -> Planted | None:
    # The stream is that of the image (or study): its records all get the same defect.
    image = record.submission.image
    detail = sowing.plant(record.document, image, rng)
    return Planted(record.document["_id"], image.resource, sowing.defect, detail) if detail else None


def observe(records: list[Record]) -> Iterator[Planted]:
    """The truth that follows from how the records were made: casts, missing parameters, undeclared keys."""
    for record in records:
        image, document = record.submission.image, record.document
        found: list[tuple[str, dict[str, Any]]] = []
        true = image.meta.get("MagneticFieldStrength")
        sent = document["bids_meta"].get("MagneticFieldStrength")
        if sent is not None and sent != true:
            column = "bids_meta.MagneticFieldStrength"
            found.append(("field-strength-cast", {"column": column, "true": true, "sent": sent}))
        if record.submission.bare:
            missing = sorted(set(image.meta) - set(ENTITIES))
            found.append(("no-acquisition-parameters", {"missing": missing}))
        declared = {
            column.path[1] for column in table(image.resource).columns if column.path[0] == "bids_meta"
        }
        if unknown := sorted(set(document["bids_meta"]) - declared):
            found.append(("undeclared-keys", {"keys": unknown}))
        for defect, detail in found:
            yield Planted(document["_id"], image.resource, defect, detail)


def repeats(records: list[Record], often: int) -> Iterator[Planted]:
    """The truth about repeats; images with at least ``often`` records are frequent."""
    by_image: dict[str, list[Record]] = {}
    for record in records:
        by_image.setdefault(record.submission.image.md5sum, []).append(record)
    for md5sum, members in by_image.items():
        original = next(member.document["_id"] for member in members if not member.submission.kind)
        for member in members:
            submission = member.submission
            identity = (member.document["_id"], submission.image.resource)
            if submission.kind:
                detail = {"of": original, "md5sum": md5sum, "version": submission.version}
                if submission.kind == "other-version-repeat":
                    detail["version_of"] = submission.image.version
                yield Planted(*identity, submission.kind, detail)
            if len(members) >= often:
                yield Planted(*identity, "frequent-image", {"md5sum": md5sum, "records": len(members)})
