"""Rows that are kept: a night makes what is new, and its bytes are those that a curation from nothing makes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import curated, kept, space, tables, unique
from curation.curate import curate
from curation.errors import DiskFull, StoreCorrupted
from curation.index.index import Index
from curation.kept import KEY, lists, unlisted
from curation.partitions import Partition, partitions
from curation.pseudonyms import Pseudonyms
from curation.store import RecordStore
from tests.support.documents import moment, record, seal, valid
from tests.support.index import copy, index_of
from tests.support.pseudonyms import PSEUDONYMS

SUMS = [f"{n:032x}" for n in range(6)]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 3)


def document(
    number: int, checksum: str, *, updated: int = 0, meta: dict[str, Any] | None = None, **values: Any
) -> dict[str, Any]:
    found = valid("T1w", checksum, **values)
    found["bids_meta"] |= meta or {}
    born = 1_500_000_000 + number
    return found | {
        "_id": f"{born:08x}{number:016x}",
        "_etag": f"{number} {updated}",
        "_created": moment(born),
        "_updated": moment(born + updated),
    }


def made(
    store: RecordStore, out: Path, index: Index | None = None, pseudonyms: Pseudonyms | None = PSEUDONYMS
) -> dict[str, bytes]:
    report = curate(store, out, pseudonyms=pseudonyms, index=index, accept_coverage=True)
    return {name: (out / name).read_bytes() for name in report.files}


def kept_files(store: RecordStore) -> list[Path]:
    return sorted(store.path.glob("T1w/typed/*/*.parquet"))


_META = st.fixed_dictionaries(
    {},
    optional={
        # Received well, in a wrong unit, as text, in a list, under another key; and what a sidecar contradicts.
        "EchoTime": st.sampled_from([0.003, 3.0, "0.003", [0.003], "=x", None]),
        "RepetitionTime": st.sampled_from([2.3, 2300, 5.0]),
        "MagneticFieldStrength": st.sampled_from([1, 2, 3.0]),
        "echotime": st.sampled_from([0.004]),
        "ManufacturersModelName": st.sampled_from(["Prisma", "TrioTim", "unheard of"]),
    },
)
_DOCUMENTS = st.builds(
    document,
    st.integers(0, 20),
    st.sampled_from(SUMS),
    updated=st.integers(0, 2),
    meta=_META,
    cnr=st.floats(0, 9) | st.sampled_from(["2.5", float("inf")]),
    provenance_version=st.sampled_from(["0.9.6", "0.15.2", "1a2b3c4"]),
)
_COPIES = st.lists(
    st.builds(
        copy,
        st.sampled_from(SUMS),
        st.sampled_from(["sub-01/anat/sub-01_T1w.nii.gz", "sub-01/func/sub-01_task-x_bold.nii.gz"]),
        last_version=st.sampled_from(["1.0.0", "1.0.1"]),
        sidecar=st.none()
        | st.sampled_from([{"EchoTime": 0.004}, {"EchoTime": 4.0, "RepetitionTime": 2.4}, {"FlipAngle": 8}]),
    ),
    max_size=4,
)
_NIGHTS = st.lists(
    st.tuples(st.lists(_DOCUMENTS, max_size=6), st.sets(st.integers(0, 20), max_size=2), st.none() | _COPIES),
    min_size=2,
    max_size=3,
)


@settings(max_examples=8, deadline=None)
@given(_NIGHTS)
def test_nights_make_the_bytes_that_a_curation_from_nothing_makes(nights: list[Any]) -> None:
    """Records that are new, changed and deleted, and an index that is there, gone and another."""
    with tempfile.TemporaryDirectory() as folder:
        store = RecordStore(Path(folder, "store"))
        for night, (documents, deleted, copies) in enumerate(nights):
            seal(store, "T1w", 2 * night + 1, [record(one) for one in documents])
            gone = [document(number, SUMS[0])["_id"] for number in sorted(deleted)]
            store.record_deletions("T1w", 2 * night + 1, gone, "a test")
            index = index_of(Path(folder, f"index{night}"), {"ds1": copies}) if copies is not None else None
            found = made(store, Path(folder, "out"), index)
            fresh = RecordStore(Path(shutil.copytree(store.path, Path(folder, f"fresh{night}"))))
            shutil.rmtree(fresh.path / "T1w" / "typed", ignore_errors=True)
            assert found == made(fresh, Path(folder, f"out{night}"), index)


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    store = RecordStore(tmp_path / "store")
    seal(store, "T1w", 1, [record(document(n, SUMS[n], meta={"EchoTime": 3.0})) for n in range(5)])
    return store


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The table and number of rows of every call that makes some."""
    calls: list[tuple[str, int]] = []

    def watch(module: Any, name: str) -> None:
        make: Callable[..., None] = getattr(module, name)

        def watched(resource: Any, rows: tables.Rows, *others: Any) -> None:
            calls.append((name, len(rows)))
            make(resource, rows, *others)

        monkeypatch.setattr(module, name, watched)

    watch(unique, "keep_lines")
    watch(curated, "keep_repaired")
    return calls


