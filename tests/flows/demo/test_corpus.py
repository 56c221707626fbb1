"""The demo corpus: the same every time, as large as promised, and wrong exactly where its truth says so."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
from cerberus import Validator

from curation import objectid
from flows.demo.corpus import DEFECTS, DemoDataMissing, make_corpus, second_night, tables, write_truth
from flows.demo.corpus.chance import etag
from flows.demo.corpus.ratings import ARTIFACTS
from schemas import RESOURCES, table
from schemas.webapi import cerberus_schema

pytestmark = pytest.mark.skipif(find_spec("mriqc_learn") is None, reason="needs the extra demo (mriqc-learn)")

ROOT = Path(__file__).parents[3]
IMAGES = ("bold", "T1w", "T2w")
MD5 = re.compile(r"[0-9a-f]{32}\Z")
BENIGN = {"exact-repeat", "noisy-repeat", "other-version-repeat", "frequent-image", "integer-for-float"}
BENIGN |= {"undeclared-keys", "no-acquisition-parameters", "field-strength-cast"}
"""What the service takes, and what leaves the metrics as they were computed."""


@pytest.fixture(scope="module")
def corpus():
    return make_corpus()


@pytest.fixture(scope="module")
def by_id(corpus):
    return {one["_id"]: one for documents in corpus.documents.values() for one in documents}


@pytest.fixture(scope="module")
def defects_of(corpus):
    found: dict[str, set[str]] = {}
    for planted in corpus.truth:
        found.setdefault(planted.record_id, set()).add(planted.defect)
    return found


def digest(corpus):
    return hashlib.sha256(repr((corpus.documents, corpus.truth, second_night(corpus))).encode()).hexdigest()


def at(document, column):
    value = document
    for key in column.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def iqms(document):
    return {k: v for k, v in document.items() if k not in ("bids_meta", "provenance") and k[0] != "_"}


# Same seed, same corpus


def test_two_calls_and_another_process_agree(corpus):
    here = digest(corpus)
    assert digest(make_corpus()) == here
    code = f"import runpy; m = runpy.run_path({__file__!r}); print(m['digest'](m['make_corpus']()))"
    environment = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    there = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here


def test_another_seed_gives_another_corpus(corpus):
    other = make_corpus(7)
    assert {r: len(d) for r, d in other.documents.items()} == {r: len(d) for r, d in corpus.documents.items()}
    assert not {one["_id"] for one in other.documents["bold"]} & {
        one["_id"] for one in corpus.documents["bold"]
    }


# What is there


def test_counts(corpus):
    assert {r: len(d) for r, d in corpus.documents.items()} == {
        "bold": 1300,
        "T1w": 1300,
        "T2w": 400,
        "rating": 200,
    }
    repeats = sum(
        planted.defect in ("exact-repeat", "noisy-repeat", "other-version-repeat") for planted in corpus.truth
    )
    assert repeats == 0.45 * 3000
    bare = sum(
        planted.defect == "no-acquisition-parameters" and planted.resource == "bold"
        for planted in corpus.truth
    )
    assert 0.35 < bare / 1300 < 0.65


def test_every_defect_is_described_and_planted(corpus):
    assert {planted.defect for planted in corpus.truth} == set(DEFECTS)


@pytest.mark.parametrize("resource", RESOURCES)
def test_documents_are_as_the_service_stores_them(corpus, resource):
    documents = corpus.documents[resource]
    ids = [one["_id"] for one in documents]
    assert ids == sorted(set(ids)) and all(map(objectid.is_object_id, ids))
    for one in documents:
        assert objectid.created(one["_id"]) == one["_created"] <= one["_updated"]
        assert one["_created"].tzinfo is UTC and not one["_created"].microsecond
        assert one["_etag"] == etag(one) and "_links" not in one
        assert datetime(2017, 6, 6, tzinfo=UTC) <= one["_created"] < datetime(2026, 9, 1, tzinfo=UTC)
        _storable(one)
    assert len({one["_created"].year for one in documents}) == 10


def _storable(value):
    """MongoDB's limits: 64-bit integers, keys without NUL, leading ``$`` or dots."""
    if isinstance(value, dict):
        for key, inner in value.items():
            assert isinstance(key, str) and not re.search(r"^\$|\.|\x00", key), key
            _storable(inner)
    elif isinstance(value, list):
        for inner in value:
            _storable(inner)
    elif isinstance(value, int):
        assert -(2**63) <= value < 2**63
    else:
        assert value is None or type(value) in (str, float, datetime)


