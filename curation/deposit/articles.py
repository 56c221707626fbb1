"""The article of a deposit: found or made once, described, given a DOI, published."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from curation.deposit.client import FigShare
from curation.deposit.journal import Before, Entry, Journal, Publication
from curation.deposit.metadata import DEFINED_TYPE, Description
from curation.deposit.models import Article, LightArticle, RemoteFile, UnexpectedAnswer, read
from curation.deposit.problems import NotThere, Refused
from curation.errors import ServiceUnavailable, UsageError
from curation.release.texts import doi_of_all_versions

_OTHER_AUTHOR = re.compile(r"imilar user_id:? *([0-9]+)")


@dataclass(frozen=True)
class Fields:
    """What an article's metadata are set to.

    Attributes:
        description: from the citation file.
        authors: as FigShare takes them.
        license: FigShare's number of it.
        categories: FigShare's ids; empty to leave those that the article has.
    """

    description: Description
    authors: Sequence[dict[str, Any]]
    license: int
    categories: Sequence[int]

    def body(self) -> dict[str, Any]:
        """The JSON of it."""
        body: dict[str, Any] = {
            "title": self.description.title,
            "description": self.description.description,
            "keywords": list(self.description.keywords),
            "references": list(self.description.references),
            "authors": list(self.authors),
            "defined_type": DEFINED_TYPE,
            "license": self.license,
        }
        return body | ({"categories": list(self.categories)} if self.categories else {})


def get_article(client: FigShare, number: int) -> Article:
    """The account's own copy of an article.

    Raises:
        NotThere: there is none, or the token may not see it.
    """
    path = f"/account/articles/{number}"
    return read(Article, client.get(path), path)


def list_files(client: FigShare, article: int) -> list[RemoteFile]:
    """All files of the account's copy; the article's own record has ten of them at most."""
    path = f"/account/articles/{article}/files"
    return read(list[RemoteFile], client.pages(path), path)


def make_article(client: FigShare, journal: Journal, entry: Entry, title: str) -> int:
    """Make a draft with the title, or find the one that an earlier run made.

    Raises:
        UsageError: the account has an article of this title that no journal knows.
    """
    found = _own(client, title)
    if found and not entry.creating:
        raise UsageError(
            f"{client.service}: this account has {_named(found)} with the title {title!r} already, and this "
            f"dataset has no journal of it; deposit into it with --article {found[0].id}, or delete it"
        )
    if not found:
        entry.creating = True
        journal.save(entry)
        number = client.post_once(
            "/account/articles",
            look=lambda: _only(client, title),
            take=entity,
            body={"title": title, "defined_type": DEFINED_TYPE},
        )
    else:
        number = _one(client, title, found)
    entry.article, entry.creating = number, False
    journal.save(entry)
    return number


def _own(client: FigShare, title: str) -> list[LightArticle]:
    listed = read(list[LightArticle], client.pages("/account/articles"), "/account/articles")
    return [one for one in listed if one.title == title]


def _only(client: FigShare, title: str) -> int | None:
    found = [one for one in _own(client, title) if not one.published_date]
    return _one(client, title, found) if found else None


def _one(client: FigShare, title: str, found: Sequence[LightArticle]) -> int:
    if len(found) > 1:
        raise UsageError(
            f"{client.service}: {_named(found)} have the title {title!r}; which one is it? Say --article ID, "
            "and delete the others"
        )
    return found[0].id


def _named(found: Sequence[LightArticle]) -> str:
    return "article(s) " + ", ".join(str(one.id) for one in found)


def entity(answer: Any) -> int:
    """The id in an answer: ``entity_id``, else the last part of ``location``."""
    told = answer if isinstance(answer, dict) else {}
    number = str(told.get("entity_id") or str(told.get("location") or "").rstrip("/").rpartition("/")[2])
    if not number.isdecimal():
        raise UnexpectedAnswer("FigShare made something and told no id of it; run the command again")
    return int(number)


def set_metadata(client: FigShare, article: int, fields: Fields, owner: int | None) -> list[str]:
    """Set an article's metadata and read them back.

    Args:
        client: of the account.
        article: its id.
        fields: what they become.
        owner: author id of the account, which FigShare may add by itself.

    Returns:
        FigShare's warnings.

    Raises:
        Refused: a field was refused, or was taken and is not there afterwards.
    """
    path = f"/account/articles/{article}"
    body = fields.body()
    while True:
        try:
            answer = client.patch(path, body)
            break
        except Refused as refused:
            body["authors"] = _with_known_author(client, body["authors"], refused)
    found = get_article(client, article)
    ours = {one["id"] for one in body["authors"] if "id" in one}
    if len(found.authors) == len(body["authors"]) + 1 and owner is not None and owner not in ours:
        client.delete(f"{path}/authors/{owner}")
        found = get_article(client, article)
    _require_taken(client, found, body)
    warnings = answer.get("warnings") if isinstance(answer, dict) else None
    return [str(warning) for warning in warnings or ()]


def _with_known_author(client: FigShare, authors: list[dict], refused: Refused) -> list[dict]:
    """The authors with the id that a refusal names in the place of the one who has the same ORCID."""
    named = _OTHER_AUTHOR.search(refused.said)
    if named is None:
        raise refused
    unknown = [one for one in authors if "orcid_id" in one and one["orcid_id"] in refused.said] or [
        one for one in authors if "orcid_id" in one
    ]
    if len(unknown) != 1:
        raise refused
    return [{"id": int(named[1])} if one is unknown[0] else one for one in authors]


def _require_taken(client: FigShare, found: Article, body: dict[str, Any]) -> None:
    """FigShare drops fields with a warning or without; what a publication needs has to be there."""
    missing = [
        name
        for name, taken in {
            "title": found.title == body["title"],
            "description": bool(found.description),
            "authors": len(found.authors) == len(body["authors"]),
            "categories": set(body.get("categories", ())) <= {one.id for one in found.categories}
            and bool(found.categories),
            "keywords": len(found.words) == len(set(body["keywords"])),
            "license": found.license is not None and found.license.value == body["license"],
            "defined_type": (found.defined_type_name or "").lower() == DEFINED_TYPE,
        }.items()
        if not taken
    ]
    if missing:
        raise Refused(
            f"{client.service}: article {found.id}: {', '.join(missing)} not as they were set; it has {summary(found)}",
            205,
        )


def summary(article: Article) -> str:
    """An article's record in a line; FigShare's own messages may name the wrong field."""
    return (
        f"title {article.title!r}, {len(article.description or '')} characters of description, {len(article.authors)} "
        f"author(s), {len(article.categories)} categories, {len(article.words)} keyword(s), licence "
        f"{article.license.name if article.license else 'none'}, type {article.defined_type_name}"
    )


def reserve_doi(client: FigShare, article: Article) -> str:
    """The article's DOI, without a version; reserved if it has none."""
    doi = article.doi or ""
    if not doi:
        path = f"/account/articles/{article.id}/reserve_doi"
        doi = client.post_once(
            path,
            look=lambda: get_article(client, article.id).doi or None,
            take=lambda answer: str(answer.get("doi") or ""),
        )
    if not doi:
        raise UnexpectedAnswer(f"{client.service}: article {article.id} has no DOI though one was reserved")
    return doi_of_all_versions(doi)


