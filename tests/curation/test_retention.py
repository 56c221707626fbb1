"""Retention: the newest nights and releases keep their content, superseded ones lose it, and git-annex knows."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from curation.annexed import Annex
from curation.errors import UsageError
from curation.publish import SnapshotDataset
from curation.publish.commands import git
from curation.retention import retain
from curation.siblings import add_sibling, find_sibling, parse_storage, push
from tests.support.snapshots import TABLES, content, make_dataset, make_night

RELEASE = "2026.11.23"
NIGHTS = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six nights; the third (2) is released; the ratings of bold in the last are those of the second (1)."""
    folder = tmp_path_factory.mktemp("made")
    dataset = make_dataset(folder / "data", 3)
    git(dataset.path, "tag", "-a", "-m", "The first release", RELEASE)
    for night in range(3, NIGHTS):
        make_night(dataset, night, same={"csv/bold.csv": 1} if night == NIGHTS - 1 else None)
    return folder / "data"


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> SnapshotDataset:
    shutil.copytree(made, tmp_path / "data", symlinks=True)
    return SnapshotDataset(tmp_path / "data")


def retained(dataset: SnapshotDataset, keep_nights: int, *siblings: str, dry_run: bool = False):
    with dataset.lock():
        return retain(dataset, keep_nights, siblings, dry_run=dry_run)


def key(dataset: SnapshotDataset, night: int, name: str) -> str:
    return dataset.key(name, f"HEAD~{NIGHTS - 1 - night}")


def here(dataset: SnapshotDataset) -> dict[tuple[int, str], bool]:
    """Whether each table of each night is here, as the annex has it."""
    keys = {(night, name): key(dataset, night, name) for night in range(NIGHTS) for name in TABLES}
    found = Annex(dataset.path).here(set(keys.values()))
    for key_, path in found.items():
        assert path.exists(), key_
    return {which: one in found for which, one in keys.items()}


def test_newest_and_released_stay_and_verify_and_the_rest_goes(dataset: SnapshotDataset) -> None:
    report = retained(dataset, 2)
    # Of nights 0, 1 and 3; the ratings of bold of 1 are needed again by the last.
    assert (report.keys, report.bytes) == (3 * 4 - 1, (3 * 4 - 1) * 400)
    assert len(report.nights) == 2
    for (night, name), stays in here(dataset).items():
        assert stays is (night in (2, 4, 5) or (night, name) == (1, "csv/bold.csv")), (night, name)
    newest = git(dataset.path, "rev-parse", "HEAD").strip()
    for version, night in ((RELEASE, 2), (newest, 5)):
        git(dataset.path, "checkout", "--quiet", "--detach", version)
        git(dataset.path, "annex", "fsck", "--quiet")
        assert (dataset.path / "csv" / "T1w.csv").read_bytes() == content(night, "csv/T1w.csv")
    uuid = git(dataset.path, "config", "annex.uuid").strip()
    gone = key(dataset, 0, "csv/T1w.csv")
    assert Annex(dataset.path).logged(uuid, [gone, key(dataset, 2, "csv/T1w.csv")]) == {
        key(dataset, 2, "csv/T1w.csv")
    }


def test_next_retention_drops_nothing_and_a_later_night_works(dataset: SnapshotDataset) -> None:
    assert retained(dataset, 1).keys == 15
    assert retained(dataset, 1).keys == 0
    make_night(dataset, 6, same={"csv/T1w.csv": 0})  # bytes that had gone come back
    assert (dataset.path / "csv" / "T1w.csv").read_bytes() == content(0, "csv/T1w.csv")
    git(dataset.path, "annex", "fsck", "--quiet")
    assert retained(dataset, 1).keys == 4


def test_dry_run_drops_nothing(dataset: SnapshotDataset) -> None:
    before = git(dataset.path, "rev-parse", "git-annex")
    planned = retained(dataset, 1, dry_run=True)
    assert all(here(dataset).values())
    assert git(dataset.path, "rev-parse", "git-annex") == before
    assert retained(dataset, 1) == planned


