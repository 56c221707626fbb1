"""Researchers read a table by version, with the right types, from a dataset, a clone or a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from curation import read_table
from curation.curate import CurationReport
from curation.errors import DatasetError, UsageError
from curation.publish import SnapshotDataset, publish
from curation.publish.commands import datalad, git
from curation.store import RecordStore
from schemas.published import LEDGERS, TABLES, published_table
from tests.support.documents import record, seal
from tests.support.fast_api import make_document
from tests.support.pseudonyms import PSEUDONYMS

DTYPES = {
    "number": "float64", "integer": "Int64", "text": "str", "boolean": "boolean", "time": "datetime64[s, UTC]",
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_the_types_of_the_dictionary(name: str, night: CurationReport) -> None:
    frame = read_table(name, dataset=night.folder)
    columns = published_table(name).columns
    assert list(frame.columns) == [column.name for column in columns]
    assert {column.name: str(frame[column.name].dtype) for column in columns} == {
        column.name: DTYPES[column.type] for column in columns
    }


@pytest.mark.parametrize("name", [name for name in TABLES if name not in LEDGERS])
def test_files_beside_each_other_read_as_the_dataset_does(
    name: str, night: CurationReport, tmp_path: Path
) -> None:
    """As they come from FigShare: without Parquet, in one folder."""
    for path in (f"csv/{name}.csv", f"dictionary/{name}.json", "snapshot.json"):
        shutil.copy(night.folder / path, tmp_path)
    frame, expected = read_table(name, dataset=tmp_path), read_table(name, dataset=night.folder)
    assert len(frame) > 10
    pd.testing.assert_frame_equal(frame, expected, check_exact=True)


def test_a_table_without_its_dictionary_has_the_types_of_today(night: CurationReport, tmp_path: Path) -> None:
    shutil.copy(night.folder / "csv" / "T1w_curated.csv", tmp_path)
    expected = read_table("T1w_curated", dataset=night.folder)
    pd.testing.assert_frame_equal(read_table("T1w_curated", dataset=tmp_path), expected, check_exact=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SnapshotDataset:
    """A release, and a night after it with one more image."""
    folder = tmp_path_factory.mktemp("published")
    store, dataset = RecordStore(folder / "store"), SnapshotDataset(folder / "dataset")
    dataset.prepare()
    for run, count in ((1, 3), (2, 4)):
        documents = [make_document("T1w", number, second=number) for number in range(count)]
        seal(store, "T1w", run, [record(document) for document in documents])
        publish(store, dataset, PSEUDONYMS)
        if run == 1:
            git(dataset.path, "tag", "-a", "-m", "first", "2026.11.23")
    return dataset


def test_a_release_is_read_though_the_dataset_has_gone_on(dataset: SnapshotDataset) -> None:
    assert len(read_table("T1w_curated", "2026.11.23", dataset.path)) == 3
    assert len(read_table("T1w_curated", dataset=dataset.path)) == 4
    assert list(read_table("records", "2026.11.23", dataset.path)["fate"]) == ["representative"] * 3


def test_a_clone_fetches_what_is_asked_for(dataset: SnapshotDataset, tmp_path: Path) -> None:
    datalad(tmp_path, "clone", str(dataset.path), "clone")
    clone = tmp_path / "clone"
    with pytest.raises(DatasetError, match=r"csv/T1w\.csv of 2026\.11\.23: .* `datalad get csv/T1w\.csv`"):
        read_table("T1w", "2026.11.23", clone, fetch=False)
    frame = read_table("T1w", "2026.11.23", clone)
    pd.testing.assert_frame_equal(frame, read_table("T1w", "2026.11.23", dataset.path), check_exact=True)
    git(clone, "remote", "remove", "origin")
    with pytest.raises(DatasetError, match="annex get"):
        read_table("T1w_curated", "2026.11.23", clone)


def test_unlocked_files_are_read(dataset: SnapshotDataset, tmp_path: Path) -> None:
    """As in clones on file systems without links."""
    datalad(tmp_path, "clone", str(dataset.path), "clone")
    clone = tmp_path / "clone"
    git(clone, "annex", "adjust", "--unlock")
    pd.testing.assert_frame_equal(
        read_table("T1w", dataset=clone), read_table("T1w", dataset=dataset.path), check_exact=True
    )


def test_what_is_not_there_is_told(dataset: SnapshotDataset, night: CurationReport, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no table 'T1w_currated'; is one of these meant: T1w_curated"):
        read_table("T1w_currated", dataset=dataset.path)
    with pytest.raises(UsageError, match=r"2026\.11\.24: no version"):
        read_table("T1w", "2026.11.24", dataset.path)
    with pytest.raises(UsageError, match=r"has no release, not 2026\.11\.23"):
        read_table("T1w", "2026.11.23", night.folder)
    with pytest.raises(UsageError, match="no such folder"):
        read_table("T1w", dataset=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no table 'T1w'; is one of these meant: none"):
        read_table("T1w", dataset=tmp_path)
