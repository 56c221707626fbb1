"""Documents in JSON are found however they are laid out, and what is broken is named where it is."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dumps import json_dump, streams
from curation.dumps.extended import read_json
from curation.dumps.json_dump import json_documents
from curation.dumps.problems import Kind, Problem
from curation.dumps.streams import Buffer, Stream
from curation.store import Record
from tests.support.dumps import database_document, dialects

DOCUMENTS = [
    database_document(n, text='a "quoted" \\ [bracket}, {"é": 1}', nested=[[{"a": {}}], {"b": [1, 2]}, []])
    for n in range(5)
]


def pretty(indent: int | str | None) -> list[str]:
    return [
        json.dumps(json.loads(read_json(dialects(d)["relaxed"]).document), indent=indent) for d in DOCUMENTS
    ]


LINES = pretty(None)
LAYOUTS: dict[str, str] = {
    "lines": "\n".join(LINES) + "\n",
    "lines without the last end": "\n".join(LINES),
    "lines of Windows": "\r\n".join(LINES) + "\r\n",
    "lines with blank ones": "\n\n  \n".join(["", *LINES, ""]),
    "two on a line": f"{LINES[0]} {LINES[1]}\n{LINES[2]}\n{LINES[3]}{LINES[4]}",
    "array, one line": "[" + ",".join(LINES) + "]",
    "array, blanks": " [ " + " , ".join(LINES) + " ]\n",
    "array, a document a line": "[" + ",\n".join(LINES) + "]\n",
    "array, comma first": "[\n" + "\n,".join(LINES) + "\n]\n",
    "array, over lines": "[\n" + ",\n".join(pretty(2)) + "\n]\n",
    "array, not indented": "[\n" + ",\n".join(pretty(0)) + "\n]\n",
    "over lines": "\n".join(pretty("\t")),
    "arrays one after the other": "[" + ",".join(LINES[:2]) + "]\n[" + ",\n".join(LINES[2:]) + "]",
    "array in a lines file": LINES[0] + "\n" + LINES[1] + "\n[" + ",".join(LINES[2:]) + "]\n",
}
Found = list[tuple[int, Record] | Problem]


def found(content: bytes | str, block: int = 1 << 20, read: Callable[[bytes], Record] = read_json) -> Found:
    data = content.encode() if isinstance(content, str) else content
    before, streams.BLOCK, streams._READ = (streams.BLOCK, streams._READ), block, block
    try:
        return list(json_documents(Buffer(Stream(io.BytesIO(data))), read))
    finally:
        streams.BLOCK, streams._READ = before


def split(results: Found) -> tuple[list[bytes], list[tuple[int, Kind]]]:
    documents = [one[1].document for one in results if not isinstance(one, Problem)]
    return documents, [(one.offset, one.kind) for one in results if isinstance(one, Problem)]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("block", [1, 7, 100, 1 << 20])
def test_every_layout_gives_the_documents_and_their_places(name: str, block: int) -> None:
    content = LAYOUTS[name].encode()
    results = found(content, block)
    documents, problems = split(results)
    assert [json.loads(document) for document in documents] == [json.loads(line) for line in LINES]
    assert problems == []
    for offset, record in results:  # type: ignore[misc]
        assert content[offset : offset + len(record.document)] == record.document


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(LAYOUTS)), st.data())
def test_a_cut_leaves_what_is_before_it_and_is_named(name: str, data: st.DataObject) -> None:
    content = LAYOUTS[name].encode()
    whole = [(offset, offset + len(record.document)) for offset, record in found(content)]  # type: ignore[misc]
    cut = data.draw(st.integers(0, len(content)) | st.sampled_from([end for _, end in whole]))
    documents, problems = split(found(content[:cut], data.draw(st.sampled_from([5, 1 << 20]))))
    before = [content[start:end] for start, end in whole if end <= cut]
    assert documents == before
    inside = [start for start, end in whole if start < cut < end]
    if inside:
        assert problems == [(inside[0], Kind.CUT_SHORT)]
    elif open_array(content[:cut].decode()):
        assert problems == [(cut, Kind.CUT_SHORT)]
    else:
        assert problems == []


def open_array(text: str) -> bool:
    """Whether an array was begun and not ended, of text that ends between documents."""
    for line in sorted({*LINES, *pretty(2), *pretty(0), *pretty("\t")}, key=len, reverse=True):
        text = text.replace(line, "")
    return text.count("[") > text.count("]")


A, B, C = '{"a": 1}', '{"b": [2]}', '{"c": {}}'
BAD = [
    # name, content, documents, problems
    ("lines", f"{A}\nnonsense\n{B}\n", [A, B], [(9, Kind.NOT_A_DOCUMENT)]),
    ("first line", f"nonsense\n{A}\n", [A], [(0, Kind.NOT_A_DOCUMENT)]),
    ("first line, shell", f'{{"_id": ObjectId("x")}}\n{A}\n', [A], [(0, Kind.NOT_A_DOCUMENT)]),
    ("first line, no end", f'{{"x": "y\n{A}\n{B}\n', [A, B], [(0, Kind.NOT_A_DOCUMENT)]),
    ("first line, unbalanced", f'{{"x": {{"y": 1}}\n{A}\n{B}\n', [A, B], [(0, Kind.NOT_A_DOCUMENT)]),
    ("first line, cut off", f'{{"x": 1,\n{A}\n{B}\n', [A, B], [(0, Kind.NOT_A_DOCUMENT)]),
    ("no end", f'{A}\n{{"x": "y\n{B}\n', [A, B], [(9, Kind.NOT_A_DOCUMENT)]),
    ("unbalanced", f'{A}\n{{"x": {{"y": 1}}\n{B}\n', [A, B], [(9, Kind.NOT_A_DOCUMENT)]),
    ("balanced", f'{A}\n{{"x": tru}}\n{B}\n', [A, B], [(9, Kind.NOT_A_DOCUMENT)]),
    ("last line", f'{A}\n{{"x": tru}}', [A], [(9, Kind.NOT_A_DOCUMENT)]),
    ("other values", f'{A}\n[1, {B}]\n42\n"x"\nnull\n{C}\n', [A, B, C],
     [(10, Kind.NOT_A_DOCUMENT), (25, Kind.NOT_A_DOCUMENT), (28, Kind.NOT_A_DOCUMENT), (32, Kind.NOT_A_DOCUMENT)]),
    ("not UTF-8", f"{A}\n".encode() + b'{"x": "\xff"}\n' + B.encode(), [A, B], [(9, Kind.NOT_A_DOCUMENT)]),
    ("zeros", f"{A}\n".encode() + b"\0" * 1000 + b"\n" + B.encode(), [A, B], [(9, Kind.NOT_A_DOCUMENT)]),
    ("array, values", f'[{A},42,"a,]{{b",null,[{B},[]],{C}]', [A, C],
     [(10, Kind.NOT_A_DOCUMENT), (13, Kind.NOT_A_DOCUMENT), (21, Kind.NOT_A_DOCUMENT), (26, Kind.NOT_A_DOCUMENT)]),
    ("array, only values", "[1, 2]", [], [(1, Kind.NOT_A_DOCUMENT), (4, Kind.NOT_A_DOCUMENT)]),
    ("array, balanced", f'[{A},{{"x": tru}},{B}]', [A, B], [(10, Kind.NOT_A_DOCUMENT)]),
    ("array of lines, no end", f'[{A},\n{{"x": "y}},\n{B},\n{C}]', [A, B, C], [(11, Kind.NOT_A_DOCUMENT)]),
    ("array over lines, no end", f'[{{\n"a": 1}},{{\n"x": "y\n}},{B}]', ['{\n"a": 1}'], [(11, Kind.DAMAGED)]),
    ("a bracket too many", f"{A}\n]\n{B}\n", [A, B], [(9, Kind.NOT_A_DOCUMENT)]),
    ("a brace too many", f"{A}}}\n{B}\n", [A, B], [(8, Kind.NOT_A_DOCUMENT)]),
    ("cut array, value", f"[{A}, 4", [A], [(11, Kind.CUT_SHORT)]),
    ("empty", "", [], []),
    ("blank", " \r\n\t\n", [], []),
    ("empty array", " [ ] ", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "documents", "problems"), BAD, ids=[bad[0] for bad in BAD])
@pytest.mark.parametrize("block", [1, 3, 1 << 20])
def test_what_is_broken_is_named_and_the_rest_is_read(
    name: str, content: bytes | str, documents: list[str], problems: list[tuple[int, Kind]], block: int
) -> None:
    assert split(found(content, block)) == ([text.encode() for text in documents], problems)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*LINES[:2], A, B, "\n", ",", "[", "]", '"', "{", "}", "x", "\\", " "]), max_size=12
    )
)
def test_nothing_depends_on_where_blocks_begin(pieces: list[str]) -> None:
    content = "".join(pieces)
    results = found(content)
    assert found(content, 1) == results and found(content, 5) == results
    places = [one.offset if isinstance(one, Problem) else one[0] for one in results]
    assert places == sorted(places)


LIMIT = 2000
LARGE = '{"large": "' + "x" * LIMIT + '", "y": [{}]}'


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_dump, "LARGEST", LIMIT)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("block", [1, 100, 1 << 20])
@pytest.mark.parametrize(
    ("content", "documents", "place"),
    [
        (f"{A}\n{LARGE}\n{B}\n", [A, B], 9),
        (f"{LARGE}\n{B}\n", [B], 0),
        (f"{A}\n{LARGE}", [A], 9),
        (f"[{A},{LARGE},{B}]", [A, B], 10),
        (f"[{LARGE},{B}]", [B], 1),
        (f"[{A},\n{LARGE},\n{B}]", [A, B], 11),
        (f"[\n{{\n}},\n{{\n{LARGE[1:-1]}\n}}\n,{B}]", ["{\n}", B], 7),
        (f"{A}\n{LARGE[:-1]}\n{B}\n", [A, B], 9),
        (f'{A}\n{{"large": "{"x" * LIMIT}\n{B}\n', [A, B], 9),
    ],
    ids=["line", "first line", "last line", "array", "first of array", "array of lines", "over lines", "unbalanced",
         "without an end"],
)  # fmt: skip
def test_a_document_too_large_is_passed_by(
    content: str, documents: list[str], place: int, block: int
) -> None:
    results, problems = split(found(content, block))
    assert results == [text.encode() for text in documents]
    assert problems == [(place, Kind.TOO_LARGE)]


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("start", [f"{A}\n", f"[{A},", ""])
def test_a_large_document_that_is_cut_is_cut(start: str) -> None:
    _, problems = split(found(start + LARGE[:-5]))
    assert problems == [(len(start), Kind.CUT_SHORT)]


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])
def test_the_limit_itself_is_allowed(size: int) -> None:
    text = '{"a": "' + "x" * (size - 9) + '"}'
    for content in (f"{A}\n{text}\n", f"[{A},{text}]", text):
        assert (text.encode() in split(found(content))[0]) == (size <= LIMIT)
