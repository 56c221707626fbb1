"""The DOI in texts that are a person's, and in those that are ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.deposit.back import changes_with_doi, citation_with_doi, snapshot_with_doi
from curation.errors import DatasetError
from curation.publish.commands import git
from tests.support.depositing import VERSION, run_deposit
from tests.support.figshare import FigShareServer
from tests.support.released import CITATION, release

DOI = "10.6084/m9.figshare.7.v2"
NEXT = "2026.12.01"


def test_one_line_of_the_citation_changes() -> None:
    before = CITATION.format(version=VERSION)
    after = citation_with_doi(before.encode(), VERSION, DOI)
    assert after is not None
    added = [line for line in after.decode().splitlines() if line not in before.splitlines()]
    assert added == [f"doi: {DOI}"]
    assert citation_with_doi(after, VERSION, DOI) == after
    newer = citation_with_doi(after, VERSION, "10.6084/m9.figshare.7.v3")
    assert newer == after.replace(b".v2", b".v3")
    assert citation_with_doi(after, NEXT, DOI) is None


@pytest.mark.parametrize(
    "text",
    [
        "title: x\nversion: 2026.11.23",
        "doi: 10.1/x  # of the version\ntitle: x\nversion: '2026.11.23'\n",
        "title: x\r\nversion: 2026.11.23\r\nabstract: y\r\n",
        "# words\ntitle: x\n\n",
        "title: x\nabstract: |\n  doi: in a text\nversion: 2026.11.23 # v\nreferences:\n  - doi: 10.1/y\n",
    ],
)
def test_citations_as_people_write_them(text: str) -> None:
    after = citation_with_doi(text.encode(), VERSION, DOI)
    assert after is not None
    assert yaml.safe_load(after) == yaml.safe_load(text) | {"doi": DOI}
    assert [line for line in text.split("\n") if "#" in line and "doi" not in line] == [
        line for line in after.decode().split("\n") if "#" in line and "doi" not in line
    ]
    assert "# of the version" not in text or b"# of the version" in after
    assert (b"\r\n" in after) is ("\r\n" in text) and after.count(b"\r") in (0, after.count(b"\n"))


def test_a_citation_that_cannot_be_edited_is_left_alone() -> None:
    with pytest.raises(DatasetError, match="put it in by hand"):
        citation_with_doi(b"{title: x, version: 2026.11.23}\n", VERSION, DOI)


@given(
    st.lists(st.sampled_from(["", "words", "- a list", "### below", "DOI: none"]), max_size=5),
    st.lists(st.sampled_from(["2026.11.23", "2026.11.23.1", "2026.10.01"]), unique=True, max_size=3),
)
def test_changes_have_the_doi_below_their_heading(words: list[str], versions: list[str]) -> None:
    lines = ["# Changes", ""]
    for version in versions:
        lines += [f"## {version}", *words]
    before = "\n".join([*lines, ""]).encode()
    after = changes_with_doi(before, VERSION, DOI)
    if VERSION not in versions:
        assert after is None
        return
    assert after is not None
    assert f"## {VERSION}\n\nDOI: https://doi.org/{DOI}\n".encode() in after
    assert changes_with_doi(after, VERSION, DOI) == after
    other = changes_with_doi(after, VERSION, "10.6084/m9.figshare.7.v3")
    assert other == after.replace(b".v2", b".v3")
    kept = [line for line in after.decode().split("\n") if line and DOI not in line]
    assert kept == [line for line in before.decode().split("\n") if line]


def test_a_manifest_has_it_only_if_it_is_of_the_last_release() -> None:
    text = json.dumps({"last_release": {"version": VERSION, "date": "2026-11-23"}, "tables": {}}).encode()
    after = snapshot_with_doi(text, VERSION, DOI)
    assert after is not None
    assert json.loads(after)["last_release"] == {"version": VERSION, "date": "2026-11-23", "doi": DOI}
    assert snapshot_with_doi(after, VERSION, DOI) == after
    assert snapshot_with_doi(text, NEXT, DOI) is None and snapshot_with_doi(b"{}", VERSION, DOI) is None


def test_an_older_version_leaves_what_speaks_of_a_newer_one(server: FigShareServer, dataset: Path) -> None:
    release(dataset, NEXT)
    report = run_deposit(server.url, dataset, VERSION, publish=True)
    assert report.left == ["CITATION.cff", "snapshot.json"]
    changed = git(dataset, "show", "--name-only", "--format=", "HEAD").split()
    assert changed == ["CHANGES.md"]
    note = git(dataset, "show", "-s", "--format=%N", f"{VERSION}^{{commit}}")
    assert report.doi in note
    assert not git(dataset, "show", "-s", "--format=%N", "HEAD").strip()


def test_notes_of_others_stay(server: FigShareServer, dataset: Path) -> None:
    git(dataset, "notes", "add", "-m", "a person's words", f"{VERSION}^{{commit}}")
    run_deposit(server.url, dataset, publish=True)
    run_deposit(server.url, dataset, publish=True)
    note = git(dataset, "show", "-s", "--format=%N", f"{VERSION}^{{commit}}")
    assert "a person's words" in note and note.count("FigShare:") == 1
