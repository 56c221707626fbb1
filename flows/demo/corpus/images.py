"""The images behind the records: studies of invented sites, and who sent them when, with which MRIQC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from flows.demo.corpus import iqms as metrics
from flows.demo.corpus.chance import checksum, pick, sha256, stream
from flows.demo.corpus.schedule import FIRST, LAST, batch_start, batch_times, version_at
from flows.demo.corpus.sidecars import MANUFACTURERS, header_dump, imaging_frequency, site_meta
from flows.demo.corpus.sites import BOLD_SITES, T2W_SITES, Site
from flows.demo.corpus.tables import LabelledImage, labelled_images, t1w_meta

WITHOUT_PARAMETERS = {"bold": 0.5, "T1w": 0.25, "T2w": 0.05}
"""Share of studies whose sidecars never reached MRIQC."""

ENTITIES = ("modality", "subject_id", "session_id", "acq_id", "run_id", "task_id", "TaskName", "dataset")
"""``bids_meta`` keys that come from the file's name, not from its sidecar."""


@dataclass(frozen=True)
class Image:
    """One image file, and the first time it was sent.

    Attributes:
        study: name of the batch it came in.
        label: the subject's label in clear.
        meta: the whole, true ``bids_meta``.
        bare: whether its acquisition parameters are missing.
        experts: labels of the experts, -1, 0 or 1; empty for images no expert saw.
    """

    resource: str
    md5sum: str
    study: str
    label: str
    meta: dict[str, Any]
    bare: bool
    iqms: metrics.Iqms
    sent: datetime
    version: str
    experts: tuple[int, ...] = ()


def make_images(resource: str, count: int, seed: int) -> list[Image]:
    """``count`` different images of ``resource``, study by study."""
    rng = stream(seed, "studies", resource)
    studies = _t1w_studies(count, rng) if resource == "T1w" else _modelled_studies(resource, count, rng)
    images: list[Image] = []
    for number, members in enumerate(studies):
        name = f"{resource}-{number:03d}"
        since, until = _in_use(members[0])
        start = since if number == 0 else batch_start(rng, since, until)
        images += _study(resource, name, members, start, seed)
    return images


Member = Site | LabelledImage


def _in_use(member: Member) -> tuple[datetime, datetime]:
    return (member.since, member.until) if isinstance(member, Site) else (FIRST, LAST)


def _t1w_studies(count: int, rng: np.random.Generator) -> list[list[Member]]:
    rows = labelled_images()
    chosen = [rows[i] for i in rng.permutation(len(rows))[:count]]
    by_site: dict[str, list[Member]] = {}
    for row in chosen:
        by_site.setdefault(row.site, []).append(row)
    studies = [study for site in sorted(by_site) for study in _cut(by_site[site], rng)]
    return [studies[i] for i in rng.permutation(len(studies))]


def _modelled_studies(resource: str, count: int, rng: np.random.Generator) -> list[list[Member]]:
    sites = BOLD_SITES if resource == "bold" else T2W_SITES
    studies = []
    for place, site in enumerate(sites):
        own = len(range(place, count, len(sites)))  # as evenly as ``count`` allows
        studies += _cut([site] * own, rng)
    return [studies[i] for i in rng.permutation(len(studies))]


def _cut(members: list[Member], rng: np.random.Generator) -> list[list[Member]]:
    """Studies of 3 to 40 images."""
    studies, start = [], 0
    while start < len(members):
        size = min(40, 3 + int(rng.exponential(12)))
        studies.append(members[start : start + size])
        start += size
    return studies


def _study(resource: str, name: str, members: list[Member], start: datetime, seed: int) -> list[Image]:
    rng = stream(seed, "study", name)
    version = version_at(start, rng)
    shared = _shared_meta(resource, members[0], rng)
    bare = bool(rng.random() < WITHOUT_PARAMETERS[resource])
    sessions = pick(rng, [(), (), ("01", "02"), ("baseline",)])
    dataset = bool(rng.random() < 0.15)
    images = []
    for place, (member, sent) in enumerate(zip(members, batch_times(start, len(members), rng), strict=True)):
        own = stream(seed, "image", name, place)
        if isinstance(member, LabelledImage):
            label, values, experts = member.subject, dict(member.iqms), member.labels
        else:
            label, values, experts = f"{member.name}{place + 1:03d}", metrics.draw(resource, member, own), ()
        meta = {"modality": resource, "subject_id": sha256(label)}
        if sessions:
            meta["session_id"] = sha256(sessions[place % len(sessions)])
        if dataset:
            meta["dataset"] = f"demo-{name}"
        meta |= _run_meta(resource, member, place, own) | shared
        md5sum = checksum(seed, name, place)
        images.append(Image(resource, md5sum, name, label, meta, bare, values, sent, version, experts))
    return images


def _shared_meta(resource: str, member: Member, rng: np.random.Generator) -> dict[str, Any]:
    if isinstance(member, Site):
        return site_meta(member, resource, rng)
    meta = t1w_meta(member.site)
    vendor = meta.get("Manufacturer", "").lower()
    if vendor in MANUFACTURERS:
        meta["Manufacturer"] = pick(rng, MANUFACTURERS[vendor])
    if meta.get("ManufacturersModelName") == "Magnetom TrioTim":
        meta["ManufacturersModelName"] = pick(rng, ("TrioTim", "TRIOTIM", "Magnetom Trio"))
    if rng.random() < 0.3:
        meta["ImageType"] = ["ORIGINAL", "PRIMARY", "M", "NORM"]
    if rng.random() < 0.1:
        tall = Site(member.site.lower(), "", (), 3.0, 2.3, 0.003, 9.0, (1.0, 1.0, 1.0), (256, 256, 176), "")
        meta["global"] = header_dump(tall, resource)
    if vendor and rng.random() < 0.6:
        meta["ImagingFrequency"] = imaging_frequency(meta["MagneticFieldStrength"], vendor)
    if vendor in ("ge", "philips"):
        meta["InPlanePhaseEncodingDirection"] = pick(rng, ("COL", "ROW"))
    return meta


def _run_meta(resource: str, member: Member, place: int, rng: np.random.Generator) -> dict[str, Any]:
    if resource != "bold" or not isinstance(member, Site):
        return {"run_id": "1"} if rng.random() < 0.2 else {}
    task_id, task = pick(rng, member.tasks)
    return {"task_id": task_id, "TaskName": task, "run_id": str(place % 4 + 1)}
