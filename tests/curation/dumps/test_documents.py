"""A document is stored as the Web-API would have sent it, whichever dialect of a dump it comes in."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dumps.bson_dump import read_bson
from curation.dumps.extended import modality_of, read_json
from curation.dumps.problems import NotADocument
from flows.demo.server import DemoServer, database, make_app
from tests.support.documents import exact
from tests.support.dumps import database_document, dialects
from tests.support.web_client import ask

ID = "599f4c0b265d200008a1d8a7"
CREATED = "Thu, 24 Aug 2017 21:58:35 GMT"

dates = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["null", "NaN", '"$oid"', '{"$oid": "x"}', "1e-5,", "+Infinity", "\\", '\\"', "0.0000", "é\u2028", "😀"]
)
# No key of the document's own begins with "$" here: in extended JSON nobody could tell it from what that means.
keys = texts.filter(lambda text: not text.startswith("$"))
scalars = (
    st.floats()
    | st.sampled_from([1e-5, 6.5e-06, 1e16, 3.0, -0.0, 5e-324, math.nan, math.inf, -math.inf, 1.7e308])
    | st.integers(-(2**63), 2**63 - 1)
    | texts
    | st.booleans()
    | st.none()
    | dates
    | st.binary(min_size=12, max_size=12).map(ObjectId)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(keys, values, max_size=6).map(
    lambda own: {key: value for key, value in own.items() if not key.startswith("_")}
)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[DemoServer, Any]]:
    app = make_app(token="t")
    with DemoServer(app) as running:
        yield running, database(app)


@settings(max_examples=100, deadline=None)
@given(own=documents)
def test_what_is_stored_is_what_the_web_api_sends(
    server: tuple[DemoServer, Any], own: dict[str, Any]
) -> None:
    running, db = server
    document = database_document(1, age=7) | own
    db["T1w"].drop()
    db["T1w"].insert_one(bson.decode(bson.encode(document), bson.CodecOptions(tz_aware=True)))
    (sent,) = ask(f"{running.url}/T1w").json["_items"]
    text = ask(f"{running.url}/T1w/{document['_id']}").text
    record = read_bson(bson.encode(document))
    assert (record.id, record.etag, record.created, record.updated) == (
        sent["_id"], sent["_etag"], sent["_created"], sent["_updated"],
    )  # fmt: skip
    received = exact(text)
    received.pop("_links")
    assert exact(record.document) == received


@settings(max_examples=200, deadline=None)
@given(own=documents)
def test_every_dialect_gives_the_same_bytes(own: dict[str, Any]) -> None:
    document = database_document(1, age=7) | own
    expected = read_bson(bson.encode(document))
    # Without blanks, as Python writes it: numbers are to the bit what they were.
    plain = json.loads(expected.document)
    assert expected.document == json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()
    for name, text in dialects(document).items():
        assert read_json(text) == expected, name


@pytest.mark.parametrize("age", [0, 0.5, 0.999])
def test_moments_are_cut_to_the_second(age: float) -> None:
    document = database_document(1) | {"_updated": datetime(2018, 1, 1, tzinfo=UTC) + timedelta(seconds=age)}
    document["before 1970"] = datetime(1969, 12, 31, 23, 59, 58, tzinfo=UTC) + timedelta(seconds=age)
    for record in (read_bson(bson.encode(document)), *map(read_json, dialects(document).values())):
        assert record.updated == record.created == "Mon, 01 Jan 2018 00:00:00 GMT"
        assert json.loads(record.document)["before 1970"] == "Wed, 31 Dec 1969 23:59:58 GMT"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('{"$date": "2017-08-24T21:58:35Z"}', f'"{CREATED}"'),
        ('{"$date": "2017-08-24T21:58:35.999Z"}', f'"{CREATED}"'),
        ('{"$date": "2017-08-24T23:58:35.000+0200"}', f'"{CREATED}"'),
        ('{"$date": "2017-08-24T16:28:35-05:30"}', f'"{CREATED}"'),
        ('{"$date": "2017-08-24T21:58:35"}', f'"{CREATED}"'),
        ('{"$date": 1503611915000}', f'"{CREATED}"'),
        ('{"$date": 1503611915999}', f'"{CREATED}"'),
        ('{"$date":\t{"$numberLong" : "1503611915000"}}', f'"{CREATED}"'),
        ('{"$date": {"$numberLong": "253402300800000"}}', '{"$date":{"$numberLong":"253402300800000"}}'),
        ('{"$numberInt": "3"}', "3"),
        ('{"$numberInt": "-0"}', "0"),
        ('{"$numberLong": "9223372036854775807"}', "9223372036854775807"),
        ('{"$numberDouble": "3.0"}', "3.0"),
        ('{"$numberDouble": "3"}', "3.0"),
        ('{"$numberDouble": "-0.0"}', "-0.0"),
        ('{"$numberDouble": "6.5E-6"}', "6.5e-06"),
        ('{"$numberDouble": "NaN"}', "NaN"),
        ('{"$numberDouble": "Infinity"}', "Infinity"),
        ('{"$numberDouble": "-Infinity"}', "-Infinity"),
        ('{"$numberDecimal": "1.50"}', '"1.50"'),
        ('{"$oid": "599F4C0B265D200008A1D8A7"}', f'"{ID}"'),
        ('{"$symbol": "x"}', '"x"'),
        ('{"$undefined": true}', "null"),
        ('{"$binary": "AQI=", "$type": "00"}', '{"$binary":{"base64":"AQI=","subType":"00"}}'),
        ('{"$uuid": "00112233-4455-6677-8899-aabbccddeeff"}',
         '{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}'),
        ('{"$regex": "^a", "$options": "i"}', '{"$regularExpression":{"pattern":"^a","options":"i"}}'),
        ('[NaN, {"$numberInt": "1"}, Infinity, -Infinity, +Infinity, "+Infinity"]',
         '[NaN,1,Infinity,-Infinity,Infinity,"+Infinity"]'),
        ('[{"$numberInt": "1"}, 1e400, 123456789012345678901234567890]', "[1,1e400,123456789012345678901234567890]"),
        ('[{"$numberInt": "1"}, "\\ud800é"]', '[1,"\\ud800\\u00e9"]'),
        ('{"a": 1, "a": {"$numberInt": "2"}}', '{"a":2}'),
    ],
)  # fmt: skip
def test_forms(written: str, meant: str) -> None:
    record = read_json(f'{{"_id":{{"$oid":"{ID}"}},"x": {written} }}'.encode())
    assert record.id == ID
    assert record.document.decode() == f'{{"_id":"{ID}","x":{meant}}}'


@pytest.mark.parametrize(
    "own",
    [
        '{"$ref": "#/x"}', '{"$numberInt": 3}', '{"$numberInt": "3", "more": 1}', '{"$numberDouble": "1_0"}',
        '{"$numberDouble": "1e400"}', '{"$numberLong": "3.5"}', '{"$oid": "short"}', '{"$date": "yesterday"}',
        '{"$date": null}', '{"$date": {"$numberLong": "x"}}', '{"$binary": {"base64": 3}}', '{"$regex": "a"}',
        '{"$set": {"a": 1}}', '{"$timestamp": {"t": "x"}}', '{"$numberDecimal": "many"}', '{"$minKey": 2}',
    ],
)  # fmt: skip
def test_keys_of_its_own_stay_as_they_are(own: str) -> None:
    text = f'{{"_id": "{ID}",  "_etag": "e", "x": [{own}], "$schema": "y"}}'.encode()
    assert read_json(text).document == text
    beside = read_json(text.replace(b'"e"', b'{"$numberInt": "5"}')).document
    assert json.loads(beside)["x"] == [json.loads(own)] and json.loads(beside)["_etag"] == 5


LONG = "9" * 5000
BEYOND: list[tuple[Any, Any]] = [
    (Decimal128("1.50"), "1.50"),
    (Int64(5), 5),
    (b"\1\2", {"$binary": {"base64": "AQI=", "subType": "00"}}),
    (Binary(b"\1\2", 5), {"$binary": {"base64": "AQI=", "subType": "05"}}),
    (Regex("^a", "i"), {"$regularExpression": {"pattern": "^a", "options": "i"}}),
    (Timestamp(1, 2), {"$timestamp": {"t": 1, "i": 2}}),
    (Code("f"), {"$code": "f"}),
    (Code("f", {"a": ObjectId(ID), "b": None}), {"$code": "f", "$scope": {"a": ID, "b": None}}),
    (DBRef("c", ObjectId(ID), "d"), {"$ref": "c", "$id": ID, "$db": "d"}),
    (MinKey(), {"$minKey": 1}),
    (MaxKey(), {"$maxKey": 1}),
    (DatetimeMS(-(2**60)), {"$date": {"$numberLong": str(-(2**60))}}),
]


@pytest.mark.parametrize(("value", "rendered"), BEYOND, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("beside", [1.5, math.nan])
def test_types_that_json_has_not_are_kept(value: Any, rendered: Any, beside: float) -> None:
    document = {"_id": ObjectId(ID), "x": [value], "y": beside, "z": {"deep": [{"value": value}]}}
    found = read_bson(bson.encode(document))
    assert exact(found.document) == exact(
        json.dumps({"_id": ID, "x": [rendered], "y": beside, "z": {"deep": [{"value": rendered}]}})
    )
    if not isinstance(value, DatetimeMS):
        assert {read_json(text) for name, text in dialects(document).items() if name != "version 1"} == {
            found
        }


@pytest.mark.parametrize(
    "text",
    [
        f'{{"_id":"{ID}","_etag":"e","_created":"{CREATED}","_updated":"{CREATED}","x":1E5, "_links":{{}}}}',
        f'{{ "_id" :\t"{ID}", "_etag": "e", "_updated": "{CREATED}", "_created": "{CREATED}", "x": [NaN, -Infinity]}}',
        f'{{"_id":"{ID}","_etag":"e","_created":"{CREATED}","_updated":"{CREATED}","x":"$5","y":"\\ud800 \\"$oid"}}',
        f'{{"_id":"{ID}","_etag":"e","_created":"{CREATED}","_updated":"{CREATED}","x":1e400,"y":"é","x":{LONG}}}',
    ],
)  # fmt: skip
def test_a_document_in_the_services_form_keeps_its_bytes(text: str) -> None:
    record = read_json(text.encode())
    assert record.document == text.encode()
    assert (record.id, record.etag, record.created, record.updated) == (ID, "e", CREATED, CREATED)


def test_real_documents_keep_their_bytes(shared: Path) -> None:
    for resource in ("T1w", "T2w", "bold"):
        for line in gzip.decompress((shared / "webapi" / f"{resource}.jsonl.gz").read_bytes()).splitlines():
            record, keys = read_json(line), json.loads(line)
            assert record.document == line and modality_of(line) == resource
            assert (record.id, record.etag, record.created, record.updated) == (
                keys["_id"], keys["_etag"], keys["_created"], keys["_updated"],
            )  # fmt: skip


def test_keys_that_are_none_are_left_empty_and_moments_are_read() -> None:
    for etag in ("null", "3", '"é"', '{"a": 1}'):
        assert read_json(f'{{"_id":"{ID}","_etag":{etag}}}'.encode()).etag == ""
    for moment in ('"2017-08-24T21:58:35Z"', '"2017-08-24 23:58:35.4+02:00"', f'"{CREATED}"'):
        text = f'{{"_id":"{ID}","_created":{moment},"_updated":{moment}}}'.encode()
        record = read_json(text)
        assert (record.created, record.updated, record.document) == (CREATED, CREATED, text)
    for moment in ("null", "5", '"now"', "[]"):
        assert read_json(f'{{"_id":"{ID}","_created":{moment}}}'.encode()).created == ""


def test_documents_without_an_object_id_get_one_that_their_content_decides() -> None:
    plain = read_json(b'{"snr": 1.0, "_created": "Thu, 24 Aug 2017 21:58:35 GMT"}')
    assert plain.id.startswith("599f4c0b") and len(plain.id) == 24
    same = [
        b'{"_created":"Thu, 24 Aug 2017 21:58:35 GMT","snr":1.0}',
        b'{"snr": 1.00, "_created": "Thu, 24 Aug 2017 21:58:35 GMT", "_links": {"self": {}}}',
    ]
    assert {read_json(text).id for text in same} == {plain.id}
    others = [
        b'{"snr": 1.1, "_created": "Thu, 24 Aug 2017 21:58:35 GMT"}',
        b'{"snr": 1.0}',
        b'{"snr": 1.0, "_id": 5}',
        b'{"snr": 1.0, "_id": "x"}',
        b'{"snr": 1.0, "snr": 1.0}',
        b"{}",
    ]
    ids = {read_json(text).id for text in others}
    assert len(ids | {plain.id}) == 7 and all(i.startswith("00000000") for i in ids if i[:8] != "599f4c0b")
    assert read_json(b'{"snr": 1.0}').document == b'{"snr": 1.0}'
    assert read_bson(bson.encode({"snr": 1.0})).id == read_json(b'{"snr": 1.0}').id
    assert read_json(f'{{"_id": "{ID.upper()}"}}'.encode()).id == ID


NONE = [
    (b"", "JSON"), (b"[1]", "array"), (b'"x"', "no object"), (b"null", "no object"), (b'{"a": tru}', "JSON"),
    (b'{"a": 1', "JSON"), (b'{"a": "\xff"}', "UTF-8"), (b'{"a": "\xff", "b": NaN}', "UTF-8"), (b'{"a": 01}', "JSON"),
    (b'{"_id": ObjectId("599f4c0b265d200008a1d8a7")}', "JSON"), (b'{"a": ISODate("2017-08-24T21:58:35Z")}', "JSON"),
    (b'{"a": +NaN}', "JSON"), (b'{"a": {"$oid": "x"}', "JSON"), (b'{"a": ' + b"[" * 9999 + b"]" * 9999 + b"}", "deep"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), NONE, ids=range(len(NONE)))
def test_what_is_no_document_is_said_without_quoting_it(text: bytes, why: str) -> None:
    with pytest.raises(NotADocument, match=why) as caught:
        read_json(text)
    assert "599f" not in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize(
    "damage", [b"\x03\0\0\0\0", b"", b"\x0c\0\0\0\x02secret\0", bson.encode({"secret": 1})[:-1]]
)
def test_bson_that_is_none_is_said_without_quoting_it(damage: bytes) -> None:
    with pytest.raises(NotADocument) as caught:
        read_bson(damage)
    assert "secret" not in str(caught.value) and caught.value.__cause__ is None


def test_bson_with_text_that_is_not_utf_8_is_none() -> None:
    data = bson.encode({"_id": ObjectId(ID), "a": "xyz"}).replace(b"xyz", b"x\xffz")
    with pytest.raises(NotADocument):
        read_bson(data)


@pytest.mark.parametrize(
    "text",
    [
        b'{"_id":{"$oid":"' + ID.encode() + b'"},"n":1,"n":2} x',  # more than a document
        b'{"$a":1,"b":{"c":1,"c":1},"d":',  # less than one
    ],
)
def test_a_key_that_comes_twice_in_what_is_none(text: bytes) -> None:
    with pytest.raises(NotADocument, match="text that is not JSON"):
        read_json(text)


def test_numbers_too_long_to_be_read_stay_as_they_are() -> None:
    text = b'{"_id":{"$oid":"' + ID.encode() + b'"},"n":1,"n":' + b"9" * 5_000 + b"}"
    assert read_json(text).document == text


def test_times_of_a_deep_document_are_read() -> None:
    deep = b"[" * 120 + b"]" * 120
    text = b'{"_id":"' + ID.encode() + b'","_created":{"$date":1500000000000},"x":' + deep + b"}"
    assert read_json(text).created == "Fri, 14 Jul 2017 02:40:00 GMT"


@pytest.mark.parametrize("depth", [90, 300, 20_000])
def test_deep_documents_are_read_or_said_to_be_deep(depth: int) -> None:
    text = b'{"a": {"$numberInt": "1"}, "b": ' + b"[" * depth + b"]" * depth + b"}"
    if depth > 1000:
        with pytest.raises(NotADocument, match="deep"):
            read_json(text)
    else:
        assert read_json(text).document.count(b"[") == depth


@pytest.mark.parametrize(
    ("text", "modality"),
    [
        (b'{"bids_meta": {"modality": "bold"}}', "bold"), (b'{"bids_meta": {"modality": "bold"}, "x": NaN}', "bold"),
        (b'{"bids_meta": {"modality": ["bold"]}}', None), (b'{"bids_meta": null}', None), (b"{}", None),
        (b'{"bids_meta": {}}', None), (b'{"modality": "bold"}', None),
    ],
)  # fmt: skip
def test_modality(text: bytes, modality: str | None) -> None:
    assert modality_of(text) == modality
