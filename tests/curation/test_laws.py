"""Law 1 (nothing is lost) and law 2 (same records, same bytes), over random sets of records."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import resource as resource_module
from curation.curate import CurationReport, curate
from curation.engine import Engine
from curation.errors import LawBroken, StoreCorrupted
from curation.flatten import KEY_TWICE, NOT_JSON
from curation.objectid import is_object_id
from curation.store import RecordStore
from curation.typed import make_typed
from schemas import table
from schemas.dictionary import Resource
from tests.support.documents import moment, record, seal, valid

START = 1_500_000_000
_ids = st.integers(0, 40).map(lambda n: f"{START + n // 3:08x}{n:016x}") | st.sampled_from(
    ["z" * 24, "Z" * 24, "odd", "\u00e9", "e\u0301", "F" * 24, "0"]
)
_checksums = st.sampled_from(
    ["a" * 32, "A" * 32, "b" * 32, "c" * 32, "c" * 31, "d" * 32 + "\n", "", None, 5, ["a" * 32]]
)


@st.composite
def histories(draw: st.DrawFn, resource: Resource) -> dict[str, list[dict[str, Any]]]:
    """Ids, each with the versions of its document, oldest first; most of them sound."""
    found = {}
    checksum_name = table(resource).checksum.name
    for record_id in draw(st.lists(_ids, unique=True, max_size=12)):
        created = draw(st.none() | st.integers(START, START + 9).map(moment))
        versions = []
        for age in range(draw(st.integers(1, 3))):
            checksum = draw(_checksums)
            document = {
                "_id": record_id,
                "_etag": f"{record_id} {age}",
                "_updated": moment(START + 100 + age),
            }
            if created is not None:
                document["_created"] = created
            values: dict[str, Any] = {checksum_name: checksum}
            if resource != "rating":
                values["cnr"] = draw(st.floats(-1, 9) | st.sampled_from([1.0, 2.0, float("nan"), None]))
                values["provenance_version"] = draw(
                    st.sampled_from(["0.9.6", "0.10.0", "0.10.0rc1", "1a2b3c4"])
                )
                values["provenance_settings_testing"] = draw(st.sampled_from([None, False, "false", True]))
            versions.append(document | valid(resource, **values))
        found[record_id] = versions
    return found


def published(store: RecordStore, folder: Path) -> tuple[CurationReport, dict[str, bytes]]:
    """The report, and what the files say."""
    report = curate(store, folder)
    names = [name for name in report.files if name != "snapshot.json"]
    return report, {name: (folder / name).read_bytes() for name in names}


def ledger(folder: Path) -> pa.Table:
    names = pa_csv.read_csv(folder / "audit" / "records.csv").column_names
    text = {name: pa.string() for name in names if name not in ("created", "updated")}
    options = pa_csv.ConvertOptions(
        column_types=text, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return pa_csv.read_csv(folder / "audit" / "records.csv", convert_options=options)


@settings(max_examples=25, deadline=None)
@given(resource=st.sampled_from(["T1w", "rating"]), data=st.data())
def test_same_records_same_bytes(resource: Resource, data: st.DataObject) -> None:
    history = data.draw(histories(resource))
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
        alive = {i: versions[-1] for i, versions in history.items() if i not in gone - back}
        _check_law_1(Path(folder, "a"), first, resource, set(history), alive)


def _check_law_1(
    folder: Path, report: CurationReport, resource: Resource, ids: set[str], alive: dict[str, dict[str, Any]]
) -> None:
    counts = report.snapshot["tables"][resource]
    book = ledger(folder)
    shown = {i if is_object_id(i) else json.dumps(i, ensure_ascii=False): i for i in alive}
    assert sorted(book.column("record_id").to_pylist()) == sorted(shown)
    fates = Counter(book.column("fate").to_pylist())
    assert counts == {
        "received": len(ids),
        "representatives": fates["representative"],
        "duplicates": fates["duplicate"],
        "quarantined": fates["quarantined"],
        "excluded": fates["excluded"],
        "withdrawn": len(ids) - len(alive),
    }
    assert len(ids) == sum(fates.values()) + counts["withdrawn"]
    by_id = {row["record_id"]: row for row in book.to_pylist()}
    rules = _rules(folder)
    for row in by_id.values():
        document = alive[shown[row["record_id"]]]
        assert (row["fate"] in ("quarantined", "excluded")) == (row["record_id"] in rules)
        assert rules.get(row["record_id"], set()) == _broken(resource, document)
        if row["fate"] in ("quarantined", "excluded"):
            assert row["reason"] and row["representative"] is None and row["curated_representative"] is None
        else:
            head = by_id[row["representative"]]
            assert head["fate"] == "representative" and head["reason"] is None
            assert head["md5sum"].lower() == row["md5sum"].lower()
    if resource == "T1w":
        _check_ranking(by_id, {text: alive[record_id] for text, record_id in shown.items()})


def _rules(folder: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in pa_csv.read_csv(folder / "audit" / "quarantine.csv").to_pylist():
        found.setdefault(row["record_id"], set()).add(row["rule"])
    return found


def _broken(resource: Resource, document: dict[str, Any]) -> set[str]:
    """The rules that a document of :func:`histories` breaks, told without the code under test."""
    where = document if resource == "rating" else document["provenance"]
    checksum, found = where["md5sum"], set()
    if checksum is None:
        found.add("missing")
    elif isinstance(checksum, list):
        found.add("unreadable")
    elif len(str(checksum)) != 32 or set(str(checksum).lower()) - set("0123456789abcdef"):
        found.add("not a checksum")
    if len(document["_id"]) != 24 or set(document["_id"]) - set("0123456789abcdef"):
        found.add("not an ObjectId")
    if resource != "rating":
        if where["settings"]["testing"] is True:
            found.add("marked as testing")
        if document["cnr"] is None:
            found.add("missing")
        elif document["cnr"] < 0:
            found.add("out of range")
    return found


_AGE = {"1a2b3c4": 0, "0.9.6": 1, "0.10.0rc1": 2, "0.10.0": 3}


def _check_ranking(by_id: dict[str, dict[str, Any]], documents: dict[str, dict[str, Any]]) -> None:
    """The curated representative is the best of its image, and duplicates of one run are exact or noisy."""
    images: dict[str, list[str]] = {}
    for record_id, row in by_id.items():
        if row["representative"] is not None:
            images.setdefault(row["md5sum"].lower(), []).append(record_id)

    def merit(record_id: str) -> tuple[Any, ...]:
        document, created = documents[record_id], by_id[record_id]["created"]
        return math.isfinite(document["cnr"]), _AGE[document["provenance"]["version"]], created, record_id

    for members in images.values():
        best = max(members, key=merit)
        assert {by_id[i]["curated_representative"] for i in members} == {best}
        assert by_id[best]["curated_reason"] is None
        assert all(by_id[i]["curated_reason"] for i in members if i != best)
        members.sort(key=lambda i: (by_id[i]["created"], i))
        runs: dict[str, list[str]] = {}
        for record_id in members:
            runs.setdefault(documents[record_id]["provenance"]["version"], []).append(record_id)
        for run in runs.values():
            first = repr(documents[run[0]]["cnr"])
            kinds = ["exact" if repr(documents[i]["cnr"]) == first else "noisy" for i in run]
            expected = ["first", *kinds[1:]] if len(run) > 1 else [None]
            assert [by_id[i]["repeat"] for i in run] == expected


def test_a_document_that_cannot_be_read_is_quarantined_not_lost(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    sound = {"_id": "1" * 24, **valid("T1w")}
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
    found = [{"_id": f"{n:024x}", **valid("bold", provenance_md5sum=value)} for n, value in enumerate(odd)]
    seal(store, "bold", 1, map(record, found))
    _, files = published(store, tmp_path / "out")
    book = ledger(tmp_path / "out")
    assert set(book.column("reason").to_pylist()) == {"md5sum: not a checksum", "md5sum: unreadable"}
    assert set(book.column("md5sum").to_pylist()) == {None}
    assert not any(b"jane" in content for content in files.values())


def test_times_that_are_missing_or_odd(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    documents = [
        {"_id": f"{START:08x}{n:016x}", **times, **valid("T1w", f"{n:032x}")}
        for n, times in enumerate(
            [
                {},
                {"_created": "some day"},
                {"_created": moment(START - 1)},
                {"_created": "2017-07-14T02:39:58Z"},
            ]
        )
    ]
    seal(store, "T1w", 1, map(record, documents))
    published(store, tmp_path / "out")
    lines = (tmp_path / "out/csv/T1w.csv").read_text().splitlines()[1:]
    assert [(line.split(",")[1], line.split(",")[-1]) for line in lines] == [
        ('"2017-07-14T02:39:58Z"', f'"{START:08x}{3:016x}"'),
        ('"2017-07-14T02:39:59Z"', f'"{START:08x}{2:016x}"'),
        ('"2017-07-14T02:40:00Z"', f'"{START:08x}{0:016x}"'),
        ('"2017-07-14T02:40:00Z"', f'"{START:08x}{1:016x}"'),
    ]
    assert '""_created"":""some day""' in lines[3]


def test_a_deletion_buries_all_older_versions(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    base = {"_id": "1" * 24, **valid("T1w")}
    seal(store, "T1w", 1, [record(base | {"cnr": 1.0, "_updated": moment(START + 9)})])
    store.record_deletions("T1w", 2, ["1" * 24], "a test")
    seal(store, "T1w", 3, [record(base | {"cnr": 2.0, "_updated": moment(START)})])
    report, _ = published(store, tmp_path / "out")
    assert report.snapshot["tables"]["T1w"]["representatives"] == 1
    assert ",2.0," in (tmp_path / "out/csv/T1w.csv").read_text()


def test_two_parts_with_the_same_bytes(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    one = record({"_id": "1" * 24, **valid("T1w")})
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
        [record({"_id": f"{n:024x}", **valid("T1w", f"{n:032x}")}) for n in range(9)],
    )
    _, expected = published(store, tmp_path / "out")
    with Engine(processes=False) as engine:
        (partition,) = make_typed(store, "T1w", store.parts("T1w"), engine=engine)
    path = Path(partition.folder, partition.file)
    path.write_bytes(path.read_bytes()[:-100])
    assert published(store, tmp_path / "out")[1] == expected
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreCorrupted, match="remove it"):
        curate(store, tmp_path / "out")
    path.unlink()
    monkeypatch.setattr(resource_module, "_distinct_ids", lambda parts: 10 if parts else 0)
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
