"""Siblings: what is pushed can be cloned and got, verified, by somebody who sees the sibling alone."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from curation.annexed import Annex
from curation.errors import DatasetError, SiblingFailed, UsageError
from curation.publish import SnapshotDataset
from curation.publish.commands import datalad, environment, git
from curation.siblings import PushReport, add_sibling, find_sibling, parse_storage, push, siblings
from tests.conftest import REPOSITORY
from tests.support.snapshots import TABLES, content, make_dataset, make_night

RELEASE = "2026.11.23"
KINDS = ("directory", "ria")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset: a superseded night, a release, a newest night; with a sibling of each kind beside."""
    folder = tmp_path_factory.mktemp("made")
    dataset = make_dataset(folder / "data", 2)
    git(dataset.path, "tag", "-a", "-m", "The first release", RELEASE)
    make_night(dataset, 2)
    git(dataset.path, "notes", "add", "-m", "DOI: 10.6084/m9.figshare.1.v1", RELEASE)
    return folder


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> SnapshotDataset:
    shutil.copytree(made / "data", tmp_path / "data", symlinks=True)
    return SnapshotDataset(tmp_path / "data")


def add(dataset: SnapshotDataset, kind: str, name: str = "public") -> None:
    place = dataset.path.parent / f"{kind} of {name}"
    repository = None if kind == "ria" else str(dataset.path.parent / f"{name}.git")
    with dataset.lock():
        add_sibling(dataset, name, parse_storage(f"{kind}:{place}"), repository)


def pushed(dataset: SnapshotDataset, name: str = "public", *, check: bool = False) -> PushReport:
    with dataset.lock():
        return push(dataset, name, check=check)


def refs(repository: str) -> set[str]:
    return set(git(Path(repository), "for-each-ref", "--format=%(objectname) %(refname)").splitlines())


def assert_clone_has_all(repository: str, folder: Path, last: int = 2) -> Path:
    """Clone as a researcher does, get the newest night and the release, and compare every byte."""
    clone = folder / "clone"
    datalad(folder, "clone", repository, str(clone))
    for version, night in (("HEAD", last), (RELEASE, 1)):
        git(clone, "checkout", "--quiet", "--detach", version)
        datalad(clone, "get", ".")
        for name in TABLES:
            expected = hashlib.sha256(content(night, name)).hexdigest()
            assert hashlib.sha256((clone / name).read_bytes()).hexdigest() == expected, name
        git(clone, "annex", "fsck", "--quiet")
    return clone


@pytest.mark.parametrize("kind", KINDS)
def test_clone_gets_every_file_from_the_sibling_alone(
    kind: str, dataset: SnapshotDataset, tmp_path: Path
) -> None:
    add(dataset, kind)
    report = pushed(dataset)
    assert (report.status, report.keys, report.bytes) == ("ok", 8, 8 * 400)
    repository = find_sibling(dataset, "public").repository
    assert git(Path(repository), "symbolic-ref", "HEAD") == git(dataset.path, "symbolic-ref", "HEAD")
    superseded = content_key(dataset, "HEAD~2")
    assert not Annex(dataset.path).stored("public-storage", [superseded])
    dataset.path.rename(tmp_path / "away")
    clone = assert_clone_has_all(repository, tmp_path)
    assert "The first release" in git(clone, "cat-file", "-p", RELEASE)
    git(clone, "fetch", "--quiet", "origin", "refs/notes/*:refs/notes/*")
    assert "10.6084" in git(clone, "notes", "show", RELEASE)


def assert_whole(dataset: SnapshotDataset) -> None:
    """The sibling has all refs, and content of the newest night and of the release."""
    assert pushed(dataset).status == "notneeded"
    sibling = find_sibling(dataset, "public")
    shown = "--format=%(objectname) %(refname)"
    ours = git(dataset.path, "for-each-ref", shown, "refs/heads", "refs/tags", "refs/notes").splitlines()
    assert refs(sibling.repository) == set(ours)
    keys = Annex(dataset.path).keys(["HEAD", RELEASE])
    assert len(keys) == 8
    assert Annex(dataset.path).stored(sibling.storage, keys) == set(keys)
    assert Annex(dataset.path).logged(sibling.uuid, keys) == set(keys)


def content_key(dataset: SnapshotDataset, commit: str, name: str = "csv/T1w.csv") -> str:
    return dataset.key(name, commit)


