"""Dumps become records of the store: which, of which resource, and what is said of the others."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dumps import Problem, find_dumps, import_dumps, sink
from curation.dumps.problems import Kind
from curation.dumps.sink import Imported
from curation.errors import UsageError
from curation.objectid import HIGHEST, LOWEST
from curation.store import RecordStore
from tests.support.dumps import (
    Document,
    bson_of,
    compressed,
    database_document,
    dialects,
    ids_of,
    lines_of,
    run_import,
    stored,
    versions,
)

DOCUMENTS = [database_document(n, second=n * 9) for n in range(120)]
SECRET = "someone@example.org"
PLAIN_LINES = b"".join(
    json.dumps(
        json.loads(dialects(one)["relaxed"])
        | {"_id": str(one["_id"])}
        | {key: one[key].strftime("%a, %d %b %Y %H:%M:%S GMT") for key in ("_created", "_updated")},
        separators=(",", ":"),
    ).encode()
    + b"\n"
    for one in DOCUMENTS
)
ARRAY = b"[" + b",".join(lines_of(DOCUMENTS, "canonical").splitlines()) + b"]"
FORMATS = {
    "T1w.bson": bson_of(DOCUMENTS),
    "T1w.jsonl": PLAIN_LINES,
    "mriqc_api.T1w.json": lines_of(DOCUMENTS),
    "array.T1w.json": ARRAY,
    "lines.T1w.json": lines_of(DOCUMENTS, "over lines"),
    "marked.T1w.json": b"\xef\xbb\xbf" + lines_of(DOCUMENTS, "version 1"),
}


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compressed(content, path.name))
    return path


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_form_of_a_dump_gives_the_same_store(name: str, suffix: str, tmp_path: Path) -> None:
    report = run_import(tmp_path / "store", write(tmp_path / (name + suffix), FORMATS[name]))
    assert report.resources == {"T1w": Imported(new=120, changes_known_until="2018-01-01T00:17:51+00:00")}
    (file,) = report.files
    assert (file.name, file.documents, file.problems, file.whole) == (name + suffix, 120, {}, True)
    assert file.format == ("BSON" if "bson" in name else "JSON")
    assert file.compression == {"": None, ".gz": "gzip", ".zst": "zstd"}[suffix]
    expected = PLAIN_LINES.splitlines()
    assert stored(tmp_path / "store") == {
        str(one["_id"]): (one["_etag"], line) for one, line in zip(DOCUMENTS, expected, strict=True)
    }
    for part in RecordStore(tmp_path / "store").parts("T1w"):
        part.check()


@pytest.mark.parametrize("content", [*FORMATS.values(), gzip.compress(FORMATS["T1w.bson"])])
def test_content_decides_and_not_the_name(content: bytes, tmp_path: Path) -> None:
    for name in ("T1w.dump", "T1w.bson", "T1w.json.gz"):
        (tmp_path / name).write_bytes(content)
        assert run_import(tmp_path / f"{name}-store", tmp_path / name).resources["T1w"].new == 120


@pytest.mark.parametrize("content", [FORMATS["T1w.bson"], gzip.compress(PLAIN_LINES)])
def test_standard_input(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    report = run_import(tmp_path / "store", Path("-"))
    assert report.resources["T1w"].new == 120 and report.files[0].name == "standard input"
    with pytest.raises(UsageError, match="once"):
        find_dumps([Path("-"), Path("-")])


# --- which resource ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "option", "expected"),
    [
        ("bold.bson", None, {"bold": 2}),
        ("mriqc_api.bold.json", None, {"bold": 2}),
        ("rating.jsonl.gz", None, {"rating": 2}),
        ("bold.bson", "T2w", {"T2w": 2}),
        ("bold.T1w.json", "T2w", {"T2w": 2}),
        ("export.json", "rating", {"rating": 2}),
        ("export.json", None, {"T1w": 1, "bold": 1}),
        ("export.bson.zst", None, {"T1w": 1, "bold": 1}),
        ("BOLD.json", None, {"T1w": 1, "bold": 1}),
    ],
)
def test_the_resource(name: str, option: str | None, expected: dict[str, int], tmp_path: Path) -> None:
    two = [database_document(1), database_document(2, bids_meta={"modality": "bold"})]
    file = write(tmp_path / name, bson_of(two) if "bson" in name else lines_of(two))
    report = run_import(tmp_path / "store", file, resource=option)
    assert {resource: done.new for resource, done in report.resources.items()} == expected
    assert report.files[0].problems == {}


def test_documents_that_tell_no_resource_are_named(tmp_path: Path) -> None:
    lines = [b'{"a": 1}', dialects(DOCUMENTS[0])["relaxed"], b'{"bids_meta": {"modality": "dwi"}}']
    problems: list[Problem] = []
    report = run_import(
        tmp_path / "store", write(tmp_path / "all.json", b"\n".join(lines)), problems=problems
    )
    assert report.resources["T1w"].new == 1 and report.files[0].documents == 1
    second = len(lines[0]) + len(lines[1]) + 2
    assert [(one.offset, one.kind) for one in problems] == [(0, Kind.NO_RESOURCE), (second, Kind.NO_RESOURCE)]
    assert report.files[0].whole and report.unread == 2


def test_each_file_has_its_own_resource(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{name}.bson", bson_of(DOCUMENTS[:n])) for n, name in ((3, "T1w"), (2, "bold"))
    ]
    report = run_import(tmp_path / "store", *files)
    assert {name: done.new for name, done in report.resources.items()} == {"T1w": 3, "bold": 2}


@pytest.mark.parametrize(
    ("name", "option", "match"),
    [
        ("users.bson", None, "collection 'users'"),
        ("users.bson.gz", None, "collection 'users'"),
        ("bold.metadata.json", None, "beside its documents"),
        ("bold.metadata.json.gz", "bold", "beside its documents"),
        ("prelude.json", None, "beside its documents"),
        ("system.indexes.bson", None, "beside its documents"),
        ("mriqc_api.system.users.json", "bold", "beside its documents"),
        ("bold.T1w.json", None, "T1w and bold"),
        ("missing.json", None, "No such file"),
        ("folder", None, "a folder"),
        ("bold.bson", "BOLD", "found resource 'BOLD'"),
    ],
)
def test_wrong_files_are_refused_before_any_is_read(
    name: str, option: str | None, match: str, tmp_path: Path
) -> None:
    good = write(tmp_path / "T2w.bson", bson_of(DOCUMENTS))
    if name == "folder":
        (tmp_path / name).mkdir()
    elif name != "missing.json":
        write(tmp_path / name, bson_of([{"_id": ObjectId(), "username": SECRET}]))
    with pytest.raises(UsageError, match=match) as caught:
        run_import(tmp_path / "store", good, tmp_path / name, resource=option)
    assert SECRET not in str(caught.value)
    assert not (tmp_path / "store" / "T2w").exists()


# --- what is stored ------------------------------------------------------------------------------------------


def test_a_dump_again_stores_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name in ("T1w.bson", "mriqc_api.T1w.json"):
        file = write(tmp_path / name, FORMATS[name])
        run_import(store, file)
        cursor = RecordStore(store).cursor("T1w")
        done = run_import(store, file).resources["T1w"]
        assert (done.new, done.changed, done.known) == (0, 0, 120)
        assert RecordStore(store).cursor("T1w") == cursor
    assert versions(store) == 120


def without(document: Document, *names: str) -> Document:
    return {key: value for key, value in document.items() if key not in names}


@pytest.mark.parametrize(
    "missing", [(), ("_etag",), ("_id",), ("_etag", "_updated"), ("_id", "_etag", "_created")]
)
def test_whatever_documents_lack_a_dump_again_stores_nothing(
    missing: tuple[str, ...], tmp_path: Path
) -> None:
    file = write(tmp_path / "T1w.bson", bson_of(without(one, *missing) for one in DOCUMENTS))
    run_import(tmp_path / "store", file)
    assert versions(tmp_path / "store") == 120
    again = run_import(tmp_path / "store", file, write(tmp_path / "T1w.copy.bson", file.read_bytes()))
    assert again.resources["T1w"].new == again.resources["T1w"].changed == 0
    assert versions(tmp_path / "store") == 120


def test_newer_versions_are_kept_beside_and_older_ones_are_not(tmp_path: Path) -> None:
    store = tmp_path / "store"
    old = [database_document(n, second=n) for n in range(6)]
    new = [database_document(n, second=n, age=100 * (n % 2), cjv=2.5) for n in range(6)]
    same_second = [one | {"_etag": "f" * 40} for one in new]
    run_import(store, write(tmp_path / "old" / "T1w.bson", bson_of(old)))
    done = run_import(store, write(tmp_path / "new" / "T1w.bson", bson_of(new))).resources["T1w"]
    assert (done.new, done.changed, done.known, done.older) == (0, 3, 3, 0)
    before = stored(store)
    for content in (bson_of(old), bson_of(same_second)):
        done = run_import(store, write(tmp_path / "T1w.bson", content)).resources["T1w"]
        assert (done.new, done.changed) == (0, 0) and done.older in (3, 6)
    assert stored(store) == before and versions(store) == 9
    known = RecordStore(store).known("T1w")
    assert known.etags(ids_of(new)) == {str(a["_id"]): b["_etag"] for a, b in zip(old, new, strict=True)}
    assert known.count(LOWEST, HIGHEST) == 6


def test_versions_within_one_dump(tmp_path: Path) -> None:
    first, second = database_document(1), database_document(1, age=50)
    for order, changed in (([first, second, first, second], 1), ([second, first, second, first], 0)):
        store = tmp_path / f"store-{changed}"
        done = run_import(store, write(tmp_path / "T1w.bson", bson_of(order))).resources["T1w"]
        assert (done.new, done.changed) == (1, changed)
        assert stored(store)[str(first["_id"])][0] == second["_etag"]


def test_deleted_records_stay_deleted(tmp_path: Path) -> None:
    store = tmp_path / "store"
    file = write(tmp_path / "T1w.bson", FORMATS["T1w.bson"])
    run_import(store, file)
    gone = ids_of(DOCUMENTS[5:8])
    RecordStore(store).record_deletions("T1w", 1, gone, "2026-11-23T00:00:00+00:00")
    changed = [database_document(5, second=45, age=10**6)]
    done = run_import(store, file, write(tmp_path / "T1w.1.bson", bson_of(changed))).resources["T1w"]
    assert (done.new, done.changed, done.deleted, done.known) == (0, 0, 4, 117)
    known = RecordStore(store).known("T1w")
    assert known.count(LOWEST, HIGHEST) == 117 and not known.etags(gone)
    # Of a record that lives again, a dump knows as much as of any other.
    record_store = RecordStore(store)
    writer = record_store.writer("T1w", 9, {"kind": "test"})
    from curation.dumps.bson_dump import read_bson

    writer.add([(read_bson(bson_of([database_document(6, second=54, age=5)])), True)])
    writer.seal()
    done = run_import(store, file).resources["T1w"]
    assert (done.new, done.deleted, done.older, done.known) == (0, 2, 1, 117)


def test_parts_are_bounded_and_the_manifest_tells_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "PART_DOCUMENTS", 50)
    monkeypatch.setattr(sink, "_BATCH_DOCUMENTS", 25)
    folder = tmp_path / "of somebody"
    content = FORMATS["T1w.bson"] + b"\1"
    run_import(tmp_path / "store", write(folder / "T1w.bson", content))
    parts = RecordStore(tmp_path / "store").parts("T1w")
    assert [part.manifest["documents"] for part in parts] == [50, 50, 20]
    assert {(part.manifest["kind"], part.manifest["source"]) for part in parts} == {("import", "T1w.bson")}
    text = (tmp_path / "store" / "runs" / "000001.json").read_text()
    manifest = json.loads(text)
    assert (manifest["kind"], manifest["outcome"], manifest["sequence"]) == ("import", "complete", 1)
    assert manifest["resources"]["T1w"]["new"] == 120
    (file,) = manifest["files"]
    assert file["problems"] == {"cut short": 1} and len(file["sha256"]) == 64 and file["size"] == len(content)
    assert file["told"][0].startswith(f"byte {len(content) - 1}: found the end of the dump")
    assert "somebody" not in "".join(path.read_text() for path in (tmp_path / "store").rglob("*.json"))


def test_documents_larger_than_a_part_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "PART_BYTES", 1000)
    monkeypatch.setattr(sink, "_BATCH_BYTES", 100)
    run_import(tmp_path / "store", write(tmp_path / "T1w.bson", FORMATS["T1w.bson"]))
    assert len(RecordStore(tmp_path / "store").parts("T1w")) > 10
    assert len(stored(tmp_path / "store")) == versions(tmp_path / "store") == 120


# --- what is not ---------------------------------------------------------------------------------------------


WHOLE = {
    name: (content, [one for one in DOCUMENTS])
    for name, content in FORMATS.items()
    if name in ("T1w.bson", "T1w.jsonl", "array.T1w.json")
}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.sampled_from(["", ".gz", ".zst"]), st.data())
def test_a_dump_cut_anywhere_keeps_what_came_and_is_completed_by_the_whole(
    tmp_path_factory: pytest.TempPathFactory, name: str, suffix: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    file = write(folder / (name + suffix), FORMATS[name])
    whole = file.read_bytes()
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    problems: list[Problem] = []
    report = run_import(folder / "store", file, problems=problems)
    assert len(problems) <= 1 and {one.kind for one in problems} <= {Kind.CUT_SHORT}
    if suffix or name.startswith("array"):
        assert len(problems) == 1 or not report.files[0].size
    assert list(stored(folder / "store")) == ids_of(DOCUMENTS)[: report.files[0].documents]
    file.write_bytes(whole)
    done = run_import(folder / "store", file).resources["T1w"]
    assert (done.known, done.new) == (report.files[0].documents, 120 - report.files[0].documents)
    assert done.changes_known_until == "2018-01-01T00:17:51+00:00"


def test_every_problem_is_counted_and_the_first_are_told(tmp_path: Path) -> None:
    lines = lines_of(DOCUMENTS[:3]) + f'{{"email": "{SECRET}"\n'.encode() * 70 + lines_of(DOCUMENTS[3:])
    problems: list[Problem] = []
    report = run_import(tmp_path / "store", write(tmp_path / "T1w.json", lines), problems=problems)
    assert report.files[0].problems == {"not a document": 70} and len(problems) == 20
    assert report.resources["T1w"].new == 120 and report.files[0].whole
    everything = "".join(map(str, problems)) + (tmp_path / "store" / "runs" / "000001.json").read_text()
    assert SECRET not in everything and "email" not in everything
    assert str(problems[0]) == (
        f"byte {len(lines_of(DOCUMENTS[:3]))}: found text that is not JSON, expected a document; it was left out, what "
        "follows was read"
    )


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("T1w.json", random.Random(1).randbytes(99), Kind.NOT_A_DOCUMENT),
        ("T1w.dump", b"\xff\xfe\0\x81\4\5\6", Kind.DAMAGED),
        ("T1w.bson", b"words", Kind.CUT_SHORT),
        ("T1w.archive", b"\x6d\xe2\x99\x81" + FORMATS["T1w.bson"], Kind.DAMAGED),
        ("T1w.dump", b"words", Kind.NOT_A_DOCUMENT),
    ],
)
def test_a_file_that_is_no_dump_is_named_and_the_next_is_read(
    name: str, content: bytes, kind: Kind, tmp_path: Path
) -> None:
    problems: list[Problem] = []
    good = write(tmp_path / "bold.bson", bson_of(DOCUMENTS))
    report = run_import(tmp_path / "store", write(tmp_path / name, content), good, problems=problems)
    assert {one.kind for one in problems} == {kind} and problems[0].offset == 0
    assert report.resources["bold"].new == 120 and report.files[1].problems == {}


def test_a_file_that_is_gone_by_then_is_named_and_the_next_is_read(tmp_path: Path) -> None:
    dumps = find_dumps([write(tmp_path / f"{name}.bson", bson_of(DOCUMENTS)) for name in ("T1w", "bold")])
    (tmp_path / "T1w.bson").unlink()
    report = import_dumps(RecordStore(tmp_path / "store"), dumps)
    assert report.files[0].told[0].startswith("byte 0: found a file that cannot be opened (No such file")
    assert not report.files[0].whole and report.resources["bold"].new == 120
    assert str(tmp_path) not in (tmp_path / "store" / "runs" / "000001.json").read_text()


@pytest.mark.parametrize("name", ["T1w.bson", "T1w.json", "all.json", "T1w.json.gz", "T1w.json.zst"])
def test_an_empty_dump_is_nothing_to_do(name: str, tmp_path: Path) -> None:
    report = run_import(tmp_path / "store", write(tmp_path / name, b""))
    assert report.unread == 0 and RecordStore(tmp_path / "store").cursor("T1w") == {}
    if "." in name[4:]:
        (tmp_path / name).write_bytes(b"")
        assert run_import(tmp_path / "store", tmp_path / name).files[0].problems == {"cut short": 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_import_that_is_interrupted_seals_what_came(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "PART_DOCUMENTS", 50)
    monkeypatch.setattr(sink, "_BATCH_DOCUMENTS", 10)
    store = RecordStore(tmp_path / "store")
    file = write(tmp_path / "T1w.bson", FORMATS["T1w.bson"])
    dump = find_dumps([file])
    taken = 0
    add: Callable[..., None] = sink.Sink.add

    def fail(self: Any, record: Any) -> None:
        nonlocal taken
        taken += 1
        if taken == 88:
            raise error("by hand")
        add(self, record)

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(sink.Sink, "add", fail)
        import_dumps(store, dump)
    assert len(stored(store.path)) == (87 if error is KeyboardInterrupt else 50)
    manifest = json.loads((store.path / "runs" / "000001.json").read_bytes())
    assert manifest["outcome"] == error.__name__
    assert "newest_id" not in store.cursor("T1w")
    run_import(store.path, file)
    assert list(stored(store.path)) == ids_of(DOCUMENTS) and "newest_id" in store.cursor("T1w")


def test_real_documents(shared: Path, tmp_path: Path) -> None:
    files = [shared / "webapi" / f"{name}.jsonl.gz" for name in ("T1w", "T2w", "bold")]
    report = run_import(tmp_path / "store", *files)
    assert {name: done.new for name, done in report.resources.items()} == dict.fromkeys(
        ("T1w", "T2w", "bold"), 1000
    )
    assert report.unread == 0
    for file in files:
        lines = gzip.decompress(file.read_bytes()).splitlines()
        documents = {json.loads(line)["_id"]: (json.loads(line)["_etag"], line) for line in lines}
        assert stored(tmp_path / "store", file.name.split(".")[0]) == documents
