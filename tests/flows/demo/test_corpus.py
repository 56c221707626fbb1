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
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from cerberus import Validator

from curation import objectid
from flows.demo.corpus import DEFECTS, DemoDataMissing, make_corpus, second_night, tables, write_truth
from flows.demo.corpus.chance import etag
from flows.demo.corpus.plant_meta import LETTERS, MISSPELLED
from flows.demo.corpus.plant_personal import PERSONAL
from flows.demo.corpus.plant_values import PARAMETERS
from flows.demo.corpus.ratings import ANONYMOUS, ARTIFACTS
from schemas import RESOURCES, table
from schemas.webapi import cerberus_schema

pytestmark = pytest.mark.skipif(find_spec("mriqc_learn") is None, reason="needs the extra demo (mriqc-learn)")

ROOT = Path(__file__).parents[3]
IMAGES = ("bold", "T1w", "T2w")
MD5 = re.compile(r"[0-9a-f]{32}\Z")
BENIGN = {"exact-repeat", "noisy-repeat", "other-version-repeat", "frequent-image", "integer-for-float"}
BENIGN |= {"undeclared-keys", "no-acquisition-parameters", "field-strength-cast", "rater-name"}
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


def test_truth_refers_to_cells_once_each(corpus):
    known = {(resource, one["_id"]) for resource, documents in corpus.documents.items() for one in documents}
    keys = [(planted.resource, planted.record_id) for planted in corpus.truth]
    assert set(keys) <= known
    cells = [(planted.record_id, planted.defect, planted.detail.get("column")) for planted in corpus.truth]
    assert len(cells) == len(set(cells))


def test_an_image_has_one_sown_defect_at_most(corpus, by_id):
    followed = BENIGN - {"integer-for-float"}
    sown: dict[str, set[str]] = {}
    for one in (one for one in corpus.truth if one.resource != "rating" and one.defect not in followed):
        # A checksum may be what is wrong; then the image has that record only.
        image = by_id[one.record_id]["provenance"].get("md5sum", one.record_id)
        sown.setdefault(image if MD5.match(image) else one.record_id, set()).add(one.defect)
    assert {len(defects) for defects in sown.values()} == {1}


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


def _milliseconds(document, detail):
    return at(document, detail["column"]) == detail["sent"] == pytest.approx(1000 * detail["true"])


def _unread_letters(document, detail):
    sent = at(document, detail["column"])
    return sent in ("z", "z-") or sent == [detail["true"]]


PLANTED_TEXTS = {"ProtocolName", "InstitutionName", "SequenceName", "global"}
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
    "unnamed-scanner": lambda d, x: x["missing"] and not set(x["missing"]) & set(d["bids_meta"]),
    "echo-time-ms": lambda d, x: _milliseconds(d, x) and x["true"] < 0.2,
    "repetition-time-ms": lambda d, x: (
        _milliseconds(d, x) and x["true"] >= 0.05 and d["bids_meta"].get("EchoTime", 0) < 0.6
    ),
    "both-times-ms": lambda d, x: _milliseconds(d, x) and d["bids_meta"]["EchoTime"] > 1,
    "inversion-time-ms": lambda d, x: _milliseconds(d, x) and 0.5 < x["true"] < 1.2,
    "delay-time-ms": _milliseconds,
    "readout-time-ms": lambda d, x: _milliseconds(d, x) and 0.01 < x["true"] < 0.1,
    "echo-spacing-unit": lambda d, x: (
        at(d, x["column"]) == x["sent"] and round(x["sent"] / x["true"]) in (10**3, 10**6)
    ),
    "imaging-frequency-hz": lambda d, x: at(d, x["column"]) == pytest.approx(1e6 * x["true"]),
    "no-acquisition-parameters": lambda d, x: set(d["bids_meta"]) & set(x["missing"]) <= PLANTED_TEXTS,
    "phase-encoding-letters": lambda d, x: at(d, x["column"]) not in ("i", "i-", "j", "j-", "k", "k-"),
    "encoding-list": lambda d, x: at(d, x["column"]) == [x["true"]],
    "slice-encoding-letters": _unread_letters,
    "plain-session-id": lambda d, x: hashlib.sha256(at(d, x["column"]).encode()).hexdigest() == x["true"],
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
    "rater-name": lambda d, x: d["name"] == x["sent"] != ANONYMOUS,
    "rating-out-of-scale": lambda d, x: not 1 <= float(d["rating"]) <= 4,
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
        assert record["_created"] - original["_created"] > timedelta(hours=1)


def test_resubmitted_ratings_are_the_same_within_minutes(corpus, by_id):
    planted = [one for one in corpus.truth if one.defect == "rating-resubmitted"]
    assert len(planted) == 6
    for one in planted:
        record, original = by_id[one.record_id], by_id[one.detail["of"]]
        assert etag(record) == etag(original)
        assert timedelta(minutes=1) <= record["_created"] - original["_created"] < timedelta(minutes=5)


