"""What could not be read of a dump: where, and in words that quote nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LARGEST = 16 << 20
"""Bytes of the largest document, as MongoDB has it: https://www.mongodb.com/docs/manual/reference/limits/"""


class Kind(StrEnum):
    """Kinds of problems, as they are counted."""

    CUT_SHORT = "cut short"
    DAMAGED = "damaged"
    TOO_LARGE = "too large"
    NOT_A_DOCUMENT = "not a document"
    NO_RESOURCE = "no resource"


@dataclass(frozen=True)
class Problem:
    """One place of a dump that could not be read.

    Attributes:
        offset: of its first byte, in the dump as it is without compression.
        kind: what it is counted as.
        text: what was found, what was expected, what was done.
    """

    offset: int
    kind: Kind
    text: str

    @property
    def breaks(self) -> bool:
        """Whether it is the dump that is broken there, and not one of its documents."""
        return self.kind in (Kind.CUT_SHORT, Kind.DAMAGED)

    def __str__(self) -> str:
        return f"byte {self.offset}: {self.text}"


class NotADocument(ValueError):
    """Bytes that are no document; the message says what they are instead, and quotes nothing of them."""


def not_a_document(offset: int, found: object) -> Problem:
    """A place that has been told apart from the documents around it, and passed by."""
    text = f"found {found}, expected a document; it was left out, what follows was read"
    return Problem(offset, Kind.NOT_A_DOCUMENT, text)


def too_large(offset: int, size: int) -> Problem:
    """A document that was passed by without being held in memory."""
    text = f"found a document of {size:,} bytes, expected at most {LARGEST:,}; it was left out, what follows was read"
    return Problem(offset, Kind.TOO_LARGE, text)


def cut_short(offset: int, where: str, end: int, reason: str | None) -> Problem:
    """The end of a dump before its time.

    Args:
        offset: of what is not whole.
        where: what the end came in the middle of.
        end: offset of the end.
        reason: what ended it, if that is known.
    """
    why = f" ({reason})" if reason else ""
    text = f"found the end of the dump at byte {end}{why}, expected the rest of {where}; what came before was read"
    return Problem(offset, Kind.CUT_SHORT, text)