def test_ids_are_not_in_the_order_of_insertion_within_a_second(corpus):
    processes = {one["_id"][8:18] for one in corpus.documents["bold"]}
    assert 2 <= len(processes) <= 8
    seconds = Counter(one["_created"] for one in corpus.documents["bold"])
    assert max(seconds.values()) > 1


# The truth


def test_truth_refers_to_records_once_each(corpus):
    known = {(resource, one["_id"]) for resource, documents in corpus.documents.items() for one in documents}
    keys = [(planted.resource, planted.record_id) for planted in corpus.truth]
    assert set(keys) <= known
    pairs = [(planted.record_id, planted.defect) for planted in corpus.truth]
    assert len(pairs) == len(set(pairs))


def test_truth_is_written_as_json_lines(corpus, tmp_path):
    write_truth(corpus, tmp_path / "truth.jsonl")
    lines = (tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [vars(planted) for planted in corpus.truth]


def _broken_json(text):
    try:
        json.loads(text)
    except ValueError:
        return text[:1] in "[{"
    return False


PLANTED_TEXTS = {"ProtocolName", "InstitutionName", "SequenceName"}
"""Keys that another defect may have put into a ``bids_meta`` without acquisition parameters."""

CHECKS = {
    # defect: does the document (d) show what the detail (x) says?
    "missing-checksum": lambda d, x: "md5sum" not in d["provenance"],
    "malformed-checksum": lambda d, x: not MD5.match(d["provenance"]["md5sum"]),
    "missing-required-field": lambda d, x: at(d, x["column"]) is None and x["true"] is not None,
    "wrong-modality": lambda d, x: d["bids_meta"]["modality"] == x["sent"] != x["true"],
    "testing-flag": lambda d, x: d["provenance"]["settings"]["testing"] is True,
    "not-mriqc": lambda d, x: d["provenance"]["software"] != "mriqc",
    "non-finite": lambda d, x: not math.isfinite(at(d, x["column"])) and math.isfinite(x["true"]),
    "out-of-hard-range": lambda d, x: at(d, x["column"]) == x["sent"] != x["true"],
    "integer-for-float": lambda d, x: type(at(d, x["column"])) is int and at(d, x["column"]) == x["true"],
    "text-number": lambda d, x: float(at(d, x["column"])) == x["true"] and isinstance(x["sent"], str),
    "one-element-list": lambda d, x: at(d, x["column"]) == [x["true"]],
    "misspelled-key": lambda d, x: at(d, x["column"]) is None and d["bids_meta"][x["sent_key"]] == x["true"],
    "field-strength-cast": lambda d, x: (
        d["_created"] < datetime(2019, 1, 16, tzinfo=UTC)
        and at(d, x["column"]) == int(x["true"]) != x["true"]
    ),
    "echo-time-ms": lambda d, x: at(d, x["column"]) == pytest.approx(1000 * x["true"]) and x["true"] < 0.2,
    "imaging-frequency-hz": lambda d, x: at(d, x["column"]) == pytest.approx(1e6 * x["true"]),
    "no-acquisition-parameters": lambda d, x: set(d["bids_meta"]) & set(x["missing"]) <= PLANTED_TEXTS,
    "phase-encoding-letters": lambda d, x: at(d, x["column"]) not in ("i", "i-", "j", "j-", "k", "k-"),
    "plain-subject-id": lambda d, x: hashlib.sha256(at(d, x["column"]).encode()).hexdigest() == x["true"],
    "email": lambda d, x: d["provenance"]["email"].endswith("@example.org"),
    "device-serial": lambda d, x: d["bids_meta"]["DeviceSerialNumber"].isdigit(),
    "personal-free-text": lambda d, x: at(d, x["column"]) == x["sent"],
    "scout-spacing": lambda d, x: 22 <= d["spacing_x"] <= 44,
    "tr-mismatch": lambda d, x: abs(d["spacing_tr"] - d["bids_meta"]["RepetitionTime"]) > 0.1,
    "implausible-motion": lambda d, x: d["fd_mean"] > 10,
    "hostile-text": lambda d, x: re.search(
        r"^[=+@-]|[\x00\n\u202e<\ufeff]|[^\u0000-\uffff]", at(d, x["column"])
    ),
    "rating-word": lambda d, x: d["rating"].isalpha() and d["_created"] < datetime(2019, 7, 1, tzinfo=UTC),
    "rating-broken-comment": lambda d, x: _broken_json(d["comment"]),
    "rating-unknown-code": lambda d, x: not set(json.loads(d["comment"])) <= set(ARTIFACTS),
    "frequent-image": lambda d, x: d["provenance"]["md5sum"] == x["md5sum"] and x["records"] == 40,
}


@pytest.mark.parametrize("defect", sorted(CHECKS))
def test_the_documents_show_the_defect(corpus, by_id, defect):
    planted = [one for one in corpus.truth if one.defect == defect]
    assert planted
    for one in planted:
        document = by_id[one.record_id]
        assert CHECKS[defect](document, one.detail), (one, document)


@pytest.mark.parametrize("defect", ["exact-repeat", "noisy-repeat", "other-version-repeat"])
def test_repeats(corpus, by_id, defects_of, defect):
    for planted in (one for one in corpus.truth if one.defect == defect):
        record, original = by_id[planted.record_id], by_id[planted.detail["of"]]
        assert original["provenance"]["md5sum"] == planted.detail["md5sum"]
        assert original["_created"] < record["_created"]
        if defects_of[record["_id"]] - BENIGN:
            continue  # one other-version repeat may carry a defect that hides checksum, version or metrics
        assert record["provenance"]["md5sum"] == planted.detail["md5sum"]
        same_version = record["provenance"]["version"] == original["provenance"]["version"]
        assert same_version == (defect != "other-version-repeat")
        assert (iqms(record) == iqms(original)) == (defect == "exact-repeat")


def test_exact_repeats_stay_exact_whatever_else_is_planted(corpus, by_id):
    for planted in (one for one in corpus.truth if one.defect == "exact-repeat"):
        record, original = by_id[planted.record_id], by_id[planted.detail["of"]]
        assert iqms(record) == iqms(original)
        assert record["provenance"] == original["provenance"]


def test_rating_repeats_and_orphans(corpus, by_id):
    known = {one["provenance"].get("md5sum") for resource in IMAGES for one in corpus.documents[resource]}
    orphans = {one.record_id for one in corpus.truth if one.defect == "rating-orphan"}
    planted = {one["md5sum"]: one["_id"] for one in corpus.documents["rating"] if one["_id"] in orphans}
    assert len(planted) == len(orphans) and not set(planted) & known
    for one in (one for one in corpus.truth if one.defect == "rating-repeat"):
        record, original = by_id[one.record_id], by_id[one.detail["of"]]
        assert (record["name"], record["md5sum"]) == (original["name"], original["md5sum"])
        assert original["_created"] < record["_created"]


def test_undeclared_keys_are_all_told(corpus):
    told = {one.record_id: one.detail["keys"] for one in corpus.truth if one.defect == "undeclared-keys"}
    for resource in IMAGES:
        declared = {column.path[1] for column in table(resource).columns if column.path[0] == "bids_meta"}
        for one in corpus.documents[resource]:
            assert sorted(set(one["bids_meta"]) - declared) == told.get(one["_id"], [])


# What is not planted is right


@pytest.mark.parametrize("resource", RESOURCES)
def test_records_without_defects_are_valid(corpus, defects_of, resource):
    validator = Validator(cerberus_schema(resource))
    clean = [one for one in corpus.documents[resource] if not defects_of.get(one["_id"], set()) - BENIGN]
    assert len(clean) > 0.4 * len(corpus.documents[resource])
    for one in clean[::6]:  # Cerberus takes 8 ms a document
        content = {key: value for key, value in one.items() if not key.startswith("_")}
        assert validator.validate(content), (validator.errors, one)


def test_linked_metrics_agree(corpus, defects_of):
    for resource in IMAGES:
        for one in corpus.documents[resource]:
            if defects_of.get(one["_id"], set()) - BENIGN:
                continue
            assert one["fwhm_avg"] == pytest.approx(
                (one["fwhm_x"] + one["fwhm_y"] + one["fwhm_z"]) / 3, rel=1e-5
            )
            assert all(isinstance(one[f"size_{axis}"], int) for axis in "xyz")
            if resource == "bold":
                assert one["fd_perc"] == pytest.approx(100 * one["fd_num"] / one["size_t"])
                assert 0 <= one["fd_num"] <= one["size_t"]
                assert one["spacing_tr"] == pytest.approx(
                    one["bids_meta"].get("RepetitionTime", one["spacing_tr"])
                )
            else:
                tissues = [one[f"snr_{tissue}"] for tissue in ("csf", "gm", "wm")]
                assert one["snr_total"] == pytest.approx(sum(tissues) / 3, rel=1e-5)
                assert one["summary_wm_p05"] <= one["summary_wm_median"] <= one["summary_wm_p95"]


def test_personal_data_only_where_planted(corpus, defects_of):
    with_people = {"email", "personal-free-text", "hostile-text", "device-serial", "plain-subject-id"}
    for resource in IMAGES:
        for one in corpus.documents[resource]:
            if defects_of.get(one["_id"], set()) & with_people:
                continue
            assert "@" not in json.dumps(one, default=str)
            assert "DeviceSerialNumber" not in one["bids_meta"]
            ids = [one["bids_meta"].get(key) for key in ("subject_id", "session_id")]
            assert all(re.fullmatch("[0-9a-f]{64}", value) for value in ids if value is not None)


# The second night


def test_second_night(corpus, by_id, defects_of):
    night = second_night(corpus)
    last = {resource: documents[-1]["_id"] for resource, documents in corpus.documents.items()}
    added = [one for documents in night.added.values() for one in documents]
    changed = [one for documents in night.changed.values() for one in documents]
    deleted = [one for ids in night.deleted.values() for one in ids]
    assert (len(added), len(changed), len(deleted)) == (40, 12, 5)
    assert not {one["_id"] for one in added} & set(by_id)
    assert sum(one["_id"] < last[resource] for resource, new in night.added.items() for one in new) == 2
    assert not {one["_id"] for one in changed} & set(deleted)
    assert set(deleted) <= set(by_id)
    for one in changed:
        before = by_id[one["_id"]]
        assert one["_created"] == before["_created"] and one["_updated"] > before["_updated"]
        assert one["_etag"] == etag(one) != before["_etag"]
    assert not {one["_id"] for one in changed} & set(defects_of)
    for resource, new in night.added.items():
        validator = Validator(cerberus_schema(resource))
        for one in new:
            content = {key: value for key, value in one.items() if not key.startswith("_")}
            assert validator.validate(content), validator.errors
            assert one["_etag"] == etag(one) and objectid.created(one["_id"]) == one["_created"]


def test_second_night_leaves_the_corpus_alone(corpus):
    before = repr(corpus)
    second_night(corpus)
    assert repr(corpus) == before


def test_missing_tables_name_the_extra(monkeypatch):
    tables.labelled_images.cache_clear()
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    with pytest.raises(DemoDataMissing, match=r"\[demo\]"):
        tables.labelled_images()
