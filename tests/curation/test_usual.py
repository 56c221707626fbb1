"""Usual documents are read many at a time: what is made of them is what is made of each alone."""

from __future__ import annotations

import gzip
import importlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.flatten import Flattened, flatten, usual
from curation.flatten.usual import Usual, read_usual
from curation.pseudonyms import Pseudonyms
from schemas import table
from schemas.dictionary import Resource
from schemas.published import IMAGE_RESOURCES
from tests.support.documents import moment, valid
from tests.support.pseudonyms import PSEUDONYMS

flattening = importlib.import_module("curation.flatten.flatten")  # the package has a function of this name


@contextmanager
def _one_by_one() -> Iterator[None]:
    def none(resource: Resource, documents: Sequence[bytes], pseudonyms: Pseudonyms | None) -> Usual:
        return Usual(documents, set(range(len(documents))))

    flattening.read_usual = none
    try:
        yield
    finally:
        flattening.read_usual = read_usual


def same(resource: Resource, documents: Sequence[bytes]) -> Flattened:
    """Compare both ways; returns what was made."""
    together = flatten(table(resource), documents, PSEUDONYMS)
    with _one_by_one():
        alone = flatten(table(resource), documents, PSEUDONYMS)
    for name in together.table.column_names:
        # As text: NaN is not equal to itself, and a zero has a sign.
        assert str(together.table[name].to_pylist()) == str(alone.table[name].to_pylist()), name
    assert together.table.schema == alone.table.schema
    for name in ("faults", "moments", "asides"):
        assert getattr(together, name) == getattr(alone, name), name
    for name in ("readings", "withheld"):  # they are counted
        assert list(map(sorted, getattr(together, name))) == list(map(sorted, getattr(alone, name))), name
    return together


def usual_document(resource: Resource, number: int = 1) -> dict[str, Any]:
    """A document in which nothing is unusual."""
    made = valid(resource, f"{number:032x}")
    made["bids_meta"] |= {"subject_id": "a" * 64, "EchoTime": 0.003, "Undeclared": {"b": [1, "x"], "a": None}}
    sent = moment(1_500_000_000 + number)
    return made | {"_id": f"{number:024x}", "_etag": "e" * 40, "_created": sent, "_updated": sent}


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**53), 2**63, 2**64 + 1, 10**400, -(10**30)]),
    st.floats(),
    st.sampled_from([-0.0, 5e-324, 1e16, 2.0**53, 9007199254740993.0, 1.5e300]),
    st.text(max_size=6),
    st.sampled_from(["0.5", "=1+1", "", "a:b", "\\", "\u0000", "jane@example.org", "2019-03-04", "1.5.1", "f" * 64]),
    st.sampled_from(["MR123456789", "MR-123456789", "xmr123456789", "sub-A17", "A17"]),
    st.sampled_from(['"', "\\u003a", "Dr Jane Doe", "a" * 300]),
    st.lists(st.integers() | st.floats(allow_nan=False) | st.sampled_from(["SK", "a:b", "=1"]), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b:c", "PatientName", "SoftwareVersion"]), st.text(max_size=3), max_size=2),
)  # fmt: skip
ODD_KEYS = ["odd", "a:b", "EchoTIme", "DeviceSerialNumber", "subject_id", "PatientName", "Comments", "", "\\"]


