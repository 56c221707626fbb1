"""Every time an image is sent: the first time, and the repeats."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from flows.demo.corpus import iqms as metrics
from flows.demo.corpus.chance import stream
from flows.demo.corpus.images import ENTITIES, Image
from flows.demo.corpus.model import Document
from flows.demo.corpus.schedule import FIELD_CAST_UNTIL, LAST, age_of, later, version_at

REPEATS = ("exact-repeat", "noisy-repeat", "other-version-repeat")
_REPEAT_SHARES = (0.5, 0.25, 0.25)


@dataclass(frozen=True)
class Submission:
    """One arrival of one image.

    Attributes:
        kind: one of :data:`REPEATS`, empty for the first arrival.
        bare: whether the acquisition parameters are missing from it.
    """

    image: Image
    kind: str
    sent: datetime
    version: str
    iqms: metrics.Iqms
    bare: bool


def first(image: Image) -> Submission:
    """The first arrival of ``image``."""
    return Submission(image, "", image.sent, image.version, image.iqms, image.bare)


def repeat(image: Image, kind: str, rng: np.random.Generator) -> Submission:
    """A later arrival of ``image``."""
    if kind != "other-version-repeat":
        values = dict(image.iqms) if kind == "exact-repeat" else metrics.rerun(image.iqms, rng)
        return Submission(image, kind, later(image.sent, rng, 5), image.version, values, image.bare)
    sent = later(image.sent, rng, 400)
    version = version_at(sent, rng, other_than=image.version)
    # Newer MRIQC looks for sidecars in more places, so a later run may know what the first did not.
    bare = image.bare and not rng.random() < 0.3
    return Submission(image, kind, sent, version, metrics.shifted(image.iqms, image.version, version), bare)


def make_submissions(images: Sequence[Image], repeats: int, seed: int, frequent: int = 0) -> list[Submission]:
    """The first arrival of all ``images`` and ``repeats`` further ones, spread unevenly.

    Args:
        frequent: so many of the repeats are of one image, sent early.
    """
    rng = stream(seed, "repeats", images[0].resource)
    targets: list[Image] = []
    if frequent:
        star = min(images, key=lambda image: abs(image.sent - datetime(2018, 10, 1, tzinfo=UTC)))
        targets += [star] * frequent
    order = [images[i] for i in rng.permutation(len(images))]
    for image in order:
        targets += [image] * min(int(rng.geometric(0.45)), repeats - len(targets))
        if len(targets) == repeats:
            break
    kinds = rng.choice(len(REPEATS), size=len(targets), p=_REPEAT_SHARES)
    made = [repeat(image, REPEATS[kind], rng) for image, kind in zip(targets, kinds, strict=True)]
    return [first(image) for image in images] + made


def document(submission: Submission, record_id: str, updated: datetime | None = None) -> Document:
    """The document the service stores for ``submission``; its ``_etag`` is made last, by the caller."""
    image = submission.image
    meta = deepcopy({k: v for k, v in sorted(image.meta.items()) if not submission.bare or k in ENTITIES})
    if "MagneticFieldStrength" in meta and submission.sent < FIELD_CAST_UNTIL:
        meta["MagneticFieldStrength"] = int(meta["MagneticFieldStrength"])
    sent = submission.sent
    stamps = {"_id": record_id, "_created": sent, "_updated": updated or sent, "_etag": ""}
    return {
        **stamps,
        **_as_written(submission.iqms, submission.version),
        "bids_meta": meta,
        "provenance": _provenance(image.resource, image.md5sum, submission.version),
    }


def _as_written(values: metrics.Iqms, version: str) -> dict[str, Any]:
    # From 0.15 on voxel counts are written as 34.0; before, as integers.
    number = float if age_of(version) >= age_of("0.15.0") else int
    return {name: number(value) if name.endswith("_n") else value for name, value in values.items()}


def _provenance(resource: str, md5sum: str, version: str) -> dict[str, Any]:
    newer = age_of(version) >= age_of("0.16.1")
    settings: dict[str, Any] = {"testing": False}
    if resource == "bold":
        settings = {"fd_thres": 0.2} | ({"testing": False} if newer else {"hmc_fsl": False})
    made: dict[str, Any] = {"md5sum": md5sum, "settings": settings, "software": "mriqc", "version": version}
    if newer:
        made |= {"webapi_port": None, "webapi_url": "https://mriqc.nimh.nih.gov/api/v1"}
        if resource != "bold":
            made["warnings"] = {
                "large_rot_frame": int(md5sum[0], 16) < 3,
                "small_air_mask": int(md5sum[1], 16) < 2,
            }
    elif version == "0.14.2" and resource == "T1w":
        made["mriqc_pred"] = int(int(md5sum[2], 16) < 4)
    return made


def update_time(sent: datetime, rng: np.random.Generator) -> datetime:
    """``_updated`` of a document: as created, but for one in fifty, changed within days."""
    if rng.random() >= 0.02:
        return sent
    return min(LAST, sent + timedelta(seconds=int(rng.integers(60, 9 * 86400))))