def test_only_what_is_new_is_made(store: RecordStore, tmp_path: Path, counted: list[tuple[str, int]]) -> None:
    first = made(store, tmp_path / "out")
    assert sorted(counted) == [
        ("keep_lines", 2), ("keep_lines", 3), ("keep_repaired", 2), ("keep_repaired", 3),
    ]  # fmt: skip
    counted.clear()
    assert made(store, tmp_path / "out") == first and not counted
    # A new image; and a better record of one that is there, whose row of the unique table stays.
    seal(
        store,
        "T1w",
        2,
        [record(document(10, SUMS[5])), record(document(11, SUMS[1], provenance_version="24.0.2"))],
    )
    made(store, tmp_path / "out")
    assert sorted(counted) == [("keep_lines", 1), ("keep_repaired", 2)]


def test_what_a_sidecar_says_anew_is_made_anew(
    store: RecordStore, tmp_path: Path, counted: list[tuple[str, int]]
) -> None:
    def index(name: str, **about: Any) -> Index:
        copies = [copy(SUMS[0], sidecar={"FlipAngle": 8} | about), copy(SUMS[1], sidecar={"FlipAngle": 9})]
        return index_of(tmp_path / name, {"ds1": copies})

    made(store, tmp_path / "out", index("one"))
    counted.clear()
    made(store, tmp_path / "out", index("two", EchoTime=0.004))
    assert counted == [("keep_repaired", 1)]
    rows = (tmp_path / "out/audit/disagreements.csv").read_text().splitlines()
    assert len(rows) == 2 and '"bids_meta_EchoTime"' in rows[1]


def test_what_is_kept_is_not_twice_what_is_used(store: RecordStore, tmp_path: Path) -> None:
    made(store, tmp_path / "out")
    before = kept_files(store)
    gone = [document(n, "")["_id"] for n in (0, 1)]
    store.record_deletions("T1w", 2, gone, "a test")
    made(store, tmp_path / "out")
    # Of three rows of one file one is left, which is made again; the file with the other two stays.
    after = kept_files(store)
    assert len(set(before) - set(after)) == 2 and len(after) == 4
    held = [Partition(str(path.parent), path.name).read([KEY]).num_rows for path in after]
    assert sorted(held) == [1, 1, 2, 2]


def test_rows_of_other_code_go_and_those_of_another_key_stay(
    store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = made(store, tmp_path / "out")
    mine = kept_files(store)
    made(store, tmp_path / "other", pseudonyms=None)
    assert set(mine) < set(kept_files(store))
    monkeypatch.setattr(kept, "code_digest", lambda: "f" * 64)
    again = made(store, tmp_path / "again")
    assert again["csv/T1w_curated.csv"] == expected["csv/T1w_curated.csv"]
    assert {path.name.split("-")[1] for path in kept_files(store)} == {"f" * 16}


def test_rows_that_are_damaged_are_found_out(store: RecordStore, tmp_path: Path) -> None:
    expected = made(store, tmp_path / "out")
    for path in kept_files(store):
        content = path.read_bytes()
        damaged = bytes(byte ^ 1 for byte in content[100:400])
        path.write_bytes(content[:100] + damaged + content[400:])
        with pytest.raises(StoreCorrupted, match="remove it, and the next run makes it again"):
            made(store, tmp_path / "out")
        path.unlink()
        assert made(store, tmp_path / "out") == expected


def test_room_for_them_is_asked_for(
    store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = made(store, tmp_path / "out")
    shutil.rmtree(store.path / "T1w/typed/curated")
    with monkeypatch.context() as patch:
        patch.setattr(space, "KEPT_ROW", 1 << 60)
        with pytest.raises(DiskFull, match="rows that are kept of curated need about"):
            made(store, tmp_path / "out")
    assert not partitions(str(store.path / "T1w/typed/curated"))
    assert made(store, tmp_path / "out") == expected


def test_lists_of_rows_come_back() -> None:
    rows = pa.table({"a": ["x", "y", "z"], "b": [1, 2, 3]})
    places = np.array([1, 1, 3])
    listed = lists(rows, places, 5)
    assert [len(one) for one in listed.to_pylist()] == [0, 2, 0, 1, 0]
    found, owners = unlisted(pa.chunked_array([listed]))
    assert found.equals(rows) and owners.tolist() == [1, 1, 3]
    nothing, nobody = unlisted(pa.chunked_array([lists(rows.slice(0, 0), np.array([], int), 2)]))
    assert nothing.schema == rows.schema and not len(nothing) and not len(nobody)
