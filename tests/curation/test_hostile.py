"""Hostile records: nothing crashes, nothing is lost, and no published cell starts a formula."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.curate import CurationReport, curate
from curation.flatten.cells import could_be_formula
from schemas import table
from tests.support.documents import lost, record, store_of, valid

FORMULAS = [
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "\r\n=1", " =1", "\x00=1", "\u00a0=1", "\ufeff=1",
    "\uff1d1+1", "=HYPERLINK(\"http://example.org\")", "-", "=", "+x", "-Infinity", "@", "--1", "-1e", "+1_0",
]  # fmt: skip
TEXTS = [
    *FORMULAS,
    'a"b',
    "a,b\r\nc",
    "\x00",
    "nul\x00nul",
    "\u2028",
    "'=1",
    "</script>",
    "-1.5",
    "+3e-4",
    "e\u0301",
]
ADDED = ("bids_meta_ProtocolName", "bids_meta_task_id", "provenance_webapi_url", "bids_meta_ScanOptions")


def cells(folder: Path) -> Iterator[tuple[str, str]]:
    """Every text that a spreadsheet would be shown, with where it is."""
    csv.field_size_limit(sys.maxsize)
    for path in folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            # The library refuses NUL, which the bytes hold where a text does.
            for row in csv.reader(line.replace("\x00", "\ue000") for line in stream):
                yield from ((path.name, cell.replace("\ue000", "\x00")) for cell in row)
    for path in folder.rglob("*.parquet"):
        rows = pq.read_table(path)
        for name, column in zip(rows.column_names, rows.columns, strict=True):
            if pa.types.is_string(column.type):
                yield from ((f"{path.name} {name}", text) for text in column.to_pylist() if text is not None)


def starts_formula(cell: str) -> bool:
    start = cell.lstrip("".join(map(chr, range(33))) + "\x7f\xa0\ufeff")[:1]
    if start not in tuple("=+-@\uff1d\uff0b\uff0d\uff20"):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return "_" in cell or "n" in cell.lower()


def publish(folder: Path, documents: list[bytes | dict[str, Any]], ids: list[str]) -> CurationReport:
    records = [
        record(one if isinstance(one, bytes) else json.dumps(one).encode(), id=i, etag=f"{i} etag")
        for one, i in zip(documents, ids, strict=True)
    ]
    return curate(store_of(folder / "store", {"T1w": records}), folder / "out")


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_known(text: str) -> None:
    assert could_be_formula(text)
    assert starts_formula(text)


@pytest.mark.parametrize(
    "text", ["", " ", "a=1", "-1", "+0.5", "-1e5", "[=1]", '"=1"', "\x00", "3", ".5", "x-y", "T1*"]
)
def test_other_texts_stay(text: str) -> None:
    assert not could_be_formula(text)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_no_cell_starts_a_formula_and_no_text_is_lost(data: st.DataObject) -> None:
    texts = st.sampled_from(TEXTS) | st.text(max_size=5).filter(
        lambda text: "@" not in text and "\uff20" not in text
    )
    documents = []
    for number in range(3):
        values = {name: data.draw(texts) for name in ADDED}
        document = valid("T1w", f"{number:032x}", **values)
        document |= {data.draw(st.sampled_from(TEXTS)): data.draw(texts)}
        document["bids_meta"] |= {data.draw(st.sampled_from(TEXTS)): [data.draw(texts)]}
        documents.append(document)
    with tempfile.TemporaryDirectory() as folder:
        report = publish(Path(folder), documents, [f"{n:024x}" for n in range(3)])
        assert report.snapshot["tables"]["T1w"]["representatives"] == 3
        assert [found for found in cells(report.folder) if starts_formula(found[1])] == []
        rows = pq.read_table(report.folder / "parquet/T1w.parquet").to_pylist()
        for document, row in zip(documents, rows, strict=True):
            received = json.dumps(document)
            if "@" not in received and "\\uff20" not in received:
                assert lost(table("T1w"), received, row) == []


def test_what_is_set_aside_is_told(tmp_path: Path) -> None:
    sound = valid("T1w", bids_meta_ProtocolName="=cmd()", provenance_webapi_url="+x", bids_meta_task_id="-1")
    report = publish(tmp_path, [sound], ["5" * 24])
    (row,) = pq.read_table(report.folder / "parquet/T1w.parquet").to_pylist()
    assert (row["bids_meta_ProtocolName"], row["bids_meta_task_id"]) == (None, "-1")
    assert json.loads(row["bids_meta_extra"]) == {"ProtocolName": "=cmd()"}
    assert json.loads(row["extra"]) == {"provenance": {"webapi_url": "+x"}}
    assert report.snapshot["readings"]["T1w"] == {
        "possible formula set aside from bids_meta_ProtocolName": 1,
        "possible formula set aside from provenance_webapi_url": 1,
    }
    (curated,) = pq.read_table(report.folder / "parquet/T1w_curated.parquet").to_pylist()
    assert curated["flags"] == "formula_text"


def test_a_crowd_of_hostile_records(tmp_path: Path) -> None:
    nested: Any = "x"
    for _ in range(90):
        nested = [nested]
    documents: list[bytes | dict[str, Any]] = [
        valid("T1w", "1" * 32, bids_meta_ProtocolName="x\n" * 5_000_000),
        valid("T1w", "2" * 32) | {"nested": nested, "huge": 10**400, "\x00=1\n": "\x00"},
        valid("T1w", "3" * 32, provenance_version="=1+1"),
        valid("T1w", "4" * 32, provenance_md5sum="@x"),
        valid("T1w", "5" * 32),
        valid("T1w", "6" * 32),
        json.dumps(valid("T1w", "7" * 32)).encode()[:-1] + b', "bids_meta": {}}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        json.dumps(valid("T1w", "8" * 32))
        .encode()
        .replace(b'"cjv": ', b'"cjv": 1' + b"0" * 5_000 + b', "c": '),
    ]
    ids = [f"{number:024x}" for number in range(len(documents))]
    documents.append(valid("T1w", "9" * 32))
    ids += ["joe@example.org"]
    ids[4:6] = ["=cmd()", "jane@example.org"]
    report = publish(tmp_path, documents, ids)
    counts = report.snapshot["tables"]["T1w"]
    assert counts["received"] == len(documents) == counts["representatives"] + counts["quarantined"]
    found = [row for row in csv.DictReader((report.folder / "audit/quarantine.csv").open(newline=""))]
    assert [(row["record_id"], row["column"], row["rule"], row["found"]) for row in found] == [
        *([(ids[2], "provenance_version", "unreadable", "formula")]),
        *([(ids[3], "md5sum", "unreadable", "formula")]),
        (ids[6], "", "document has a key twice", ""),
        (ids[7], "", "document is no JSON object", ""),
        (ids[8], "", "document is nested too deeply", ""),
        (ids[9], "cjv", "unreadable", "number"),
        ('"=cmd()"', "record_id", "not an ObjectId", "text"),
        ('"[e-mail address removed]"', "record_id", "not an ObjectId", "text"),
        ('"[e-mail address removed]" 2', "record_id", "not an ObjectId", "text"),
    ]
    assert [cell for cell in cells(report.folder) if starts_formula(cell[1])] == []
    rows = {row["md5sum"]: row for row in pq.read_table(report.folder / "parquet/T1w.parquet").to_pylist()}
    for place in (0, 1):
        document = documents[place]
        assert isinstance(document, dict)
        assert lost(table("T1w"), json.dumps(document), rows[document["provenance"]["md5sum"]]) == []
