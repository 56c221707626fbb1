"""Which acquisition parameter a misspelled key means."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from schemas.dictionary import Resource, table

LEAST_LETTERS = 8
"""Names shorter than this are too close to each other for a slip of one letter to tell which was meant."""
_PUNCTUATION = re.compile(r"[^a-z0-9]")
_NAME = re.compile(r"[A-Za-z]+\Z")
_NO_SLIPS = ("modality", "TaskName")
"""What no sidecar has: BIDS' file names say it."""


@lru_cache(maxsize=10_000)
def meant_column(resource: Resource, key: str) -> str | None:
    """The column whose key a key of ``bids_meta`` is another spelling of; ``None`` if there is none.

    A spelling that the dictionary lists, the declared key but for case, blanks and punctuation, or a slip of one letter
    (left out, added, another one, or two changed over) in a name of :data:`LEAST_LETTERS` or more. Digits make a
    difference: ``EchoTime1`` is another term of BIDS.
    """
    if not key.isascii() or len(key) > 100:
        return None
    normal = _normal(key)
    known = _spellings(resource)
    if normal in known:
        return known[normal] if known[normal] != f"bids_meta_{key}" else None
    if not _NAME.match(key):
        return None
    near = {column for name, column in known.items() if len(name) >= LEAST_LETTERS and one_slip(normal, name)}
    return near.pop() if len(near) == 1 else None


def is_known_spelling(resource: Resource, key: str) -> bool:
    """Whether a key is one that the dictionary has, but for case, blanks and punctuation."""
    return _normal(key) in _spellings(resource)


def _normal(key: str) -> str:
    return _PUNCTUATION.sub("", key.lower())


@cache
def _spellings(resource: Resource) -> dict[str, str]:
    """Spellings in lower case and without punctuation, to the column's name."""
    found: dict[str, str] = {}
    for column in table(resource).columns:
        if column.path[0] == "bids_meta" and column.personal is None and not _of_file_name(column.path[1]):
            for name in (column.path[1], *column.spellings):
                normal = _normal(name)
                if found.setdefault(normal, column.name) != column.name:
                    raise ValueError(f"{name} is a spelling of both {found[normal]} and {column.name}")
    return found


def _of_file_name(key: str) -> bool:
    return key in _NO_SLIPS or key.endswith("_id")


def one_slip(key: str, name: str) -> bool:
    """Whether one edit makes ``key`` of ``name``: a letter more, less, another one, or two neighbours swapped."""
    if abs(len(key) - len(name)) > 1 or key == name:
        return False
    start = next(
        (i for i, (a, b) in enumerate(zip(key, name, strict=False)) if a != b), min(len(key), len(name))
    )
    mine, theirs = key[start:], name[start:]
    return (
        mine[1:] == theirs[1:]
        or mine == theirs[1:]
        or mine[1:] == theirs
        or (mine[:2] == theirs[:2][::-1] and mine[2:] == theirs[2:])
    )
