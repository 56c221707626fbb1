"""Moments as the service and the dumps write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RFC_1123_LENGTH = len("Thu, 24 Aug 2017 21:58:35 GMT")
_DAY = re.compile(r"(\w{3}), ([0-9]{2}) (\w{3}) ([0-9]{4})\Z")
_TIME = re.compile(r" ([0-9]{2}):([0-9]{2}):([0-9]{2})\Z")
_ISO_8601 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}")
_MILLISECONDS = re.compile(r"-?[0-9]{1,15}\Z")

# The years 1 to 9999, which dates of Python and Arrow's readers have.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799


def read_rfc_1123(text: str) -> int | None:
    """A moment exactly as the service writes it (``Thu, 24 Aug 2017 21:58:35 GMT``), in seconds since 1970."""
    if len(text) != _RFC_1123_LENGTH or text[25:] != " GMT":
        return None
    day, seconds = _day(text[:16]), _second_of_day(text[16:25])
    return None if day is None or seconds is None else day + seconds


@lru_cache(maxsize=8192)
def _day(text: str) -> int | None:
    """When a day (``Thu, 24 Aug 2017``) begins, in seconds since 1970."""
    match = _DAY.match(text)
    if match is None or match[3] not in _MONTHS:
        return None
    try:
        moment = datetime(int(match[4]), _MONTHS.index(match[3]) + 1, int(match[2]), tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) if _DAYS[moment.weekday()] == match[1] else None


@lru_cache(maxsize=100_000)
def _second_of_day(text: str) -> int | None:
    """Seconds since midnight of a time with a blank before it (`` 21:58:35``)."""
    match = _TIME.match(text)
    if match is None:
        return None
    hours, minutes, seconds = map(int, match.groups())
    return 3600 * hours + 60 * minutes + seconds if hours < 24 and minutes < 60 and seconds < 60 else None


def read_moment(value: Any) -> int | None:
    """A moment in any form of the service and its dumps, in whole seconds since 1970, fractions cut off.

    RFC 1123; ISO 8601, UTC where it names no zone; MongoDB's ``{"$date": ...}`` around ISO 8601, milliseconds or
    ``{"$numberLong": "..."}``. ``None`` for anything else.
    https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/#mongodb-bsontype-Date
    """
    if type(value) is str:
        seconds = read_rfc_1123(value)
        return seconds if seconds is not None else _read_iso_8601(value)
    if type(value) is dict and len(value) == 1 and "$date" in value:
        inside = value["$date"]
        if type(inside) is dict and len(inside) == 1:
            inside = inside.get("$numberLong")
            inside = int(inside) if type(inside) is str and _MILLISECONDS.match(inside) else None
        if type(inside) is int:
            seconds = inside // 1000
            return seconds if _FIRST <= seconds <= _LAST else None
        return _read_iso_8601(inside) if type(inside) is str else None
    return None


def _read_iso_8601(text: str) -> int | None:
    if not _ISO_8601.match(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return int(moment.timestamp() // 1)
