"""The joined index says what its datasets' files say, whatever becomes of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.errors import StoreCorrupted
from curation.index import joined as module
from curation.index.index import KEPT_SECONDS, Index, Source
from curation.index.joined import COLUMNS, Joined
from tests.support.index import copy, index_of

SUMS = [f"{n:032x}" for n in range(7)]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    datasets = {
        "ds2": [copy(md5, f"sub-{md5[-2:]}_T1w.nii", sidecar={"EchoTime": 0.003}) for md5 in SUMS[:3]],
        "ds3": [],
        "ds1": [copy(md5, f"sub-{md5[-2:]}_bold.nii") for md5 in SUMS[3:]],
    }
    return index_of(tmp_path / "index", datasets)


def plain(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist()


@pytest.mark.parametrize("rows", [1, 3, 50_000])
def test_copies_are_those_of_the_datasets(index: Index, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    for joined in (Joined(index), Joined(index)):  # made, and found
        assert [md5.hex() for md5 in joined.md5s().to_pylist()] == SUMS
        expected = plain(index.copies(COLUMNS))
        for places in ([0, 2, 3, 6], [5], [], range(7)):
            found = [row for some in joined.rows(np.array(places, int)) for row in plain(some)]
            assert [{name: row[name] for name in COLUMNS} for row in found] == [expected[p] for p in places]
            assert [index.datasets[row["number"]].dataset for row in found] == [
                row["dataset"] for row in found
            ]
            assert [row["rank"] for row in found] == [0 if row["dataset"] == "ds2" else 2 for row in found]


def test_an_empty_index(tmp_path: Path) -> None:
    joined = Joined(Index(tmp_path))
    assert not len(joined.md5s()) and not list(joined.rows(np.array([], int)))
    assert joined.no_rows().column_names == [*COLUMNS, "number", "rank"]


def test_an_index_that_changed_is_joined_anew(index: Index) -> None:
    Joined(index)
    (before,) = (index.path / "joined").iterdir()
    # The order of sources decides among copies.
    index.sources.sort(key=lambda source: source.address)
    assert [row["rank"] for some in Joined(index).rows(np.array([0])) for row in plain(some)] == [1]
    assert len(list((index.path / "joined").iterdir())) == 2  # a night may still read the other
    os.utime(before, (0, before.stat().st_mtime - KEPT_SECONDS - 1))
    index.sources.insert(0, Source("https://example.org/new", "repository"))
    Joined(index)
    assert not before.exists()


def test_what_is_damaged_is_told_and_what_is_gone_is_made_again(index: Index) -> None:
    expected = Joined(index).md5s()
    (path,) = (index.path / "joined").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreCorrupted, match="remove it, and the next run makes it again"):
        Joined(index).md5s()
    path.unlink()
    assert Joined(index).md5s().equals(expected) and path.exists()


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_an_index_that_cannot_be_written_to_is_read(
    index: Index, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_paths: Path) -> None:
        raise OSError(code, "no")

    with monkeypatch.context() as patch:
        patch.setattr(module, "move_into_place", refuse)
        assert len(Joined(index).md5s()) == 7
    assert not list((index.path / "joined").iterdir())
    monkeypatch.setattr(module, "_MAY_NOT_WRITE", ())
    monkeypatch.setattr(module, "move_into_place", refuse)
    with pytest.raises(OSError, match="no"):
        Joined(index)
