"""Documents in BSON are found one after the other, and again behind damage, if anything there is sound."""

from __future__ import annotations

import io
import random
import struct

import bson
import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dumps import bson_dump, streams
from curation.dumps.bson_dump import bson_documents, looks_like_bson, read_bson
from curation.dumps.problems import Kind, Problem
from curation.dumps.streams import Buffer, Stream
from curation.store import Record
from tests.support.dumps import bson_of, database_document

# With documents inside that begin as those of a collection do.
INNER = {"_id": ObjectId("0" * 23 + "1"), "x": 1.5}
DOCUMENTS = [database_document(n, inner=INNER, several=[INNER, INNER], text="a" * n) for n in range(8)]
RAW = [bson.encode(document) for document in DOCUMENTS]
CONTENT = b"".join(RAW)
STARTS = [sum(map(len, RAW[:n])) for n in range(len(RAW) + 1)]
RECORDS = [read_bson(raw) for raw in RAW]
Found = list[tuple[int, Record] | Problem]


def found(content: bytes, block: int = 1 << 20) -> Found:
    before, streams.BLOCK, streams._READ = (streams.BLOCK, streams._READ), block, block
    try:
        return list(bson_documents(Buffer(Stream(io.BytesIO(content))), read_bson))
    finally:
        streams.BLOCK, streams._READ = before


def split(results: Found) -> tuple[list[Record], list[tuple[int, Kind]]]:
    records = [one[1] for one in results if not isinstance(one, Problem)]
    return records, [(one.offset, one.kind) for one in results if isinstance(one, Problem)]


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_every_document_and_its_place(block: int) -> None:
    assert found(CONTENT, block) == list(zip(STARTS, RECORDS, strict=False))
    assert found(b"", block) == []


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(CONTENT)), st.sampled_from([7, 1 << 20]))
def test_a_cut_leaves_what_is_before_it_and_is_named(cut: int, block: int) -> None:
    whole = sum(end <= cut for end in STARTS[1:])
    problems = [] if cut in STARTS else [(STARTS[whole], Kind.CUT_SHORT)]
    assert split(found(CONTENT[:cut], block)) == (RECORDS[:whole], problems)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 6), st.data(), st.sampled_from([7, 1 << 20]))
def test_damage_costs_one_document_or_none(number: int, data: st.DataObject, block: int) -> None:
    place = data.draw(st.integers(0, len(RAW[number]) - 1) | st.sampled_from([0, 1, 2, 3]))
    damaged = bytearray(CONTENT)
    damaged[STARTS[number] + place] ^= data.draw(st.integers(1, 255))
    records, problems = split(found(bytes(damaged), block))
    others = RECORDS[:number] + RECORDS[number + 1 :]
    if problems:
        assert problems[0][0] == STARTS[number] and len(problems) == 1
        if problems[0][1] is Kind.CUT_SHORT:
            # A length beyond the end, and one document more: it may be inside of the one that is cut off.
            others = RECORDS[:6]
            assert number == 6
        assert records == others
    else:
        # A changed value that is as good as any.
        assert records[:number] + records[number + 1 :] == others


@pytest.mark.parametrize("length", [0, 4, -1, -(2**31), 2**31 - 1, 65 << 20, 70, 10_000_000])
def test_a_wrong_length_is_named_and_documents_are_found_again(length: int) -> None:
    content = bytearray(CONTENT)
    content[STARTS[2] : STARTS[2] + 4] = struct.pack("<i", length)
    results = found(bytes(content))
    records, problems = split(results)
    assert problems == [(STARTS[2], Kind.DAMAGED)] and records == RECORDS[:2] + RECORDS[3:]
    text = next(str(one) for one in results if isinstance(one, Problem))
    assert f"byte {STARTS[2]}: " in text and f"from byte {STARTS[3]} on" in text


