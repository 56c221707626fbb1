"""A page of the Web-API, taken apart without touching the bytes of its documents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # CPython's own string scanner, untyped
from operator import lt
from typing import Any

import msgspec

from curation.objectid import are_object_ids
from curation.store import Record
from curation.store.parts import decode_keys

MAX_RESULTS = 50
"""The service's cap on documents a page (facts on the service: asking for 1000 gives 50)."""


class BadAnswer(ValueError):
    """The answer is not a page, or not the page that was asked for."""


class Misleading(BadAnswer):
    """The answer is a page that contradicts itself or what was asked for; no record is to blame."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the service.

    Attributes:
        records: the documents, in the order they came.
        total: how many documents the service says match the filter.
        max_results: how many a page holds, as the service says (it may cap what was asked).
        size: bytes of the answer's body.
    """

    records: list[Record]
    total: int
    max_results: int
    size: int


class _Meta(msgspec.Struct):
    total: int
    max_results: int


class _Envelope(msgspec.Struct):
    items: list[msgspec.Raw] = msgspec.field(name="_items")
    meta: _Meta = msgspec.field(name="_meta")


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
# What may stand before and after a token that is a value.
_BEFORE, _AFTER = b":[, \t\r\n", b",]} \t\r\n"


def check_page(
    page: Page, after: str, through: str, size: int, number: int = 1, *, descending: bool = False
) -> None:
    """Check that a page is what was asked for: ids in order within ``(after, through]``, as many as announced.

    Args:
        page: the answer.
        after, through: the range of ids that was asked for.
        size, number: the ``max_results`` and ``page`` that were asked for.
        descending: whether the order was.

    Raises:
        BadAnswer: an id is no ObjectId.
        Misleading: it is not.
    """
    if page.max_results < 1 or page.total < 0:
        raise Misleading("a page with max_results below 1 or a negative total")
    size = min(size, page.max_results)
    expected = max(0, min(size, page.total - (number - 1) * size))
    if len(page.records) != expected:
        raise Misleading(f"the page has {len(page.records)} documents where its totals promise {expected}")
    if not page.records:
        return
    ids = [record.id for record in page.records]
    if descending:
        ids.reverse()
    if not are_object_ids(ids):
        raise BadAnswer("an _id that is no ObjectId")
    if not all(map(lt, [after, *ids], ids)) or ids[-1] > through:
        raise Misleading("ids out of order or outside the range that was asked for")


def parse_page(body: bytes) -> Page:
    """Take a page apart.

    msgspec finds the documents' bytes without building them. It refuses the bare tokens ``NaN`` and ``Infinity`` that
    the service sends, and is shown numbers of the same length in their place. What it refuses all the same is read by
    the standard library's parser, several times slower.

    Raises:
        BadAnswer: the body is no page in either reading.
    """
    try:
        if not body.isascii():
            # msgspec passes over strings without looking whether they are UTF-8.
            body.decode("utf-8")
        try:
            return _parse_strictly(body)
        except msgspec.DecodeError:
            return _parse_non_finite(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_leniently(body)


def _parse_strictly(body: bytes) -> Page:
    envelope = _decode_envelope(body)
    records = []
    for raw in envelope.items:
        keys = decode_keys(raw)
        records.append(Record(keys.id, keys.etag, keys.created, keys.updated, bytes(raw)))
    return Page(records, envelope.meta.total, envelope.meta.max_results, len(body))


def _parse_non_finite(body: bytes) -> Page:
    finite = _replaced(_replaced(body, b"NaN", b"0E0"), b"Infinity", b"1E000000", signs=b"-")
    page = _parse_strictly(finite)
    records, begin, end = [], len(body), 0
    for record in page.records:
        if "E0" in f"{record.id}{record.etag}{record.created}{record.updated}":
            # A key that may have been changed.
            return _parse_leniently(body)
        start = finite.index(record.document, end)
        begin, end = min(begin, start), start + len(record.document)
        records.append(msgspec.structs.replace(record, document=body[start:end]))
    if finite.count(b'"_items"', 0, begin) != 1:
        # Of a key that stands twice, msgspec takes the last without a word.
        return _parse_leniently(body)
    return Page(records, page.total, page.max_results, page.size)


def _replaced(body: bytes, token: bytes, number: bytes, signs: bytes = b"") -> bytes:
    """``body`` with a number of the same length for every ``token`` that stands where a value may.

    A string that reads like one is changed, too; positions are not.
    """
    first, *others = body.split(token)
    if not others:
        return body
    pieces, before = [first], first
    for piece in others:
        value = before[-1:] and before[-1] in signs + _BEFORE and piece[:1] and piece[0] in _AFTER
        pieces += (number if value else token, piece)
        before = piece
    return b"".join(pieces)


def _parse_leniently(body: bytes) -> Page:
    try:
        text = body.decode("utf-8")
        envelope = json.loads(text)
        total, max_results = envelope["_meta"]["total"], envelope["_meta"]["max_results"]
        items = envelope["_items"]
        documents = _item_texts(text)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        # Never the content: it may hold personal data.
        raise BadAnswer(f"not a page of JSON ({type(error).__name__}, {len(body)} bytes)") from None
    if not (isinstance(total, int) and isinstance(max_results, int) and isinstance(items, list)):
        raise BadAnswer("_items, _meta.total or _meta.max_results is not what a page has")
    if len(documents) != len(items):
        raise BadAnswer("two _items in one page")
    records = [_record(item, document) for item, document in zip(items, documents, strict=True)]
    return Page(records, total, max_results, len(body))


def _record(item: Any, document: str) -> Record:
    if not isinstance(item, dict) or not isinstance(item.get("_id"), str):
        raise BadAnswer("an item without a text _id")
    # A record whose etag or times are nothing that they can be is kept like any other.
    etag, created, updated = (
        key if isinstance(key, str) and key.isascii() else ""
        for key in (item.get("_etag"), item.get("_created"), item.get("_updated"))
    )
    return Record(item["_id"], etag, created, updated, document.encode())


def _item_texts(text: str) -> list[str]:
    """The text of each element of the top-level ``_items`` of a valid JSON object."""
    decode = json.JSONDecoder().raw_decode
    position = _skip(text, 0)
    documents: list[str] = []
    while text[position] != "}":
        key, position = scanstring(text, _skip(text, position + 1) + 1, True)
        position = _skip(text, _skip(text, position) + 1)  # past the colon
        if key != "_items":
            _, position = decode(text, position)
        elif text[_skip(text, position + 1)] == "]":
            position = _skip(text, position + 1) + 1
        else:
            while text[position] != "]":
                start = _skip(text, position + 1)
                _, end = decode(text, start)
                documents.append(text[start:end])
                position = _skip(text, end)
            position += 1
        position = _skip(text, position)
    return documents


def _skip(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position