def test_what_persons_keep_stays(dataset: SnapshotDataset, tmp_path: Path) -> None:
    """Branches, lightweight tags, worktrees, files that were moved or staged, and annexed files that are not ours."""
    git(dataset.path, "branch", "review", "HEAD~5")
    git(dataset.path, "tag", "mine", "HEAD~4")
    git(dataset.path, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), "HEAD~2")
    target = os.fsdecode(git(dataset.path, "cat-file", "blob", "HEAD~1:csv/T1w.csv"))
    (dataset.path / "kept.csv").symlink_to(target.removeprefix("../"))
    git(dataset.path, "add", "kept.csv")
    report = retained(dataset, 1)
    assert report.keys == 3
    left = here(dataset)
    assert [which for which, stays in left.items() if not stays] == [(4, name) for name in TABLES[1:]]


def test_annexed_files_that_nights_do_not_write_stay(dataset: SnapshotDataset) -> None:
    with dataset.lock():
        (dataset.path / "csv" / "mine.csv").write_text("mine")
        git(dataset.path, "annex", "add", "--quiet", "csv/mine.csv")
        git(dataset.path, "commit", "--quiet", "-m", "mine")
        mine = dataset.key("csv/mine.csv")
        git(dataset.path, "rm", "--quiet", "csv/mine.csv")
        git(dataset.path, "commit", "--quiet", "-m", "mine no more")
    assert retained(dataset, 1).keys > 0
    assert mine in Annex(dataset.path).here([mine])


def test_release_and_its_doi_are_no_nights(dataset: SnapshotDataset) -> None:
    """Commits that leave tables as they are do not count, and do not push nights out."""
    for text in ("release", "doi"):
        (dataset.path / "CHANGES.md").write_text(text)
        git(dataset.path, "add", "CHANGES.md")
        git(dataset.path, "commit", "--quiet", "-m", text)
    report = retained(dataset, 2)
    assert [git(dataset.path, "log", "-1", "--format=%s", night).strip() for night in report.nights] == [
        "night 5",
        "night 4",
    ]


def test_siblings_lose_it_too_and_keep_what_their_refs_show(dataset: SnapshotDataset, tmp_path: Path) -> None:
    with dataset.lock():
        add_sibling(dataset, "public", parse_storage(f"directory:{tmp_path / 'd'}"), str(tmp_path / "r.git"))
        push(dataset, "public")
    make_night(dataset, 6)
    storage = find_sibling(dataset, "public").storage
    shown = set(Annex(dataset.path).keys(["HEAD~1", RELEASE]))
    # The sibling was not pushed to since: its branch shows the night before the last.
    assert retained(dataset, 1, "public").siblings == {"public": 0}
    assert Annex(dataset.path).stored(storage, shown) == shown
    with dataset.lock():
        push(dataset, "public")
    report = retained(dataset, 1, "public")
    assert report.siblings == {"public": 4} and report.keys == 4
    shown = set(Annex(dataset.path).keys(["HEAD", RELEASE]))
    assert Annex(dataset.path).stored(storage, shown) == shown
    gone = dataset.key("csv/T1w.csv", "HEAD~1")
    assert not Annex(dataset.path).stored(storage, [gone])
    with dataset.lock():
        assert push(dataset, "public").refs == ["refs/heads/git-annex"]
        assert push(dataset, "public").status == "notneeded"
        with pytest.raises(UsageError, match="no sibling"):
            retain(dataset, 1, ["other"])


@pytest.mark.parametrize("lacks", ["code", "run"])
def test_nights_that_cannot_be_made_again_stay(lacks: str, tmp_path: Path) -> None:
    """The second of four nights does not tell what it was made from; of the others two are superseded."""
    dataset = make_dataset(tmp_path / "data")
    make_night(dataset, 1, code=lacks != "code", run=lacks != "run")
    for night in (2, 3):
        make_night(dataset, night)
    for dry_run in (True, False):
        report = retained(dataset, 1, dry_run=dry_run)
        assert (report.keys, report.kept, report.not_rebuildable) == (8, 8, 1)
    keys = {night: dataset.key("csv/T1w.csv", f"HEAD~{3 - night}") for night in range(4)}
    found = Annex(dataset.path).here(keys.values())
    assert [night for night, one in keys.items() if one in found] == [1, 3]
    assert retained(dataset, 3).not_rebuildable == 0


def test_dataset_without_nights_has_nothing_to_drop(tmp_path: Path) -> None:
    dataset = SnapshotDataset(tmp_path / "data")
    with dataset.lock():
        dataset.prepare()
        assert retain(dataset, 1).keys == 0
    assert json.loads((dataset.published("snapshot.json") or b"null").decode()) is None
