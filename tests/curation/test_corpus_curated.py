"""The demo corpus and, where they lie beside the repository, real documents: from documents to published files."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.curate import CurationReport, curate
from curation.flags import flag
from curation.flatten import flatten
from flows.demo.corpus import Corpus, make_corpus
from flows.demo.load import load_documents
from flows.demo.server import database, make_app
from schemas import RESOURCES, table
from schemas.published import flag_meanings
from tests.support import truth
from tests.support.documents import lost, moment, record, store_of

SHARED = Path(__file__).parents[3] / "shared" / "real"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus()


@pytest.fixture(scope="module")
def documents(corpus: Corpus) -> dict[str, list[dict[str, Any]]]:
    """The corpus after it went through the embedded Web-API's database, as that renders it."""
    db = database(make_app(token="token-of-the-tests"))
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in RESOURCES:
        load_documents(db, resource, corpus.documents[resource])
        found[resource] = [json.loads(json.dumps(one, default=_rendered)) for one in db[resource].find()]
    return found


def _rendered(value: Any) -> str:
    # The database's time zone is UTC by another name than datetime's.
    return moment(int(value.timestamp())) if isinstance(value, datetime) else str(value)


@pytest.fixture(scope="module")
def night(
    documents: dict[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> CurationReport:
    folder = tmp_path_factory.mktemp("corpus")
    store = store_of(folder / "store", {r: [record(d) for d in found] for r, found in documents.items()}, 400)
    return curate(store, folder / "out")


def _ledger(report: CurationReport) -> pd.DataFrame:
    return pd.read_csv(report.folder / "audit" / "records.csv", dtype="str")


def test_every_broken_rule_is_found_and_no_other(corpus: Corpus, night: CurationReport) -> None:
    expected = {(*who, *broken) for who, rules in truth.broken_rules(corpus).items() for broken in rules}
    book = pd.read_csv(night.folder / "audit" / "quarantine.csv", dtype="str", keep_default_na=False)
    found = list(zip(*(book[name] for name in ("resource", "record_id", "column", "rule")), strict=True))
    assert set(found) == expected
    assert len(found) == len(expected) > 50
    ledger = _ledger(night)
    kept_out = ledger[~ledger["fate"].isin(["representative", "duplicate"])]
    assert set(zip(kept_out["resource"], kept_out["record_id"], strict=True)) == {who[:2] for who in expected}


def test_every_planted_flag_is_raised_and_no_other(
    corpus: Corpus, documents: dict[str, list[dict[str, Any]]], night: CurationReport
) -> None:
    expected, found = truth.flags(corpus), set()
    images = [resource for resource in documents if resource != "rating"]
    for resource in images:
        made = flatten(table(resource), [json.dumps(one).encode() for one in documents[resource]])  # type: ignore[arg-type]
        readings = pa.chunked_array([made.readings], pa.list_(pa.string()))
        flags = flag(resource, made.table, readings).to_pylist()  # type: ignore[arg-type]
        for document, text in zip(documents[resource], flags, strict=True):
            found |= {(resource, document["_id"], name) for name in (text or "").split()}
    # What is out of the hard range is no plausible value either, and is quarantined.
    broken = set(truth.broken_rules(corpus))
    named = {
        (r, i, name) for r, i, name in found if name in {*truth.FLAGS.values(), "unreadable_acquisition"}
    }
    assert {one for one in named if one[:2] not in broken} == expected
    for resource in images:
        rows = pd.read_csv(night.folder / f"csv/{resource}_curated.csv", low_memory=False)
        for record_id, text in zip(rows["record_id"], rows["flags"], strict=True):
            names = text.split() if isinstance(text, str) else []
            assert {(resource, record_id, name) for name in names} == {
                one for one in found if one[:2] == (resource, record_id)
            }
            assert set(names) <= set(flag_meanings(resource))  # type: ignore[arg-type]


def test_repeats_are_told_apart_as_planted(corpus: Corpus, night: CurationReport) -> None:
    ledger = _ledger(night).set_index("record_id")
    kinds = {"exact-repeat": "exact", "noisy-repeat": "noisy"}
    checked = 0
    for planted in corpus.truth:
        if planted.defect in kinds and ledger.loc[planted.record_id, "fate"] in (
            "representative",
            "duplicate",
        ):
            assert ledger.loc[planted.record_id, "repeat"] == kinds[planted.defect]
            checked += 1
    assert checked > 300


def test_counts_are_those_of_plain_python(
    corpus: Corpus, documents: dict[str, list[dict[str, Any]]], night: CurationReport
) -> None:
    broken = truth.broken_rules(corpus)
    for resource, found in documents.items():
        sums = [
            d["md5sum"] if resource == "rating" else d["provenance"]["md5sum"]
            for d in found
            if (resource, d["_id"]) not in broken
        ]
        heads = len(sums) if resource == "rating" else len(set(sums))
        assert night.snapshot["tables"][resource] == {
            "received": len(found),
            "representatives": heads,
            "duplicates": len(sums) - heads,
            **truth.kept_out(corpus, resource),
            "withdrawn": 0,
        }
        assert len(pd.read_csv(night.folder / "csv" / f"{resource}.csv")) == heads
        if resource != "rating":
            curated = pd.read_csv(night.folder / "csv" / f"{resource}_curated.csv", low_memory=False)
            assert sorted(curated["n_records"]) == sorted(Counter(sums).values())


def _contents(report: CurationReport) -> Iterator[tuple[str, bytes]]:
    """Every published file: as it is and, for Parquet, every text of every column."""
    for name in report.files:
        path = report.folder / name
        yield name, path.read_bytes()
        if path.suffix == ".parquet":
            yield (
                f"{name}, columns",
                json.dumps(pq.read_table(path).to_pydict(), default=str, ensure_ascii=False).encode(),
            )


def test_nothing_personal_is_published(
    corpus: Corpus, documents: dict[str, list[dict[str, Any]]], night: CurationReport
) -> None:
    planted = [p for p in corpus.truth if p.defect in ("email", "device-serial", "plain-subject-id")]
    secrets = {str(p.detail["sent"]) for p in planted}
    secrets |= {
        "li.placeholder",
        "max.mustermann@",
        "@example.org",
        "DOE^JANE^Q",
        "Ohlendorf",
        "Amina",
        "Placeholder",
    }
    secrets |= {d["name"] for d in documents["rating"] if len(d["name"]) > 3}
    serials = {str(p.detail["sent"]) for p in planted if p.defect == "device-serial"}
    # A free text of the corpus, and short digits that may be part of a number.
    secrets -= {"anonymous"} | {s for s in secrets if s.isdigit()}
    assert len(planted) > 20
    for name, content in _contents(night):
        for secret in secrets:
            assert secret.encode() not in content, f"{name} has one of the planted texts"
            assert json.dumps(secret)[1:-1].encode() not in content, f"{name} has one, escaped"
        if name.endswith(".csv"):
            for secret in serials:
                assert f'"{secret}"'.encode() not in content, f"{name} has a serial number"
    labels = {str(p.detail["sent"]) for p in planted if p.defect == "plain-subject-id"}
    published = {
        value
        for resource in ("bold", "T1w", "T2w")
        for value in pq.read_table(night.folder / f"parquet/{resource}.parquet")
        .column("bids_meta_subject_id")
        .to_pylist()
    }
    assert {hashlib.sha256(label.encode()).hexdigest() for label in labels} <= published
    assert not labels & published


def _check_values(report: CurationReport, received: dict[str, dict[str, str]]) -> int:
    """Every published row against the document it is from, and the CSV against the Parquet file."""
    checked = 0
    for resource, by_id in received.items():
        rows = pq.read_table(report.folder / f"parquet/{resource}.parquet")
        frame = pd.read_csv(report.folder / f"csv/{resource}.csv", low_memory=False)
        for row in rows.to_pylist():
            assert lost(table(resource), by_id[row["record_id"]], row) == []  # type: ignore[arg-type]
            checked += 1
        for field in rows.schema:
            if str(field.type) == "double":
                column = rows.column(field.name).to_pandas()
                assert (column.isna() == frame[field.name].isna()).all()
                same = column.dropna().to_numpy().view("i8") == frame[field.name].dropna().to_numpy().view(
                    "i8"
                )
                assert same.all(), field.name
    return checked


def test_real_documents_come_out_to_the_last_bit(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("real documents are not part of the repository")
    texts: dict[str, dict[str, str]] = {"T1w": {}, "T2w": {}, "bold": {}}
    records: dict[str, list[Any]] = {resource: [] for resource in texts}
    for path in sorted([*SHARED.glob("webapi/*.gz"), *SHARED.glob("mriqc/*.gz")]):
        for number, line in enumerate(gzip.decompress(path.read_bytes()).decode().strip().split("\n")):
            document = json.loads(line)
            record_id = document.get("_id") or hashlib.md5(f"{path.name} {number}".encode()).hexdigest()[:24]
            text = line[line.index('"record":') + 9 : line.rindex("}")] if "record" in document else line
            document = document.get("record", document)
            resource = path.name.split(".")[0]
            resource = resource if resource in texts else document["bids_meta"]["modality"]
            texts[resource][record_id] = text
            keys = {"id": record_id, "created": document.get("_created", moment(1_600_000_000 + number))}
            records[resource].append(record(text.encode(), **keys))
    report = curate(store_of(tmp_path / "store", records, 300), tmp_path / "out")
    checked = _check_values(report, texts)
    counts = report.snapshot["tables"]
    assert checked == sum(counts[resource]["representatives"] for resource in texts) > 2_500
    for resource, found in texts.items():
        assert counts[resource]["received"] == len(found)
        fates = Counter({name: count for name, count in counts[resource].items() if name != "received"})
        assert fates.total() == len(found)


def test_the_corpus_comes_out_to_the_last_bit(
    documents: dict[str, list[dict[str, Any]]], night: CurationReport
) -> None:
    personal = ("personal-free-text", "email")
    hidden = {p.record_id for p in make_corpus().truth if p.defect in personal}
    for resource, found in documents.items():
        by_id = {d["_id"]: json.dumps(d) for d in found}
        for row in pq.read_table(night.folder / f"parquet/{resource}.parquet").to_pylist():
            if row["record_id"] not in hidden:
                assert lost(table(resource), by_id[row["record_id"]], row) == []  # type: ignore[arg-type]
