"""A night becomes a release: planned, committed, tagged, and what nights do afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from curation.errors import DatasetError, LawBroken, UsageError
from curation.pseudonyms import Pseudonyms
from curation.publish import SnapshotDataset, publish
from curation.publish.commands import git
from curation.publish.dataset import RELEASED
from curation.publish.release import ReleasePlan, make_release, plan_release, released_already
from curation.rebuild import rebuild
from curation.store import RecordStore
from tests.conftest import REPOSITORY
from tests.support.documents import record, seal
from tests.support.fast_api import make_document
from tests.support.pseudonyms import PSEUDONYMS

DAY = date(2026, 11, 23)
# A release of a process that ends where a test wants it to.
RELEASE = """
import os, sys
from datetime import date
from pathlib import Path
from curation.publish import SnapshotDataset, dataset as module
from curation.publish.release import make_release, plan_release
dataset = SnapshotDataset(Path(sys.argv[1]))
with dataset.lock():
    dataset.prepare()
    plan = plan_release(dataset, None, date(2026, 11, 23))
    setattr(SnapshotDataset, sys.argv[2], lambda *_, **__: os._exit(9))
    make_release(dataset, plan)
"""


def bring(store: RecordStore, run: int, numbers: range) -> None:
    documents = [make_document("T1w", number, second=number * 1000) for number in numbers]
    for document in documents[::3]:
        document["bids_meta"]["EchoTime"] = "0.03"
    seal(store, "T1w", run, [record(document) for document in documents])


def run_night(store: RecordStore, dataset: SnapshotDataset) -> str | None:
    with dataset.lock():
        dataset.prepare()
        return publish(store, dataset, PSEUDONYMS).commit


def plan(dataset: SnapshotDataset, version: str | None = None, day: date = DAY, **more: str) -> ReleasePlan:
    dataset.prepare()
    return plan_release(dataset, version, day, **more)


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    bring(RecordStore(folder / "store"), 1, range(10))
    run_night(RecordStore(folder / "store"), SnapshotDataset(folder / "dataset"))
    return folder


@pytest.fixture
def places(first_night: Path, tmp_path: Path) -> tuple[RecordStore, SnapshotDataset]:
    shutil.copytree(first_night, tmp_path / "night", symlinks=True)
    return RecordStore(tmp_path / "night" / "store"), SnapshotDataset(tmp_path / "night" / "dataset")


@pytest.fixture
def store(places: tuple[RecordStore, SnapshotDataset]) -> RecordStore:
    return places[0]


@pytest.fixture
def dataset(places: tuple[RecordStore, SnapshotDataset]) -> SnapshotDataset:
    return places[1]


def snapshot(dataset: SnapshotDataset, commit: str = "HEAD") -> dict:
    return json.loads(dataset.published("snapshot.json", commit) or b"")


def test_a_release_is_one_commit_with_an_annotated_tag(dataset: SnapshotDataset) -> None:
    night = dataset.find("HEAD")
    commit = make_release(dataset, plan(dataset, words="A **first** look."))
    assert git(dataset.path, "rev-parse", "HEAD^").strip() == night
    assert dataset.find("2026.11.23") == commit == dataset.find("HEAD")
    assert git(dataset.path, "cat-file", "-t", "2026.11.23").strip() == "tag"
    assert "A **first** look." in git(dataset.path, "tag", "-l", "--format=%(contents)", "2026.11.23")
    assert not git(
        dataset.path, "diff", "--name-only", night, commit, "--", "csv", "parquet", "audit", "code"
    )
    about = snapshot(dataset)
    assert about["version"] == "2026.11.23" == about["last_release"]["version"]
    assert json.loads((dataset.path / "datapackage.json").read_bytes())["version"] == "2026.11.23"
    assert "2026.11.23" in (dataset.path / "README.md").read_text()
    assert 'version: "2026.11.23"' in (dataset.path / "CITATION.cff").read_text()
    for name in RELEASED:
        assert dataset.committed(name)


def test_all_files_are_what_the_checksums_say(dataset: SnapshotDataset) -> None:
    make_release(dataset, plan(dataset))
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dataset.path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checked = {line.partition(":")[0] for line in done.stdout.splitlines()}
    hidden = {name for name in dataset.committed() if any(p.startswith(".") for p in name.split("/"))}
    assert checked == {*dataset.committed()} - hidden - {"SHA256SUMS"}
    for name, facts in snapshot(dataset)["files"].items():
        assert f"{facts['sha256']}  {name}\n" in (dataset.path / "SHA256SUMS").read_text()


def test_what_a_person_configured_does_not_stop_a_release(dataset: SnapshotDataset) -> None:
    for name in ("tag.gpgSign", "tag.forceSignAnnotated", "commit.gpgSign"):
        git(dataset.path, "config", name, "true")
    git(dataset.path, "tag", "2026.11.23")
    with pytest.raises(UsageError, match=r"2026\.11\.23: there is a tag of this name"):
        plan(dataset)
    git(dataset.path, "tag", "--delete", "2026.11.23")
    make_release(dataset, plan(dataset))
    git(dataset.path, "tag", "--delete", "2026.11.23")
    dataset.prepare()
    assert not dataset.releases()


def test_a_plan_writes_nothing(dataset: SnapshotDataset) -> None:
    night = dataset.find("HEAD")
    planned = plan(dataset)
    assert {"CHANGES.md", "CITATION.cff", "SHA256SUMS", "snapshot.json"} <= planned.files.keys()
    assert planned.last is None and "First release" in planned.entry and planned.lacking == []
    assert planned.before.keys() >= {"README.md", "snapshot.json"} and "CHANGES.md" not in planned.before
    assert dataset.find("HEAD") == night and not git(dataset.path, "status", "--porcelain")


def test_nights_after_a_release(store: RecordStore, dataset: SnapshotDataset) -> None:
    released = make_release(dataset, plan(dataset))
    assert run_night(store, dataset) is None
    assert dataset.find("HEAD") == released
    bring(store, 2, range(10, 14))
    assert run_night(store, dataset) is not None
    about = snapshot(dataset)
    assert "version" not in about and about["last_release"]["version"] == "2026.11.23"
    assert not dataset.committed(*RELEASED)
    assert "version" not in json.loads((dataset.path / "datapackage.json").read_bytes())
    assert {"CHANGES.md", "CITATION.cff"} <= {*dataset.committed()}
    assert run_night(store, dataset) is None


def test_the_next_release_tells_what_changed(store: RecordStore, dataset: SnapshotDataset) -> None:
    make_release(dataset, plan(dataset))
    citation = (dataset.path / "CITATION.cff").read_text()
    start, end = citation.index("keywords:"), citation.index("references:")
    (dataset.path / "CITATION.cff").write_text(citation[:start] + citation[end:] + "# a maintainer's line\n")
    git(dataset.path, "commit", "--quiet", "--all", "-m", "A word of the maintainer")
    bring(store, 2, range(10, 14))
    run_night(store, dataset)
    second = plan(dataset)
    assert (str(second.version), second.last, second.unexplained) == ("2026.11.23.1", "2026.11.23", 0)
    assert "T1w" in second.entry and "4" in second.entry
    assert "\n- `T1w`: " in second.entry and "- - " not in second.entry
    assert second.lacking == ["it has no keywords"]
    make_release(dataset, second)
    changes = (dataset.path / "CHANGES.md").read_text()
    assert changes.index("## 2026.11.23.1") < changes.index("## 2026.11.23\n")
    citation = (dataset.path / "CITATION.cff").read_text()
    assert 'version: "2026.11.23.1"' in citation and citation.endswith("# a maintainer's line\n")
    for version in ("2026.11.23", "2026.11.23.1"):
        assert (
            rebuild(version, dataset, store, pseudonyms=PSEUDONYMS.fingerprint, workers=1).difference is None
        )


def test_what_is_released_is_not_released_again(dataset: SnapshotDataset) -> None:
    assert released_already(dataset, None) is None
    make_release(dataset, plan(dataset))
    assert released_already(dataset, None) == released_already(dataset, "2026.11.23") == "2026.11.23"
    with pytest.raises(UsageError, match=r"nothing is new since 2026\.11\.23"):
        released_already(dataset, "2026.11.24")


def test_versions_that_cannot_be_are_refused(store: RecordStore, dataset: SnapshotDataset) -> None:
    make_release(dataset, plan(dataset))
    bring(store, 2, range(10, 14))
    run_night(store, dataset)
    for version, day, said in (
        ("2026.11.23", DAY, "exists"),
        ("2026.11.22", DAY, r"2026\.11\.23"),
        (None, DAY - timedelta(days=1), "clock"),
        ("2026.11.30", DAY, "a day to come"),
        ("1.0", DAY, "expected"),
    ):
        with pytest.raises(UsageError, match=said):
            plan(dataset, version, day)


def test_a_dataset_with_changes_is_refused(dataset: SnapshotDataset) -> None:
    (dataset.path / "README.md").write_text("mine")
    with pytest.raises(DatasetError, match="1 uncommitted change"):
        plan(dataset)


def test_a_file_of_a_person_is_not_overwritten(dataset: SnapshotDataset) -> None:
    (dataset.path / "CITATION.cff").write_bytes(plan(dataset).files["CITATION.cff"])
    with pytest.raises(DatasetError, match=r"CITATION\.cff: was never committed"):
        plan(dataset)


def test_a_dataset_without_a_night_is_refused(tmp_path: Path) -> None:
    dataset = SnapshotDataset(tmp_path / "new")
    with pytest.raises(UsageError, match="no snapshot dataset"):
        dataset.require_there()
    dataset.prepare()
    with pytest.raises(UsageError, match="no night was committed yet"):
        released_already(dataset, None)


def test_a_night_that_failed_its_gate_is_not_released(store: RecordStore, dataset: SnapshotDataset) -> None:
    bring(store, 2, range(10, 14))
    with dataset.lock(), pytest.raises(LawBroken):
        dataset.prepare()
        publish(store, dataset, Pseudonyms("another key, also of the tests"))
    with pytest.raises(
        LawBroken, match=r"the last night was not published: .*release after a night that passed"
    ):
        plan(dataset)
    run_night(store, dataset)
    assert plan(dataset).last is None


def test_content_that_is_gone_or_spoiled_is_refused(dataset: SnapshotDataset) -> None:
    path = (dataset.path / "csv" / "T1w.csv").resolve()
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content.replace(b"0.14.2", b"0.14.3"))
    with pytest.raises(LawBroken, match=r"csv/T1w\.csv: SHA-256"):
        plan(dataset)
    path.write_bytes(content)
    assert plan(dataset).last is None
    git(dataset.path, "annex", "drop", "--force", "--quiet", "csv/T1w.csv")
    with pytest.raises(DatasetError, match=r"`datalad get csv/T1w\.csv`"):
        plan(dataset)


def test_a_release_that_was_killed_before_its_commit_leaves_nothing(dataset: SnapshotDataset) -> None:
    night = dataset.find("HEAD")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            RELEASE.replace("SnapshotDataset, sys", "module, sys"),
            str(dataset.path),
            "datalad",
        ],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 9 and (dataset.path / "CITATION.cff").exists()
    dataset.prepare()
    assert dataset.find("HEAD") == night and not (dataset.path / "CITATION.cff").exists()
    assert not git(dataset.path, "status", "--porcelain") and not dataset.releases()


@pytest.mark.parametrize("where", ["_finish_release", "_check_committed"])
def test_a_release_that_was_killed_is_finished_by_whatever_runs_next(
    where: str, store: RecordStore, dataset: SnapshotDataset
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RELEASE, str(dataset.path), where],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 9
    assert not dataset.releases()
    release = dataset.find("HEAD")
    lock = dataset.path / ".git" / "refs" / "tags" / "2026.11.23.lock"
    lock.touch()  # as of a killed `git tag`
    (dataset.path / "LICENSE").write_text("a word of the maintainer")
    git(dataset.path, "commit", "--quiet", "--all", "-m", "Between")
    (dataset.path / "notes.txt").write_text("mine")
    bring(store, 2, range(10, 14))
    assert run_night(store, dataset) is not None
    assert (dataset.path / "notes.txt").read_text() == "mine"
    assert dataset.releases() == ["2026.11.23"] and dataset.find("2026.11.23") == release
    assert snapshot(dataset, "2026.11.23")["version"] == "2026.11.23"
    assert str(plan(dataset).version) == "2026.11.23.1"
