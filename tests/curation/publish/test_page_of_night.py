"""The page of every night in the dataset: in git, made anew, compared with the last release where that is here."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from curation.errors import DatasetError
from curation.publish import PublishReport, SnapshotDataset, publish
from curation.publish.commands import git
from curation.publish.release import make_release, plan_release
from curation.store import RecordStore
from tests.support.documents import record, seal
from tests.support.fast_api import make_document
from tests.support.pseudonyms import PSEUDONYMS


def bring(store: RecordStore, run: int, numbers: range) -> None:
    documents = [make_document("T1w", number, second=number * 1000) for number in numbers]
    if run == 1:
        documents[0]["bids_meta"]["EchoTime"] = "0.03"
    seal(store, "T1w", run, [record(document) for document in documents])


def run_night(store: RecordStore, dataset: SnapshotDataset) -> PublishReport:
    with dataset.lock():
        dataset.prepare()
        return publish(store, dataset, PSEUDONYMS)


def release(dataset: SnapshotDataset, day: date) -> None:
    with dataset.lock():
        dataset.prepare()
        make_release(dataset, plan_release(dataset, None, day))


@pytest.fixture
def dataset(tmp_path: Path) -> SnapshotDataset:
    return SnapshotDataset(tmp_path / "dataset")


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    store = RecordStore(tmp_path / "store")
    bring(store, 1, range(10))
    return store


def text(dataset: SnapshotDataset) -> str:
    return " ".join((dataset.path / "report.html").read_text("utf-8").split())


def test_nights_and_releases_keep_a_page_in_git(store: RecordStore, dataset: SnapshotDataset) -> None:
    first = run_night(store, dataset)
    assert first.commit is not None and first.changes is None
    for name in ("report.html", "figures/flow.svg", "figures/growth-T1w.svg"):
        assert not (dataset.path / name).is_symlink() and dataset.committed(name) == [name]
    assert "no release to compare with yet" in text(dataset)
    assert not any(name.startswith(("figures/", "report")) for name in first.snapshot["files"])

    release(dataset, date(2026, 11, 23))
    assert dataset.committed("figures/growth.svg")
    page = dataset.published("report.html")
    assert run_night(store, dataset).commit is None
    assert dataset.published("report.html") == page

    bring(store, 2, range(8, 14))
    second = run_night(store, dataset)
    # The release's own figure went with what speaks of the release alone.
    assert not dataset.committed("figures/growth.svg") and dataset.committed("figures/flow.svg")
    assert second.changes is not None and second.changes.unexplained == 0
    assert {table.name: table.added for table in second.changes.tables} == {"T1w": 4, "T1w_curated": 4}
    shown = text(dataset)
    assert "Compared with release 2026.11.23, cell by cell: 8 rows added" in shown
    assert "+4 since 2026.11.23" in shown and "all (2026.11.23)" in shown

    bring(store, 3, range(14, 16))
    run_night(store, dataset)
    assert "+2 since the night before" in text(dataset)
    assert git(dataset.path, "status", "--porcelain") == ""


def test_a_release_whose_content_is_gone_is_not_compared_with(
    store: RecordStore, dataset: SnapshotDataset, caplog: pytest.LogCaptureFixture
) -> None:
    run_night(store, dataset)
    release(dataset, date(2026, 11, 23))
    key = dataset.key("parquet/T1w_curated.parquet")
    git(dataset.path, "annex", "drop", "--force", f"--key={key}")
    bring(store, 2, range(8, 14))
    assert run_night(store, dataset).changes is None
    assert "were not compared cell by cell" in text(dataset)
    assert "are not where this page was made" in text(dataset)
    assert "2026.11.23 is not compared with: 1 file(s) are not here" in caplog.text


def test_a_page_is_made_again_after_a_night_that_failed(
    store: RecordStore, dataset: SnapshotDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_night(store, dataset)
    bring(store, 2, range(8, 14))
    with monkeypatch.context() as broken, pytest.raises(DatasetError):
        broken.setattr(SnapshotDataset, "_check_committed", _refuse)
        run_night(store, dataset)
    run_night(store, dataset)
    other = SnapshotDataset(tmp_path / "other")
    early = RecordStore(store.path, 1)
    run_night(early, other)
    run_night(store, other)
    for name in dataset.committed("report.html", "figures"):
        assert dataset.published(name) == other.published(name), name
    versions = json.loads(dataset.published("snapshot.json") or b"{}")
    assert versions == json.loads(other.published("snapshot.json") or b"{}")


def _refuse(_dataset: SnapshotDataset, _names: list[str]) -> None:
    raise DatasetError("the disk is gone")
