"""Ratings of the corpus' images, in the two ways the widget has sent them over the years."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
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

ANONYMOUS = "anonymous"
_RATERS = (
    *("R. Aldana", "Mirka Tuul", "t.p.brandvold", "reader-2", "Sunniva Holm", "Bjørg Åkesdóttir", "qc_team"),
    ANONYMOUS,
)
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


_OUT_OF_SCALE = ("0.0", "5", "4.5", "-1.0")
_PERSONAL = (
    ("telephone", "unclear, call me at 202-555-0133", "202-555-0133"),
    ("email", "ask lena.specimen@example.org first", "lena.specimen@example.org"),
    ("birth-date", "a child, born 2009-11-05", "2009-11-05"),
)
"""Kinds of ``plant_personal``, comments, and what must not be published of them."""

PANEL = 15
"""So many images are rated by two or three people."""
REPEATED, RESUBMITTED, ORPHANS = 12, 6, 8
_MARKS = {
    "rating-broken-comment": 6,
    "rating-unknown-code": 6,
    "hostile-text": 3,
    "personal-free-text": len(_PERSONAL),
    "rating-out-of-scale": len(_OUT_OF_SCALE),
}


@dataclass(frozen=True)
class _Rating:
    """A rating to be written.

    Attributes:
        defect: what is wrong with it, if anything.
        turn: which rating with that defect it is.
        first: place of the rating that it repeats.
    """

    md5sum: str
    name: str
    sent: datetime
    label: int
    defect: str = ""
    turn: int = 0
    first: int = -1


def _value(rating: _Rating, rng: np.random.Generator) -> str:
    if rating.defect == "rating-out-of-scale":
        return _OUT_OF_SCALE[rating.turn]
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
    if rating.defect == "personal-free-text":
        return _PERSONAL[rating.turn][1]
    if rating.label == 1:
        codes = []
    return (json.dumps(codes), pick(rng, _FREE), None)[int(rng.choice(3, p=[0.75, 0.15, 0.1]))]


def _plan(images: list[Image], count: int, seed: int) -> list[_Rating]:
    """``count`` ratings: first ones, repeats, orphans, and some that were sent twice."""
    rng = stream(seed, "ratings")
    planned = _first_ratings(images, count - REPEATED - RESUBMITTED - ORPHANS, rng)
    order = [int(place) for place in rng.permutation(len(planned))]
    unmarked = _mark(planned, order)
    for old in range(0, 7 * REPEATED, 7):
        sent = later(planned[old].sent, rng, 30)
        again = replace(planned[old], sent=sent, label=pick(rng, (-1, 0, 1)), defect="rating-repeat")
        planned.append(replace(again, first=old))
    for old in [place for place in unmarked if place % 7][:RESUBMITTED]:
        sent = planned[old].sent + timedelta(seconds=int(rng.integers(60, 300)))
        planned.append(replace(planned[old], sent=sent, defect="rating-resubmitted", first=old))
    for place in range(ORPHANS):
        sent = pick(rng, images).sent
        planned.append(_Rating(checksum(seed, "orphan", place), pick(rng, _RATERS), sent, 0, "rating-orphan"))
    return planned


def _first_ratings(images: list[Image], count: int, rng: np.random.Generator) -> list[_Rating]:
    """``count`` ratings, each of another person and image: those of the panel, and others all over."""
    experts = [image for image in images if image.experts]
    pairs = [
        (experts[int(place)], _RATERS[int(rater)])
        for place in rng.permutation(len(experts))[:PANEL]
        for rater in rng.permutation(len(_RATERS))[: int(rng.integers(2, 4))]
    ]
    early = [image for image in images if image.sent < datetime(2019, 3, 1, tzinfo=UTC)]
    seen = {(image.md5sum, name) for image, name in pairs}
    while len(pairs) < count:
        image, name = pick(rng, early if len(pairs) % 4 == 0 else images), pick(rng, _RATERS)
        if (image.md5sum, name) not in seen:
            seen.add((image.md5sum, name))
            pairs.append((image, name))
    return [
        _Rating(image.md5sum, name, later(image.sent, rng, 20), pick(rng, image.experts or (-1, 0, 1, 1, 1)))
        for image, name in pairs
    ]


def _mark(planned: list[_Rating], order: list[int]) -> list[int]:
    """Give :data:`_MARKS` to ratings, in place; returns the places of the others."""
    left = list(order)
    for defect, times in _MARKS.items():
        fit = [p for p in left if defect != "rating-out-of-scale" or planned[p].sent >= WORDS_UNTIL]
        for turn, place in enumerate(fit[:times]):
            planned[place] = replace(planned[place], defect=defect, turn=turn)
            left.remove(place)
    return left


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
    documents: list[Document] = []
    for place, rating in enumerate(plan):
        document = _document(rating, ids[place], rng)
        if rating.defect == "rating-resubmitted":
            stamps = {key: value for key, value in document.items() if key.startswith("_")}
            document = documents[rating.first] | stamps
        documents.append(document)
    truth = [
        Planted(document["_id"], "rating", defect, detail)
        for rating, document in zip(plan, documents, strict=True)
        for defect, detail in _truth(rating, document, ids)
    ]
    return documents, truth


def _truth(rating: _Rating, document: Document, ids: dict[int, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    if document["rating"].isalpha():
        yield "rating-word", {"column": "rating", "sent": document["rating"]}
    if rating.name != ANONYMOUS:
        yield "rater-name", {"column": "name", "sent": rating.name, "personal": [rating.name]}
    if rating.defect in ("rating-repeat", "rating-resubmitted"):
        yield rating.defect, {"of": ids[rating.first], "name": rating.name, "md5sum": rating.md5sum}
    elif rating.defect == "rating-orphan":
        yield rating.defect, {"column": "md5sum", "sent": rating.md5sum}
    elif rating.defect == "rating-out-of-scale":
        yield rating.defect, {"column": "rating", "sent": document["rating"]}
    elif rating.defect == "personal-free-text":
        kind, comment, text = _PERSONAL[rating.turn]
        yield rating.defect, {"column": "comment", "sent": comment, "kind": kind, "personal": [text]}
    elif rating.defect:
        yield rating.defect, {"column": "comment", "sent": document["comment"]}
