"""Law 1 (nothing is lost) and law 2 (same records, same bytes), over random sets of records."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import curate as curate_module
from curation.curate import CurationReport, curate
from curation.errors import LawBroken, StoreCorrupted
from curation.flatten import KEY_TWICE, NOT_JSON
from curation.store import RecordStore
from curation.typed import make_typed
from tests.support.documents import moment, record, seal

START = 1_500_000_000
_ids = st.integers(0, 40).map(lambda n: f"{START + n // 3:08x}{n:016x}") | st.sampled_from(
    ["z" * 24, "Z" * 24, "odd", "\u00e9", "e\u0301", "F" * 24, "0"]
)
_checksums = st.sampled_from(
    ["a" * 32, "A" * 32, "b" * 32, "c" * 32, "c" * 31, "d" * 32 + "\n", "", None, 5, ["a" * 32]]
)


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Ids, each with the versions of its document, oldest first."""
    found = {}
    for record_id in draw(st.lists(_ids, unique=True, max_size=12)):
        created = draw(st.none() | st.integers(START, START + 9).map(moment))
        versions = []
        for age in range(draw(st.integers(1, 3))):
            checksum = draw(_checksums)
            document = {"_id": record_id, "_etag": f"{record_id} {age}", "cnr": draw(st.floats())}
            if created is not None:
                document["_created"] = created
            document |= {"_updated": moment(START + 100 + age), "md5sum": checksum}
            document["provenance"] = {} if checksum is None else {"md5sum": checksum}
            versions.append(document)
        found[record_id] = versions
    return found


def published(store: RecordStore, folder: Path) -> tuple[CurationReport, dict[str, bytes]]:
    """The report, and what the files say."""
    report = curate(store, folder)
    names = [name for name in report.files if name != "snapshot.json"]
    return report, {name: (folder / name).read_bytes() for name in names}


def ledger(folder: Path) -> pa.Table:
    text = dict.fromkeys(("record_id", "reason", "md5sum", "representative", "etag"), pa.string())
    options = pa_csv.ConvertOptions(
        column_types=text, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return pa_csv.read_csv(folder / "audit" / "records.csv", convert_options=options)


@settings(max_examples=25, deadline=None)
@given(history=histories(), resource=st.sampled_from(["T1w", "rating"]), data=st.data())
def test_same_records_same_bytes(
    history: dict[str, list[dict[str, Any]]], resource: str, data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.sampled_from(sorted(history)))) if history else set()
    back = data.draw(st.sets(st.sampled_from(sorted(gone)))) if gone else set()
    everything = [(record_id, version) for record_id, versions in history.items() for version in versions]
    shuffled = data.draw(st.permutations(everything))
    runs = data.draw(st.lists(st.integers(1, 3), min_size=len(shuffled), max_size=len(shuffled)))
    with tempfile.TemporaryDirectory() as folder:
        plain, busy = RecordStore(Path(folder, "plain")), RecordStore(Path(folder, "busy"))
        seal(plain, resource, 1, [record(versions[-1]) for versions in history.values()])
        for place, ((_, version), run) in enumerate(zip(shuffled, runs, strict=True)):
            # Two documents a part at the most, and some stored twice.
            seal(busy, resource, run, [record(version)] * (1 + place % 2))
        for store in (plain, busy):
            store.record_deletions(resource, 4, sorted(gone), "a test")
            seal(store, resource, 5, [record(history[i][-1]) for i in sorted(back)])
        first, expected = published(plain, Path(folder, "a"))
        second, found = published(busy, Path(folder, "b"))
        assert found == expected
        assert first.snapshot == second.snapshot
        _check_law_1(Path(folder, "a"), first, resource, set(history), gone - back)


def _check_law_1(folder: Path, report: CurationReport, resource: str, ids: set[str], gone: set[str]) -> None:
    counts = report.snapshot["tables"][resource]
    book = ledger(folder)
    assert sorted(book.column("record_id").to_pylist()) == sorted(ids - gone)
    fates = Counter(book.column("fate").to_pylist())
    assert counts == {
        "received": len(ids),
        "representatives": fates["representative"],
        "duplicates": fates["duplicate"],
        "quarantined": fates["quarantined"],
        "withdrawn": len(gone),
    }
    assert len(ids) == sum(fates.values()) + len(gone)
    by_id = {row["record_id"]: row for row in book.to_pylist()}
    for row in by_id.values():
        if row["fate"] == "quarantined":
            assert row["reason"] and row["md5sum"] is None and row["representative"] is None
        else:
            head = by_id[row["representative"]]
            assert head["fate"] == "representative" and row["reason"] is None
            assert head["md5sum"].lower() == row["md5sum"].lower()


