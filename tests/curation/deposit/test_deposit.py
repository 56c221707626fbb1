"""A deposit as a maintainer meets it: a draft, a publication, the next version."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from curation.deposit import uploads
from curation.errors import (
    DatasetError,
    LawBroken,
    LockedError,
    ServiceUnavailable,
    SnapshotError,
    UsageError,
)
from curation.publish import SnapshotDataset
from curation.publish.commands import datalad, git, run
from curation.release.citation import read_citation, required_for_deposit
from tests.support.deposited import assert_deposited, assert_nothing_sent_twice, only_article
from tests.support.depositing import VERSION, run_deposit
from tests.support.figshare import FigShareServer
from tests.support.released import CITATION, ORCID, md5, release, released_content, snapshot, tables

NEXT = "2026.12.01"


def sent(server: FigShareServer, pattern: str) -> int:
    return sum(bool(re.fullmatch(pattern, f"{method} {path}")) for method, path in server.requests)


def test_a_draft_has_everything_of_the_tag_and_is_not_public(server: FigShareServer, dataset: Path) -> None:
    (dataset / "README.md").write_text("not committed")
    report = run_deposit(server.url, dataset)
    assert (report.state, report.doi, report.brought_back) == ("draft", "", None)
    assert sorted(report.uploaded) == sorted(released_content(dataset, VERSION))
    assert report.concept_doi == f"10.6084/m9.figshare.{report.article}" == only_article(server).doi
    assert_deposited(server, dataset, versions=0)


def test_metadata_come_from_the_citation_of_the_tag(server: FigShareServer, dataset: Path) -> None:
    server.account.known_authors = {501: ORCID}
    run_deposit(server.url, dataset, categories=("neuroscience", "201"))
    fields = only_article(server).fields
    assert fields["title"] == "Snapshot of the MRIQC Web-API"
    assert fields["description"] == (
        "<p>Image quality metrics &lt;IQMs&gt; &amp; ratings of magnetic resonance images.</p><p>Made every night.</p>"
        f"<p>Version {VERSION}.</p>"
    )
    assert fields["authors"][0]["id"] == 501
    assert fields["authors"][1]["full_name"] == "MRIQC users"
    assert (fields["keywords"], fields["license"]) == (["MRI", "quality control"], 2)
    assert (fields["categories"], fields["defined_type"]) == ([101, 201], "dataset")
    assert fields["references"] == ["https://doi.org/10.1038/s41597-019-0035-4"]
    assert "somebody@example.org" not in str(fields)


def test_what_a_release_takes_a_deposit_takes(server: FigShareServer, dataset: Path) -> None:
    text = CITATION.format(version=NEXT).replace("license: CC0-1.0", "license: [CC0-1.0]")
    text = text.replace("doi: 10.1038/", "doi: doi:10.1038/")
    assert required_for_deposit(read_citation(text)) == []
    release(dataset, NEXT, {"CITATION.cff": text.encode()})
    run_deposit(server.url, dataset, NEXT)
    assert only_article(server).fields["references"] == ["https://doi.org/10.1038/s41597-019-0035-4"]


def test_a_second_run_uploads_nothing(server: FigShareServer, dataset: Path) -> None:
    first = run_deposit(server.url, dataset)
    before = sent(server, r"PUT .*"), sent(server, r"POST .*/files")
    second = run_deposit(server.url, dataset)
    assert (second.uploaded, second.continued) == ([], [])
    assert sorted(second.kept) == sorted(first.uploaded)
    assert (sent(server, r"PUT .*"), sent(server, r"POST .*/files")) == before
    assert_deposited(server, dataset, versions=0)


def test_published_once_and_notneeded_after_that(server: FigShareServer, dataset: Path) -> None:
    report = run_deposit(server.url, dataset, publish=True)
    assert (report.state, report.doi) == ("published", f"10.6084/m9.figshare.{report.article}.v1")
    assert_deposited(server, dataset, versions=1)
    head, requests = git(dataset, "rev-parse", "HEAD"), len(server.requests)
    for publish in (True, False):
        again = run_deposit(server.url, dataset, publish=publish)
        assert (again.state, again.doi, again.brought_back, again.urls) == ("notneeded", report.doi, None, 0)
    assert {method for method, _ in server.requests[requests:]} == {"GET"}
    assert only_article(server).published == 1 and git(dataset, "rev-parse", "HEAD") == head


def test_the_next_version_replaces_what_changed(server: FigShareServer, dataset: Path) -> None:
    run_deposit(server.url, dataset, publish=True)
    old = {file.name: file.id for file in only_article(server).files.values()}
    same = {"csv/bold.csv": tables(VERSION)["csv/bold.csv"], "dictionary/T1w.json": None}
    release(dataset, NEXT, same)
    server.requests.clear()
    report = run_deposit(server.url, dataset, NEXT)
    assert "bold.csv" in report.kept and "T1w.csv" in report.uploaded
    assert sorted(report.removed) == sorted(["T1w.json", *report.uploaded])
    # A new file is confirmed before the old one of its name goes.
    methods = [method for method, _ in server.requests]
    assert max(i for i, one in enumerate(methods) if one == "PUT") < methods.index("DELETE")
    assert_deposited(server, dataset, NEXT, versions=1, draft=True)
    assert only_article(server).published == 1
    published = run_deposit(server.url, dataset, NEXT, publish=True)
    assert published.doi.endswith(".v2") and published.article == report.article
    assert_deposited(server, dataset, NEXT, versions=2)
    new = {file.name: file.id for file in only_article(server).files.values()}
    assert {name for name in new if new[name] == old.get(name)} == set(report.kept)
    assert run_deposit(server.url, dataset, VERSION).doi.endswith(".v1")


def test_an_older_version_does_not_come_on_top_unasked(server: FigShareServer, dataset: Path) -> None:
    release(dataset, NEXT)
    report = run_deposit(server.url, dataset, NEXT, publish=True)
    with pytest.raises(UsageError, match=rf"{NEXT} is public .* say --article"):
        run_deposit(server.url, dataset, VERSION)
    assert run_deposit(server.url, dataset, VERSION, article=report.article).article == report.article


def test_without_its_journal_a_deposit_finds_what_is_there(server: FigShareServer, dataset: Path) -> None:
    draft = run_deposit(server.url, dataset)
    shutil.rmtree(dataset / ".git" / "mriqc-snapshot" / "deposits")
    with pytest.raises(UsageError, match=f"article.s. {draft.article} with the title .* --article"):
        run_deposit(server.url, dataset)
    report = run_deposit(server.url, dataset, article=draft.article, publish=True)
    assert report.uploaded == []
    shutil.rmtree(dataset / ".git" / "mriqc-snapshot" / "deposits")
    assert run_deposit(server.url, dataset, publish=True).state == "notneeded"
    # Another clone, made before the DOI came back, sees that the same files are public.
    git(dataset, "reset", "--quiet", "--hard", VERSION)
    shutil.rmtree(dataset / ".git" / "mriqc-snapshot" / "deposits")
    again = run_deposit(server.url, dataset, article=draft.article, publish=True)
    assert (again.state, again.doi) == ("notneeded", report.doi) and again.brought_back
    release(dataset, NEXT)
    shutil.rmtree(dataset / ".git" / "mriqc-snapshot" / "deposits")
    assert run_deposit(server.url, dataset, NEXT).article == draft.article
    assert_deposited(server, dataset, NEXT, versions=1, draft=True)


@pytest.mark.parametrize("layout", [1, 7, 100_000, lambda size: [size - 1, 1], lambda size: [1, size - 1]])
def test_parts_are_as_the_server_lays_them_out(layout, released: Path, tmp_path: Path) -> None:
    with FigShareServer() as server:
        small = 4 if layout in (1, 7) else 60
        folder = tmp_path / "dataset"
        shutil.copytree(released, folder, symlinks=True)
        release(folder, NEXT, {name: text[: small * 5] for name, text in tables("x", 8).items()})
        server.account.part_size = layout if callable(layout) else max(layout, 40 if layout == 1 else layout)
        run_deposit(server.url, folder, NEXT)
        assert_deposited(server, folder, NEXT, versions=0)
        assert_nothing_sent_twice(server)


def test_locked_parts_are_waited_for(server: FigShareServer, dataset: Path) -> None:
    server.account.locks = {("T1w.csv", 1): 3, ("rating.csv", 2): 2, ("README.md", 1): 1}
    run_deposit(server.url, dataset)
    assert_deposited(server, dataset, versions=0)


def test_a_part_that_stays_locked_ends_the_run(server: FigShareServer, dataset: Path) -> None:
    server.account.locks = {("T1w.csv", 1): 10**6}
    with pytest.raises(ServiceUnavailable, match=r"T1w.csv: 1 part\(s\) cannot be sent: locked"):
        run_deposit(server.url, dataset, check_seconds=0.2)
    server.account.locks = {}
    next(f for f in server.account.files.values() if f.name == "T1w.csv").locked.clear()
    assert "T1w.csv" in run_deposit(server.url, dataset).continued
    assert_deposited(server, dataset, versions=0)


def test_aborted_and_damaged_uploads_are_begun_anew(server: FigShareServer, dataset: Path) -> None:
    server.account.aborts = {"T2w.csv": 1, "LICENSE": 2}
    server.account.corrupts = {"bold_curated.csv": 1, "README.md": 2}
    run_deposit(server.url, dataset)
    assert_deposited(server, dataset, versions=0)


def test_what_arrives_damaged_every_time_is_an_error(server: FigShareServer, dataset: Path) -> None:
    server.account.corrupts = {"T2w.csv": 99}
    content = released_content(dataset, VERSION)["T2w.csv"]
    with pytest.raises(
        SnapshotError, match=rf"T2w.csv was sent 3 times .*{md5(content)}.*nothing was published"
    ):
        run_deposit(server.url, dataset, publish=True)
    assert only_article(server).published == 0
    server.account.corrupts = {}
    run_deposit(server.url, dataset, publish=True)
    assert_deposited(server, dataset, versions=1)


def test_a_check_that_takes_too_long_can_be_awaited_later(
    server: FigShareServer, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support import figshare_account

    with monkeypatch.context() as patched:
        patched.setattr(figshare_account.File, "step", lambda self: None)
        with pytest.raises(ServiceUnavailable, match="checksums not confirmed within"):
            run_deposit(server.url, dataset, check_seconds=0.1)
    puts = sent(server, "PUT .*")
    report = run_deposit(server.url, dataset)
    assert sent(server, "PUT .*") == puts and report.uploaded == []
    assert_deposited(server, dataset, versions=0)


def test_slow_records_are_waited_for(server: FigShareServer, dataset: Path) -> None:
    server.account.file_appears_after, server.account.public_after = 2, 3
    assert run_deposit(server.url, dataset, publish=True).doi.endswith(".v1")
    assert_deposited(server, dataset, versions=1)


def test_a_review_is_not_a_publication(server: FigShareServer, dataset: Path) -> None:
    server.account.review = True
    with pytest.raises(ServiceUnavailable, match=r"publication not confirmed .*review of it: pending"):
        run_deposit(server.url, dataset, publish=True, check_seconds=0.2)
    server.account.review = False
    assert run_deposit(server.url, dataset, publish=True).state == "published"
    assert_deposited(server, dataset, versions=1)


def test_lists_are_read_to_their_end(
    server: FigShareServer, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.deposit import client

    monkeypatch.setattr(client, "PAGE_SIZE", 3)
    for number in range(7):
        server.account.create({"title": f"another one {number}"})
    report = run_deposit(server.url, dataset, publish=True)
    monkeypatch.undo()
    assert server.account.articles[report.article].published == 1
    assert run_deposit(server.url, dataset, publish=True).state == "notneeded"


def test_one_deposit_at_a_time(server: FigShareServer, dataset: Path) -> None:
    from curation.deposit.journal import Journal

    with Journal(dataset, server.url).lock(), pytest.raises(LockedError, match="another deposit"):
        run_deposit(server.url, dataset)
    with SnapshotDataset(dataset).lock():
        with pytest.raises(LockedError):
            run_deposit(server.url, dataset, publish=True)
        assert sent(server, "POST .*/files") == 0
        run_deposit(server.url, dataset)


def test_no_night_comes_between_publication_and_what_it_brings_back(dataset: Path) -> None:
    free: list[bool] = []

    def hook(_number: int, method: str, path: str, _moment: str) -> None:
        if path.endswith("/publish") or free:
            try:
                with SnapshotDataset(dataset).lock():
                    free.append(True)
            except LockedError:
                free.append(False)

    with FigShareServer(hook=hook) as server:
        run_deposit(server.url, dataset, publish=True)
    assert len(free) > 4 and not any(free)


def test_a_dirty_dataset_is_refused_before_publication(server: FigShareServer, dataset: Path) -> None:
    (dataset / "CITATION.cff").write_text("changed: by hand")
    with pytest.raises(DatasetError, match=r"uncommitted.*CITATION.cff"):
        run_deposit(server.url, dataset, publish=True)
    assert server.account.articles == {}


def test_a_tag_that_moved_is_refused(server: FigShareServer, dataset: Path) -> None:
    run_deposit(server.url, dataset)
    git(dataset, "tag", "-f", "-a", VERSION, "-m", "moved", "HEAD~1")
    with pytest.raises(DatasetError, match="a released version never changes"):
        run_deposit(server.url, dataset)


def test_public_files_that_are_others_are_told(server: FigShareServer, dataset: Path) -> None:
    run_deposit(server.url, dataset, publish=True)
    version = only_article(server).versions[0]
    version["files"] = version["files"][1:]
    with pytest.raises(LawBroken, match="its files are not those of"):
        run_deposit(server.url, dataset)


def test_from_figshare_alone(server: FigShareServer, dataset: Path, tmp_path: Path) -> None:
    """A clone that reaches no annex gets a table from FigShare, and git-annex verifies its checksum."""
    report = run_deposit(server.url, dataset, publish=True)
    assert report.urls == 7
    bare, clone = tmp_path / "bare.git", tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--bare", str(dataset), str(bare))
    datalad(tmp_path, "clone", str(bare), str(clone))
    shutil.move(dataset, tmp_path / "away")
    # git-annex talks to no server on this machine unless it is told to.
    git(clone, "config", "annex.security.allowed-ip-addresses", "127.0.0.1")
    datalad(clone, "get", "csv/T1w_curated.csv", "csv/bold.csv")
    assert (clone / "csv/T1w_curated.csv").read_bytes() == tables(VERSION)["csv/T1w_curated.csv"]
    run(["git", "annex", "fsck", "csv/T1w_curated.csv"], clone)
    assert snapshot(clone)["last_release"]["doi"] == report.doi
    # Bytes that are others are refused.
    file = next(f for f in server.account.files.values() if f.name == "T2w.csv")
    file.parts[1] = bytes([file.parts[1][0] ^ 1]) + file.parts[1][1:]
    with pytest.raises(DatasetError):
        datalad(clone, "get", "csv/T2w.csv")
    assert not (clone / "csv/T2w.csv").exists()
    shutil.move(tmp_path / "away", dataset)


def test_memory_does_not_grow_with_files(server: FigShareServer, dataset: Path) -> None:
    """Pieces of a large file are read when they are sent."""
    big = b"0123456789abcdef" * (1 << 16) * 4
    release(dataset, NEXT, {"csv/bold.csv": big})
    server.account.part_size = 1 << 20
    pieces: list[int] = []
    original = uploads.Content.chunks

    def watched(self: uploads.Content, start: int, length: int):
        for piece in original(self, start, length):
            pieces.append(len(piece))
            yield piece

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uploads.Content, "chunks", watched)
        run_deposit(server.url, dataset, NEXT)
    assert max(pieces) <= 1 << 20 and sum(pieces) >= len(big)
    assert_deposited(server, dataset, NEXT, versions=0)
    assert os.environ.get("FIGSHARE_TOKEN") is None
