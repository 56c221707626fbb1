"""Flatten: no value is lost or changed, whatever a document holds, and columns do not depend on it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation.flatten import (
    KEY_TWICE,
    NOT_JSON,
    TOO_DEEP,
    UNREADABLE,
    Fault,
    canonical_json,
    flat_schema,
    flatten,
    parse_document,
)
from curation.flatten.dates import read_moment, read_rfc_1123
from curation.flatten.documents import UnreadableDocument
from curation.free_text import scrub
from curation.personal_keys import is_id_key, is_personal_key
from schemas import RESOURCES, table
from tests.support.documents import exact, lost, rows

T1W = table("T1w")
_DECLARED = sorted({key for r in RESOURCES for c in table(r).columns for key in c.path})
_ODD_KEYS = [
    *("extra", "bids_meta_extra", "bids_meta_EchoTime", "created", "record_id", "_fault", "_withheld"),
    *("a.b", "$set", "", "provenance.md5sum", "\ud800", "\x00", "\u00e9"),
]
_keys = (st.sampled_from(_DECLARED) | st.sampled_from(_ODD_KEYS) | st.text(max_size=4)).filter(
    lambda key: not is_personal_key(key) and not is_id_key(key) and key != "name" and "@" not in key
)
_texts = st.text(st.characters(exclude_characters="@\uff20"), max_size=8) | st.sampled_from(
    ["", "01", "1.0", "NaN", "=1+1", '"', "a\r\nb", "\x00", "\ud800", "nul\u2028"]
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**64, 2**64 + 1, -(2**64), 10**400]),
    st.floats(allow_subnormal=True),
    st.sampled_from([-0.0, 5e-324, 1e16, 1e22, 34.0, 9007199254740993.0, float("nan"), float("-inf")]),
    _texts,
)
# What is personal in a text is removed from it: tests/curation/test_free_text.py.
_impersonal = _scalars.filter(lambda value: not isinstance(value, str) or scrub(value, False)[0] == value)
_values = st.recursive(
    _impersonal,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=6,
)


def _branch(resource: str, key: str) -> st.SearchStrategy[dict[str, Any]]:
    names = [c.path[-1] for c in table(resource).columns if c.path[0] == key and not c.personal]
    return st.dictionaries(st.sampled_from(names) | _keys if names else _keys, _values, max_size=8)


@st.composite
def documents(draw: st.DrawFn, resource: str) -> dict[str, Any]:
    top = [c.path[0] for c in table(resource).columns if len(c.path) == 1 and not c.personal]
    made = draw(st.dictionaries(st.sampled_from(top) | _keys, _values, max_size=10))
    for key in ("bids_meta", "provenance"):
        if draw(st.booleans()):
            made[key] = draw(_branch(resource, key) | _values)
    return made


@pytest.mark.parametrize("resource", RESOURCES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_value_is_in_its_column_or_under_its_key(resource: str, data: st.DataObject) -> None:
    document = json.dumps(data.draw(documents(resource))).encode()
    made = flatten(table(resource), [document])
    assert {fault.rule for fault in made.faults[0]} <= {UNREADABLE}
    assert lost(table(resource), document, made.table.to_pylist()[0]) == [], document
    assert made.table.schema.equals(flat_schema(table(resource)))
    for column in made.table.columns:
        column.validate(full=True)


@pytest.mark.parametrize(
    ("number", "column", "extra"),
    [
        ("1e400", None, '{"cnr":1e400}'),
        ("-1E+400", None, '{"cnr":-1E+400}'),
        ("9007199254740993", None, '{"cnr":9007199254740993}'),
        ("18446744073709551617", None, '{"cnr":18446744073709551617}'),
        ("-9223372036854775809", None, '{"cnr":-9223372036854775809}'),
        ("18446744073709551616", 2.0**64, None),
        ("5e-324", 5e-324, None),
        ("-0.0", -0.0, None),
        ("Infinity", float("inf"), None),
        ("+Infinity", float("inf"), None),
        ("-Infinity", float("-inf"), None),
        ("true", None, '{"cnr":true}'),
        ('"0.5"', 0.5, None),
        ('"-.5e1"', -5.0, None),
        ('"9007199254740993"', None, '{"cnr":"9007199254740993"}'),
        ('"9007199254740992"', 2.0**53, None),
        ('"1e-400"', None, '{"cnr":"1e-400"}'),
        ('"0e-400"', 0.0, None),
        ('"NaN"', float("nan"), None),
        ('"-Infinity"', float("-inf"), None),
        ('"0x10"', None, '{"cnr":"0x10"}'),
        ('"1_000"', None, '{"cnr":"1_000"}'),
        ('" 1 "', 1.0, None),
        ('"\\u0661"', None, '{"cnr":"\u0661"}'),
        ('""', None, '{"cnr":""}'),
        ("[0.5]", None, '{"cnr":[0.5]}'),
        ("{}", None, '{"cnr":{}}'),
        ("[]", None, '{"cnr":[]}'),
        ('"+Infinity\\" +Infinity"', None, '{"cnr":"+Infinity\\" +Infinity"}'),
        ('"1e400"', None, '{"cnr":"1e400"}'),
    ],
)
def test_numbers(number: str, column: float | None, extra: str | None) -> None:
    row = rows(flatten(T1W, [b'{"x": 1, "cnr": ' + number.encode() + b"}"]).table)[0]
    assert repr(row["cnr"]) == repr(column)
    assert row["extra"] == (extra[:-1] + ',"x":1}' if extra else '{"x":1}')


@pytest.mark.parametrize(
    ("document", "meta", "extra"),
    [
        ({"bids_meta": {}}, "{}", None),
        ({"bids_meta": {"a": None, "EchoTime": None}}, '{"a":null}', None),
        ({"bids_meta": None}, None, None),
        ({"bids_meta": [1]}, None, '{"bids_meta":[1]}'),
        ({"bids_meta": "text"}, None, '{"bids_meta":"text"}'),
        ({"provenance": {"settings": {}}}, None, '{"provenance":{"settings":{}}}'),
        ({"provenance": {"settings": {"fd_thres": {}}}}, None, '{"provenance":{"settings":{"fd_thres":{}}}}'),
        ({"_created": "now", "_updated": 5, "_etag": [1]}, None, '{"_created":"now","_etag":[1],"_updated":5}'),
        ({"_created": "Thu, 24 Aug 2017 21:58:35 GMT", "_id": "x", "_etag": "", "_links": {"a": 1}}, None, None),
        ({"a": "\ud83d"}, None, '{"a":"\\ud83d"}'),
    ],
)  # fmt: skip
def test_what_has_no_column(document: dict[str, Any], meta: str | None, extra: str | None) -> None:
    row = rows(flatten(T1W, [json.dumps(document).encode()]).table)[0]
    assert (row["bids_meta_extra"], row["extra"]) == (meta, extra)


def _nested(levels: int) -> bytes:
    return b'{"a": ' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", NOT_JSON),
        (b"[]", NOT_JSON),
        (b"[NaN]", NOT_JSON),
        (b"null", NOT_JSON),
        (b'{"name": "jane@example.org"', NOT_JSON),
        (b'{"a": "\xff jane"}', NOT_JSON),
        (b'{"a": 1, "a": 1}', KEY_TWICE),
        (b'{"a" : 1, "a":2, "b":"\\":"}', KEY_TWICE),
        (b'{"b": {"a":NaN, "a" :2}}', KEY_TWICE),
        (_nested(100), TOO_DEEP),
        (_nested(2_000), TOO_DEEP),
        (_nested(200_000), TOO_DEEP),
        (_nested(100).replace(b"[]", b"[NaN]"), TOO_DEEP),
    ],
)
def test_documents_that_cannot_be_read_have_a_fault_that_quotes_nothing(document: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDocument) as raised:
        parse_document(document)
    assert str(raised.value) == reason
    assert raised.value.__cause__ is None
    made = flatten(T1W, [document])
    assert made.faults == [[Fault(None, reason)]]
    assert set(rows(made.table)[0].values()) == {None}


def test_deepest_document_that_is_read() -> None:
    assert lost(T1W, _nested(99), rows(flatten(T1W, [_nested(99)]).table)[0]) == []


@given(_values)
@example({"b": 1, "a": [1e-7, -0.0, "\u00e9"]})
@settings(max_examples=100, deadline=None)
def test_canonical_json_reads_back(value: Any) -> None:
    text = canonical_json(value)
    assert exact(text) == exact(json.dumps(value))
    text.encode()
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("Thu, 24 Aug 2017 21:58:35 GMT", True),
        ("Mon, 24 Aug 2017 21:58:35 GMT", False),
        ("Fri, 31 Feb 2017 21:58:35 GMT", False),
        ("Thu, 24 Aug 2017 21:58:61 GMT", False),
        ("Thu, 24 Aug 2017 21:58:35 GMT\n", False),
        ("2017-08-24T21:58:35Z", False),
    ],
)
def test_times_of_the_service(text: str, is_one: bool) -> None:
    assert (read_rfc_1123(text) == 1_503_611_915) is is_one


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Thu, 24 Aug 2017 21:58:35 GMT", 1_503_611_915),
        ("2017-08-24T21:58:35Z", 1_503_611_915),
        ("2017-08-24T21:58:35", 1_503_611_915),
        ("2017-08-24 23:58:35.999+02:00", 1_503_611_915),
        ({"$date": "2017-08-24T21:58:35.000Z"}, 1_503_611_915),
        ({"$date": 1_503_611_915_999}, 1_503_611_915),
        ({"$date": {"$numberLong": "1503611915000"}}, 1_503_611_915),
        ({"$date": {"$numberLong": "-1"}}, -1),
        ({"$date": {"$numberLong": "x"}}, None),
        ({"$date": 999_999_999_999_999}, None),
        ({"$date": {"$numberLong": "-999999999999999"}}, None),
        ({"$date": {"$numberInt": "1"}}, None),
        ({"$date": True}, None),
        ({"$date": "now", "x": 1}, None),
        ("2017-08-24", None),
        ("2017-02-31T00:00:00Z", None),
        (1_503_611_915, None),
        (None, None),
    ],
)
def test_moments_in_every_form_of_service_and_dumps(value: Any, seconds: int | None) -> None:
    assert read_moment(value) == seconds


def test_an_integer_longer_than_python_reads() -> None:
    number = "-" + "7" * 5_000
    document = f'{{"cnr": {number}, "bids_meta": {{"run_id": {number}}}}}'.encode()
    row = rows(flatten(T1W, [document]).table)[0]
    assert (row["extra"], row["bids_meta_extra"]) == (f'{{"cnr":{number}}}', f'{{"run_id":{number}}}')


def test_ten_megabytes_of_text() -> None:
    long = "x\n" * 5_000_000
    document = json.dumps({"bids_meta": {"ProtocolName": long, "other": long}}).encode()
    row = rows(flatten(T1W, [document]).table)[0]
    assert row["bids_meta_ProtocolName"] == long
    assert json.loads(row["bids_meta_extra"]) == {"other": long}
