"""The snapshot dataset: laid out by the procedure, committed to once a night, recovered without a person."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.csv
import pytest

from curation.errors import DatasetError, LockedError
from curation.publish import NOTICE, SnapshotDataset, publish
from curation.publish.commands import datalad, environment, git
from curation.store import RecordStore
from tests.support.fast_api import FastApi, make_document
from tests.support.night import run_night
from tests.support.pseudonyms import PSEUDONYMS


@pytest.fixture(scope="module")
def service():
    """Thirty T1w records, two of them of one image."""
    documents = [make_document("T1w", i, second=i * 1000, checksum=min(i, 28)) for i in range(30)]
    with FastApi({"T1w": documents}) as api:
        yield api


@pytest.fixture(scope="module")
def first_night(service: FastApi, tmp_path_factory: pytest.TempPathFactory):
    """A folder with a store and a dataset after one night, and what the night reported."""
    folder = tmp_path_factory.mktemp("first")
    return folder, run_night(service.url, folder / "store", folder / "dataset")


@pytest.fixture
def night(first_night, tmp_path: Path):
    """A store and a dataset after one night, of the test's own."""
    folder, report = first_night
    for name in ("store", "dataset"):
        shutil.copytree(folder / name, tmp_path / name, symlinks=True)
    return RecordStore(tmp_path / "store"), SnapshotDataset(tmp_path / "dataset"), report


def log(path: Path, form: str) -> str:
    return git(path, "log", "-1", f"--format={form}").strip()


def test_first_night_commits_annexed_tables_and_text_in_git(night) -> None:
    _, dataset, report = night
    assert report.commit == log(dataset.path, "%H")
    key = (dataset.path / "csv" / "T1w.csv").readlink().name
    assert key.startswith("MD5E-s") and key.endswith(".csv")
    assert (dataset.path / "audit" / "records.csv").is_symlink()
    assert not (dataset.path / "snapshot.json").is_symlink()
    assert json.loads((dataset.path / "snapshot.json").read_bytes()) == report.snapshot
    assert (dataset.path / "README.md").is_file() and (dataset.path / "LICENSE").is_file()
    assert git(dataset.path, "config", "gc.auto").strip() == "0"


def test_commit_tells_counts_and_newest_record(night) -> None:
    _, dataset, _ = night
    message = log(dataset.path, "%B")
    assert "30 records received (+30)" in message
    assert "T1w: 30 received (+30), 29 representatives (+29), 1 duplicates (+1)" in message
    assert log(dataset.path, "%aI") == "2018-01-01T08:03:20+00:00"  # second 29,000 of 2018


def test_nothing_new_no_commit(night, service: FastApi) -> None:
    store, dataset, report = night
    requests = len(service.requests)
    again = run_night(service.url, store.path, dataset.path)
    assert again.commit is None
    assert log(dataset.path, "%H") == report.commit
    assert len(service.requests) - requests <= 12
    assert not dataset.staging.exists()


