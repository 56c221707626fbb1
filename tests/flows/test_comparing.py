"""The command `diff`: exit codes, files, and what a terminal shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import REPOSITORY
from tests.support.tamper import flip, relist
from tests.support.versions import Pair, checksum, make_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("versions"))


def diff(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", "diff", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "COLUMNS": "80"},
        capture_output=True, text=True,
    )  # fmt: skip


def test_differences_exit_10_and_are_told_in_every_form(pair: Pair, tmp_path: Path) -> None:
    forms = ("--json", tmp_path / "d.json", "--html", tmp_path / "d.html", "--cells", tmp_path / "d.parquet")
    done = diff(tmp_path, pair.a, pair.b, *forms)
    assert done.returncode == 10, done.stderr
    assert "Every change has a cause." in done.stdout and "new public match" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    counts = json.loads((tmp_path / "d.json").read_text())["counts"]
    assert len(pq.read_table(tmp_path / "d.parquet")) == counts["cells"] + counts["added"] + counts["removed"]
    assert (tmp_path / "d.html").read_text().startswith("<!DOCTYPE html>")
    printed = diff(tmp_path, pair.a, pair.b, "--json", "-")
    assert json.loads(printed.stdout) == json.loads((tmp_path / "d.json").read_text())


def test_no_difference_exits_0(pair: Pair, tmp_path: Path) -> None:
    done = diff(tmp_path, pair.a, pair.a)
    assert done.returncode == 0, done.stderr
    assert "No difference." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "nothing"], "no such folder"),
        ([], "two versions are compared"),
        (["."], "two versions are compared"),
        ([".", "."], "a folder of another kind"),
        (["--record", "x", "A"], "--record stands in place"),
        (["", "."], "an empty name"),
        ([".", ".", "--json", "none/d.json"], "--json none/d.json: no folder none"),
        ([".", ".", "--html", "."], "--html .: a folder"),
        ([".", ".", "--cells", "d.csv"], "name it d.parquet"),
        ([".", ".", "--html", "-"], "only --json goes to standard output"),
        ([".", ".", "--html", "/dev/null"], "a device or pipe"),
        ([".", ".", "--html", "/proc/d.html"], "no file can be made in /proc"),
        ([".", ".", "--json", "same", "--html", "./same"], "--json names the same file"),
        (["A", "B", "--nights"], "--nights goes with --record"),
        (["--record", "x", "--dataset", "nowhere"], "no such folder"),
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = diff(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["snapshot.json", "csv/T1w.csv", "figures/some.svg"])
def test_what_is_compared_is_not_written_over(pair: Pair, tmp_path: Path, name: str) -> None:
    (pair.b / "figures").mkdir(exist_ok=True)
    (pair.b / "figures" / "some.svg").write_bytes(b"<svg/>")
    before = (pair.b / name).read_bytes()
    done = diff(tmp_path, pair.a, pair.b, "--json", pair.b / name)
    assert done.returncode == 2 and "itself; choose another file" in " ".join(done.stderr.split())
    assert (pair.b / name).read_bytes() == before


def test_unexplained_changes_are_shown_first(pair: Pair, tmp_path: Path) -> None:
    flip(pair.b, "T1w", checksum("a"), "cjv", 0.75)
    relist(pair.b)
    done = diff(tmp_path, pair.a, pair.b)
    assert done.returncode == 10
    assert done.stdout.index("Unexplained") < done.stdout.index("Lost")
    assert "was 0.31, is 0.75" in done.stdout and "an error of ours" in done.stdout
