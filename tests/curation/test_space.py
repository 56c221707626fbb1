"""A full disk is told before anything is overwritten, with how much is needed, and nothing half-made stays."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from curation import space, tables, typed
from curation.curate import STAGING, curate
from curation.engine import Engine
from curation.errors import DiskFull
from curation.store import RecordStore
from tests.support.documents import record, store_of, valid


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    documents = [{"_id": f"{n:024x}", **valid("T1w", f"{n:032x}")} for n in range(200)]
    return store_of(tmp_path / "store", {"T1w": [record(document) for document in documents]})


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("full", "said"),
    [
        (
            "store",
            r"/store/T1w/typed: the disk has 0 MB free, and typed columns need about [12] MB; make room",
        ),
        (
            "out",
            r"/out/\.mriqc-snapshot-staging: the disk has .* and all tables need about [12] MB; make room",
        ),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_room_is_asked_for_before_anything_is_written(
    store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str, said: str, first: bool
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if not first:
        # Tables that were there are the better guess of how large new ones get.
        curate(store, out)
        shutil.rmtree(store.path / "T1w" / "typed")
    before = files(tmp_path)
    monkeypatch.setattr(
        space.shutil, "disk_usage", lambda path: Usage(10**9, 0, 0 if full in path.parts else 10**9)
    )
    with pytest.raises(DiskFull, match=said):
        curate(store, out)
    assert files(tmp_path) == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("place", ["typed", "table"])
def test_a_disk_that_fills_up_on_the_way_leaves_what_was_there(
    store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, place: str
) -> None:
    out = tmp_path / "out"
    curate(store, out)
    before = files(out)

    def full(*_args: Any, **_options: Any) -> None:
        raise OSError(code, "No space left on device")

    with monkeypatch.context() as patch:
        if place == "typed":
            shutil.rmtree(store.path / "T1w" / "typed")
            patch.setattr(typed.Partition, "write", full)
        else:
            patch.setattr(tables.TableWriter, "write", full)
        with pytest.raises(
            DiskFull, match=r"need about [12] MB; make room, or choose a folder on another disk"
        ):
            curate(store, out)
    assert files(out) == before
    assert not (out / STAGING).exists()
    curate(store, out)
    assert files(out) == before


def test_a_real_full_device_is_told(
    store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    opened = Path.open

    def open_full(path: Path, *args: Any, **options: Any) -> Any:
        return opened(Path("/dev/full") if path.name == "T1w.csv" else path, *args, **options)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(DiskFull, match="all tables need about"):
        curate(store, tmp_path / "out")
    assert not (tmp_path / "out" / STAGING).exists()


def test_another_error_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), space.told_space(tmp_path, 1, "x"):
        raise PermissionError(errno.EACCES, "no")


def test_spills_of_a_killed_run_go(store: RecordStore, tmp_path: Path) -> None:
    """Half-made partitions and staged tables: the store's lock removes the ones, the next curation the others."""
    out = tmp_path / "out"
    (out / STAGING / "csv").mkdir(parents=True)
    (out / STAGING / "csv" / "T1w.csv").write_text("half")
    (store.path / "T1w" / "typed").mkdir()
    (store.path / "T1w" / "typed" / ".tmp-x.parquet").write_text("half")
    with store.lock(), Engine(processes=False) as engine:
        curate(store, out, engine=engine)
    assert not (out / STAGING).exists()
    assert not list(store.path.rglob(".tmp-*"))


def test_a_store_that_grew_needs_as_much_more(store: RecordStore) -> None:
    parts = store.parts("T1w")
    before = {"files": {"a": {"bytes": 1_000_000}}, "tables": {"T1w": {"received": 100}}}
    assert space.tables_bytes(parts, before) == int(1.1 * 2_000_000)
    before["tables"]["T1w"]["received"] = 400  # some were lost: as much room as then
    assert space.tables_bytes(parts, before) == int(1.1 * 1_000_000)