def test_a_notice_of_the_clone_is_the_first_that_its_pages_say(
    service: FastApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text('[mriqc-snapshot]\n notice = "of all that this user has"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    dataset = SnapshotDataset(tmp_path / "dataset")
    with dataset.lock():
        dataset.prepare()
        assert dataset.notice is None
        dataset.configure(NOTICE, "Records of a test")
    run_night(service.url, tmp_path / "store", dataset.path)
    assert '<header>\n<p class="notice">Records of a test</p>' in (dataset.path / "report.html").read_text()


def test_run_record_can_be_rerun_by_datalad(night) -> None:
    _, dataset, report = night
    program = [sys.executable, "-c", "from datalad.cli.main import main; main()"]
    done = subprocess.run(
        [*program, "rerun"], cwd=dataset.path, env=environment(dataset.path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "mriqc-snapshot curate --store {store} --out ." in log(dataset.path, "%B")
    assert log(dataset.path, "%H") == report.commit  # the same bytes: nothing to save
    assert git(dataset.path, "status", "--porcelain") == ""


def test_clone_and_get(night, tmp_path: Path) -> None:
    _, dataset, _ = night
    datalad(tmp_path, "clone", str(dataset.path), "clone")
    assert not (tmp_path / "clone" / "csv" / "T1w.csv").exists()
    datalad(tmp_path / "clone", "get", "csv/T1w.csv")
    assert pyarrow.csv.read_csv(tmp_path / "clone" / "csv" / "T1w.csv").num_rows == 29


def test_clone_and_published_files_do_not_say_where_the_store_is(night, tmp_path: Path) -> None:
    store, dataset, _ = night
    datalad(tmp_path, "clone", str(dataset.path), "clone")
    for name in git(tmp_path / "clone", "ls-files").split():
        file = tmp_path / "clone" / name
        if file.is_file():
            assert str(store.path).encode() not in file.read_bytes(), name
    assert str(store.path) not in git(tmp_path / "clone", "log", "--format=%B")


@pytest.mark.parametrize("moment", ["moved", "staged", "half-created"])
def test_dirty_dataset_of_a_killed_run_is_recovered(
    night, service: FastApi, tmp_path: Path, moment: str
) -> None:
    store, dataset, report = night
    if moment == "half-created":
        fresh = SnapshotDataset(tmp_path / "other")
        unfinished = tmp_path / ".other.creating"
        datalad(tmp_path, "create", str(unfinished))
        (unfinished / ".git" / "index.lock").touch()
        assert run_night(service.url, store.path, fresh.path).commit
        assert not unfinished.exists()
        return
    (dataset.path / ".git" / "mriqc-snapshot" / "in-progress").touch()
    table = dataset.path / "csv" / "T1w.csv"
    table.unlink()
    table.write_text("half")
    (dataset.path / "csv" / "new.csv").write_text("new")
    if moment == "staged":
        git(dataset.path, "add", "snapshot.json")
        (dataset.path / ".git" / "index.lock").touch()
    assert run_night(service.url, store.path, dataset.path).commit is None
    assert log(dataset.path, "%H") == report.commit
    assert git(dataset.path, "status", "--porcelain") == ""


def test_changes_of_a_person_are_not_thrown_away(night) -> None:
    _, dataset, _ = night
    (dataset.path / "README.md").write_text("mine")
    with dataset.lock(), pytest.raises(DatasetError, match=r"README\.md.*commit or discard"):
        dataset.prepare()
    assert (dataset.path / "README.md").read_text() == "mine"


def test_files_of_a_person_are_neither_committed_nor_removed(night, service: FastApi) -> None:
    store, dataset, _ = night
    (dataset.path / "notes.txt").write_text("mine")
    service.put("T2w", make_document("T2w", 1))
    assert run_night(service.url, store.path, dataset.path).commit
    assert git(dataset.path, "status", "--porcelain").split() == ["??", "notes.txt"]
    service.delete("T2w", make_document("T2w", 1)["_id"])


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "thesis.doc").touch()
    dataset = SnapshotDataset(tmp_path / "dataset")
    with dataset.lock(), pytest.raises(DatasetError, match="not empty and not a dataset"):
        dataset.prepare()
    assert [p.name for p in dataset.path.iterdir()] == ["thesis.doc"]


def test_second_run_is_kept_out(tmp_path: Path) -> None:
    first, second = SnapshotDataset(tmp_path / "dataset"), SnapshotDataset(tmp_path / "dataset")
    with first.lock(), pytest.raises(LockedError, match="another run"), second.lock():
        pass


def test_a_command_that_outlives_its_run_is_waited_for(night, service: FastApi) -> None:
    store, dataset, _ = night
    lock = dataset.path.parent / f".{dataset.path.name}.writing.lock"
    holds = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True)"
    orphan = subprocess.Popen(
        [sys.executable, "-c", f"{holds}; time.sleep(1)", str(lock)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert orphan.stdout.readline() == "\n"
        service.put("T2w", make_document("T2w", 1))
        assert run_night(service.url, store.path, dataset.path).commit
        assert orphan.wait(10) == 0
    finally:
        orphan.kill()
        orphan.stdout.close()
        service.delete("T2w", make_document("T2w", 1)["_id"])


def test_failed_command_names_itself_and_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"git rev-parse HEAD .*exit code 128.*not a git repository"):
        git(tmp_path, "rev-parse", "HEAD")


def test_commits_without_an_identity(
    service: FastApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    (tmp_path / "empty").touch()
    assert run_night(service.url, tmp_path / "store", tmp_path / "dataset").commit
    assert log(tmp_path / "dataset", "%an <%ae>") == "mriqc-snapshot <mriqc-snapshot@localhost>"


def test_law_broken_publishes_nothing(night, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation import resource
    from curation.errors import LawBroken

    store, dataset, report = night
    decide = resource.decide

    def losing(*arguments):
        decision = decide(*arguments)
        return replace(decision, received=decision.received + 1)

    monkeypatch.setattr(resource, "decide", losing)
    with pytest.raises(LawBroken, match="law 1"):
        publish(store, dataset, PSEUDONYMS)
    assert log(dataset.path, "%H") == report.commit
    assert git(dataset.path, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "setting",
    [
        "[core]\n excludesFile = EXCLUDES",
        "[core]\n attributesFile = ATTRIBUTES",
        "[annex]\n largefiles = anything",
        "[annex]\n addunlocked = true",
        "[commit]\n gpgsign = true",
        "[core]\n autocrlf = true",
        "[init]\n defaultBranch = night",
    ],
)
def test_configuration_of_the_user_decides_nothing(
    setting: str, service: FastApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "excludes").write_text("*.json\n*.csv\n")
    (tmp_path / "attributes").write_text("*.json annex.largefiles=anything\n")
    text = setting.replace("EXCLUDES", str(tmp_path / "excludes")).replace(
        "ATTRIBUTES", str(tmp_path / "attributes")
    )
    (tmp_path / "config").write_text(f"[user]\n name = a\n email = a@localhost\n{text}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    for expected in (True, False):
        assert bool(run_night(service.url, tmp_path / "store", tmp_path / "dataset").commit) is expected
    assert (tmp_path / "dataset" / "csv" / "T1w.csv").is_symlink()
    assert not (tmp_path / "dataset" / "snapshot.json").is_symlink()


def test_another_repository_in_the_environment_is_left_alone(
    night, service: FastApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, dataset, report = night
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "--quiet")
    (dataset.path / ".git" / "mriqc-snapshot" / "in-progress").touch()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert run_night(service.url, store.path, dataset.path).commit is None
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_WORK_TREE")
    assert log(dataset.path, "%H") == report.commit
    assert [p.name for p in (tmp_path / "other").iterdir()] == [".git"]


def test_one_dataset_has_one_lock_however_it_is_spelt(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    first, second = SnapshotDataset(tmp_path / "real"), SnapshotDataset(tmp_path / "link")
    with first.lock(), pytest.raises(LockedError), second.lock():
        pass


@pytest.mark.parametrize("year", [1969, 2106])
def test_dates_that_git_does_not_take_do_not_stop_a_night(year: int, tmp_path: Path) -> None:
    document = make_document("T1w", 1)
    document["_created"] = f"Tue, 01 Jan {year} 00:00:00 GMT"
    with FastApi({"T1w": [document]}) as service:
        assert run_night(service.url, tmp_path / "store", tmp_path / "dataset").commit
    assert "1970" <= log(tmp_path / "dataset", "%aI")[:4] < "2106"
