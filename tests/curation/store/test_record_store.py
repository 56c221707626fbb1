"""The record store on disk: bytes, seals, corruption, locks, and what a killed run leaves."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.curate import curate
from curation.errors import LockedError, StoreCorrupted, UsageError
from curation.publish import SnapshotDataset, publish
from curation.store import Part, PartWriter, Record, RecordStore, parts
from tests.support.pseudonyms import PSEUDONYMS

TIME = "Thu, 24 Aug 2017 21:58:35 GMT"


def record(number: int, document: bytes = b"{}", **keys: str) -> Record:
    defaults = {"etag": f"e{number}", "created": TIME, "updated": TIME}
    return Record(f"{number:024x}", **{**defaults, **keys}, document=document)


def sealed(store: RecordStore, *records: Record, sequence: int = 1) -> Part:
    writer = store.writer("T1w", sequence, {"kind": "test", "source": "here"})
    writer.add([(one, True) for one in records])
    part = writer.seal()
    assert part is not None
    return part


def test_documents_come_back_as_the_bytes_they_were(tmp_path: Path) -> None:
    documents = [
        b'{"x": NaN,\r\n "y":\t[Infinity]}',
        b"",
        bytes(range(256)),
        b'{"a": 1, "a": 2}',
        b"x" * 5_000_000,
    ]
    part = sealed(RecordStore(tmp_path / "store"), *(record(n, d) for n, d in enumerate(documents)))
    (again,) = RecordStore(tmp_path / "store").parts("T1w")
    assert again.documents().column("document").to_pylist() == documents
    assert again.manifest == part.manifest
    assert again.manifest["raw_bytes"] == sum(map(len, documents))


def test_a_part_of_many_flushes_is_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "FLUSH_DOCUMENTS", 7)
    store = RecordStore(tmp_path / "store")
    writer = store.writer("T1w", 3, {"kind": "test"})
    records = [record(n, b'{"n": %d}' % n) for n in range(100)]
    for start in range(0, 100, 5):
        if writer.add([(one, one.id < f"{50:024x}") for one in records[start : start + 5]]):
            writer.pack()
            writer.flush()
    part = writer.seal()
    assert part is not None and writer.seal() is part
    part.check()
    assert (part.manifest["documents"], part.manifest["new"], part.sequence) == (100, 50, 3)
    assert (part.manifest["first_id"], part.manifest["last_id"]) == (records[0].id, records[-1].id)
    table = part.documents()
    assert table.column("document").to_pylist() == [one.document for one in records]
    assert table.column("etag").to_pylist() == [one.etag for one in records]


def test_times_that_are_no_times_are_missing(tmp_path: Path) -> None:
    odd = ["", "yesterday", "2017-08-24T21:58:35Z", TIME]
    part = sealed(RecordStore(tmp_path / "s"), *(record(n, updated=t) for n, t in enumerate(odd)))
    times = part.keys().column("updated").to_pylist()
    assert times[:3] == [None] * 3 and times[3].isoformat() == "2017-08-24T21:58:35+00:00"
    part.check()


def test_nothing_taken_is_no_part(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    assert store.writer("T1w", 1, {}).seal() is None
    assert store.parts("T1w") == []


def test_any_byte_that_changes_is_found_and_named(tmp_path: Path) -> None:
    part = sealed(RecordStore(tmp_path / "store"), *(record(n, b'{"n": %d}' % n) for n in range(20)))
    sound = part.path.read_bytes()
    choose = random.Random(20261123)
    for position in [0, len(sound) - 1, *choose.sample(range(len(sound)), 100)]:
        damaged = bytearray(sound)
        damaged[position] ^= 1 << choose.randrange(8)
        part.path.write_bytes(damaged)
        with pytest.raises(StoreCorrupted, match=part.path.name):
            part.check()
        with pytest.raises(StoreCorrupted, match=part.path.name):
            part.documents()
    for damaged in (sound[:-1], sound + b"\0", b""):
        part.path.write_bytes(damaged)
        with pytest.raises(StoreCorrupted, match=part.path.name):
            part.check()
    part.path.write_bytes(sound)
    part.check()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("documents", 3), ("new", 1), ("first_id", "f" * 24), ("last_id", "0" * 24), ("newest_updated", 5),
        ("etags_sha256", "0"), ("sha256", "0"), ("sequence", 2), ("sequence", "1"), ("new", None), ("format", 2),
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_describe_its_part_is_found(tmp_path: Path, key: str, value: object) -> None:
    store = RecordStore(tmp_path / "store")
    part = sealed(store, record(1), record(2))
    manifest = part.path.with_suffix(".json")
    manifest.write_text(json.dumps(part.manifest | {key: value}))
    with pytest.raises(StoreCorrupted, match=part.name):
        for found in store.parts("T1w"):
            found.check()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "\udcff"])
def test_a_manifest_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    store = RecordStore(tmp_path / "store")
    part = sealed(store, record(1))
    part.path.with_suffix(".json").write_text(content, errors="surrogateescape")
    with pytest.raises(StoreCorrupted, match=f"{part.name}.json"):
        store.parts("T1w")


def test_a_missing_file_of_a_sealed_part_is_named(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    part = sealed(store, record(1))
    part.path.unlink()
    with pytest.raises(StoreCorrupted, match=part.path.name):
        store.known("T1w")


def test_a_second_run_is_refused_and_the_lock_goes_with_the_first(tmp_path: Path) -> None:
    with (
        RecordStore(tmp_path / "store").lock(),
        pytest.raises(LockedError),
        RecordStore(tmp_path / "store").lock(),
    ):
        pass
    with RecordStore(tmp_path / "store").lock():
        pass


def test_what_was_not_sealed_is_removed_and_what_was_is_kept(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    part = sealed(store, record(1))
    folder = part.path.parent
    shutil.copy(part.path, folder / "000002-00001.parquet")
    for leftover in ("T1w/parts/.tmp-000002-00002.parquet", "T1w/parts/.tmp-x.json", "T1w/.tmp-cursor.json"):
        (store.path / leftover).write_bytes(b"half")
    with store.lock():
        assert [one.name for one in store.parts("T1w")] == [part.name]
    assert {path.name for path in (store.path / "T1w").rglob("*") if path.is_file()} == {
        part.path.name,
        f"{part.name}.json",
    }


def test_a_flush_that_failed_leaves_nothing_to_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RecordStore(tmp_path / "store")
    writer: PartWriter = store.writer("T1w", 1, {})
    writer.add([(record(1), True)])
    writer.pack()

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_batch", full)
        with pytest.raises(OSError, match="no space"):
            writer.flush()
    writer.add([(record(2), True)])
    for step in (writer.flush, writer.seal):
        with pytest.raises(OSError, match="no space"):
            step()
    assert writer.part is None and store.parts("T1w") == []


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(UsageError):
        RecordStore(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        RecordStore(tmp_path / "file")


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    (store.path / "store.json").write_text('{"format": 99}')
    with pytest.raises(StoreCorrupted, match="99"):
        RecordStore(store.path)


def test_run_numbers_only_rise(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "store")
    assert store.next_sequence() == 1
    sealed(store, record(1), sequence=4)
    assert store.next_sequence() == 5
    store.record_deletions("bold", 6, ["a"], "now")
    assert store.next_sequence() == 7
    store.record_run(9, {})
    assert store.next_sequence() == 10
    store.record_deletions("bold", 6, ["b"], "now")
    store.record_deletions("bold", 8, ["a"], "now")
    assert store.deletions("bold") == {"a": 8, "b": 6}


@pytest.mark.parametrize("shown", ["store", "store/dataset", ".", "store/../store/a/b", "link/dataset"])
def test_what_may_be_shown_is_neither_in_a_store_nor_around_it(tmp_path: Path, shown: str) -> None:
    store = RecordStore(tmp_path / "store")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    with pytest.raises(UsageError, match="which is private"):
        store.require_outside(tmp_path / shown)
    store.require_outside(tmp_path / "store-of-tables")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="which is private"):
        curate(store, tmp_path / shown)
    with pytest.raises(UsageError, match="which is private"):
        publish(store, SnapshotDataset(tmp_path / shown), PSEUDONYMS)
    assert sorted(tmp_path.rglob("*")) == before
