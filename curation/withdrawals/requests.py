"""The list of requests to withdraw records: a TOML file of the maintainer.

.. code-block:: toml

    [[request]]
    checksum = "d41d8cd98f00b204e9800998ecf8427e"
    date = 2026-11-23
    reference = "OSF-17"
    ended = true  # only where the submitter takes it back

An error names the file, the number of the entry and what was expected. It never repeats what stands there, which may
be a person's.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from curation.errors import UsageError
from curation.free_text import scrub

DATABASE_BEGAN = datetime.date(2017, 6, 6)
"""The day of the Web-API's first record (Esteban et al., Sci Data 2019)."""
# Where a day begins first (UTC+14): a later date is in the future everywhere.
_FIRST_DAY = datetime.timedelta(hours=14)
_MD5 = re.compile(r"[0-9a-fA-F]{32}")
# Plain names cannot be told from other words, but have no digits.
_REFERENCE = re.compile(r"(?=.*[0-9])[A-Za-z0-9#][A-Za-z0-9 ._:/#-]{0,63}")
_PLACE = re.compile(r"\(at [^()]*\)\Z")
_KEYS = ("checksum", "date", "reference", "ended")


@dataclass(frozen=True)
class _Bounds:
    latest: datetime.date


class Request(BaseModel):
    """A request to withdraw the records of an image.

    Attributes:
        checksum: MD5 of the image, in lower case.
        date: of the request.
        reference: what the maintainer calls it by; no name of anybody.
        ended: whether it is taken back; its records are published again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    checksum: str
    date: datetime.date
    reference: str
    ended: bool = False

    @field_validator("checksum")
    @classmethod
    def _is_md5(cls, value: str) -> str:
        if _MD5.fullmatch(value) is None:
            raise ValueError("is no MD5")
        return value.lower()

    @field_validator("date")
    @classmethod
    def _is_possible(cls, value: datetime.date, info: ValidationInfo[_Bounds]) -> datetime.date:
        if not DATABASE_BEGAN <= value <= info.context.latest:
            raise ValueError("is before the database began or in the future")
        return value

    @field_validator("reference")
    @classmethod
    def _names_nobody(cls, value: str) -> str:
        # Dates are no person's here: tickets are numbered by them.
        if _REFERENCE.fullmatch(value) is None or scrub(value, release=True)[1]:
            raise ValueError("may name somebody")
        return value


_EXPECTED = {
    "checksum": "an MD5 in quotes, 32 hexadecimal digits",
    "date": f"the day of the request such as 2026-11-23, without quotes, not before {DATABASE_BEGAN} and not in the "
    "future",
    "reference": 'a ticket\'s number in quotes such as "OSF-17": at most 64 letters (A to Z), digits, blanks and . _ : '
    "/ # -, a digit among them, and no name, address or number of a person",
    "ended": "true, without quotes, of a request that is taken back; leave it out of others",
}


def given_requests(path: Path | None) -> tuple[Request, ...] | None:
    """The requests of a file; ``None`` for no file, which is not the same as a file without requests."""
    return None if path is None else read_requests(path)


def read_requests(path: Path, now: datetime.datetime | None = None) -> tuple[Request, ...]:
    """The requests of a file, in its order; an entry that only repeats another is left out.

    Args:
        path: the file.
        now: the time that a request cannot be later than.

    Raises:
        UsageError: the file is not there, or something in it is not what it has to be.
    """
    latest = ((now or datetime.datetime.now(datetime.UTC)) + _FIRST_DAY).date()
    found: dict[Request, int] = {}
    by_checksum: dict[str, list[Request]] = {}
    for number, entry in enumerate(_entries(path), 1):
        request = _request(path, number, entry, latest)
        if request in found:
            continue
        for other in by_checksum.setdefault(request.checksum, []):
            # An ended request and a later one of another day tell of one image, too.
            if other.date == request.date or not (other.ended or request.ended):
                raise UsageError(
                    f"{path}: entry {number} has the checksum of entry {found[other]} and is not the same; expected "
                    "one entry a checksum, beside ended ones of other dates; remove one of them"
                )
        found[request] = number
        by_checksum[request.checksum].append(request)
    return tuple(found)


def _entries(path: Path) -> list[Any]:
    try:
        content = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); expected a file of requests to withdraw records"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no UTF-8 at byte {error.start}; expected TOML") from None
    except tomllib.TOMLDecodeError as error:
        # What else it says may repeat what stands there.
        place = _PLACE.search(str(error))
        raise UsageError(
            f"{path}: no TOML{' ' + place[0] if place else ''}; expected entries that begin with [[request]]"
        ) from None
    entries = content.pop("request", [])
    if content or not isinstance(entries, list):
        raise UsageError(f"{path}: has something beside [[request]]; expected entries of that name only")
    return entries


def _request(path: Path, number: int, entry: Any, latest: datetime.date) -> Request:
    try:
        return Request.model_validate(entry, context=_Bounds(latest))
    except ValidationError as error:
        problems = dict.fromkeys(_problem(details["loc"], details["type"]) for details in error.errors())
    raise UsageError(f"{path}: entry {number}: {'; '.join(problems)}")


def _problem(where: tuple[int | str, ...], kind: str) -> str:
    """What is wrong and what was expected; pydantic's own words have the value, and the key of a person's choice."""
    key = str(where[0]) if where else ""
    if key not in _KEYS or kind == "extra_forbidden":
        return f"has something else than {', '.join(_KEYS)}; remove it"
    found = "is missing" if kind == "missing" else "is not what it has to be"
    return f"{key} {found}; expected {_EXPECTED[key]}"
