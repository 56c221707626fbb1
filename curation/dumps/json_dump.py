"""Dumps in JSON, document by document: one a line, in an array, or printed over several lines.

Nothing is held but the document that is being read, in whatever way lines and brackets are laid out: an array in a
single line of gigabytes is read like any other. How a dump is laid out is learned from its first document. Where every
document has a line of its own, a broken one ends with its line. Elsewhere one ends where its brackets do, and one whose
end cannot be told ends what can be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum

from curation.dumps.problems import (
    LARGEST,
    Kind,
    NotADocument,
    Problem,
    cut_short,
    not_a_document,
    too_large,
)
from curation.dumps.streams import Buffer
from curation.store import Record

_BETWEEN = re.compile(rb"[ \t\r\n,]*+")
_QUOTE, _OPEN, _BACKSLASH = b'"', b"{[", b"\\"
# Up to and with the next bracket that is not in a string; JSON has no line ends in strings.
_TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\\n]++|\\.)*+")*+[{}\[\]]', re.DOTALL)
_OUTSIDE_STRINGS = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\\n]++|\\.)*+")*+', re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\\n]++|\\.)*+', re.DOTALL)
# What is no document: in an array up to the next element, elsewhere up to the end of its line.
_ELEMENT = re.compile(rb'(?:[^",\]{\n]++|"(?:[^"\\\n]++|\\.)*+"?)*+', re.DOTALL)
_REST_OF_LINE = re.compile(rb"[^\n]*+")
# How a line ends on which a document only begins.
_CONTINUED = (b"{", b"[", b",", b":")


class _Layout(Enum):
    UNKNOWN = 0
    LINES = 1
    FREE = 2


class _Scan:
    """Looks for the end of an object or array, piece by piece."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self.done = False
        self.broken = False

    def feed(self, data: bytes, position: int, end: int) -> int:
        """Look on from ``position``; returns the position behind the end, or from where to go on with more data."""
        while True:
            if self._in_string:
                position = _IN_STRING.match(data, position, end).end()  # type: ignore[union-attr]
                if position == end or data[position : position + 1] == _BACKSLASH:
                    return position
                if data[position : position + 1] != _QUOTE:
                    self.broken = True
                    return position
                self._in_string = False
                position += 1
            bracket = _TO_BRACKET.match(data, position, end)
            if bracket is None:
                position = _OUTSIDE_STRINGS.match(data, position, end).end()  # type: ignore[union-attr]
                if position == end:
                    return position
                self._in_string = True
                position += 1
                continue
            position = bracket.end()
            self._depth += 1 if data[position - 1] in _OPEN else -1
            if self._depth == 0:
                self.done = True
                return position


