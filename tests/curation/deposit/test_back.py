"""What a publication brings back: which files get its DOI, and what is noted."""

from __future__ import annotations

from pathlib import Path

from curation.publish.commands import git
from tests.support.depositing import VERSION, run_deposit
from tests.support.figshare import FigShareServer
from tests.support.released import release

NEXT = "2026.12.01"


def test_an_older_version_leaves_what_speaks_of_a_newer_one(server: FigShareServer, dataset: Path) -> None:
    release(dataset, NEXT)
    report = run_deposit(server.url, dataset, VERSION, publish=True)
    assert report.left == ["CITATION.cff", "snapshot.json"]
    changed = git(dataset, "show", "--name-only", "--format=", "HEAD").split()
    assert changed == ["CHANGES.md", "SHA256SUMS"]
    note = git(dataset, "show", "-s", "--format=%N", f"{VERSION}^{{commit}}")
    assert report.doi in note
    assert not git(dataset, "show", "-s", "--format=%N", "HEAD").strip()


def test_notes_of_others_stay(server: FigShareServer, dataset: Path) -> None:
    git(dataset, "notes", "add", "-m", "a person's words", f"{VERSION}^{{commit}}")
    run_deposit(server.url, dataset, publish=True)
    run_deposit(server.url, dataset, publish=True)
    note = git(dataset, "show", "-s", "--format=%N", f"{VERSION}^{{commit}}")
    assert "a person's words" in note and note.count("FigShare:") == 1