def version_doi(doi: str, number: int) -> str:
    """The DOI of a version: FigShare's concept DOI and ``.vN``."""
    return f"{doi_of_all_versions(doi)}.v{number}"


def public_files(client: FigShare, article: int, number: int) -> list[RemoteFile]:
    """The files of a public version."""
    path = f"/articles/{article}/versions/{number}/files"
    try:
        return read(list[RemoteFile], client.pages(path), path)
    except NotThere:
        # The list of a version came late to the API; that of the newest version was always there.
        newest = read(Article, client.get(f"/articles/{article}"), f"/articles/{article}")
        if newest.version != number:
            raise
        path = f"/articles/{article}/files"
        return read(list[RemoteFile], client.pages(path), path)


def public_version(
    client: FigShare, article: int, same: Callable[[list[RemoteFile]], bool]
) -> Publication | None:
    """The newest public version, if its files are those that are asked for."""
    try:
        found = read(Article, client.get(f"/articles/{article}"), f"/articles/{article}")
        if not found.version or not found.doi or not same(public_files(client, article, found.version)):
            return None
    except NotThere:
        return None
    return Publication(article, found.version, version_doi(found.doi, found.version))


def publish(
    client: FigShare,
    journal: Journal,
    entry: Entry,
    article: Article,
    same: Callable[[list[RemoteFile]], bool],
) -> Publication:
    """Publish an article, once.

    Args:
        client: of the account.
        journal: where it is noted before and after.
        entry: of the version.
        article: as it is now.
        same: whether files are those of the version.

    Raises:
        Refused: FigShare says what is missing.
        ServiceUnavailable: asked for, and not public yet.
    """
    if entry.publishing is not None and _another_came(client, article.id, entry.publishing, same):
        # Nothing came of what was asked for then.
        entry.publishing = None
    entry.publishing = entry.publishing or Before(article.version or 0, article.published_date)
    before = entry.publishing
    journal.save(entry)

    def happened() -> bool | None:
        now = get_article(client, article.id)
        return (now.version or 0) > before.version or now.published_date != before.published_date or None

    if not happened():
        try:
            client.post_once(
                f"/account/articles/{article.id}/publish",
                look=happened,
                take=lambda _: True,
                expected=(201, 200),
            )
        except Refused as refused:
            entry.publishing = None
            journal.save(entry)
            raise Refused(f"{refused}; the article has {summary(article)}", refused.status) from None
    published = _await_public(client, article.id, same)
    entry.published, entry.publishing = published, None
    journal.save(entry)
    return published


def _another_came(
    client: FigShare, article: int, before: Before, same: Callable[[list[RemoteFile]], bool]
) -> bool:
    """Whether what became public since then has other files: it was not the publication that was asked for."""
    path = f"/articles/{article}"
    try:
        number = read(Article, client.get(path), path).version or 0
        return number > before.version and not same(public_files(client, article, number))
    except NotThere:
        return False


def _await_public(client: FigShare, article: int, same: Callable[[list[RemoteFile]], bool]) -> Publication:
    try:
        return client.wait_for(
            lambda: public_version(client, article, same), f"article {article}: publication"
        )
    except ServiceUnavailable as error:
        state = get_article(client, article).curation_status or "unknown"
        raise ServiceUnavailable(f"{error} (FigShare's review of it: {state})") from None
