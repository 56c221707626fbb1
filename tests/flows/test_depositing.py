"""The command ``deposit``: what it prints, asks and refuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from curation.errors import UsageError
from flows.settings import FIGSHARE_RATE, load_settings
from tests.conftest import REPOSITORY
from tests.support.deposited import assert_deposited, only_article
from tests.support.depositing import VERSION
from tests.support.figshare import FigShareServer
from tests.support.figshare_http import TOKEN


def environment(server: FigShareServer, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "FIGSHARE_TOKEN": TOKEN,
        "MRIQC_SNAPSHOT_FIGSHARE_URL": server.url,
        "MRIQC_SNAPSHOT_FIGSHARE_CATEGORIES": '["Neuroscience", 201]',
        "MRIQC_SNAPSHOT_FIRST_WAIT": "0.01",
        **more,
    }


def command(dataset: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", "deposit", VERSION, "--dataset", str(dataset), *options]


def run(
    server: FigShareServer, dataset: Path, *options: str, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(dataset, *options), cwd=dataset.parent, env=environment(server, **more), capture_output=True,
        text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_draft_then_a_publication_for_scripts(server: FigShareServer, dataset: Path) -> None:
    draft = run(server, dataset, "--json")
    assert draft.returncode == 0, draft.stderr
    told = json.loads(draft.stdout)
    assert told["state"] == "draft" and len(told["uploaded"]) == told["files"]
    assert f"To publish it: mriqc-snapshot deposit {VERSION} --publish" in draft.stderr
    assert_deposited(server, dataset, versions=0)
    published = run(server, dataset, "--publish", "--yes")
    assert published.returncode == 0, published.stderr
    doi = f"https://doi.org/10.6084/m9.figshare.{told['article']}.v1"
    assert (
        f"{VERSION} is public: {doi}" in published.stderr and "the DOI is in the dataset" in published.stderr
    )
    again = run(server, dataset, "--publish", "--yes", "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["state"] == "notneeded"
    assert "is public already" in again.stderr and "nothing was uploaded" in again.stderr
    assert TOKEN not in "".join([draft.stderr, draft.stdout, published.stderr, again.stderr])
    assert_deposited(server, dataset, versions=1)


@pytest.mark.parametrize(("typed", "code"), [(VERSION, 0), ("yes", 1)])
def test_a_person_types_the_version(typed: str, code: int, server: FigShareServer, dataset: Path) -> None:
    terminal, theirs = pty.openpty()
    os.write(terminal, f"{typed}\n".encode())
    done = subprocess.run(
        command(dataset, "--publish"), cwd=dataset.parent, env=environment(server), stdin=theirs,
        capture_output=True, text=True,
    )  # fmt: skip
    os.close(theirs)
    os.close(terminal)
    assert done.returncode == code, done.stderr
    assert f"Type {VERSION} to publish it" in done.stderr
    assert only_article(server).published == (not code)
    assert_deposited(server, dataset, versions=1 - code)
    assert code == 0 or "not published; the draft is complete" in done.stderr


def test_wrong_usage_is_2_and_asks_nobody(server: FigShareServer, dataset: Path) -> None:
    for options, more, said in (
        (["--publish"], {}, "scripts say --yes"),
        (["--yes"], {}, "--publish, which is not given"),
        ([], {"FIGSHARE_TOKEN": ""}, "FIGSHARE_TOKEN is not set"),
        (["--article", "0"], {}, "equal to 1"),
        ([], {"MRIQC_SNAPSHOT_FIGSHARE_URL": "http://figshare.example/v2"}, "only talked to over https"),
    ):
        done = run(server, dataset, *options, **more)
        assert done.returncode == 2, (options, done.stderr)
        assert said in done.stderr and "Traceback" not in done.stderr
    assert server.requests == []
    done = run(server, dataset, FIGSHARE_TOKEN="another-one")
    assert done.returncode == 2 and "does not accept FIGSHARE_TOKEN" in done.stderr
    assert "another-one" not in done.stderr


def test_a_service_that_is_away_is_4(server: FigShareServer, dataset: Path) -> None:
    server.fault = lambda *_: "503-before"
    done = run(server, dataset, MRIQC_SNAPSHOT_ATTEMPTS="2")
    assert done.returncode == 4 and "HTTP 503" in done.stderr and "run the command again later" in done.stderr


def test_settings() -> None:
    assert load_settings().figshare_politeness.per_second == FIGSHARE_RATE == 1
    assert load_settings(figshare_url="http://127.0.0.1:1/v2").figshare_politeness.per_second == 0
    assert load_settings(figshare_rate=0.5).figshare_politeness.per_second == 0.5
    assert load_settings(figshare_categories=[101, "Neuroscience"]).figshare_categories == (
        "101",
        "Neuroscience",
    )
    with pytest.raises(
        UsageError, match=r"figshare_url: an http\(s\) address such as https://api.figshare.com/v2"
    ):
        load_settings(figshare_url="api.figshare.com")
