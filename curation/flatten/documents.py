"""Documents as JSON: read without loss, non-finite tokens included, and written in one canonical form."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import orjson

NOT_JSON = "document is no JSON object"
KEY_TWICE = "document has a key twice"
TOO_DEEP = "document is nested too deeply"

MAX_DEPTH = 100
"""Levels of nesting MongoDB stores; https://www.mongodb.com/docs/manual/reference/limits/#bson-documents"""
DIGITS = 4000
"""Python refuses to read integers of more than 4,300 digits."""

_SUSPECT = 2.0**63
"""Numbers from here on may have been integers of more than 64 bits, of which orjson makes floats."""
_STRING_OR_PLUS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\+(?=Infinity)', re.DOTALL)


class UnreadableDocument(ValueError):
    """A document cannot be read without loss; the message says why and quotes nothing of it."""


@dataclass(frozen=True)
class Beyond:
    """A number as it was written, which no double and no integer of Python's holds: ``1e400``."""

    text: str


def parse_document(document: bytes) -> dict[str, Any]:
    """Parse one JSON object, non-finite tokens included.

    Raises:
        UnreadableDocument: it is not one, has a key twice in one object, or is nested deeper than MongoDB stores.
    """
    try:
        parsed = orjson.loads(document)
    except orjson.JSONDecodeError:
        parsed = None
    # A key that comes twice is seen by counting, as orjson keeps the last: every key has its colon.
    if type(parsed) is not dict or has_escapes(document) or count_colons(parsed) != document.count(b":"):
        parsed = _parse_carefully(document)
        if type(parsed) is not dict:
            raise UnreadableDocument(NOT_JSON)
        count_colons(parsed)
    return parsed


def has_escapes(document: bytes) -> bool:
    """Whether characters may be written as their code, colons among them."""
    return b"\\" in document and b"\\u" in document


def count_colons(value: Any, depth: int = 1) -> int:
    """Colons of an object or array and all below as JSON, those in texts included.

    Those in keys are not: they only cost the slower way. Negative where a number may not be the one that was written:
    orjson makes floats of integers beyond 64 bits.

    Raises:
        UnreadableDocument: it is nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise UnreadableDocument(TOO_DEEP)
    if type(value) is dict:
        count, items = len(value), value.values()
    else:
        count, items = 0, value
    for item in items:
        kind = type(item)
        if kind is str:
            if ":" in item:
                count += item.count(":")
        elif kind is float:
            if not -_SUSPECT < item < _SUSPECT:
                count -= 1 << 60
        elif kind is dict or kind is list:
            count += count_colons(item, depth + 1)
    return count


def _parse_carefully(document: bytes) -> Any:
    """Parse with the standard library, which reads NaN and Infinity and can be told of every number and pair."""
    try:
        text = document.decode()
        return json.loads(
            without_plus(text),
            parse_float=_read_float,
            parse_int=_read_int,
            object_pairs_hook=_object_of_pairs,
        )
    except UnreadableDocument:
        raise
    except RecursionError:
        raise UnreadableDocument(TOO_DEEP) from None
    except ValueError:
        # Without its cause, which holds the document.
        raise UnreadableDocument(NOT_JSON) from None


def without_plus(text: str) -> str:
    """JSON without the sign before ``+Infinity``, of older exports; texts in it stay."""
    if "+Infinity" not in text:
        return text
    return _STRING_OR_PLUS.sub(lambda match: "" if match[0] == "+" else match[0], text)


def _read_float(text: str) -> float | Beyond:
    number = float(text)
    return Beyond(text) if math.isinf(number) else number


def _read_int(text: str) -> int | Beyond:
    return int(text) if len(text) <= DIGITS else Beyond(text)


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise UnreadableDocument(KEY_TWICE)
    return made


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_encode_ascii = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no blanks and the shortest numbers; non-finite ones as the service sends them."""
    try:
        text = _encode(value)
    except TypeError:
        return _canonical_around_beyond(value)
    return text if text.isascii() or is_utf8(text) else _encode_ascii(value)


def _canonical_around_beyond(value: Any) -> str:
    if type(value) is Beyond:
        return value.text
    if type(value) is dict:
        pairs = (f"{canonical_json(key)}:{canonical_json(value[key])}" for key in sorted(value))
        return "{" + ",".join(pairs) + "}"
    return "[" + ",".join(map(canonical_json, value)) + "]"


def is_utf8(text: str) -> bool:
    """Whether a text can be written: JSON's escapes can make half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
