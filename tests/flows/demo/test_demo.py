"""The demonstration and the embedded Web-API, as a newcomer starts them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from tests.conftest import REPOSITORY
from tests.support.fast_api import make_document
from tests.support.page import Page
from tests.support.web_client import ask

COMMAND = [sys.executable, "-m", "flows.cli"]


def environment() -> dict[str, str]:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    env.pop("PREFECT_HOME")
    return env


def test_demo_runs_and_its_suggestions_work(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "demo"], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Commit ") == 2 and "Nothing new: no commit" in done.stdout
    table = pandas.read_csv(tmp_path / "snapshots" / "demo" / "dataset" / "csv" / "T1w.csv")
    assert len(table) > 700 and table["md5sum"].is_unique
    assert "snapshots/demo/dataset/report.html" in done.stdout
    assert len(done.stdout.splitlines()) < 80
    _page_shows_what_there_is((tmp_path / "snapshots/demo/dataset/report.html").read_text("utf-8"))
    truth = (tmp_path / "snapshots" / "demo" / "demo-corpus-truth.jsonl").read_text().splitlines()
    assert {"record_id", "resource", "defect", "detail"} <= set(json.loads(truth[0]))
    suggestions = re.findall(r"^\d\. .*\n   (.+)$", done.stdout, re.MULTILINE)
    # The second compares two nights, which differ.
    for suggestion, code in zip(suggestions, (0, 10, 0, 0), strict=True):
        tried = subprocess.run(suggestion, cwd=tmp_path, shell=True, capture_output=True, text=True)
        assert tried.returncode == code and tried.stdout, (suggestion, tried.stderr)
    assert "byte for byte" in tried.stdout


def _page_shows_what_there_is(text: str) -> None:
    page, words = Page(text), " ".join(text.split())
    assert text.partition("<header>")[2].strip().startswith('<p class="notice">A demonstration:')
    assert "<strong>Every change has a cause.</strong>" in words and len(page.rows("changed")) == 7
    assert "new public match" in page.rows("changed")["bold_curated"][-1]
    assert "demo-mirror" in {row[0] for rows in page.tables.values() for row in rows if row}
    assert "its outline that of release" in words and "no release to compare" not in words
    assert "left empty</small>" in words and " filled, " in words


def test_demo_keeps_away_from_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    done = subprocess.run(
        [*COMMAND, "demo", "--dir", str(tmp_path)], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "choose another --dir" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_demo_loads_takes_posts_and_stops(stop: signal.Signals, tmp_path: Path) -> None:
    documents = [make_document("T1w", i, second=i) for i in range(3)]
    (tmp_path / "any.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    (tmp_path / "bold.jsonl").write_text(json.dumps({"snr": 1.0}) + "\n")
    files = ["any.jsonl", "bold.jsonl"]
    command = [*COMMAND, "serve-demo", "--port", "0", "--token", "secret", "--load", *files]
    served = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        said = []
        while "serving" not in (line := served.stderr.readline()):
            said.append(line)
            assert served.poll() is None, said
        assert "any.jsonl: 3 T1w" in "".join(said) and "bold.jsonl: 1 bold" in "".join(said)
        url = re.search(r"http://\S+", line)[0]
        assert ask(f"{url}/T1w").json["_meta"]["total"] == 3
        rating = {"rating": "2.0", "md5sum": "0" * 32}
        assert ask(f"{url}/rating", method="POST", body=rating).status == 401
        assert (
            ask(f"{url}/rating", method="POST", body=rating, headers={"Authorization": "secret"}).status
            == 201
        )
    finally:
        served.send_signal(stop)
        assert served.wait(20) == 0
        served.stderr.close()


def test_make_targets_are_those_of_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    targets = (REPOSITORY / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", readme, re.MULTILINE):
        assert f"\n{target}:" in targets
    assert shlex.split((REPOSITORY / ".ci" / "run").read_text(), comments=True)[-2:] == ["make", "test"]
