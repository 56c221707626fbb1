"""Dumps as streams of bytes, decompressed on the way: plain, gzip or Zstandard, as their first bytes say.

Everything that can be had of a stream that is cut short or damaged is given out before its end is told. Offsets are
those of the decompressed stream.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import zstandard

BLOCK = 1 << 20
"""Bytes given out at a time, at least where there are as many."""
# Compressed bytes read at a time, and the most that is made of them before it is given out: files of a few kilobytes
# can hold gigabytes.
_READ = 1 << 18
_INFLATE = 1 << 16
_LARGEST_PIECE = 4 << 20

# https://www.rfc-editor.org/rfc/rfc1952 (2.3.1), https://www.rfc-editor.org/rfc/rfc8878 (3.1)
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte from 0x50 to 0x5f
_RLE, _RESERVED = 1, 3
_GZIP_WINDOW = 31  # zlib: the largest window, and gzip's header and trailer around the data


class _BrokenError(Exception):
    """Why a stream ends before its time."""


class _Raw:
    """The bytes of a file as they are on disk, counted and digested."""

    def __init__(self, source: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self._source = source
        self._on_bytes = on_bytes
        self._waiting = b""
        self.count = 0
        self.digest = hashlib.sha256()
        self.ended = False

    def some(self) -> bytes:
        """Some bytes; none at the end."""
        if waiting := self._waiting:
            self._waiting = b""
            return waiting
        try:
            block = self._source.read(_READ)
        except OSError as error:
            raise _BrokenError(f"it cannot be read any further: {error.strerror}") from error
        self.ended = not block
        self.digest.update(block)
        self.count += len(block)
        self._on_bytes(len(block))
        return block

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, which stay; fewer at the end."""
        while len(self._waiting) < size:
            before, self._waiting = self._waiting, b""
            block = self.some()
            self._waiting = before + block
            if not block:
                break
        return self._waiting[:size]

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes.

        Raises:
            _BrokenError: there are fewer.
        """
        taken = self.peek(size)
        if len(taken) < size:
            raise _BrokenError("its compressed data are cut short")
        self._waiting = self._waiting[size:]
        return taken


class Stream:
    """A dump's bytes as they were before it was compressed.

    Args:
        source: an open file.
        on_bytes: told how many bytes of the file were read, each time.

    Attributes:
        compression: ``gzip``, ``zstd``, or ``None``.
        damage: why the stream ended before its time; ``None`` as long as it did not.
    """

    def __init__(self, source: BinaryIO, on_bytes: Callable[[int], None] = lambda count: None) -> None:
        self._raw = _Raw(source, on_bytes)
        self.compression: str | None = None
        self.damage: str | None = None
        self._pieces = self._open()

    def _open(self) -> Iterator[bytes]:
        start = self._raw.peek(len(_ZSTD))
        # A file of less than that is cut off within it.
        if start.startswith(_GZIP) or start == _GZIP[:1]:
            self.compression = "gzip"
            return _gunzip(self._raw)
        if (start and _ZSTD.startswith(start)) or _is_skippable(start):
            self.compression = "zstd"
            return _unzstd(self._raw)
        return iter(self._raw.some, b"")

    @property
    def size(self) -> int:
        """Bytes of the file read so far."""
        return self._raw.count

    @property
    def sha256(self) -> str | None:
        """SHA-256 (hex) of the file; ``None`` if it was not read to its end."""
        return self._raw.digest.hexdigest() if self._raw.ended else None

    def read(self) -> bytes:
        """The next bytes, about :data:`BLOCK` of them; none at the end."""
        taken: list[bytes] = []
        size = 0
        try:
            while size < BLOCK and (piece := next(self._pieces, None)) is not None:
                taken.append(piece)
                size += len(piece)
        except _BrokenError as error:
            self.damage = str(error)
            self._pieces = iter(())
        return taken[0] if len(taken) == 1 else b"".join(taken)


def _gunzip(raw: _Raw) -> Iterator[bytes]:
    member = None
    first = True
    while block := raw.some():
        for start in range(0, len(block), _INFLATE):
            rest = block[start : start + _INFLATE]
            while rest:
                if member is None:
                    # Zeros after a member are padding, to gzip(1) too.
                    rest = rest if first else rest.lstrip(b"\0")
                    if not rest:
                        break
                    member, first = zlib.decompressobj(_GZIP_WINDOW), False
                before = member.copy()
                try:
                    yield member.decompress(rest, _LARGEST_PIECE)
                except zlib.error:
                    yield from _up_to_damage(before, rest)
                    raise _BrokenError("its gzip data are damaged") from None
                rest = member.unused_data if member.eof else member.unconsumed_tail
                member = None if member.eof else member
    if member is not None:
        yield member.flush()
        if not member.eof:
            raise _BrokenError("its gzip data are cut short")


def _up_to_damage(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:  # type: ignore[name-defined]
    """What ``data`` gives byte by byte before it fails: a failing call returns nothing of what came before."""
    try:
        for place in range(len(data)):
            yield member.decompress(data[place : place + 1])
    except zlib.error:
        return


def _is_skippable(magic: bytes) -> bool:
    return magic[1:] == _ZSTD_SKIPPABLE and magic[0] >> 4 == 5


def _unzstd(raw: _Raw) -> Iterator[bytes]:
    while magic := raw.peek(len(_ZSTD)):
        if _is_skippable(magic):
            raw.take(len(_ZSTD))
            left = int.from_bytes(raw.take(4), "little")
            while left:
                left -= len(raw.take(min(left, _READ)))
        elif _ZSTD.startswith(magic):
            yield from _frame(raw)
        else:
            raise _BrokenError("its Zstandard data are damaged")


def _frame(raw: _Raw) -> Iterator[bytes]:
    """One frame, block by block: a block gives 128 KiB at the most, and the end of the last is the frame's.

    The library's own readers do not tell a frame that was cut off from one that is whole.
    https://www.rfc-editor.org/rfc/rfc8878 (3.1.1)
    """
    frame = zstandard.ZstdDecompressor().decompressobj()
    start = raw.take(len(_ZSTD) + 1)
    descriptor = start[-1]
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    content_size = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    dictionary_id = (0, 1, 2, 4)[descriptor & 3]
    try:
        yield frame.decompress(start + raw.take(1 - single + dictionary_id + content_size))
        last = 0
        while not last:
            header = raw.take(3)
            last, kind, size = header[0] & 1, header[0] >> 1 & 3, int.from_bytes(header, "little") >> 3
            if kind == _RESERVED:
                raise _BrokenError("its Zstandard data are damaged")
            yield frame.decompress(header + raw.take(1 if kind == _RLE else size))
        if checksum:
            yield frame.decompress(raw.take(4))
    except zstandard.ZstdError:
        raise _BrokenError("its Zstandard data are damaged, or need a window of more than 128 MiB") from None


class Buffer:
    """What is held of a stream: the bytes from a position on.

    Attributes:
        data: the bytes held.
        position: of the next byte that was not dealt with, within ``data``.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._start = 0
        self.data = b""
        self.position = 0

    @property
    def offset(self) -> int:
        """Of :attr:`position`, in the stream."""
        return self._start + self.position

    @property
    def damage(self) -> str | None:
        """Why the stream ended before its time, once it has."""
        return self._stream.damage

    def more(self) -> bool:
        """Take more from the stream and forget what is before :attr:`position`; whether there was more."""
        block = self._stream.read()
        self._start += self.position
        self.data = self.data[self.position :] + block
        self.position = 0
        return bool(block)

    def hold(self, size: int) -> bool:
        """Hold at least ``size`` bytes from :attr:`position` on; whether there are as many."""
        while len(self.data) - self.position < size:
            if not self.more():
                return False
        return True
