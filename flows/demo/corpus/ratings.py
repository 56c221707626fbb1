"""Ratings of the corpus' images, in the two ways the widget has sent them over the years."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from flows.demo.corpus.chance import ObjectIds, checksum, pick, stream
from flows.demo.corpus.images import Image
from flows.demo.corpus.model import Document, Planted
from flows.demo.corpus.plant_meta import HOSTILE
from flows.demo.corpus.schedule import later

WORDS_UNTIL = datetime(2019, 7, 1, tzinfo=UTC)
"""Until then ratings are words; afterwards the slider's values, 1.0 to 4.0 in steps of 0.05."""

ARTIFACTS = (
    *("head-motion", "eye-spillover", "noneye-spillover", "coil-failure", "noise-global", "noise-local"),
    *(
        "em-perturbation",
        "wrap-around",
        "ghost-aliasing",
        "ghost-other",
        "inu",
        "field-variation",
        "processing",
    ),
    "uncategorized",
)
"""Codes that the widget offers."""

_RATERS = ("R. Aldana", "Mirka Tuul", "tpb", "reader-2", "Sunniva Holm", "K. Osei", "anonymous", "qc_team")
_WORDS = {-1: ("exclude", "poor"), 0: ("poor", "acceptable"), 1: ("acceptable", "excellent")}
_SLIDER = {-1: (1.0, 1.55), 0: (1.5, 2.6), 1: (2.4, 4.0)}
_FREE = (
    "motion in the upper slices",
    "ok",
    "check again with the senior reader",
    "wrap, but outside the brain",
    "",
)
_BROKEN = ('["head-motion", "inu"', "['head-motion']", '["noise-global",]', '{"artifact": ')
_UNKNOWN = ("zipper", "susceptibility", "Head-Motion", "other")


@dataclass(frozen=True)
class _Rating:
    md5sum: str
    name: str
    sent: datetime
    label: int
    defect: str = ""
    first: int = -1  # place of the rating it repeats


def _value(rating: _Rating, rng: np.random.Generator) -> str:
    if rating.sent < WORDS_UNTIL:
        return pick(rng, ("good", "bad")) if rng.random() < 0.08 else pick(rng, _WORDS[rating.label])
    low, high = _SLIDER[rating.label]
    return str(round(round(float(rng.uniform(low, high)) / 0.05) * 0.05, 2))


def _comment(rating: _Rating, rng: np.random.Generator) -> str | None:
    codes = [ARTIFACTS[i] for i in sorted(rng.permutation(len(ARTIFACTS))[: int(rng.integers(1, 4))])]
    if rating.defect == "rating-broken-comment":
        return pick(rng, _BROKEN)
    if rating.defect == "rating-unknown-code":
        return json.dumps([*codes, pick(rng, _UNKNOWN)])
    if rating.defect == "hostile-text":
        return pick(rng, HOSTILE)
    if rating.label == 1:
        codes = []
    return (json.dumps(codes), pick(rng, _FREE), None)[int(rng.choice(3, p=[0.75, 0.15, 0.1]))]


def _plan(images: list[Image], count: int, seed: int) -> list[_Rating]:
    """``count`` ratings: 12 repeats, 8 orphans, the others each of another person and image."""
    rng = stream(seed, "ratings")
    early = [image for image in images if image.sent < datetime(2019, 3, 1, tzinfo=UTC)]
    planned: list[_Rating] = []
    seen: set[tuple[str, str]] = set()
    while len(planned) < count - 20:
        image = pick(rng, early if len(planned) % 4 == 0 else images)
        name = pick(rng, _RATERS)
        label = pick(rng, image.experts or (-1, 0, 1, 1, 1))
        if (image.md5sum, name) not in seen:
            seen.add((image.md5sum, name))
            planned.append(_Rating(image.md5sum, name, later(image.sent, rng, 20), label))
    marks = {"rating-broken-comment": 6, "rating-unknown-code": 6, "hostile-text": 3}
    marked = [defect for defect, times in marks.items() for _ in range(times)]
    for defect, place in zip(marked, rng.permutation(len(planned)), strict=False):
        planned[int(place)] = _Rating(**(vars(planned[int(place)]) | {"defect": defect}))
    for place in range(12):
        old = planned[place * 7]
        planned.append(
            _Rating(
                old.md5sum,
                old.name,
                later(old.sent, rng, 30),
                pick(rng, (-1, 0, 1)),
                "rating-repeat",
                place * 7,
            )
        )
    for place in range(8):
        sent = pick(rng, images).sent
        planned.append(_Rating(checksum(seed, "orphan", place), pick(rng, _RATERS), sent, 0, "rating-orphan"))
    return planned


def _document(rating: _Rating, record_id: str, rng: np.random.Generator) -> Document:
    document: dict[str, Any] = {
        "_id": record_id,
        "_created": rating.sent,
        "_updated": rating.sent,
        "_etag": "",
    }
    document |= {"rating": _value(rating, rng), "md5sum": rating.md5sum, "name": rating.name}
    comment = _comment(rating, rng)
    return document if comment is None else document | {"comment": comment}


def make_ratings(images: list[Image], count: int, seed: int) -> tuple[list[Document], list[Planted]]:
    """``count`` ratings of ``images`` (and of eight images nobody sent), and the truth about them."""
    plan = _plan(images, count, seed)
    minted, rng = ObjectIds(seed, "rating", processes=2), stream(seed, "rating-values")
    ids: dict[int, str] = {}
    for place in sorted(range(len(plan)), key=lambda place: (plan[place].sent, place)):
        ids[place] = minted.mint(plan[place].sent)
    documents = [_document(rating, ids[place], rng) for place, rating in enumerate(plan)]
    truth = [
        Planted(document["_id"], "rating", defect, detail)
        for rating, document in zip(plan, documents, strict=True)
        for defect, detail in _truth(rating, document, ids)
    ]
    return documents, truth


def _truth(rating: _Rating, document: Document, ids: dict[int, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    if rating.sent < WORDS_UNTIL:
        yield "rating-word", {"column": "rating", "sent": document["rating"]}
    if rating.defect == "rating-repeat":
        yield rating.defect, {"of": ids[rating.first], "name": rating.name, "md5sum": rating.md5sum}
    elif rating.defect == "rating-orphan":
        yield rating.defect, {"column": "md5sum", "sent": rating.md5sum}
    elif rating.defect:
        yield rating.defect, {"column": "comment", "sent": document["comment"]}