@pytest.mark.parametrize("kind", KINDS)
def test_second_push_has_nothing_to_do_and_a_third_pushes_the_next_night(
    kind: str, dataset: SnapshotDataset, tmp_path: Path
) -> None:
    add(dataset, kind)
    pushed(dataset)
    repository = find_sibling(dataset, "public").repository
    before = refs(repository)
    for check in (False, True):
        assert pushed(dataset, check=check) == PushReport("public", "notneeded", 0, 0, [])
    assert refs(repository) == before
    make_night(dataset, 3, same={"csv/bold.csv": 2})
    report = pushed(dataset)
    assert report.keys == 3
    assert report.refs == ["refs/heads/git-annex", git(dataset.path, "symbolic-ref", "HEAD").strip()]
    dataset.path.rename(tmp_path / "away")
    datalad(tmp_path, "clone", repository, "clone")
    datalad(tmp_path / "clone", "get", "csv")
    assert (tmp_path / "clone" / "csv" / "T1w.csv").read_bytes() == content(3, "csv/T1w.csv")
    assert (tmp_path / "clone" / "csv" / "bold.csv").read_bytes() == content(2, "csv/bold.csv")


@pytest.mark.parametrize("kind", KINDS)
def test_adding_again_finishes_and_changes_nothing(kind: str, dataset: SnapshotDataset) -> None:
    add(dataset, kind)
    first = siblings(dataset)
    git(dataset.path, "config", "--unset", "remote.public.datalad-publish-depends")
    assert siblings(dataset) == []
    add(dataset, kind)
    assert siblings(dataset) == first
    assert pushed(dataset).keys == 8
    add(dataset, kind)
    assert pushed(dataset).keys == 0


def test_who_clones_is_not_told_of_this_machine(dataset: SnapshotDataset) -> None:
    add(dataset, "directory")
    pushed(dataset)
    log = git(dataset.path, "cat-file", "blob", "git-annex:uuid.log")
    assert " mriqc-snapshot timestamp=" in log
    assert str(dataset.path.parent) not in log and os.uname().nodename not in log


WRAPPER = """#!/bin/sh
case "$1" in config) exec {git} "$@" ;; esac
number=$(($(cat {folder}/count 2>/dev/null || echo 0) + 1))
echo $number > {folder}/count
if [ $number -eq {at} ]; then
    # Who asked may end this shell before the time has come, not the one that waits for it.
    (sleep {seconds}; kill -9 0) >/dev/null 2>&1 &
    [ {seconds} = 0.000 ] || {git} "$@"
    wait
fi
exec {git} "$@"
"""


def killed_at(command: list[str], at: int, seconds: float, folder: Path) -> int:
    """Run a command that is killed with all that it started, some time after its nth git began; its exit code."""
    wrapper = folder / "bin" / "git"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(
        WRAPPER.format(git=shutil.which("git"), folder=folder, at=at, seconds=f"{seconds:.3f}")
    )
    wrapper.chmod(0o755)
    (folder / "count").unlink(missing_ok=True)
    env = {**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *command],
        cwd=folder, env=env, start_new_session=True, capture_output=True,
    ).returncode  # fmt: skip


@pytest.mark.parametrize(("kind", "seed"), [*(("directory", seed) for seed in range(5)), ("ria", 5)])
def test_push_killed_at_any_moment_is_finished_by_the_next(
    kind: str, seed: int, dataset: SnapshotDataset, tmp_path: Path
) -> None:
    """Killed twice on the way; whatever the sibling's refs show in between has its content."""
    chance = random.Random(seed)
    add(dataset, kind)
    sibling = find_sibling(dataset, "public")
    for attempt in range(2):
        code = killed_at(
            ["sibling", "push", "public", "--dataset", "data"],
            chance.randint(8, 19),
            chance.choice([0, 0.02, 0.05, 0.1]),
            tmp_path,
        )
        # A push that has all to do begins 19 gits or more; one with nothing left, fewer.
        assert code == -signal.SIGKILL or (attempt and code == 0)
        shown = [line.split()[0] for line in refs(sibling.repository) if "git-annex" not in line]
        if shown:
            keys = Annex(dataset.path).keys([name for name in shown if is_commit(dataset, name)])
            assert Annex(dataset.path).stored(sibling.storage, keys) == set(keys)
    with dataset.lock():
        dataset.prepare()  # as a night does
    assert pushed(dataset).status in ("ok", "notneeded")
    assert_whole(dataset)


