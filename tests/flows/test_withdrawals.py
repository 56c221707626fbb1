"""A night with a list of requests, as whoever runs it meets it: what is committed, and what is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from curation.publish.commands import git
from curation.publish.publish import PublishReport
from curation.pull import PullReport
from curation.store import Verdict
from curation.withdrawals import Outcome
from flows.settings import load_settings
from tests.conftest import REPOSITORY
from tests.support.fast_api import FastApi, make_document
from tests.support.index import copy, index_of
from tests.support.withdrawals import list_of

IMAGES = 6
DAY = datetime(2018, 6, 1, tzinfo=UTC).date()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PREFECT_LOGGING_LEVEL": "DEBUG"},
        capture_output=True,
        text=True,
    )


@pytest.mark.usefixtures("prefect_server")
def test_a_withdrawn_image_leaves_the_next_commit_and_stays_in_those_before(tmp_path: Path) -> None:
    documents = [make_document("T1w", number, second=number * 1000) for number in range(IMAGES)]
    checksums = [document["provenance"]["md5sum"] for document in documents]
    index_of(tmp_path / "index", {"ds1": [copy(checksums[1])]})
    list_of(tmp_path / "list.toml", [(checksums[n], DAY, f"OSF-{n}") for n in range(2)])
    with FastApi({"T1w": documents}) as api:
        night = ["nightly", "--api-url", api.url, "--store", "store", "--dataset", "data", "--index", "index"]
        first = run(tmp_path, *night, "--json")
        assert first.returncode == 0, first.stderr
        commit = json.loads(first.stdout)["commit"]
        second = run(tmp_path, *night, "--withdrawals", "list.toml")
        assert second.returncode == 0, second.stderr
        # Without the list, as by a person who runs it once more by hand.
        third = run(tmp_path, *night)
        assert third.returncode == 0 and "nothing new, no commit" in third.stderr, third.stderr
        list_of(tmp_path / "cut.toml", [(checksums[1], DAY, "OSF-1")])
        cut = run(tmp_path, *night, "--withdrawals", "cut.toml")
        assert cut.returncode == 5 and "OSF-0 of 2018-06-01" in cut.stderr, cut.stderr
    assert "withdrawal OSF-0: honoured, 1 T1w record(s) left" in second.stderr
    assert "withdrawal OSF-1: refused, none left, 1 T1w record(s) stay (the image is public)" in second.stderr
    assert "OSF-0" in second.stdout and "the image is public" in second.stdout
    data = tmp_path / "data"
    published = [
        path for path in data.rglob("*") if path.is_file() and ".git" not in path.relative_to(data).parts
    ]
    for trace in (checksums[0], documents[0]["_id"]):
        assert not [path for path in published if trace.encode() in path.read_bytes()]
        assert trace not in second.stdout + second.stderr + third.stdout + third.stderr + cut.stderr
        assert trace not in git(data, "log", "--format=%B")
    key = git(data, "show", f"{commit}:csv/T1w.csv").rpartition("/")[2]
    content = data / git(data, "annex", "contentlocation", key).strip()
    assert checksums[0] in content.read_text()
    assert "1 withdrawn (+1)" in git(data, "log", "-1", "--format=%B")


def test_the_artifact_of_a_night_has_requests_without_checksums() -> None:
    from flows.nightly import night_markdown

    outcomes = [
        Outcome("OSF-1", Verdict.HONOURED, (), {"T1w": 1200, "bold": 1}, {}),
        Outcome("OSF-2", Verdict.REFUSED, ("the image is public", "the image has a rating"), {}, {"T2w": 3}),
    ]
    snapshot = {"tables": {}, "repairs": {}, "public": {}, "agreement": {}, "expectations": []}
    pulled = PullReport(1, traffic={"requests": 1, "retries": 0, "bytes": 1})
    said = night_markdown(pulled, PublishReport(None, snapshot, {}, outcomes))
    assert "| OSF-1 | honoured | 1,200 T1w, 1 bold |  |  |" in said
    assert "| OSF-2 | refused |  | 3 T2w | the image is public; the image has a rating |" in said
    assert "| request |" not in night_markdown(pulled, PublishReport(None, snapshot, {}))


def test_a_list_that_is_none_ends_a_run_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "list.toml").write_text('[[request]]\nchecksum = "jane@example.org"\n')
    for arguments in (
        ["nightly", "--dataset", "data", "--store", "store"],
        ["curate", "--store", "s", "--out", "o"],
    ):
        done = run(tmp_path, *arguments, "--withdrawals", "list.toml")
        assert done.returncode == 2 and "list.toml: entry 1: checksum is not" in done.stderr
        assert "jane" not in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.toml"]


def test_the_setting_has_its_variable_and_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().withdrawals is None
    (tmp_path / "mriqc-snapshot.toml").write_text('withdrawals = "a.toml"\n')
    assert load_settings().withdrawals == Path("a.toml")
    monkeypatch.setenv("MRIQC_SNAPSHOT_WITHDRAWALS", "b.toml")
    assert load_settings().withdrawals == Path("b.toml")
    assert load_settings(withdrawals=Path("c.toml")).withdrawals == Path("c.toml")
