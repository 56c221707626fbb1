"""Versions of a real dataset, and folders, are found, told apart and read in place; so is the life of a record."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.text import Text

from curation.annexed import Annex
from curation.diff import compare, life_of_record, life_page, open_version
from curation.diff.life import Event
from curation.diff.life_words import verdict
from curation.diff.model import UNEXPLAINED
from curation.diff.reading import ledger
from curation.errors import DatasetError, UsageError
from curation.publish import SnapshotDataset, publish
from curation.publish.commands import datalad, git
from curation.store import RecordStore
from flows.comparing import diff
from flows.comparison_views import life_lines
from tests.curation.diff.test_causes import cells, why
from tests.support.documents import record, seal
from tests.support.index import copy, index_of
from tests.support.page import Page
from tests.support.pseudonyms import PSEUDONYMS
from tests.support.tamper import edit_snapshot, flip, relist
from tests.support.versions import (
    FIRST,
    LATER,
    LATER_RATINGS,
    RATINGS,
    SIDECAR,
    Pair,
    checksum,
    image,
    make_pair,
    record_id,
)

TAG, LATER_TAG = "2026.11.23", "2026.11.24"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with three nights: the first and the second are tagged, the third is not."""
    folder = tmp_path_factory.mktemp("dataset")
    store, found = RecordStore(folder / "store"), SnapshotDataset(folder / "data")
    first = index_of(folder / "index-a", {"ds1": [copy(checksum("9"))]})
    second = index_of(folder / "index-b", {"ds1": [copy(checksum("8"), sidecar=SIDECAR)]})
    nights = [
        (FIRST, RATINGS, first, TAG),
        (LATER, LATER_RATINGS, second, LATER_TAG),
        ([image("4", 50)], [], second, None),
    ]
    with found.lock():
        found.prepare()
        for number, (images, ratings, index, tag) in enumerate(nights, 1):
            for resource, documents in (("T1w", images), ("rating", ratings)):
                if documents:
                    seal(store, resource, number, [record(one) for one in documents])
            if number == 2:
                store.record_deletions("T1w", 2, [record_id(2)], "a test")
            publish(store, found, PSEUDONYMS, index)
            if tag is not None:
                git(found.path, "tag", "-a", "-m", tag, tag)
    return found.path


def test_tags_commits_branches_and_folders_are_the_same_versions(dataset: Path, pair: Pair) -> None:
    expected = cells(compare(open_version(str(pair.a)), open_version(str(pair.b))))
    before = git(dataset, "status", "--porcelain"), git(dataset, "rev-parse", "HEAD")
    names = [
        (TAG, LATER_TAG),
        ("HEAD~2", "HEAD~1"),
        (git(dataset, "rev-parse", f"{TAG}^{{commit}}").strip()[:9], LATER_TAG),
    ]
    for a, b in names:
        found = compare(open_version(a, dataset), open_version(b, dataset))
        assert cells(found) == expected
        assert found.unexplained == 0
    mixed = compare(open_version(TAG, dataset), open_version(str(pair.b)))
    assert cells(mixed) == expected and len(mixed.identical) == 4
    assert compare(open_version(LATER_TAG, dataset), open_version(str(pair.b))).is_empty
    branch = git(dataset, "branch", "--show-current").strip()
    assert compare(open_version(branch, dataset), open_version(str(dataset))).is_empty
    assert before == (git(dataset, "status", "--porcelain"), git(dataset, "rev-parse", "HEAD"))


def test_bare_clone_is_read_too(dataset: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(dataset), "bare")
    with pytest.raises(DatasetError, match="annex get --branch="):
        compare(open_version(TAG, tmp_path / "bare"), open_version(LATER_TAG, tmp_path / "bare"))
    git(tmp_path / "bare", "annex", "init", "--quiet")
    for tag in (TAG, LATER_TAG):
        git(tmp_path / "bare", "annex", "get", "--quiet", f"--branch={tag}")
    found = compare(open_version(TAG, tmp_path / "bare"), open_version(LATER_TAG, tmp_path / "bare"))
    assert cells(found) == cells(compare(open_version(TAG, dataset), open_version(LATER_TAG, dataset)))