def is_commit(dataset: SnapshotDataset, name: str) -> bool:
    kind = git(dataset.path, "cat-file", "-t", name).strip()
    return kind == "commit" and "csv" in git(dataset.path, "ls-tree", "--name-only", name).split()


@pytest.mark.parametrize(("kind", "at"), [("directory", 6), ("directory", 8), ("directory", 10), ("ria", 8)])
def test_adding_killed_at_any_moment_is_finished_by_the_next(
    kind: str, at: int, dataset: SnapshotDataset, tmp_path: Path
) -> None:
    command = [
        "sibling",
        "add",
        "public",
        "--storage",
        f"{kind}:{tmp_path / f'{kind} of public'}",
        "--dataset",
        "data",
    ]
    if kind != "ria":
        command += ["--repository", str(tmp_path / "public.git")]
    assert killed_at(command, at, 0.02, tmp_path) == -signal.SIGKILL
    add(dataset, kind)
    assert pushed(dataset).keys == 8
    assert_whole(dataset)


def test_storage_that_fails_for_some_files_leaves_refs_as_they_were(
    dataset: SnapshotDataset, tmp_path: Path
) -> None:
    add(dataset, "directory")
    key = content_key(dataset, "HEAD")
    lower = git(dataset.path, "annex", "examinekey", key, "--format=${hashdirlower}").strip("/").split("/")
    obstacle = tmp_path / "directory of public" / lower[0]
    obstacle.write_text("no folder")
    with pytest.raises(DatasetError, match=r"git annex copy.*1 of 8 keys failed.*" + key):
        pushed(dataset)
    repository = find_sibling(dataset, "public").repository
    assert refs(repository) == set()
    obstacle.unlink()
    assert pushed(dataset).keys == 1
    assert_whole(dataset)


def test_storage_that_is_away_is_told(dataset: SnapshotDataset, tmp_path: Path) -> None:
    add(dataset, "directory")
    pushed(dataset)
    (tmp_path / "directory of public").rename(tmp_path / "unmounted")
    with pytest.raises(DatasetError, match="git annex copy"):
        pushed(dataset)


def test_content_that_a_storage_lost_is_found_by_a_check(dataset: SnapshotDataset, tmp_path: Path) -> None:
    add(dataset, "directory")
    pushed(dataset)
    key = content_key(dataset, RELEASE)
    (lost,) = (tmp_path / "directory of public").rglob(f"{key}/{key}")
    lost.parent.chmod(0o700)
    lost.unlink()
    assert pushed(dataset).status == "notneeded"
    assert pushed(dataset, check=True).keys == 1
    assert lost.exists()


def test_release_whose_content_is_nowhere_is_not_pushed(dataset: SnapshotDataset) -> None:
    add(dataset, "directory")
    Annex(dataset.path).drop([content_key(dataset, RELEASE)])
    with pytest.raises(SiblingFailed, match=r"1 file\(s\).*csv/T1w\.csv"):
        pushed(dataset)
    assert refs(find_sibling(dataset, "public").repository) == set()


def change_branch(clone: Path) -> None:
    (clone / "mine.txt").write_text("mine")
    datalad(clone, "save", "-m", "mine")
    git(clone, "push", "--quiet", "--no-verify", "origin", "HEAD")


def change_tag(clone: Path) -> None:
    git(clone, "tag", "--force", "-a", "-m", "another", RELEASE, "HEAD")
    git(clone, "push", "--quiet", "--no-verify", "--force", "origin", RELEASE)


@pytest.mark.parametrize(
    ("change", "told"), [(change_branch, "somebody else pushed"), (change_tag, f"another tag {RELEASE}")]
)
def test_what_others_pushed_is_never_overwritten(
    change: Callable[[Path], None], told: str, dataset: SnapshotDataset, tmp_path: Path
) -> None:
    add(dataset, "directory")
    pushed(dataset)
    repository = find_sibling(dataset, "public").repository
    datalad(tmp_path, "clone", repository, "clone")
    change(tmp_path / "clone")
    before = refs(repository)
    make_night(dataset, 3)
    with pytest.raises(SiblingFailed, match=told):
        pushed(dataset)
    assert refs(repository) == before


