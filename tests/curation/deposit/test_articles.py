"""Articles: whose files may be replaced, what metadata they take, when they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.deposit.problems import Refused
from curation.errors import ServiceUnavailable, UsageError
from tests.support.deposited import assert_deposited, only_article
from tests.support.depositing import VERSION, run_deposit
from tests.support.figshare import FigShareServer
from tests.support.figshare_account import OWNER
from tests.support.released import ORCID, md5, release

NEXT = "2026.12.01"


def test_a_publication_that_never_came_is_asked_for_again(server: FigShareServer, dataset: Path) -> None:
    """Another version went into the article since; that it is public says nothing of the first one."""
    server.fault = lambda _number, _method, path: "500-before" if path.endswith("/publish") else None
    with pytest.raises(ServiceUnavailable):
        run_deposit(server.url, dataset, publish=True)
    server.fault = None
    release(dataset, NEXT)
    assert run_deposit(server.url, dataset, NEXT, publish=True).doi.endswith(".v1")
    article = only_article(server)
    report = run_deposit(server.url, dataset, article=article.id, publish=True, check_seconds=1.0)
    assert (report.state, article.published) == ("published", 2) and report.doi.endswith(".v2")
    assert_deposited(server, dataset, VERSION, versions=2)


def test_strangers_among_the_files_are_removed(server: FigShareServer, dataset: Path) -> None:
    number = server.account.create({"title": "made by hand", "categories": [102]}).id
    for name, size, checksum in (
        ("T1w.csv", 5, "0" * 32),
        ("stranger.pdf", 3, ""),
        ("README.md", len((dataset / "README.md").read_bytes()), "f" * 32),
    ):
        server.account.announce(number, {"name": name, "size": size, "md5": checksum})
    report = run_deposit(server.url, dataset, article=number, categories=())
    assert sorted(report.removed) == ["README.md", "T1w.csv", "stranger.pdf"]
    assert only_article(server).fields["categories"] == [102]
    assert_deposited(server, dataset, versions=0)


def test_an_article_of_something_else_is_left_alone(server: FigShareServer, dataset: Path) -> None:
    article = server.account.create({"title": "a thesis", "categories": [102]})
    for name in ("thesis.pdf", "data.zip"):
        file = server.account.announce(article.id, {"name": name, "size": 5, "md5": "0" * 32})
        server.account.received[file.name, file.id] = 0
    before = dict(article.fields), sorted(article.files)
    for _ in range(2):
        said = rf"article {article.id}, 'a thesis', has 2 file\(s\) \(thesis.pdf, data.zip\), none of which"
        with pytest.raises(UsageError, match=said):
            run_deposit(server.url, dataset, article=article.id)
    assert (article.fields, sorted(article.files)) == before
    assert {method for method, path in server.requests if not path.endswith("/search")} == {"GET"}
    # One that deposits went into may have become any.
    article.files.clear()
    assert run_deposit(server.url, dataset, article=article.id).uploaded
    article.files = {number: file for number, file in article.files.items() if file.name == "T1w.csv"}
    for file in article.files.values():
        file.name = "renamed.csv"
    assert run_deposit(server.url, dataset, article=article.id).removed == ["renamed.csv"]


def test_several_files_with_one_name_become_one(server: FigShareServer, dataset: Path) -> None:
    run_deposit(server.url, dataset)
    article = only_article(server)
    text = (dataset / "README.md").read_bytes()
    kept = next(f.id for f in article.files.values() if f.name == "README.md")
    for _ in range(2):
        file = server.account.announce(article.id, {"name": "README.md", "size": len(text), "md5": md5(text)})
        server.account.received[file.name, file.id] = 0
    report = run_deposit(server.url, dataset)
    assert report.uploaded == [] and report.removed == ["README.md", "README.md"]
    assert next(f.id for f in article.files.values() if f.name == "README.md") == kept


def test_authors_that_figshare_knows_by_another_way(server: FigShareServer, dataset: Path) -> None:
    server.account.known_authors, server.account.search_is_blind = {501: ORCID}, True
    server.account.adds_owner = True
    run_deposit(server.url, dataset)
    names = [one["full_name"] for one in only_article(server).fields["authors"]]
    assert names == ["Known 501", "MRIQC users"]
    assert OWNER not in [one["id"] for one in only_article(server).fields["authors"]]


def test_warnings_are_told_and_dropped_fields_are_errors(server: FigShareServer, dataset: Path) -> None:
    server.account.warns = ["something was ignored"]
    assert run_deposit(server.url, dataset).warnings == ["something was ignored"]
    server.account.drops = {"authors"}
    article = only_article(server)
    article.fields["authors"] = []
    with pytest.raises(Refused, match=r"authors not as they were set; it has title .* 0 author\(s\)"):
        run_deposit(server.url, dataset)


def test_a_refused_publication_shows_the_record(
    server: FigShareServer, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.deposit import articles

    server.account.drops = {"keywords"}
    monkeypatch.setattr(articles, "_require_taken", lambda *_: None)
    with pytest.raises(
        Refused, match=r"field for publication - authors.*; the article has .*2 author.*0 keyword"
    ):
        run_deposit(server.url, dataset, publish=True)
    server.account.drops = set()
    assert run_deposit(server.url, dataset, publish=True).state == "published"