def test_the_last_document_behind_damage_is_read_where_no_cut_can_be_meant() -> None:
    content = bytearray(CONTENT[STARTS[6] :])
    content[:4] = b"\0\0\0\0"
    assert split(found(bytes(content))) == (RECORDS[7:], [(0, Kind.DAMAGED)])
    # A length beyond the end is that of a document cut off, whose own last bytes must not be taken for another.
    inner = bson.encode({"_id": ObjectId(), "x": {"_id": ObjectId(), "y": 1}, "z": 1})
    cut = inner.index(b"\x10z\0")
    assert split(found(inner[:cut])) == ([], [(0, Kind.CUT_SHORT)])


def test_garbage_without_an_end_is_named_once() -> None:
    garbage = random.Random(3).randbytes(50_000)
    for start in (b"\0\0\0\0", b"\xff\xff\xff\x7f\x02"):
        records, problems = split(found(CONTENT + start + garbage, 1000))
        kind = Kind.DAMAGED if start == b"\0\0\0\0" else Kind.CUT_SHORT  # as it claims
        assert records == RECORDS and problems == [(len(CONTENT), kind)]


def test_a_sound_frame_around_no_document_is_passed_by() -> None:
    bad = bytearray(RAW[3])
    bad[bad.index(b"\x07_id")] = 0x55
    content = b"".join([*RAW[:3], bytes(bad), *RAW[4:]])
    assert split(found(content)) == (RECORDS[:3] + RECORDS[4:], [(STARTS[3], Kind.NOT_A_DOCUMENT)])
    last = b"".join([*RAW[:3], bytes(bad)])
    assert split(found(last)) == (RECORDS[:3], [(STARTS[3], Kind.NOT_A_DOCUMENT)])


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
@pytest.mark.parametrize("after", [2, 7, 8])
def test_a_document_too_large_is_passed_by(block: int, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bson_dump, "LARGEST", 2000)
    large = bson.encode({"_id": ObjectId(), "text": "x" * 4000, "inner": [INNER, INNER]})
    content = b"".join([*RAW[:after], large, *RAW[after:]])
    assert split(found(content, block)) == (RECORDS, [(STARTS[after], Kind.TOO_LARGE)])
    # Its length is not believed if no document is where it leads, nor one that leads past documents.
    for wrong in (struct.pack("<i", len(large) + 3) + large[4:], struct.pack("<i", 2**31 - 1) + large[4:]):
        content = b"".join([*RAW[:after], wrong, *RAW[after:]])
        records, problems = split(found(content, block))
        beyond = after == 8 or (after == 7 and wrong.startswith(b"\xff"))
        assert problems == [(STARTS[after], Kind.CUT_SHORT if beyond else Kind.DAMAGED)]
        # One document before the end is none for sure.
        assert records == (RECORDS if after == 2 else RECORDS[:after])


def test_a_document_too_large_before_one_that_does_not_begin_as_those_of_mongodb(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bson_dump, "LARGEST", 2000)
    large = bson.encode({"text": "x" * 4000})
    for rest in (b"", bson.encode({}), bson.encode({"a": 1}) + bson.encode({})):
        _, problems = split(found(large + rest, 100))
        assert problems == [(0, Kind.TOO_LARGE)]
    assert split(found(large[:-1], 100))[1] == [(0, Kind.CUT_SHORT)]


def test_documents_without_an_id_are_read() -> None:
    plain = [{"a": 1}, {}, {"b": {}}]
    records, problems = split(found(bson_of(plain)))
    assert [record.document for record in records] == [b'{"a":1}', b"{}", b'{"b":{}}'] and problems == []


@pytest.mark.parametrize(
    ("start", "expected"),
    [(RAW[0][:5], True), (b"\5\0\0\0\0", True), (b'{"a":', False), (b"[\n{\n ", False), (b"\0\0\0\0\0", False),
     (b"\xff\xff\xff\xff\2", False), (b"\1\2\3", False)],
)  # fmt: skip
def test_the_first_bytes_tell(start: bytes, expected: bool) -> None:
    assert looks_like_bson(start) is expected