def test_ratings_tell_of_agreement_and_disagreement(corpus):
    raters: dict[str, set[str]] = {}
    values: dict[str, set[str]] = {}
    for one in corpus.documents["rating"]:
        raters.setdefault(one["md5sum"], set()).add(one["name"])
        values.setdefault(one["md5sum"], set()).add(one["rating"])
    shared = [image for image, names in raters.items() if len(names) > 1]
    assert len(shared) >= 10
    assert sum(len(values[image]) > 1 for image in shared) > 3


def test_every_rater_is_told(corpus):
    told = {one.record_id for one in corpus.truth if one.defect == "rater-name"}
    assert told == {one["_id"] for one in corpus.documents["rating"] if one["name"] != ANONYMOUS}


def details(corpus, defect):
    return [(one.resource, one.detail) for one in corpus.truth if one.defect == defect]


def test_every_variant_is_planted(corpus):
    kinds = {(x["kind"], x["column"], str(x["sent"])) for _, x in details(corpus, "personal-free-text")}
    assert kinds >= {(text.kind, text.column, str(text.sent)) for text in PERSONAL}
    keys = {(x["column"].partition(".")[2], x["sent_key"]) for _, x in details(corpus, "misspelled-key")}
    assert keys == set(MISSPELLED)
    letters = {x["sent"] for _, x in details(corpus, "phase-encoding-letters")}
    assert all(letters & set(style.values()) for style in LETTERS.values())
    for defect in ("plain-subject-id", "device-serial"):
        assert len({len(x.get("repeated", ())) for _, x in details(corpus, defect)}) == 2
    for defect in ("text-number", "one-element-list"):
        found = details(corpus, defect)
        assert {x["column"] for _, x in found} >= set(PARAMETERS)
        parameters = Counter(resource for resource, x in found if x["column"] in PARAMETERS)
        assert set(parameters) == set(IMAGES) and min(parameters.values()) >= 6


def test_cut_fields_with_every_evidence(corpus):
    found = Counter((x["sent"], *x["evidence"]) for _, x in details(corpus, "field-strength-cast"))
    model, frequency = "ManufacturersModelName", "ImagingFrequency"
    for sent in (0, 2):
        assert min(found[sent,], found[sent, model], found[sent, frequency, model]) >= 3, sent
    assert found[1,] and found[1, frequency, model]
    assert {x["true"] for _, x in details(corpus, "field-strength-cast")} >= {0.2, 0.5, 1.5, 2.89362}


def test_frequencies_are_those_of_the_fields(corpus, defects_of):
    """42.577 MHz/T, and 123.2 MHz in Siemens' 3 T systems, whether they say 2.89 or 3."""
    checked = 0
    for one in (one for resource in IMAGES for one in corpus.documents[resource]):
        meta = one["bids_meta"]
        if defects_of.get(one["_id"], set()) & {"field-strength-cast", "imaging-frequency-hz"}:
            continue
        if {"ImagingFrequency", "MagneticFieldStrength", "Manufacturer"} <= set(meta):
            siemens = meta["Manufacturer"].lower().startswith("siemens")
            if siemens and 2.8 < meta["MagneticFieldStrength"] <= 3:
                assert 123.2 <= meta["ImagingFrequency"] <= 123.26
            else:
                assert meta["ImagingFrequency"] == pytest.approx(42.577 * meta["MagneticFieldStrength"], 1e-4)
            checked += 1
    assert checked > 100


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
    with_people |= {"plain-session-id"}
    for resource in IMAGES:
        for one in corpus.documents[resource]:
            if defects_of.get(one["_id"], set()) & with_people:
                continue
            assert "@" not in json.dumps(one, default=str)
            assert "DeviceSerialNumber" not in one["bids_meta"]
            ids = [one["bids_meta"].get(key) for key in ("subject_id", "session_id")]
            assert all(re.fullmatch("[0-9a-f]{64}", value) for value in ids if value is not None)


def test_personal_texts_are_where_they_are_planted_and_nowhere_else(corpus, by_id):
    """So whoever looks for them in what is published finds none by chance."""
    personal = {"email", "device-serial", "plain-subject-id", "plain-session-id"}
    personal |= {"personal-free-text", "rater-name"}
    planted: dict[str, set[str]] = {}
    for one in corpus.truth:
        for text in one.detail.get("personal", ()):
            planted.setdefault(text, set()).add(one.record_id)
        assert one.detail.get("personal") or one.defect not in personal, one
    assert len(planted) > 60 and min(map(len, planted)) > 5
    texts = {
        key: json.dumps(one, default=str, ensure_ascii=False).replace(one["_id"], "")
        for key, one in by_id.items()
    }
    for text, records in planted.items():
        assert {key for key, document in texts.items() if text in document} == records, text


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
    assert all(defects_of.get(one["_id"], set()) <= {"rater-name"} for one in changed)
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
