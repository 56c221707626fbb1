"""Ratings: each as a number with its comment taken apart, how those of one image compare, how far raters agree."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from curation.flatten import canonical_json
from curation.free_text import REMOVED
from curation.personal import Scrubber
from schemas import table
from schemas.published import IMAGE_RESOURCES

WORDS = {"exclude": 1.0, "poor": 2.0, "acceptable": 3.0, "excellent": 4.0}
"""The scale of the first years, worst first, as the slider has it (MRIQC's rating widget)."""
TEST_WORDS = frozenset({"good", "bad"})
"""Ratings that tests of the widget sent."""
REPEAT_MINUTES = 10
"""The same verdict sent again within these is a button pressed twice or a page sent anew; later, a second reading. Our
choice: long for a service that answers slowly, short for coming back to an image after others."""
LARGEST_DIFFERENCES = 5
"""Images that :func:`agreement` names."""

TEST_RATING, UNKNOWN_RATING = "test_rating", "unknown_rating"
BROKEN_COMMENT, UNKNOWN_CODE = "broken_comment", "unknown_code"

# A decimal number from 1 to 4. The bounds are judged by the digits: a double would round 4.0000000000000001 to 4.
_SLIDER = re.compile(r"\+?0*(?:[1-3](?:\.[0-9]*)?|4(?:\.0*)?)")
_SEPARATORS = re.compile(r"[,;\s]+")

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class Comment:
    """A comment taken apart.

    Attributes:
        named: codes of the widget in it.
        other_codes: codes that the widget does not offer, as a JSON array.
        text: all of it where it is free text.
        broken: whether it begins like JSON, but is no array of texts.
    """

    named: frozenset[str] = frozenset()
    other_codes: str | None = None
    text: str | None = None
    broken: bool = False


@cache
def artifact_codes() -> tuple[str, ...]:
    """The codes that the widget offers, in the dictionary's order."""
    comment = next(column for column in table("rating").columns if column.name == "comment")
    return tuple(code for code, _ in comment.levels)


def artifact_column(code: str) -> str:
    """The name of the column that says whether an artifact is named."""
    return f"artifact_{code.replace('-', '_')}"


def rate(rows: pa.Table) -> pa.Table:
    """What each rating says by itself.

    Args:
        rows: ``rating`` and ``comment``, texts as they are published; other columns are let pass.

    Returns:
        A row each: ``rating_value`` to ``flags`` of the dictionary's columns of ratings, in its order.
    """
    ratings = rows.column("rating").to_pylist()
    values = _each(ratings, read_rating)
    comments = _each(rows.column("comment").to_pylist(), read_comment)
    flags = [
        " ".join(sorted(_rating_flags(rating, value) + _comment_flags(comment))) or None
        for rating, value, comment in zip(ratings, values, comments, strict=True)
    ]
    columns = {
        "rating_value": pa.array(values, pa.float64()),
        "rating_label": _texts(None if value is None else label(value) for value in values),
    }
    for code in artifact_codes():
        columns[artifact_column(code)] = pa.array([code in comment.named for comment in comments], pa.bool_())
    columns["other_codes"] = _texts(comment.other_codes for comment in comments)
    columns["comment_text"] = _texts(comment.text for comment in comments)
    columns["flags"] = _texts(flags)
    return pa.table(columns)


def read_rating(text: str | None) -> float | None:
    """The value of a rating, 1 to 4: that of its word, in any case, or the slider's; ``None`` for another text."""
    word = _word(text)
    return float(word) if _SLIDER.fullmatch(word) else WORDS.get(word)


def label(value: float) -> str:
    """The word that MRIQC's rating widget shows for a value of its slider."""
    if value < 1.5:
        return "exclude"
    if value < 2.5:
        return "poor"
    return "excellent" if value > 3.5 else "acceptable"


def read_comment(text: str | None) -> Comment:
    """Take a comment apart: codes as the widget sends them, codes somebody typed, or free text.

    It may be of any length and nested to any depth: it is read a fixed number of times.
    """
    content = (text or "").strip()
    if not content:
        return Comment()
    offered = frozenset(artifact_codes())
    if content.startswith(("[", "{")) and REMOVED.match(content) is None:
        codes = _array_of_texts(content)
        if codes is None:
            return Comment(
                named=frozenset(found[1] for found in _quoted_code().findall(content)), broken=True
            )
        others = [code for code in codes if code not in offered]
        return Comment(named=offered.intersection(codes), other_codes=_published(others) if others else None)
    typed = frozenset(_SEPARATORS.split(content)) - {""}
    return Comment(named=typed) if typed and typed <= offered else Comment(text=text)


def compare(keys: pa.Table, tables: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    """How each rating stands to the others and to the images.

    Args:
        keys: ``record_id``, ``created`` (whole seconds, UTC), ``md5sum``, ``name`` (a pseudonym), ``rating`` and
            ``comment`` of all ratings, in the order of their table: by creation time (unknown ones last), then id.
        tables: resource to the checksums of its table.

    Returns:
        A row each: ``n_ratings_of_image``, ``image_table`` and ``repeat_of``.
    """
    checksums = _checksums(keys)
    counts = Counter(checksums)
    # Where no image is named, nothing else is known to be of it.
    numbers = [1 if checksum is None else counts[checksum] for checksum in checksums]
    return pa.table(
        {
            "n_ratings_of_image": pa.array(numbers, pa.int64()),
            "image_table": _image_tables(checksums, tables),
            "repeat_of": _texts(_repeats(keys, checksums)),
        }
    )


def agreement(keys: pa.Table, rated: pa.Table, compared: pa.Table) -> dict[str, Any]:
    """How far those agree who rated the same image.

    Of each rater's ratings of an image the last that has a value counts; ratings that are nobody's do not.

    Args:
        keys: as :func:`compare` has them.
        rated: of the same rows, what :func:`rate` returns.
        compared: of the same rows, what :func:`compare` returns.

    Returns:
        For JSON: ``images``, how many have two raters or more; ``by_raters``, by their number, how many images there
        are, in how many all labels are the same, in how many the lowest and the highest are neighbours, in how many
        they are further apart, and the mean over images of the mean difference between two raters' values; and
        ``largest_difference``, the images whose lowest and highest value are furthest apart.
    """
    judged = _judged(keys, rated, compared)
    by_raters: dict[int, list[_Judged]] = {}
    for image in sorted(judged, key=lambda image: len(image.values)):
        by_raters.setdefault(len(image.values), []).append(image)
    # Differences of decimal numbers are told apart as such, not by how their doubles are rounded.
    largest = sorted(judged, key=lambda image: (-round(image.values[-1] - image.values[0], 9), image.md5sum))
    return {
        "images": len(judged),
        "by_raters": [_agreement_of(raters, images) for raters, images in by_raters.items()],
        "largest_difference": [
            {
                "md5sum": image.md5sum,
                "image_table": image.image_table,
                "raters": len(image.values),
                "lowest": image.values[0],
                "highest": image.values[-1],
            }
            for image in largest[:LARGEST_DIFFERENCES]
        ],
    }


def _each(keys: Sequence[K], function: Callable[[K], V]) -> list[V]:
    """A function of every key, called once for equal ones, of which ratings have many."""
    found = {key: function(key) for key in set(keys)}
    return [found[key] for key in keys]


def _texts(values: Iterable[str | None]) -> pa.Array:
    return pa.array(list(values), pa.string())


# --- one rating ----------------------------------------------------------------------------------------------


def _word(text: str | None) -> str:
    return (text or "").strip().lower()


def _rating_flags(rating: str | None, value: float | None) -> list[str]:
    if value is not None:
        return []
    return [TEST_RATING if _word(rating) in TEST_WORDS else UNKNOWN_RATING]


def _comment_flags(comment: Comment) -> list[str]:
    found = {BROKEN_COMMENT: comment.broken, UNKNOWN_CODE: comment.other_codes is not None}
    return [name for name, holds in found.items() if holds]


def _array_of_texts(content: str) -> list[str] | None:
    """The elements of a JSON array of texts; ``None`` where it is no such thing."""
    try:
        parsed = json.loads(content)
    except (
        ValueError,
        RecursionError,
    ):  # no JSON, or a number of more digits than Python reads; nested too deeply
        return None
    if type(parsed) is not list or not all(type(item) is str for item in parsed):
        return None
    return parsed


@cache
def _quoted_code() -> re.Pattern[str]:
    return re.compile(rf"""(["'])({"|".join(map(re.escape, artifact_codes()))})\1""")


def _published(codes: list[str]) -> str:
    """Codes as a JSON array without addresses, which JSON's escapes may have kept from being seen in the comment."""
    scrubber = Scrubber(frozenset(), canonical_json)
    return canonical_json([scrubber.text(code, "other_codes") for code in codes])


# --- one image -----------------------------------------------------------------------------------------------


def _checksums(keys: pa.Table) -> list[str | None]:
    """Checksums in lower case; ``None`` where there is none."""
    return [(text or "").lower() or None for text in keys.column("md5sum").to_pylist()]


def _image_tables(checksums: Sequence[str | None], tables: Mapping[str, pa.ChunkedArray]) -> pa.Array:
    wanted = _texts({checksum: None for checksum in checksums if checksum is not None})
    found: dict[str, list[str]] = {}
    for resource in IMAGE_RESOURCES:
        if resource in tables:
            held = pc.utf8_lower(tables[resource])
            for checksum in wanted.filter(pc.is_in(wanted, value_set=held)).to_pylist():
                found.setdefault(checksum, []).append(resource)
    return _texts(" ".join(found.get(checksum or "", ())) or None for checksum in checksums)


def _repeats(keys: pa.Table, checksums: Sequence[str | None]) -> list[str | None]:
    """The id of the first rating of the chain that each rating carries on; ``None`` where it begins one."""
    names, ratings, comments, ids = (
        keys.column(name).to_pylist() for name in ("name", "rating", "comment", "record_id")
    )
    # As numbers: Python has no times after the year 9999.
    created = keys.column("created").cast(pa.int64()).to_pylist()
    chains: dict[tuple[str, ...], tuple[int, str]] = {}  # when it was carried on, and the id it began with
    found: list[str | None] = []
    for name, checksum, rating, comment, time, record_id in zip(
        names, checksums, ratings, comments, created, ids, strict=True
    ):
        if not name or checksum is None or time is None:
            found.append(None)
            continue
        # A missing text and an empty one are the same in the table.
        key = (name, checksum, rating or "", comment or "")
        last, first = chains.get(key, (-math.inf, ""))
        repeats = time - last <= REPEAT_MINUTES * 60
        chains[key] = (time, first if repeats else record_id)
        found.append(first if repeats else None)
    return found


@dataclass(frozen=True)
class _Judged:
    """An image with the values, ascending, that its raters gave it in the end."""

    md5sum: str
    image_table: str | None
    values: list[float]

    @property
    def steps(self) -> int:
        """How many labels the best one is above the worst; labels rise with values."""
        scale = list(WORDS)
        return scale.index(label(self.values[-1])) - scale.index(label(self.values[0]))

    @property
    def mean_difference(self) -> float:
        """Between the values of two raters, over all pairs."""
        count = len(self.values)
        # In ascending order the value at a place is the higher one of as many pairs as there are places before it.
        weighted = (value * (2 * place - count + 1) for place, value in enumerate(self.values))
        return math.fsum(weighted) / math.comb(count, 2)


def _judged(keys: pa.Table, rated: pa.Table, compared: pa.Table) -> list[_Judged]:
    """Images that two or more rated with a value."""
    columns = (
        _checksums(keys),
        keys.column("name").to_pylist(),
        rated.column("rating_value").to_pylist(),
        compared.column("image_table").to_pylist(),
    )
    verdicts: dict[str, dict[str, float]] = {}
    places: dict[str, str | None] = {}
    for checksum, name, value, image_table in zip(*columns, strict=True):
        if checksum is not None and name and value is not None:
            verdicts.setdefault(checksum, {})[name] = value
            places[checksum] = image_table
    return [
        _Judged(checksum, places[checksum], sorted(values.values()))
        for checksum, values in verdicts.items()
        if len(values) > 1
    ]


def _agreement_of(raters: int, images: Sequence[_Judged]) -> dict[str, Any]:
    """Of images with the same number of raters."""
    steps = Counter(min(image.steps, 2) for image in images)
    return {
        "raters": raters,
        "images": len(images),
        "same_label": steps[0],
        "neighbouring_labels": steps[1],
        "further": steps[2],
        "mean_difference": round(math.fsum(image.mean_difference for image in images) / len(images), 3),
    }