def test_a_commit_with_a_file_that_somebody_edited_is_told(dataset: Path, tmp_path: Path) -> None:
    datalad(tmp_path, "clone", str(dataset), "clone")
    clone = tmp_path / "clone"
    git(clone, "annex", "get", "--quiet", ".")
    for name in ("audit/records.csv", "csv/T1w.csv"):
        content = (clone / name).read_bytes()
        (clone / name).unlink()
        (clone / name).write_bytes(content[: content.rindex(b"\n", 0, -1) + 1])
    git(clone, "annex", "add", "--quiet", ".")
    git(clone, "-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "-m", "edited")
    found = compare(open_version("HEAD~1", clone), open_version("HEAD", clone))
    told = [(stray.version, stray.file) for stray in found.strays]
    assert told == [("HEAD", "audit/records.csv"), ("HEAD", "csv/T1w.csv")] and found.exit_code == 10


def test_content_that_is_not_here_is_named_with_how_to_get_it(dataset: Path, tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    datalad(tmp_path, "clone", str(dataset), clone.name)
    with pytest.raises(DatasetError, match=r"git -C .*a clone' annex get "):
        compare(open_version(str(clone)), open_version(TAG, dataset))
    # What is the same by its keys is not asked for.
    assert compare(open_version(LATER_TAG, clone), open_version(LATER_TAG, clone)).is_empty
    # Each advice, as it is printed, is all that is needed.
    for name in (TAG, "HEAD"):
        with pytest.raises(DatasetError, match="is not on this machine") as told:
            compare(open_version(name, clone), open_version(LATER_TAG, dataset))
        ways = re.findall(r"(?:with: )(.*?)(?:, or all |$)", str(told.value))
        assert ("--branch" in ways[0]) == (name == TAG)
        person = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(ways[0], shell=True, check=True, cwd="/", env={**os.environ, **person, "PATH": path})
        assert compare(open_version(name, clone), open_version(name, dataset)).is_empty
        assert not compare(open_version(name, clone), open_version(LATER_TAG, dataset)).is_empty


def test_what_cells_cannot_be_held_against_is_told(dataset: Path, tmp_path: Path) -> None:
    """Of a table that is the same in both versions, the content is not asked for: what it would tell is said."""
    shutil.copytree(dataset, tmp_path / "data", symlinks=True)
    data, edited = tmp_path / "data", "parquet/T1w_curated.parquet"
    (data / edited).unlink()
    shutil.copyfile(open_version("HEAD", dataset).path(edited), data / edited)
    flip(data, "T1w_curated", checksum("a"), "bids_meta_FlipAngle", 30.0)
    edit_snapshot(data, lambda said: said["versions"].update(code="another"))
    git(data, "annex", "add", "--quiet", edited)
    git(data, "commit", "--quiet", "-a", "-m", "an edited table")
    datalad(tmp_path, "clone", str(data), "clone")
    clone, last = tmp_path / "clone", git(data, "rev-parse", "HEAD").strip()
    for commit in (last, f"{last}~1"):
        git(clone, "checkout", "--quiet", commit)
        git(clone, "annex", "get", "--quiet", "audit", edited)
    found, all_here = (
        compare(open_version(f"{last}~1", one), open_version(last, one)) for one in (clone, data)
    )
    assert (found.unexplained, found.by_code) == (0, 1)
    assert any("T1w is the same in both versions" in note for note in found.notes)
    assert (all_here.unexplained, all_here.by_code, all_here.notes) == (1, 0, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026.11.32", rf"neither a version .* near are .*{TAG}"),
        ("HEAD~3", r"from before its first night"),
        ("--all", r"neither a version"),
        ("./nowhere", r"no such folder"),
    ],
)
def test_version_that_is_not_there_is_told(dataset: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_version(text, dataset)


def test_dataset_that_git_refuses_is_no_dataset_without_the_version(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # git's own switch for its tests: as if the folder belonged to another user.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(DatasetError, match="dubious ownership"):
        open_version(TAG, dataset)


def test_folders_of_another_kind_are_told_apart(dataset: Path, pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "snapshot.json").write_text('{"snapshot": 1}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "snapshot.json").write_text("{")
    git(tmp_path, "init", "--quiet", "repository")
    cases = {
        tmp_path / "thesis": "a folder of another kind: it has no snapshot.json",
        tmp_path / "other": "of another program",
        tmp_path / "broken": "cannot be read",
        tmp_path / "repository": "git repository: give it as --dataset",
        pair.store.path: "a record store",
        pair.a / "csv": f"do you mean {pair.a}",
        pair.a / "csv" / "T1w.csv": "versions are compared whole",
    }
    for path, message in cases.items():
        with pytest.raises(UsageError) as raised:
            open_version(str(path))
        assert message in str(raised.value)
    with pytest.raises(UsageError, match="no dataset"):
        open_version("HEAD", tmp_path / "thesis")
    (pair.a / "parquet" / "T1w.parquet").write_bytes(b"no Parquet")
    with pytest.raises(UsageError, match="no Parquet file"):
        compare(open_version(str(pair.a)), open_version(str(pair.b)))


def test_life_of_an_image(dataset: Path) -> None:
    life = life_of_record(checksum("c"), dataset)
    first, second, third = life.stages
    assert (first.version, second.version) == (TAG, LATER_TAG) and third.version == third.commit[:10]
    assert [one.fate for one in first.fates if one.resource == "T1w"] == ["representative"]
    assert sorted(one.fate or "" for one in second.fates if one.resource == "T1w") == [
        "duplicate",
        "representative",
    ]
    assert set(second.tables) == {"T1w", "T1w_curated", "rating"}
    events = {(one.where, one.column): one for one in second.events}
    assert events["T1w_curated", "cjv"].cause == "new representative (new record)"
    assert events[record_id(30), None].what == "came"
    assert events["rating", "rating"].cause == "record changed upstream"
    # The third night brought another image of the subject.
    assert [(one.column, one.cause) for one in third.events] == [
        ("n_same_acquisition", "the whole table (other images of the subject)")
    ]
    json.dumps(life.to_json())


def test_life_is_a_page_with_every_event_and_its_cause(dataset: Path, tmp_path: Path) -> None:
    life = life_of_record(checksum("c"), dataset)
    diff(record=checksum("c"), dataset=dataset, html=tmp_path / "life.html")
    text = (tmp_path / "life.html").read_text()
    assert text == life_page(life)
    page = Page(text)
    assert [text for _, text in page.headings] == [
        f"The life of {checksum('c')}",
        *(stage.version for stage in life.stages),
    ]
    shown = [row for table in page.tables.values() for row in table[1:]]
    events = [event for stage in life.stages for event in stage.events]
    assert events and shown == [
        [
            event.where,
            " ".join(filter(None, [event.column, event.what])),
            event.old or "",
            event.new or "",
            ", ".join(filter(None, [event.cause, event.rule])),
        ]
        for event in events
    ]
    assert page.addresses == [] and "script" not in page.tags


def test_nothing_is_written_over_a_bare_dataset(dataset: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(dataset), "bare")
    with pytest.raises(UsageError, match="itself; choose another file"):
        diff(TAG, LATER_TAG, dataset=tmp_path / "bare", html=tmp_path / "bare" / "config")


@pytest.mark.parametrize("name", ["snapshot.json", "csv/T1w.csv", ".git/config", "code/curation/curate.py"])
def test_nothing_is_written_over_a_dataset(dataset: Path, name: str) -> None:
    before = (dataset / name).read_bytes(), (dataset / name).is_symlink()
    for asked in ({"record": checksum("c")}, {"a": TAG, "b": LATER_TAG}):
        with pytest.raises(UsageError, match="itself; choose another file"):
            diff(dataset=dataset, json_file=dataset / name, **asked)
    assert before == ((dataset / name).read_bytes(), (dataset / name).is_symlink())


def test_life_tells_what_has_no_cause(dataset: Path) -> None:
    for letter in "cdef789":  # whatever became of it
        every = life_of_record(checksum(letter), dataset).stages
        assert all(event.cause for stage in every for event in stage.events)
    life = life_of_record(checksum("c"), dataset)
    assert life.unexplained == 0 and "each with its cause" in life_page(life)
    last = life.stages[-1]
    odd = Event("changed", "T1w", "cjv", "0.3", "0.5", UNEXPLAINED)
    tainted = replace(life, stages=(*life.stages[:-1], replace(last, events=(*last.events, odd))))
    assert tainted.unexplained == 1
    assert "1 without a cause: an error of ours" in life_page(tainted)
    assert "1 without a cause: an error of ours" in str(list(life_lines(tainted))[1])
    by_code = replace(odd, cause="code changed", by_code=True)
    doubtful = replace(life, stages=(*life.stages[:-1], replace(last, events=(*last.events, by_code))))
    assert "1 with no other cause than that code" in life_page(doubtful)


def test_ledger_may_have_a_row_larger_than_what_is_read_at_once(pair: Pair) -> None:
    (pair.a / "audit" / "repairs.csv").write_text(f'record_id,old\n"a",\n"b","{"x" * (70 << 20)}"\n')
    rows = [
        row
        for some in ledger(open_version(str(pair.a)), "repairs", ["record_id"])
        for row in some.to_pylist()
    ]
    assert rows == [{"record_id": "a"}, {"record_id": "b"}]


def test_life_of_a_record_that_was_deleted_and_of_one_that_was_quarantined(dataset: Path) -> None:
    _, second, _ = life_of_record(record_id(2), dataset).stages
    assert second.fates == ()
    assert [(one.what, one.cause) for one in second.events if one.where == record_id(2)] == [
        ("left", "deleted upstream")
    ]
    _, second, _ = life_of_record(record_id(5), dataset, nights=True).stages
    fates = [(one.old, one.new) for one in second.events if one.what == "fate"]
    assert fates == [("representative", "quarantined")]
    assert {one.cause for one in second.events if one.what == "row removed"} == {
        "record changed upstream (quarantined now)"
    }


@pytest.mark.parametrize(
    ("letter", "column", "value", "since"),
    [("d", "cjv", 0.5, TAG), ("7", "iqm_spread", 99.0, LATER_TAG)],
    ids=["a record that changed upstream", "an image of which all records are the same"],
)
def test_life_is_held_to_the_other_table_and_to_the_scale_of_the_whole(
    dataset: Path, tmp_path: Path, letter: str, column: str, value: float, since: str
) -> None:
    """As a comparison of the whole tables is: both find the same without a cause."""
    shutil.copytree(dataset, tmp_path / "data", symlinks=True)
    data = tmp_path / "data"
    git(data, "annex", "unlock", "--quiet", "parquet")
    flip(data, "T1w_curated", checksum(letter), column, value)
    relist(data)
    git(data, "add", ".")
    git(data, "-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "--amend", "-m", "x")
    if since == TAG:
        git(data, "tag", "-d", LATER_TAG)
    found = compare(open_version(since, data), open_version("HEAD", data))
    assert why(found, "T1w_curated", checksum(letter), column)[0] == UNEXPLAINED
    events = life_of_record(checksum(letter), data).stages[-1].events
    assert [event.cause for event in events if event.column == column] == [UNEXPLAINED]


@pytest.mark.parametrize("asked", ["", "xyz", "a" * 31, "A" * 24, "a" * 33])
def test_life_of_what_is_neither_checksum_nor_id(dataset: Path, asked: str) -> None:
    with pytest.raises(UsageError, match="neither a checksum"):
        life_of_record(asked, dataset)


def test_life_goes_on_to_a_commit_of_a_person(dataset: Path, tmp_path: Path) -> None:
    """Whoever changes tables by hand, and not ``snapshot.json``, shows in the life of the record."""
    shutil.copytree(dataset, tmp_path / "data", symlinks=True)
    data = tmp_path / "data"
    git(data, "annex", "unlock", "--quiet", "parquet/T1w.parquet", "csv/T1w.csv")
    flip(data, "T1w", checksum("c"), "cjv", 0.9876)
    (data / "csv" / "T1w.csv").unlink()
    git(data, "add", ".")
    git(data, "-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "-m", "by hand")
    life = life_of_record(checksum("c"), data)
    assert "look at the files that were changed" in verdict(life)
    assert {stray.file for stray in life.strays} >= {"parquet/T1w.parquet"}
    events = life.stages[-1].events
    assert ("T1w", "cjv", "0.9876", UNEXPLAINED) in [(e.where, e.column, e.new, e.cause) for e in events]


@pytest.mark.parametrize("asked", ["f" * 31 + "0", "0" * 24, '"sub-01.person"'])
def test_life_that_no_version_has(dataset: Path, asked: str) -> None:
    """Also of an id that is no ObjectId, as ``audit/records`` shows it."""
    with pytest.raises(UsageError, match="in none of 3 version"):
        life_of_record(asked, dataset)


def test_tags_without_tables_are_left_out(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "data", symlinks=True)
    git(tmp_path / "data", "tag", "-a", "-m", "before the first night", "layout", f"{TAG}~1")
    for nights in (False, True):
        life = life_of_record(checksum("c"), tmp_path / "data", nights=nights)
        assert life == life_of_record(checksum("c"), dataset, nights=nights)


def test_nights_whose_content_nobody_has_are_left_out_and_named(dataset: Path, tmp_path: Path) -> None:
    """Of three nights the second loses its tag, then its content; what only this clone lacks is got."""
    shutil.copytree(dataset, tmp_path / "data", symlinks=True)
    data = tmp_path / "data"
    git(data, "tag", "-d", LATER_TAG)
    night = git(data, "rev-parse", "HEAD~1").strip()
    annex = Annex(data)
    superseded = set(annex.keys([night])) - set(annex.keys(["HEAD", TAG]))
    datalad(tmp_path, "clone", str(data), "clone")
    for version in ("HEAD", TAG):
        git(tmp_path / "clone", "annex", "get", "--quiet", f"--branch={version}")
    with pytest.raises(DatasetError, match=rf"annex get --branch={night[:12]}"):
        life_of_record(checksum("c"), tmp_path / "clone", nights=True)
    annex.drop(superseded)
    life = life_of_record(checksum("c"), data, nights=True)
    assert life.left_out == (night[:10],) and life.to_json()["left_out"] == (night[:10],)
    first, last = life.stages
    assert first.version == TAG and "n_records" in {one.column for one in last.events}
    said = "\n".join(str(line) for line in life_lines(life) if isinstance(line, Text))
    assert f"nobody has it (`rebuild` makes it again): {night[:10]}" in said
    with pytest.raises(DatasetError, match=rf"nobody has it: mriqc-snapshot rebuild {night[:12]} --dataset"):
        compare(open_version("HEAD~1", data), open_version("HEAD", data))
    # What has no such night is not the less complete.
    assert life_of_record(checksum("c"), data).left_out == ()


def test_pairs_are_made_the_same_twice(pair: Pair, tmp_path: Path) -> None:
    again = make_pair(tmp_path / "again")
    assert compare(open_version(str(pair.b)), open_version(str(again.b))).is_empty
    shutil.rmtree(tmp_path / "again")