def test_locations_that_others_pushed_are_merged(dataset: SnapshotDataset, tmp_path: Path) -> None:
    add(dataset, "directory")
    pushed(dataset)
    datalad(tmp_path, "clone", find_sibling(dataset, "public").repository, "clone")
    clone = tmp_path / "clone"
    datalad(clone, "get", "csv/T1w.csv")
    git(clone, "push", "--quiet", "--no-verify", "origin", "git-annex")
    uuid = git(clone, "config", "annex.uuid").strip()
    make_night(dataset, 3)
    assert pushed(dataset).status == "ok"
    key = content_key(dataset, "HEAD~1")
    assert Annex(dataset.path).logged(uuid, [key]) == {key}


def test_repository_of_another_dataset_is_refused(dataset: SnapshotDataset, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "other")
    add(other, "directory", "shared")
    pushed(other, "shared")
    before = refs(str(tmp_path / "shared.git"))
    git(other.path, "branch", "-m", "elsewhere")
    add(dataset, "directory", "shared")
    with pytest.raises(SiblingFailed, match="somebody else pushed"):
        pushed(dataset, "shared")
    assert refs(str(tmp_path / "shared.git")) == before
    git(tmp_path / "shared.git", "branch", "-m", "master", "elsewhere")
    with pytest.raises(SiblingFailed, match="no sibling of this dataset"):
        pushed(dataset, "shared")


def test_what_is_a_persons_own_is_not_pushed(dataset: SnapshotDataset) -> None:
    """Neither other branches, nor tags that are no release's, nor other notes."""
    branch = git(dataset.path, "symbolic-ref", "HEAD").strip()
    git(dataset.path, "branch", "wip", "HEAD~2")
    git(dataset.path, "tag", "2026.11.24")
    git(dataset.path, "tag", "-a", "-m", "mine", "mine", "HEAD~2")
    git(dataset.path, "notes", "--ref=mine", "add", "-m", "mine", "HEAD")
    add(dataset, "directory")
    report = pushed(dataset)
    assert report.keys == 8
    expected = {branch, "refs/heads/git-annex", f"refs/tags/{RELEASE}", "refs/notes/commits"}
    there = refs(find_sibling(dataset, "public").repository)
    assert {line.split()[1] for line in there} == set(report.refs) == expected


@pytest.mark.parametrize(
    ("storage", "options", "repository", "told"),
    [
        ("floppy:/a", {}, "r", "no storage"),
        ("ria:", {}, None, "no storage"),
        ("ria:/a", {}, "r", "leave it out"),
        ("ria:ria+ssh://host/a", {}, None, "a path is expected"),
        ("directory:/a", {}, None, "--repository is missing"),
        ("directory:/a", {"endpoint": "https://x.org"}, "r", "are of S3"),
        ("s3:b", {"endpoint": "s3.x.org"}, "r", "no address"),
        ("webdav:https://me:secret@x.org/a", {}, "r", "password or user"),
        ("directory:/a", {"public_url": "https://me:secret@x.org"}, "r", "password or user"),
        ("directory:/a", {}, "https://me:secret@x.org/a.git", "password or user"),
        ("s3:bucket/prefix", {}, "r", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set"),
        ("webdav:https://x.org/a", {}, "r", "WEBDAV_USERNAME and WEBDAV_PASSWORD not set"),
    ],
)
def test_what_cannot_be_a_sibling_is_told(
    storage: str, options: dict, repository: str | None, told: str,
    dataset: SnapshotDataset, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "WEBDAV_USERNAME", "WEBDAV_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=told) as raised, dataset.lock():
        add_sibling(dataset, "public", parse_storage(storage, **options), repository)
    assert "secret" not in str(raised.value)
    assert git(dataset.path, "remote") == ""


def test_folder_of_something_else_is_no_repository(dataset: SnapshotDataset, tmp_path: Path) -> None:
    (tmp_path / "public.git").mkdir()
    (tmp_path / "public.git" / "thesis.doc").touch()
    with pytest.raises(UsageError, match="no bare repository"):
        add(dataset, "directory")


def test_unknown_sibling_is_told_with_those_there_are(dataset: SnapshotDataset) -> None:
    add(dataset, "directory")
    with pytest.raises(UsageError, match="it has public"):
        pushed(dataset, "pubic")


def test_environment_has_git_annex_of_this_installation(dataset: SnapshotDataset) -> None:
    assert shutil.which("git-annex-remote-ora", path=environment(dataset.path)["PATH"])
