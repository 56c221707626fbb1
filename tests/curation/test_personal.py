"""Law 7: personal data stay behind, wherever they stand in a document."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from curation.flatten import canonical_json, flatten
from curation.personal import Scrubber, hash_id, is_personal_key
from schemas import table


def scrub(text: str) -> str:
    return Scrubber(frozenset(), canonical_json).text(text, "here")


@pytest.mark.parametrize(
    "address",
    [
        *("jane.doe+mri@example.org", "j@b.co", "O'Neil@sub.example-lab.ac.uk", "j\u00f6rg@m\u00fcnchen.de"),
        *(
            "root@10.0.0.1",
            "root@[10.0.0.1]",
            "jane\uff20example.org",
            "{jane}@example.org",
            "a_b@x.y.museum",
        ),
    ],
)
def test_addresses_go_and_the_text_around_stays(address: str) -> None:
    assert scrub(f"call <{address}>, or {address}.") == (
        "call <[e-mail address removed]>, or [e-mail address removed]."
    )


@pytest.mark.parametrize("text", ["EPI@1.5T", "@here", "a@b", "T2@3", "\u0040", "x @ example.org", "@@@"])
def test_other_signs_stay(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(
    "text", ["a" * 4_000_000 + " @", "@" * 4_000_000, "a@" * 2_000_000, "a@" + "b." * 2_000_000]
)
def test_long_texts_are_read_once(text: str) -> None:
    # One that is read again from every character would not end within the time of any test run.
    assert scrub(text) == text


SECRETS = ("jane@example.org", "sub-plain", "ses-plain", "SERIAL-4711", "Jane Rater", "DOE^JANE")
HASHED = {"subject_id": "sub-plain", "session_id": "ses-plain"}
_PERSONAL: list[Any] = [
    {"bids_meta": {**HASHED, "DeviceSerialNumber": "SERIAL-4711"}, "provenance": {"email": "jane@example.org"}},
    {"bids_meta": {"subject_id": ["sub-plain"], "session_id": {"ses-plain": 1}, "DeviceSerialNumber": ["SERIAL-4711"]}},
    {"bids_meta": [HASHED | {"DeviceSerialNumber": "SERIAL-4711", "email": "jane@example.org"}]},
    {"bids_meta": "jane@example.org", "provenance": ["jane@example.org", {"email": ["jane@example.org"]}]},
    {"bids_meta": {"ScanOptions": [{"PatientName": "DOE^JANE"}, "jane@example.org", HASHED]}},
    {"bids_meta": {"global": {"const": {"PatientName": "DOE^JANE", "Subject ID": "sub-plain"}}}},
    {"bids_meta": {"global.const.PatientName": "DOE^JANE", "x.subject_id": "sub-plain"}},
    {"bids_meta": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "DOE^JANE"}]}}},
    {"bids_meta": {"ScannerSerialNumber": "SERIAL-4711", "DeviceSerialNumber.0": "SERIAL-4711"}},
    {"bids_meta": {"jane@example.org": 1, "ContactInformation": {"name": "Jane Rater"}}},
    {"bids_meta": {"EchoTime": ["jane@example.org"], "ProtocolName": {"jane@example.org": "jane@example.org"}}},
    {"provenance": {"md5sum": "jane@example.org", "version": "x jane@example.org y", "settings": ["jane@example.org"]}},
    {"cnr": "jane@example.org", "email": "jane@example.org", "deep": [[[{"e-mail": "jane@example.org"}]]]},
]  # fmt: skip


@pytest.mark.parametrize("resource", ["T1w", "bold"])
@pytest.mark.parametrize("document", _PERSONAL)
def test_personal_data_are_in_no_column(resource: Any, document: dict[str, Any]) -> None:
    made = flatten(table(resource), [json.dumps(document).encode()])
    text = canonical_json(made.table.to_pylist()) + str(made.faults) + str(made.withheld)
    assert [secret for secret in SECRETS if secret in text] == []
    assert made.withheld[0]


@pytest.mark.parametrize(
    "document",
    [
        {"name": "Jane Rater"},
        {"name": ["Jane Rater"]},
        {"rating": {"name": "Jane Rater"}, "comment": [{"Name": {"x": "Jane Rater"}}], "rater": "Jane Rater"},
        {"comment": "ask jane@example.org", "md5sum": {"jane@example.org": "jane@example.org"}},
    ],
)
def test_raters_are_not_named(document: dict[str, Any]) -> None:
    made = flatten(table("rating"), [json.dumps(document).encode()])
    text = canonical_json(made.table.to_pylist()) + str(made.withheld)
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize(
    ("sent", "hashed"),
    [
        ("01", hashlib.sha256(b"01").hexdigest()),
        (1, hashlib.sha256(b"1").hexdigest()),
        (["a", 1.5], hashlib.sha256(b'["a",1.5]').hexdigest()),
        ("f" * 64, "f" * 64),
        (None, None),
    ],
)
def test_ids_are_hashed_whatever_they_are(sent: Any, hashed: str | None) -> None:
    made = flatten(table("T1w"), [json.dumps({"bids_meta": {"subject_id": sent}}).encode()]).table
    assert made.column("bids_meta_subject_id").to_pylist() == [hashed]
    assert made.column("bids_meta_extra").to_pylist() == [None]


def test_a_half_surrogate_is_hashed() -> None:
    assert len(hash_id("\ud800")) == 64


def test_two_addresses_as_keys_stay_two_keys() -> None:
    document = b'{"a@example.org": 1, "b@example.org": 2, "": 3}'
    extra = json.loads(flatten(table("T1w"), [document]).table.column("extra")[0].as_py())
    assert sorted(extra.values()) == [1, 2, 3]
    assert len(extra) == 3


@pytest.mark.parametrize(
    "key", ["ProtocolName", "SequenceName", "InstitutionName", "name", "StudyID", "TaskName"]
)
def test_keys_that_name_no_person(key: str) -> None:
    assert not is_personal_key(key)
