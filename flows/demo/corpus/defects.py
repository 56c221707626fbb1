"""The catalogue of planted defects, and the hand that plants them in image records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flows.demo.corpus.chance import stream
from flows.demo.corpus.images import ENTITIES
from flows.demo.corpus.model import Document, Planted
from flows.demo.corpus.plant_meta import MISSPELLED
from flows.demo.corpus.sowings import SOWINGS, Scope, Sowing
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
    "unnamed-scanner": "Neither scanner nor imaging frequency is told, so nothing tells a field that was cut.",
    "echo-time-ms": "The echo time is in milliseconds instead of seconds.",
    "repetition-time-ms": "The repetition time is in milliseconds instead of seconds; the echo time is not.",
    "both-times-ms": "Echo and repetition time are in milliseconds instead of seconds.",
    "inversion-time-ms": "The inversion time is in milliseconds instead of seconds.",
    "delay-time-ms": "The delay time is in milliseconds instead of seconds.",
    "readout-time-ms": "The total readout time is in milliseconds instead of seconds.",
    "echo-spacing-unit": "The effective echo spacing is in milliseconds or microseconds instead of seconds.",
    "imaging-frequency-hz": "The imaging frequency is in hertz instead of megahertz.",
    "no-acquisition-parameters": "The record has no acquisition parameters.",
    "phase-encoding-letters": "The phase encoding direction is not written in BIDS' letters.",
    "encoding-list": "The phase encoding direction was sent as a list of one.",
    "slice-encoding-letters": "The slice encoding direction is not written in BIDS' letters, or is a list.",
    "plain-subject-id": "The subject's label was sent in clear instead of hashed.",
    "plain-session-id": "The session's label, with its day, was sent in clear instead of hashed.",
    "email": "The record carries its submitter's e-mail address.",
    "device-serial": "The record carries the scanner's serial number.",
    "personal-free-text": "Something personal stands in free text, in an undeclared key or in an address.",
    "scout-spacing": "The image is a localizer with slices centimetres apart.",
    "tr-mismatch": "The repetition times of header and sidecar differ.",
    "implausible-motion": "The mean framewise displacement is centimetres.",
    "hostile-text": "A text breaks careless writers of CSV, spreadsheets, reports or terminals.",
    "rating-word": "The rating is a word, as in the first years, or a test's.",
    "rating-broken-comment": "The rating's comment begins like JSON, but cannot be read as such.",
    "rating-unknown-code": "The rating's comment names an artifact that the widget does not offer.",
    "rating-repeat": "The same person rated the same image before.",
    "rating-resubmitted": "The same person sent the same rating of the same image once more within minutes.",
    "rating-out-of-scale": "The rating is a number that the slider does not have.",
    "rater-name": "The rating tells who gave it.",
    "rating-orphan": "The rated image is in no table.",
}
"""Name to one sentence."""

_FIELD_EVIDENCE = ("ImagingFrequency", "ManufacturersModelName")


@dataclass(frozen=True)
class Record:
    """A stored document, and the submission it came from."""

    document: Document
    submission: Submission


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
        # Each resource begins where the one before ended, so that all of them together have every variant.
        first, used = sowing.count * sowing.resources.index(resource), Counter[int]()
        for place in rng.permutation(len(groups)):
            name, members = groups[int(place)]
            free = [member for member in members if member.submission.image.md5sum not in taken]
            for turn in sorted(
                range(len(sowing.plants)), key=lambda n: (used[n], (n - first) % len(sowing.plants))
            ):
                planted = [p for member in free for p in _plant(sowing, turn, member, seed, name)]
                if planted:
                    yield from planted
                    taken |= {member.submission.image.md5sum for member in free}
                    used[turn] += 1
                    break
            if used.total() == sowing.count:
                break


def _plant(sowing: Sowing, turn: int, record: Record, seed: int, name: str) -> list[Planted]:
    # The stream is that of the image (or study): its records all get the same defect.
    image = record.submission.image
    found = sowing.plants[turn](record.document, image, stream(seed, sowing.defect, name))
    details = found if isinstance(found, list) else [found] if found else []
    return [Planted(record.document["_id"], image.resource, sowing.defect, detail) for detail in details]


def observe(records: list[Record]) -> Iterator[Planted]:
    """The truth that follows from how the records were made: casts, missing parameters, undeclared keys."""
    for record in records:
        image, document = record.submission.image, record.document
        found: list[tuple[str, dict[str, Any]]] = []
        if cast := _cast(document["bids_meta"], image.meta.get("MagneticFieldStrength")):
            found.append(("field-strength-cast", cast))
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


def _cast(meta: dict[str, Any], true: float | None) -> dict[str, Any] | None:
    sent = meta.get("MagneticFieldStrength")
    if sent is None or sent == true:
        return None
    names = {name: name for name in _FIELD_EVIDENCE}
    names |= {wrong: name for name, wrong in MISSPELLED if name in _FIELD_EVIDENCE}
    evidence = sorted(name for key, name in names.items() if key in meta)
    return {"column": "bids_meta.MagneticFieldStrength", "true": true, "sent": sent, "evidence": evidence}


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