class _Reader:
    def __init__(self, buffer: Buffer, read: Callable[[bytes], Record]) -> None:
        self._buffer = buffer
        self._read = read
        self._in_array = False
        self._layout = _Layout.UNKNOWN

    def run(self) -> Iterator[tuple[int, Record] | Problem]:
        buffer = self._buffer
        while self._find_value():
            begins = buffer.data[buffer.position] == _OPEN[0]
            found = self._document() if begins else self._no_document()
            yield found
            if isinstance(found, Problem) and found.breaks:
                return
        if self._in_array or buffer.damage:
            where = "the array" if self._in_array else "the dump"
            yield cut_short(buffer.offset, where, buffer.offset, buffer.damage)

    def _find_value(self) -> bool:
        """Go to the next value; whether there is one."""
        buffer = self._buffer
        while True:
            buffer.position = _BETWEEN.match(buffer.data, buffer.position).end()  # type: ignore[union-attr]
            if buffer.position == len(buffer.data):
                if not buffer.more():
                    return False
                continue
            first = buffer.data[buffer.position : buffer.position + 1]
            if first != (b"]" if self._in_array else b"["):
                return True
            self._in_array = not self._in_array
            buffer.position += 1

    def _document(self) -> tuple[int, Record] | Problem:
        """The document that begins here, or what is wrong with it."""
        if self._layout is _Layout.FREE:
            return self._by_brackets()
        buffer = self._buffer
        size = self._line_size()
        if size > LARGEST:
            if self._layout is _Layout.UNKNOWN:
                return self._by_brackets()
            return self._pass_by(_Scan(), buffer.offset, within_line=True)
        # Without blanks, and what follows an element.
        line = buffer.data[buffer.position : buffer.position + size]
        text = line.rstrip(b" \t\r,]" if self._in_array else b" \t\r")
        try:
            record = self._read(text)
        except NotADocument as error:
            return self._otherwise(text, size, error)
        found = (buffer.offset, record)
        buffer.position += len(text)
        self._layout = _Layout.LINES
        return found

    def _line_size(self) -> int:
        """Bytes to the end of the line (or dump), all of which are held; more than :data:`LARGEST` where not."""
        buffer = self._buffer
        looked = 0
        while True:
            end = buffer.data.find(b"\n", buffer.position + looked)
            if end >= 0:
                return end - buffer.position
            looked = len(buffer.data) - buffer.position
            if looked > LARGEST or not buffer.more():
                return looked

    def _otherwise(self, line: bytes, size: int, error: NotADocument) -> tuple[int, Record] | Problem:
        """What begins here, where the line of ``size`` bytes is no document: less is, or more, or nothing can be."""
        buffer = self._buffer
        scan = _Scan()
        close = scan.feed(buffer.data, buffer.position, buffer.position + size)
        unknown = self._layout is _Layout.UNKNOWN
        if scan.done:
            found = self._made(close)
            if unknown and not isinstance(found, Problem):
                self._layout = _Layout.FREE
            return found
        ended = not buffer.hold(size + 2)
        following = buffer.data[buffer.position + size + 1 : buffer.position + size + 2]
        ended = ended and not following
        if unknown and (ended or (line.endswith(_CONTINUED) and following != b"{")):
            return self._by_brackets()
        if ended:
            return cut_short(buffer.offset, "a document", buffer.offset + size, buffer.damage)
        problem = not_a_document(buffer.offset, error)
        buffer.position += size
        return problem

    def _made(self, end: int) -> tuple[int, Record] | Problem:
        """The record of what is held up to ``end``."""
        buffer = self._buffer
        offset, text = buffer.offset, buffer.data[buffer.position : end]
        buffer.position = end
        try:
            return offset, self._read(text)
        except NotADocument as error:
            return not_a_document(offset, error)

    def _by_brackets(self) -> tuple[int, Record] | Problem:
        """The document that begins here and ends with its last bracket, over however many lines."""
        buffer = self._buffer
        scan = _Scan()
        offset, looked = buffer.offset, 0
        while True:
            at = scan.feed(buffer.data, buffer.position + looked, len(buffer.data))
            looked = at - buffer.position
            if looked > LARGEST:
                buffer.position = at
                return self._pass_by(scan, offset)
            if scan.done:
                self._layout = _Layout.FREE
                return self._made(at)
            if scan.broken:
                return self._without_end(offset)
            if not buffer.more():
                return cut_short(offset, "a document", buffer.offset + len(buffer.data), buffer.damage)

    def _pass_by(self, scan: _Scan, offset: int, *, within_line: bool = False) -> Problem:
        """Go to the end of a value that begins at ``offset``, or of its line, without holding it."""
        buffer = self._buffer
        while not scan.done:
            line_end = buffer.data.find(b"\n", buffer.position) if within_line else -1
            end = line_end if line_end >= 0 else len(buffer.data)
            buffer.position = scan.feed(buffer.data, buffer.position, end)
            if line_end >= 0 and not scan.done:
                buffer.position = line_end
                break
            if scan.broken:
                return self._without_end(offset)
            if not scan.done and not buffer.more():
                return cut_short(offset, "a document", buffer.offset + len(buffer.data), buffer.damage)
        return too_large(offset, buffer.offset - offset)

    def _without_end(self, offset: int) -> Problem:
        text = (
            "found a document with a line end inside a text, expected JSON; where it ends cannot be told, and nothing "
            "was read from here on"
        )
        return Problem(offset, Kind.DAMAGED, text)

    def _no_document(self) -> Problem:
        """Pass by something else where a document is expected."""
        buffer = self._buffer
        offset, first = buffer.offset, buffer.data[buffer.position : buffer.position + 1]
        if first == b"[":
            found = self._pass_by(_Scan(), offset)
            return found if found.breaks else not_a_document(offset, "a JSON array")
        element = _ELEMENT if self._in_array else _REST_OF_LINE
        # A byte at least: a bracket may close nothing.
        skip = 0 if first == _QUOTE else 1
        while True:
            end = element.match(buffer.data, buffer.position + skip).end()  # type: ignore[union-attr]
            if end < len(buffer.data) or end - buffer.position > LARGEST:
                break
            if not buffer.more():
                if self._in_array:
                    return cut_short(offset, "an element", offset + len(buffer.data), buffer.damage)
                end = len(buffer.data)
                break
        buffer.position = end
        return not_a_document(
            offset, "a JSON string" if first == _QUOTE else "something that is no JSON object"
        )


def json_documents(buffer: Buffer, read: Callable[[bytes], Record]) -> Iterator[tuple[int, Record] | Problem]:
    """The documents of a dump in JSON, each with the offset of its first byte, and what could not be read, in order.

    Args:
        buffer: the dump, from its first byte.
        read: makes a record of a document's bytes, or raises :class:`~curation.dumps.problems.NotADocument`.
    """
    return _Reader(buffer, read).run()
