"""What happens to the service between the demo's two nights."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from flows.demo.corpus import iqms as metrics
from flows.demo.corpus.chance import ObjectIds, etag, pick, stream
from flows.demo.corpus.images import make_images
from flows.demo.corpus.model import Corpus, Document, SecondNight
from flows.demo.corpus.schedule import LAST, VERSIONS
from flows.demo.corpus.submissions import document, first

NIGHT = LAST.replace(hour=0) + timedelta(days=1)
"""The second day: additions, changes and withdrawals lie within its 24 hours, two late arrivals apart."""

_ADDED = {"bold": 12, "T1w": 12, "T2w": 5}
_SENT_AGAIN = {"bold": 3, "T1w": 3}
_CHANGED = {"bold": 4, "T1w": 4, "T2w": 1, "rating": 3}
_DELETED = {"bold": 2, "T1w": 1, "T2w": 1, "rating": 1}
_RATED = 5


def second_night(corpus: Corpus, seed: int = 2020) -> SecondNight:
    """40 documents added (two of them with ids below the last known one), 12 changed, 5 deleted."""
    clean = _clean(corpus)
    added, changed, deleted = {}, {}, {}
    for resource, documents in corpus.documents.items():
        rng = stream(seed, "night", resource)
        order = [clean[resource][i] for i in rng.permutation(len(clean[resource]))]
        edits, gone = _CHANGED[resource], _DELETED[resource]
        changed[resource] = sorted((_edited(one, rng) for one in order[:edits]), key=lambda one: one["_id"])
        deleted[resource] = sorted(one["_id"] for one in order[edits : edits + gone])
        again = order[edits + gone : edits + gone + _SENT_AGAIN.get(resource, 0)]
        if resource == "rating":
            new = _new_ratings(corpus, order[-_RATED:], rng, seed)
        else:
            new = _new_images(resource, again, documents[-1], seed)
        for one in new:
            one["_etag"] = etag(one)
        added[resource] = sorted(new, key=lambda one: one["_id"])
    return SecondNight(added, changed, deleted)


def _clean(corpus: Corpus) -> dict[str, list[Document]]:
    """Documents with no defect that nothing refers to: changing them leaves the truth true."""
    # Who rated is told by nearly every rating, and stays as it is.
    involved = {planted.record_id for planted in corpus.truth if planted.defect != "rater-name"}
    involved |= {planted.detail["of"] for planted in corpus.truth if "of" in planted.detail}
    return {
        resource: [one for one in documents if one["_id"] not in involved]
        for resource, documents in corpus.documents.items()
    }


def _moment(rng: np.random.Generator) -> datetime:
    return NIGHT + timedelta(seconds=int(rng.integers(86400)))


def _edited(original: Document, rng: np.random.Generator) -> Document:
    changed = deepcopy(original)
    if "rating" in changed:
        changed["rating"] = "3.15" if changed["rating"] != "3.15" else "2.4"
    else:
        meta = changed["bids_meta"]
        meta["FlipAngle"] = float(meta.get("FlipAngle", 90)) + 1
        meta["InstitutionName"] = "Demo Imaging Centre"
    changed["_updated"] = _moment(rng)
    changed["_etag"] = etag(changed)
    return changed


def _new_images(resource: str, again: list[Document], last: Document, seed: int) -> list[Document]:
    """New images, some known ones sent again, and in bold and T1w one that arrived late.

    Late is what a server process with a slow clock does: the id lies below the last one already seen.
    """
    rng, minted = stream(seed, "added", resource), ObjectIds(seed, f"night-{resource}")
    images = make_images(resource, _ADDED[resource], seed)
    moments = [_moment(rng) for _ in range(len(images) + len(again))]
    if resource != "T2w":
        moments[0] = last["_created"] - timedelta(seconds=40)
    made = []
    for image, when in zip(images, moments, strict=False):
        # A T1w row may be in the corpus already: another image is another measurement.
        values = metrics.rerun(image.iqms, rng)
        tonight = replace(image, sent=when, version=VERSIONS[-1][1], iqms=values)
        made.append(document(first(tonight), minted.mint(when)))
    for known, when in zip(again, moments[len(images) :], strict=True):
        made.append(deepcopy(known) | {"_id": minted.mint(when), "_created": when, "_updated": when})
    return made


def _new_ratings(corpus: Corpus, like: list[Document], rng: np.random.Generator, seed: int) -> list[Document]:
    minted, made = ObjectIds(seed, "night-rating", processes=2), []
    for known in like:
        when = _moment(rng)
        rated = pick(rng, corpus.documents["T1w"])["provenance"].get("md5sum", known["md5sum"])
        stamps = {"_id": minted.mint(when), "_created": when, "_updated": when, "_etag": ""}
        made.append(stamps | {"rating": "2.85", "md5sum": rated, "name": known["name"], "comment": "[]"})
    return made
