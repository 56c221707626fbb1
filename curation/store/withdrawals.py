"""What was decided of requests to withdraw records, as the store keeps it.

Each file is the whole set in effect from its run on, so that the newest says all.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec

from curation.errors import StoreCorrupted
from curation.store.files import to_json, write_atomically


class Verdict(StrEnum):
    """What becomes of a request."""

    HONOURED = "honoured"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    ENDED = "ended"


class Reason(StrEnum):
    """Why a request is not honoured: the first three refuse it, the others tell what is missing to decide it."""

    PUBLIC = "public"
    RATED = "rated"
    TOO_OLD = "too_old"
    NO_INDEX = "no_index"
    NO_RECORD = "no_record"


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request, and what was decided of it.

    Attributes:
        checksum: MD5 of the image, in lower case.
        date: of the request.
        reference: what the maintainer calls it by.
        verdict: the decision.
        reasons: all that speak against it; none where it is honoured or ended.
        since: the number of the run that decided so.
    """

    checksum: str
    date: datetime.date
    reference: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    since: int


class _File(msgspec.Struct, forbid_unknown_fields=True):
    sequence: int
    requests: tuple[Decided, ...]


def read_decided(path: Path) -> tuple[Decided, ...]:
    """What a file of decisions says.

    Raises:
        StoreCorrupted: it is none.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_File)
    except msgspec.MsgspecError as error:
        raise StoreCorrupted(f"{path}: no decisions on withdrawals; restore it from a backup") from error
    return content.requests


def write_decided(path: Path, sequence: int, requests: Iterable[Decided]) -> None:
    """Write a file of decisions, which is there whole or not at all."""
    write_atomically(path, to_json(msgspec.to_builtins(_File(sequence, tuple(requests)))))
