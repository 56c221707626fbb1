"""Compressed dumps give every byte that can be had, and their end is told."""

from __future__ import annotations

import gzip
import io
import random
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dumps import streams
from curation.dumps.streams import Buffer, Stream

CONTENT = random.Random(1).randbytes(3000) + b"documents " * 2000


def read(data: bytes) -> tuple[bytes, Stream]:
    stream = Stream(io.BytesIO(data))
    return b"".join(iter(stream.read, b"")), stream


def zst(content: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)  # type: ignore[arg-type]


def unsized(content: bytes) -> bytes:
    """A frame that does not tell the size of its content, as a pipe gives."""
    frame = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return frame.compress(content[:5000]) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) + frame.compress(
        content[5000:]
    ) + frame.flush()  # fmt: skip


SKIPPABLE = b"\x53\x2a\x4d\x18" + struct.pack("<I", 7) + b"skipped"
WHOLE = {
    "plain": CONTENT,
    "gzip": gzip.compress(CONTENT),
    "gzip, stored": gzip.compress(CONTENT, 0),
    "gzip members": gzip.compress(CONTENT[:777]) + gzip.compress(b"") + gzip.compress(CONTENT[777:]),
    "gzip, padded with zeros": gzip.compress(CONTENT) + b"\0" * 1000,
    "zstd": zst(CONTENT),
    "zstd, checked": zst(CONTENT, write_checksum=True, level=19),
    "zstd, without size": unsized(CONTENT),
    "zstd frames": zst(CONTENT[:777]) + SKIPPABLE + unsized(b"") + zst(CONTENT[777:]),
    "zstd, skippable first": SKIPPABLE + zst(CONTENT),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("piece", [1, 1000, 1 << 18])
def test_content_comes_back_whole(name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_READ", piece)
    monkeypatch.setattr(streams, "BLOCK", piece * 3)
    content, stream = read(WHOLE[name])
    assert content == CONTENT
    assert stream.damage is None and stream.compression == (None if name == "plain" else name[:4])
    assert stream.size == len(WHOLE[name]) and stream.sha256 is not None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([name for name in WHOLE if name != "plain"]), st.data())
def test_a_cut_is_told_and_costs_only_what_is_behind_it(name: str, data: st.DataObject) -> None:
    whole = WHOLE[name]
    cut = data.draw(st.integers(1, len(whole) - 1))
    content, stream = read(whole[:cut])
    if cut < 4 and whole.startswith(SKIPPABLE):
        return  # may be anything
    assert CONTENT.startswith(content)
    ends = {
        "gzip members": gzip_ends(),
        "zstd frames": zstd_ends(),
        "zstd, skippable first": {len(SKIPPABLE)},
    }
    if name == "gzip, padded with zeros" and cut >= len(whole) - 1000:
        assert stream.damage is None
    elif cut in ends.get(name, set()):
        # Nothing tells that something was to follow.
        assert stream.damage is None
    else:
        assert stream.damage is not None and "cut short" in stream.damage
    if "stored" in name and cut > 100:
        assert len(content) > cut - 100


def gzip_ends() -> set[int]:
    first = len(gzip.compress(CONTENT[:777]))
    return {first, first + len(gzip.compress(b""))}


def zstd_ends() -> set[int]:
    first = len(zst(CONTENT[:777]))
    return {first, first + len(SKIPPABLE), first + len(SKIPPABLE) + len(unsized(b""))}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["gzip", "zstd, checked"]), st.data())
def test_damage_is_told(name: str, data: st.DataObject) -> None:
    whole = bytearray(WHOLE[name])
    # Behind the header, where some bytes mean nothing to anybody.
    place = data.draw(st.integers(10, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    _, stream = read(bytes(whole))
    assert stream.damage is not None


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_what_follows_a_whole_stream_and_is_none_is_damage(name: str) -> None:
    content, stream = read(WHOLE[name] + b"garbage")
    assert content == CONTENT and stream.damage is not None


@pytest.mark.parametrize("compress", [lambda data: gzip.compress(data, 9), zst], ids=["gzip", "zstd"])
def test_much_that_is_packed_into_little_comes_in_pieces(compress) -> None:
    stream = Stream(io.BytesIO(compress(b"\0" * (64 << 20))))
    sizes = [len(piece) for piece in iter(stream.read, b"")]
    assert sum(sizes) == 64 << 20 and max(sizes) <= 6 << 20


def test_a_disk_that_fails_is_told() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(10)

    stream = Stream(Failing(b"0123456789abc"))
    assert stream.read() == b"0123456789" and stream.read() == b""
    assert stream.damage == "it cannot be read any further: Input/output error"
    assert stream.sha256 is None


def test_a_buffer_holds_no_more_than_it_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK", 100)
    monkeypatch.setattr(streams, "_READ", 100)
    buffer = Buffer(Stream(io.BytesIO(bytes(range(250)) * 4)))
    assert buffer.hold(150) and buffer.data[:3] == b"\0\1\2"
    buffer.position = 140
    assert buffer.hold(150) and buffer.offset == 140 and len(buffer.data) <= 300
    assert buffer.data[buffer.position] == 140
    assert not buffer.hold(861) and buffer.hold(860) and len(buffer.data) == 860
