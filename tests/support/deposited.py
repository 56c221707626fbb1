"""What has to be true after a deposit, looked at from the server's side."""

from __future__ import annotations

from pathlib import Path

from tests.support.depositing import VERSION
from tests.support.figshare import FigShareServer
from tests.support.figshare_account import Article
from tests.support.released import released_content


def only_article(server: FigShareServer) -> Article:
    articles = list(server.account.articles.values())
    assert len(articles) == 1
    return articles[0]


def assert_deposited(
    server: FigShareServer, dataset: Path, version: str = VERSION, *, versions: int, draft: bool = False
) -> None:
    """One article, each file of the release once with its bytes, whole, each byte sent once; so many versions."""
    assert server.violations == []
    article = only_article(server)
    expected = released_content(dataset, version)
    files = list(article.files.values())
    assert sorted(file.name for file in files) == sorted(expected)
    for file in files:
        assert file.bytes == expected[file.name], file.name
        assert file.status == "available"
        assert server.account.received[file.name, file.id] == file.size
    assert len(article.versions) == versions
    if versions and not draft:
        assert [f.id for f in article.versions[-1]["files"]] == [f.id for f in files]


def assert_nothing_sent_twice(server: FigShareServer) -> None:
    """As many bytes were taken as the files have, those of removed files too."""
    by_name = [name for name, _ in server.account.received]
    assert len(by_name) == len(set(by_name))
