"""Pages are taken apart without touching the bytes of their documents."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.pull.pages import BadAnswer, Page, _parse_leniently, check_page, parse_page
from curation.store import Record

ID = "5a497a0000000000000000"


def page_of(*documents: str, total: int | None = None) -> bytes:
    items = " ,\n".join(documents)
    count = len(documents) if total is None else total
    return f'{{"_items" : [{items}], "_meta": {{"page": 1, "max_results": 50, "total": {count}}}}}'.encode()


# What a careless reader would change: tokens that are not JSON, white space, escapes, number formats, repeated keys.
ODD = [
    '{"_id": "a", "x": NaN}',
    '{"_id": "a", "x": [Infinity, -Infinity, {"y": NaN}]}',
    '{ "_id"\t:\n"a" ,\r\n "x" : 1.0 }',
    '{"_id": "a", "x": "NaN ] } \\" \\\\ \\u00e9 \\ud83d\\ude00 é"}',
    '{"_id": "a", "x": 1e400, "y": 1E-7, "z": 3, "w": 3.0, "v": -0.0}',
    '{"_id": "b", "x": 1, "x": 2, "_id": "a"}',
    '{"_items": [1], "_meta": {"total": 9}, "_id": "a"}',
    '{"_id": "a", "x": "\\ud800"}',
    '{"_id": "a", "_etag": null, "_created": 3, "_updated": {"$date": 1}}',
    '{"_id": "a", "x": 12345678901234567890123456789}',
    '{"_id": "a", "x": ": NaN,", "y":Infinity,"z":-Infinity, "0E0": [NaN,NaN ,\n NaN]}',
    '{"_id": "a", "_etag": "[NaN]", "_created": ":-Infinity ", "x": NaN}',
]


@pytest.mark.parametrize("document", ODD)
@pytest.mark.parametrize("beside", ['{"_id":"b"}', '{"_id":"b","y":NaN}'], ids=["strict", "lenient"])
def test_documents_keep_their_bytes(document: str, beside: str) -> None:
    page = parse_page(page_of(document, beside))
    assert [record.document for record in page.records] == [document.encode(), beside.encode()]
    assert [record.id for record in page.records] == ["a", "b"]
    assert (page.total, page.max_results) == (2, 50)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=4),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_any_documents_keep_their_bytes(
    contents: list[dict], indent: str | int | None, ascii_only: bool
) -> None:
    documents = [
        json.dumps({**content, "_id": f"{number:024x}"}, indent=indent, ensure_ascii=ascii_only)
        for number, content in enumerate(contents)
    ]
    try:
        body = page_of(*documents)
    except UnicodeEncodeError:  # a lone surrogate, which no server can send unescaped
        return
    expected = [document.encode() for document in documents]
    assert [record.document for record in parse_page(body).records] == expected


def test_keys_are_read_from_the_document_itself_not_from_what_it_holds() -> None:
    nested = '{"bids_meta": {"_id": "x", "_etag": "y"}, "_id": "a", "_etag": "e", "_updated": "u", "_created": "c"}'
    (record,) = parse_page(page_of(nested)).records
    assert record == Record("a", "e", "c", "u", nested.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"_items": []}',
        b'{"_items": {}, "_meta": {"total": 0, "max_results": 50}}',
        b'{"_items": [], "_meta": {"total": "0", "max_results": 50}}',
        b'{"_items": [1], "_meta": {"total": 1, "max_results": 50}}',
        b'{"_items": [{"x": 1}], "_meta": {"total": 1, "max_results": 50}}',
        b'{"_items": [{"_id": {"$oid": "a"}}], "_meta": {"total": 1, "max_results": 50}}',
        b'{"_items": [{"_id": "a", "x": "\xff"}], "_meta": {"total": 1, "max_results": 50}}',
        b'{"_items": [{"_id": "a", "x": "\xff", "y": NaN}], "_meta": {"total": 1, "max_results": 50}}',
        b'{"_items": [{"_id": "a", "x": 01}], "_meta": {"total": 1, "max_results": 50}}',
        b'{"_items": [{"_id": "a", "x": ' + b"[" * 50_000 + b"]" * 50_000 + b'}], "_meta": {"total": 1}}',
        b'{"_items": [NaN], "_items": [], "_meta": {"total": 1, "max_results": 50}}',
        b"\xef\xbb\xbf" + page_of('{"_id": "a"}'),
    ],
)
def test_what_is_no_page_is_refused_without_telling_its_content(body: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        parse_page(body)
    assert "_id" not in str(caught.value) or "text _id" in str(caught.value)


@pytest.mark.parametrize(
    "token", ["-NaN", "--Infinity", "1NaN", "NaN0", "NaNNaN", "+Infinity", "nan", '"\\uNaN1"']
)
def test_tokens_that_only_look_non_finite_are_refused(token: str) -> None:
    with pytest.raises(BadAnswer):
        parse_page(page_of(f'{{"_id": "a", "x": {token}}}', '{"_id": "b", "y": NaN}'))


@given(st.lists(st.sampled_from(ODD), max_size=4))
def test_both_readings_of_a_page_agree(documents: list[str]) -> None:
    body = page_of(*documents, '{"_id": "b", "y": -Infinity}')
    assert parse_page(body) == _parse_leniently(body)


@given(st.data())
def test_a_cut_page_is_never_taken_for_a_whole_one(data: st.DataObject) -> None:
    body = page_of(*data.draw(st.lists(st.sampled_from(ODD), min_size=1, max_size=3)))
    with pytest.raises(BadAnswer):
        parse_page(body[: data.draw(st.integers(0, len(body) - 1))])


def listing(*numbers: int, total: int, max_results: int = 50) -> Page:
    return Page([Record(f"{ID}{n:02x}", "", "", "", b"") for n in numbers], total, max_results, 0)


@pytest.mark.parametrize(
    "page",
    [
        listing(2, 1, total=2),
        listing(1, 1, total=2),
        listing(1, 2, total=3),
        listing(1, 2, total=1),
        listing(total=1),
        listing(1, 99, total=2),
        listing(0, 1, total=2),
        listing(1, total=1, max_results=0),
        listing(total=-1),
        Page([Record("z" * 24, "", "", "", b"")], 1, 50, 0),
        Page([Record(f"{ID}1", "", "", "", b"")], 1, 50, 0),
    ],
)
def test_a_page_that_is_not_what_was_asked_for_is_refused(page: Page) -> None:
    with pytest.raises(BadAnswer):
        check_page(page, f"{ID}00", f"{ID}50", 50)


def test_a_page_that_is_what_was_asked_for_passes() -> None:
    check_page(listing(1, 2, total=2), f"{ID}00", f"{ID}50", 50)
    check_page(listing(1, 2, total=9), f"{ID}00", f"{ID}50", 2)
    check_page(listing(1, 2, total=9, max_results=2), f"{ID}00", f"{ID}50", 50)
    check_page(listing(9, total=9, max_results=2), f"{ID}00", f"{ID}50", 50, number=5)
    check_page(listing(2, 1, total=2), f"{ID}00", f"{ID}50", 50, descending=True)
    check_page(listing(total=9), f"{ID}00", f"{ID}50", 1, number=10)
