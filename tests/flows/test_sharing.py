"""The commands of siblings and of retention: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curation.publish import SnapshotDataset
from tests.conftest import REPOSITORY
from tests.support.snapshots import make_dataset, make_night


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("made") / "data", 3).path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "data", symlinks=True)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments, "--dataset", "data"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )


def ok(folder: Path, *arguments: str) -> dict:
    done = run(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_from_adding_to_nothing_to_do(folder: Path) -> None:
    added = ok(
        folder, "sibling", "add", "public", "--storage", "directory:content", "--repository", "public.git"
    )
    assert added["repository"] == str(folder / "public.git")
    (shown,) = ok(folder, "sibling", "show")["siblings"]
    assert shown["commits_behind"] is None
    (pushed,) = ok(folder, "sibling", "push")["siblings"]
    assert (pushed["sibling"], pushed["status"], pushed["keys"]) == ("public", "ok", 4)
    (shown,) = ok(folder, "sibling", "show")["siblings"]
    assert shown["commits_behind"] == 0
    again = run(folder, "sibling", "push", "public")
    assert again.returncode == 0 and "public: nothing to push" in again.stderr
    assert "up to date" in run(folder, "sibling", "show").stdout


def test_one_sibling_that_fails_leaves_the_others(folder: Path) -> None:
    for name in ("first", "second"):
        ok(folder, "sibling", "add", name, "--storage", f"directory:{name}", "--repository", f"{name}.git")
    (folder / "first.git").rename(folder / "unmounted.git")
    done = run(folder, "sibling", "push", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert [report["sibling"] for report in told["siblings"]] == ["second"]
    assert "first.git" in told["failures"][0] and "first.git" in done.stderr


def test_retain_tells_what_would_go_and_drops_it(folder: Path) -> None:
    planned = ok(folder, "retain", "--keep-nights", "1", "--dry-run")
    assert (planned["keys"], planned["bytes"], planned["dry_run"]) == (8, 3200, True)
    done = run(folder, "retain", "--keep-nights", "1")
    assert "8 file(s), 3,200 bytes dropped; 4 stay" in done.stderr
    assert ok(folder, "retain", "--keep-nights", "1")["keys"] == 0


def test_retain_tells_of_nights_that_cannot_be_made_again(folder: Path) -> None:
    dataset = SnapshotDataset(folder / "data")
    make_night(dataset, 3, run=False)
    make_night(dataset, 4)
    done = run(folder, "retain", "--keep-nights", "1", "--dry-run")
    assert "1 superseded night(s) stay, as `rebuild` cannot make them again" in done.stderr
    assert ok(folder, "retain", "--keep-nights", "1")["not_rebuildable"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sibling", "push"], "no siblings"),
        (["sibling", "push", "public"], "no sibling of"),
        (["sibling", "add", "public", "--storage", "directory:content"], "--repository is missing"),
        (["retain"], "--keep-nights"),
        (["retain", "--keep-nights", "0"], "--keep-nights"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], told: str, folder: Path) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_another_run_on_the_dataset_is_3(folder: Path) -> None:
    with SnapshotDataset(folder / "data").lock():
        for arguments in (["sibling", "push", "public"], ["retain", "--keep-nights", "1"]):
            assert run(folder, *arguments).returncode == 3