@st.composite
def changed(draw: st.DrawFn, resource: Resource) -> bytes:
    """A usual document, changed in some places."""
    made = usual_document(resource, draw(st.integers(1, 5)))
    paths = [column.path for column in table(resource).columns]
    odd = st.tuples(st.sampled_from(["", "bids_meta", "provenance"]), st.sampled_from(ODD_KEYS)).map(
        lambda pair: tuple(filter(None, pair[:1])) + pair[1:]
    )
    envelope = st.sampled_from(["_id", "_etag", "_created", "_updated", "_links", "bids_meta", "provenance"])
    places = st.sampled_from(paths) | odd | envelope.map(lambda key: (key,))
    for path in draw(st.lists(places, max_size=4)):
        level = made
        for key in path[:-1]:
            level = level.get(key) if isinstance(level.get(key), dict) else level.setdefault(f"{key}_", {})
        level[path[-1]] = draw(VALUES)
    text = json.dumps(
        made, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (" , ", " : ")]))
    )
    if draw(st.integers(0, 9)) == 0:
        # A key that comes twice, or a document cut short.
        text = draw(
            st.sampled_from(['{"cjv":1,' + text[1:], text[:-1] + ',"bids_meta":{"x":1}}', text[:-1], "7", ""])
        )
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("resource", IMAGE_RESOURCES)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_read_together_is_read_alone(resource: Resource, data: st.DataObject) -> None:
    same(resource, data.draw(st.lists(changed(resource), min_size=1, max_size=6)))


@pytest.mark.parametrize("resource", IMAGE_RESOURCES)
def test_what_is_usual_is_read_together(resource: Resource) -> None:
    documents = [json.dumps(usual_document(resource, number)).encode() for number in range(1, 9)]
    assert not read_usual(resource, documents).others
    made = same(resource, documents)
    assert made.table["bids_meta_extra"].to_pylist() == ['{"Undeclared":{"a":null,"b":[1,"x"]}}'] * 8
    assert made.table["bids_meta_EchoTime"].to_pylist() == [0.003] * 8


@pytest.mark.parametrize("value", [2**53 - 1, 2**53, 2**53 + 1, 2**64, 10**400, 1e300, 2.0**53])
@pytest.mark.parametrize("place", ["cjv", "size_x", "EchoTime"])
def test_large_numbers(place: str, value: float) -> None:
    document = usual_document("T1w")
    (document["bids_meta"] if place == "EchoTime" else document)[place] = value
    text = json.dumps(document).encode()
    same("T1w", [text, json.dumps(usual_document("T1w", 2)).encode()])
    assert read_usual("T1w", [text]).others or value <= 2**53


def test_a_secret_of_one_document_is_no_secret_of_the_next() -> None:
    """What a document tells of a person is removed from it alone, whichever of them is read first."""
    assert not read_usual("T1w", [json.dumps(usual_document("T1w")).encode()]).others
    told = usual_document("T1w", 1)
    told["bids_meta"] |= {"DeviceSerialNumber": "MR123456789", "ProtocolName": "scan of MR123456789"}
    silent = usual_document("T1w", 2)
    silent["bids_meta"] |= {"ProtocolName": "scan of MR123456789"}
    for order in ([told, silent], [silent, told, silent]):
        made = same("T1w", [json.dumps(document).encode() for document in order])
        names = made.table["bids_meta_ProtocolName"].to_pylist()
        for document, name in zip(order, names, strict=True):
            assert ("MR123456789" in name) == (document is silent)


def test_the_corpus(documents: dict[Resource, list[dict[str, Any]]]) -> None:
    for resource in IMAGE_RESOURCES:
        same(resource, [json.dumps(document).encode() for document in documents[resource]])


def test_real_documents(shared: Path) -> None:
    for resource in IMAGE_RESOURCES:
        lines = gzip.decompress((shared / "webapi" / f"{resource}.jsonl.gz").read_bytes()).splitlines()
        same(resource, lines)
        share = len(read_usual(resource, lines).others) / len(lines)
        assert share < 0.1, f"{share:.0%} of {resource} are unusual"


def test_long_texts_are_not_remembered() -> None:
    document = usual_document("T1w")
    document["bids_meta"]["Undeclared"] = "short words"
    read_usual("T1w", [json.dumps(document).encode()], PSEUDONYMS)
    before = usual._quoted.cache_info().currsize
    document["bids_meta"]["Undeclared"] = "long words " * 50
    (extra,) = read_usual("T1w", [json.dumps(document).encode()], PSEUDONYMS).cells["bids_meta_extra"]
    assert json.loads(extra)["Undeclared"] == "long words " * 50
    assert before and usual._quoted.cache_info().currsize == before
