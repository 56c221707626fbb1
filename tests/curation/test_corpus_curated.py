"""The demo corpus and, where they lie beside the repository, real documents: from documents to published files."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from curation.curate import CurationReport, curate
from curation.flags import flag
from curation.harmonise import harmonise
from flows.demo.corpus import Corpus
from schemas import table
from schemas.published import flag_meanings
from tests.support import truth
from tests.support.documents import lost, moment, record, store_of
from tests.support.pseudonyms import PSEUDONYMS
from tests.support.repairs import repaired

# What real sidecars have of days, times and visits.
PERSONAL = frozenset({"SeriesDate", "SeriesTime", "StudyTime", "StudyID"})
SHARED = Path(__file__).parents[3] / "shared" / "real"


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
        created = [parsedate_to_datetime(one["_created"]) for one in documents[resource]]
        made = repaired(resource, documents[resource], created)  # type: ignore[arg-type]
        flags = flag(resource, made, harmonise(resource, made.rows)).to_pylist()  # type: ignore[arg-type]
        for document, text in zip(documents[resource], flags, strict=True):
            found |= {(resource, document["_id"], name) for name in (text or "").split()}
    # What is out of the hard range is no plausible value either, and is quarantined.
    broken = set(truth.broken_rules(corpus))
    named = {one for one in found if one[2] in truth.WATCHED}
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


def _check_values(report: CurationReport, received: dict[str, dict[str, str]]) -> int:
    """Every published row against the document it is from, and the CSV against the Parquet file."""
    checked = 0
    for resource, by_id in received.items():
        rows = pq.read_table(report.folder / f"parquet/{resource}.parquet")
        frame = pd.read_csv(report.folder / f"csv/{resource}.csv", low_memory=False)
        for row in rows.to_pylist():
            assert lost(table(resource), by_id[row["record_id"]], row, PERSONAL) == []  # type: ignore[arg-type]
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
    corpus: Corpus, documents: dict[str, list[dict[str, Any]]], night: CurationReport
) -> None:
    hidden = {p.record_id for p in corpus.truth if "personal" in p.detail}
    for resource, found in documents.items():
        by_id = {d["_id"]: json.dumps(d) for d in found}
        for row in pq.read_table(night.folder / f"parquet/{resource}.parquet").to_pylist():
            if row["record_id"] not in hidden:
                assert lost(table(resource), by_id[row["record_id"]], row) == []  # type: ignore[arg-type]


def test_the_same_bytes_whatever_the_parts(
    documents: dict[str, list[dict[str, Any]]], night: CurationReport, tmp_path: Path
) -> None:
    """Law 2, with every taint, rating and person of the corpus."""
    records = {resource: [record(one) for one in reversed(found)] for resource, found in documents.items()}
    again = curate(store_of(tmp_path / "store", records, 170), tmp_path / "out", pseudonyms=PSEUDONYMS)
    assert again.files == night.files and len(again.files) > 20
    for name in again.files:
        assert (again.folder / name).read_bytes() == (night.folder / name).read_bytes(), name