def test_a_document_that_cannot_be_read_is_quarantined_not_lost(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    sound = {"_id": "1" * 24, "provenance": {"md5sum": "a" * 32}}
    bad = [b'{"email": "jane@example.org", ', b"[1]", b'{"a": 1, "a": "jane@example.org"}', b"\xff"]
    seal(store, "T1w", 1, [record(sound), *(record(b, id=f"{n:024x}") for n, b in enumerate(bad))])
    report, files = published(store, tmp_path / "out")
    assert report.snapshot["tables"]["T1w"]["quarantined"] == 4
    reasons = Counter(ledger(tmp_path / "out").column("reason").to_pylist())
    assert reasons == {NOT_JSON: 3, KEY_TWICE: 1, None: 1}
    assert not any(b"jane" in content for content in files.values())


def test_a_checksum_that_is_none_is_not_repeated(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    odd: list[Any] = ["jane", "a" * 32 + "\n", ["jane"], {"jane": 1}, True, "", "a" * 33]
    found = [{"_id": f"{n:024x}", "provenance": {"md5sum": value}} for n, value in enumerate(odd)]
    seal(store, "bold", 1, map(record, found))
    _, files = published(store, tmp_path / "out")
    book = ledger(tmp_path / "out")
    assert set(book.column("reason").to_pylist()) == {"checksum malformed"}
    assert set(book.column("md5sum").to_pylist()) == {None}
    assert not any(b"jane" in content for content in files.values())


def test_times_that_are_missing_or_odd(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    md5s = [{"provenance": {"md5sum": f"{n:032x}"}} for n in range(4)]
    documents = [
        {"_id": "z" * 24} | md5s[0],
        {"_id": f"{START:08x}{0:016x}"} | md5s[1],
        {"_id": "odd", "_created": "some day"} | md5s[2],
        {"_id": "old", "_created": moment(START - 1)} | md5s[3],
    ]
    seal(store, "T1w", 1, map(record, documents))
    published(store, tmp_path / "out")
    lines = (tmp_path / "out/csv/T1w.csv").read_text().splitlines()[1:]
    assert [(line.split(",")[1], line.split(",")[-1]) for line in lines] == [
        ('"2017-07-14T02:39:59Z"', '"old"'),
        ('"2017-07-14T02:40:00Z"', f'"{START:08x}{0:016x}"'),
        ("", '"odd"'),
        ("", f'"{"z" * 24}"'),
    ]
    assert '""_created"":""some day""' in lines[2]


def test_a_deletion_buries_all_older_versions(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    base = {"_id": "1" * 24, "provenance": {"md5sum": "a" * 32}}
    seal(store, "T1w", 1, [record(base | {"cnr": 1.0, "_updated": moment(START + 9)})])
    store.record_deletions("T1w", 2, ["1" * 24], "a test")
    seal(store, "T1w", 3, [record(base | {"cnr": 2.0, "_updated": moment(START)})])
    report, _ = published(store, tmp_path / "out")
    assert report.snapshot["tables"]["T1w"]["representatives"] == 1
    assert ",2.0," in (tmp_path / "out/csv/T1w.csv").read_text()


def test_two_parts_with_the_same_bytes(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    one = record({"_id": "1" * 24, "provenance": {"md5sum": "a" * 32}})
    seal(store, "T1w", 1, [one])
    seal(store, "T1w", 2, [one])
    report, _ = published(store, tmp_path / "out")
    assert report.snapshot["tables"]["T1w"]["received"] == 1


def test_columns_made_badly_are_made_again_or_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordStore(tmp_path / "store")
    seal(
        store,
        "T1w",
        1,
        [record({"_id": f"{n:024x}", "provenance": {"md5sum": f"{n:032x}"}}) for n in range(9)],
    )
    _, expected = published(store, tmp_path / "out")
    (path,) = make_typed(store, "T1w", store.parts("T1w"))
    path.write_bytes(path.read_bytes()[:-100])
    assert published(store, tmp_path / "out")[1] == expected
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreCorrupted, match="remove it"):
        curate(store, tmp_path / "out")
    path.unlink()
    monkeypatch.setattr(curate_module, "_distinct_ids", lambda parts: 10 if parts else 0)
    before = sorted((tmp_path / "out").rglob("*.csv"))
    with pytest.raises(LawBroken, match="10 records sealed, 9 typed"):
        curate(store, tmp_path / "out")
    assert [
        p for p in sorted((tmp_path / "out").rglob("*.csv")) if ".mriqc-snapshot-staging" not in p.parts
    ] == before


def test_an_empty_store(tmp_path: Path) -> None:
    report, files = published(RecordStore(tmp_path / "store"), tmp_path / "out")
    assert report.newest_record is None
    assert all(content.count(b"\n") == 1 for name, content in files.items() if name.endswith(".csv"))
    json.loads((tmp_path / "out/snapshot.json").read_text())
