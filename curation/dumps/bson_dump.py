"""Dumps in BSON, as ``mongodump`` writes them: one document after the other, each beginning with its length.

https://bsonspec.org/spec.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from curation.dumps.problems import (
    LARGEST,
    Kind,
    NotADocument,
    Problem,
    cut_short,
    not_a_document,
    too_large,
)
from curation.dumps.records import record_of
from curation.dumps.rendering import plain, render
from curation.dumps.streams import Buffer
from curation.store import Record

# Milliseconds instead of dates: Python's do not reach as far.
_OPTIONS: CodecOptions[dict] = CodecOptions(
    document_class=dict, tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_MS
)
_HEADER = 4
_SMALLEST = 5  # a length and the final zero
# How documents of MongoDB begin behind their length: an ObjectId named _id.
_BEGINNING = b"\x07_id\x00"
_TYPES = frozenset(range(1, 0x14)) | {0x7F, 0xFF}


def read_bson(data: bytes) -> Record:
    """The record of a document in BSON.

    Raises:
        NotADocument: it is none, or has no JSON.
    """
    try:
        document = bson.decode(data, _OPTIONS)
    except RecursionError:
        raise NotADocument("BSON that is nested too deeply") from None
    except (bson.errors.BSONError, ValueError, TypeError, OverflowError):
        # Without its cause, which may quote keys and values.
        raise NotADocument("BSON that cannot be decoded") from None
    text = render(document)
    keys = {key: _key(document[key]) for key in ("_id", "_etag", "_created", "_updated") if key in document}
    return record_of(keys, text)


def _key(value: object) -> object:
    return value if isinstance(value, str) or value is None else plain(value)


def looks_like_bson(start: bytes) -> bool:
    """Whether a dump that begins so is one of BSON: a length, then the type of a first element, or none."""
    if len(start) < _SMALLEST:
        return False
    length = int.from_bytes(start[:_HEADER], "little", signed=True)
    return length >= _SMALLEST and (start[_HEADER] in _TYPES if length > _SMALLEST else start[_HEADER] == 0)


class _Reader:
    def __init__(self, buffer: Buffer, read: Callable[[bytes], Record]) -> None:
        self._buffer = buffer
        self._read = read

    def run(self) -> Iterator[tuple[int, Record] | Problem]:
        buffer = self._buffer
        while buffer.hold(1):
            found = self._document()
            yield found
            if isinstance(found, Problem) and found.kind is Kind.CUT_SHORT:
                return
        if buffer.damage:
            yield cut_short(buffer.offset, "the dump", buffer.offset, buffer.damage)

    def _document(self) -> tuple[int, Record] | Problem:
        buffer = self._buffer
        offset = buffer.offset
        if not buffer.hold(_HEADER):
            return cut_short(offset, "a document", offset + len(buffer.data), buffer.damage)
        length = self._length(0)
        if length < _SMALLEST:
            return self._find_again(offset)
        if length > LARGEST or not buffer.hold(length):
            return self._find_again(offset, offset + length)
        data = buffer.data[buffer.position : buffer.position + length]
        try:
            record = self._read(data)
        except NotADocument as error:
            if data[-1] != 0 or not self._continues(length):
                return self._find_again(offset)
            buffer.position += length
            return not_a_document(offset, error)
        buffer.position += length
        return offset, record

    def _length(self, ahead: int) -> int:
        start = self._buffer.position + ahead
        return int.from_bytes(self._buffer.data[start : start + _HEADER], "little", signed=True)

    def _find_again(self, offset: int, claimed: int | None = None) -> Problem:
        """Go to where documents begin again, without holding what is before.

        That is where what follows looks like the beginning of a document of MongoDB, can be read from its length to its
        end, and is followed at once by another that can: a document inside another is followed by a key.

        Args:
            offset: of a document whose length cannot be right, is too large, or is beyond the end.
            claimed: where it ends, if its length can be right. That place is believed if a document is there, and
                nothing like documents before.
        """
        buffer = self._buffer
        ahead = 1
        while True:
            found = buffer.data.find(_BEGINNING, buffer.position + ahead + _HEADER)
            # The last bytes held may be those of a length and of part of a beginning.
            looked = found - _HEADER if found >= 0 else max(0, len(buffer.data) - len(_BEGINNING) - _HEADER)
            at = None if claimed is None else claimed - buffer.offset + buffer.position
            if at is not None and claimed is not None and at <= looked:
                buffer.position, ahead = at, 0
                if self._continues(0):
                    return too_large(offset, claimed - offset)
                claimed = None
            elif found >= 0:
                buffer.position, ahead = looked, 1
                if self._begins(alone=claimed is None):
                    return self._damaged(offset, buffer.offset)
            else:
                ahead = max(0, buffer.position + ahead - looked)
                buffer.position = max(buffer.position, looked)
                if not buffer.more():
                    return self._nothing_found(offset, claimed)

    def _nothing_found(self, offset: int, claimed: int | None) -> Problem:
        """The dump ended before documents began again."""
        buffer = self._buffer
        end = buffer.offset + len(buffer.data) - buffer.position
        if claimed is not None and claimed <= end:
            buffer.position += claimed - buffer.offset
            if self._continues(0):
                return too_large(offset, claimed - offset)
        buffer.position = len(buffer.data)
        if claimed is not None and claimed > end:
            return cut_short(offset, "a document", end, buffer.damage)
        return self._damaged(offset, None)

    def _damaged(self, offset: int, again: int | None) -> Problem:
        if again is None:
            done = "nothing from here on was read"
        else:
            done = f"{again - offset:,} bytes were left out, what follows from byte {again} on was read"
        text = f"found a length that cannot be right, expected a document; {done}"
        return Problem(offset, Kind.DAMAGED, text)

    def _continues(self, ahead: int) -> bool:
        """Whether the end is ``ahead`` bytes from here, or a document that can be read before the end or another."""
        length = 0 if self._ends(ahead) else self._readable(ahead)
        return (length > 0 and self._looks_like_more(ahead + length)) or self._ends(ahead + length)

    def _ends(self, ahead: int) -> bool:
        """Whether the whole dump ends ``ahead`` bytes from here."""
        buffer = self._buffer
        return (
            not buffer.hold(ahead + 1) and len(buffer.data) - buffer.position == ahead and not buffer.damage
        )

    def _looks_like_more(self, ahead: int) -> bool:
        buffer = self._buffer
        if not buffer.hold(ahead + _SMALLEST):
            return False
        start = buffer.position + ahead
        return looks_like_bson(buffer.data[start : start + _SMALLEST])

    def _begins(self, *, alone: bool) -> bool:
        """Whether a document begins here that is followed by another, or, ``alone``, by the end."""
        length = self._readable(0)
        return length > 0 and (self._readable(length) > 0 or (alone and self._ends(length)))

    def _readable(self, ahead: int) -> int:
        """The length of the document ``ahead`` bytes from here; 0 if none can be read."""
        buffer = self._buffer
        if not buffer.hold(ahead + _HEADER):
            return 0
        length = self._length(ahead)
        if not _SMALLEST <= length <= LARGEST or not buffer.hold(ahead + length):
            return 0
        start = buffer.position + ahead
        try:
            self._read(buffer.data[start : start + length])
        except NotADocument:
            return 0
        return length


def bson_documents(buffer: Buffer, read: Callable[[bytes], Record]) -> Iterator[tuple[int, Record] | Problem]:
    """The documents of a dump in BSON, each with the offset of its first byte, and what could not be read, in order.

    Args:
        buffer: the dump, from its first byte.
        read: makes a record of a document's bytes, or raises :class:`~curation.dumps.problems.NotADocument`.
    """
    return _Reader(buffer, read).run()
