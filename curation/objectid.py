"""ObjectIds as the Web-API uses them: 24 hex digits, the first 8 of which are a creation time in seconds.

They are handled as text, which sorts as MongoDB sorts them, and as 96-bit integers to cut ranges.
https://www.mongodb.com/docs/manual/reference/bson-types/#objectid
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

HEX_DIGITS = 24
LOWEST = "0" * HEX_DIGITS
"""Sorts before every id of the service."""
HIGHEST = "f" * HEX_DIGITS
"""Sorts after every id of the service."""

OBJECT_ID = r"\A[0-9a-f]{24}\z"
"""What an id is, for Arrow's regular expressions."""
_NOT_HEX = re.compile(r"[^0-9a-f]")
_PATTERN = re.compile(r"[0-9a-f]{24}\Z")


def is_object_id(value: str) -> bool:
    """Whether ``value`` is an ObjectId as the service writes them (lower-case hex)."""
    return _PATTERN.match(value) is not None


def are_object_ids(values: Sequence[str]) -> bool:
    """Whether all of ``values`` are; checked together, for a page at a time."""
    return all(len(value) == HEX_DIGITS for value in values) and not _NOT_HEX.search("".join(values))


def created(object_id: str) -> datetime:
    """The creation time inside an id, UTC, in whole seconds."""
    return datetime.fromtimestamp(int(object_id[:8], 16), UTC)


def cut(after: str, through: str, pieces: int) -> list[tuple[str, str]]:
    """Cut the half-open range ``(after, through]`` into at most ``pieces`` ranges of equal width.

    Equal width in id space is equal width in time, since an id begins with its creation second.
    """
    low, high = int(after, 16), int(through, 16)
    bounds = sorted({low + (high - low) * i // pieces for i in range(pieces + 1)})
    texts = [f"{bound:0{HEX_DIGITS}x}" for bound in bounds]
    return list(pairwise(texts))
