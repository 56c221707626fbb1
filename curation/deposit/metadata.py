"""What an article says of a release: taken from the ``CITATION.cff`` of its tag, as FigShare takes it."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from curation.deposit.client import FigShare
from curation.deposit.files import Release
from curation.deposit.models import Author, Category, License, read
from curation.errors import UsageError
from curation.release.citation import NAME as CITATION
from curation.release.citation import Citation, Creator, read_citation, required_for_deposit

DEFINED_TYPE = "dataset"
LICENSE = "CC0"
# Characters, ArticleCreate in FigShare's OpenAPI description: https://docs.figshare.com.
_DESCRIPTION = 20_000
_NEXT = "Put it right in the dataset and make a new release"
_ORCID = re.compile(r"[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]")


@dataclass(frozen=True)
class Description:
    """What a citation file says, in FigShare's terms.

    Attributes:
        title: of the dataset.
        description: HTML paragraphs.
        authors: with ``first_name``, ``last_name``, ``name`` and ``orcid_id``, as far as known.
        keywords: what FigShare also calls tags.
        references: addresses.
    """

    title: str
    description: str
    authors: tuple[dict[str, str], ...]
    keywords: tuple[str, ...]
    references: tuple[str, ...]


def describe(release: Release) -> Description:
    """Read the release's ``CITATION.cff`` (https://citation-file-format.github.io, 1.2.0).

    Raises:
        UsageError: it is not there, cannot be read, or lacks what a publication needs; all of it is named.
    """
    where = f"{CITATION} of {release.version}"
    text = release.text(CITATION)
    if text is None:
        raise UsageError(f"{where}: not there; a deposit's metadata come from it")
    try:
        citation = read_citation(text.decode())
    except (UnicodeDecodeError, UsageError) as error:
        raise UsageError(f"{where}: {error}; {_NEXT}") from error
    if citation.version not in (None, str(release.version)):
        raise UsageError(
            f"{CITATION} of the tag {release.version} is of version {citation.version}; make the release again"
        )
    description = Description(
        citation.title,
        _html([*citation.paragraphs, f"Version {release.version}."]),
        tuple(_author(creator) for creator in citation.creators),
        citation.keywords,
        tuple(_addresses(citation)),
    )
    problems = required_for_deposit(citation)
    if (length := len(description.description)) > _DESCRIPTION:
        problems.append(
            f"its abstract makes a description of {length} characters, FigShare takes {_DESCRIPTION}"
        )
    if problems:
        raise UsageError(f"{where}: {'; '.join(problems)}. {_NEXT}")
    return description


def _html(paragraphs: Iterable[str]) -> str:
    """FigShare shows no plain line ends."""
    return "".join(f"<p>{html.escape(text, quote=False)}</p>" for text in paragraphs)


def _author(creator: Creator) -> dict[str, str]:
    """A person or an entity."""
    found = _ORCID.search(creator.orcid or "")
    author = {
        "name": creator.name,
        "first_name": creator.given,
        "last_name": creator.family if creator.is_person else "",
        "orcid_id": found[0] if found else "",
    }
    return {field: value for field, value in author.items() if value}


def _addresses(citation: Citation) -> Iterable[str]:
    """Of the preferred citation and the references, each once."""
    cited = [citation.preferred, *citation.references]
    return dict.fromkeys(
        one.where for one in cited if one is not None and one.where.startswith(("http://", "https://"))
    )


def find_license(client: FigShare) -> License:
    """CC0 among FigShare's licences.

    Raises:
        UsageError: it is not there.
    """
    offered = read(list[License], client.get("/licenses"), "/licenses")
    for one in offered:
        if re.match(rf"{LICENSE}\b", one.name):
            return one
    names = ", ".join(one.name for one in offered)
    raise UsageError(
        f"{client.service}: offers no licence {LICENSE}, but {names}; the tables are under {LICENSE}"
    )


def find_categories(client: FigShare, wanted: Sequence[str]) -> list[int]:
    """The ids of categories that are named by id or title.

    Only ``/account/categories`` has the ones that an account may use, and of these only leaves can be set.

    Raises:
        UsageError: one is unknown, ambiguous, or not selectable; near ones are named.
    """
    if not wanted:
        return []
    offered = read(list[Category], client.get("/account/categories"), "/account/categories")
    return list(dict.fromkeys(_category(offered, str(one).strip()) for one in wanted))


def _category(offered: Sequence[Category], wanted: str) -> int:
    same = [one for one in offered if wanted in (str(one.id),) or one.title.casefold() == wanted.casefold()]
    usable = [one for one in same if one.is_selectable is not False]
    if len(usable) == 1:
        return usable[0].id
    if len(usable) > 1:
        ids = ", ".join(f"{one.id} (below {one.parent_id})" for one in usable)
        raise UsageError(f"figshare_categories: {wanted!r} is the title of {ids}; name the id")
    selectable = {one.title: one.id for one in offered if one.is_selectable is not False}
    if same:
        near = {
            one.title: one.id for one in offered if one.parent_id == same[0].id and one.title in selectable
        }
        problem = f"{wanted!r} cannot be chosen itself"
    else:
        titles = {title.casefold(): title for title in selectable}
        close = difflib.get_close_matches(wanted.casefold(), titles, n=5, cutoff=0.5)
        close += [low for low in titles if wanted.casefold() in low and low not in close][:5]
        near = {titles[low]: selectable[titles[low]] for low in close}
        problem = f"FigShare has no category {wanted!r} for this account"
    shown = "; ".join(f"{number} {title}" for title, number in near.items()) or "none"
    raise UsageError(f"figshare_categories: {problem}; near ones: {shown}")


def find_authors(client: FigShare, authors: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """The authors as an article takes them: ``{"id": n}`` of those whose ORCID FigShare has.

    A second author with one ORCID is refused by FigShare, or left out without a word.
    """
    return [_known(client, one) or dict(one) for one in authors]


def _known(client: FigShare, author: dict[str, str]) -> dict[str, Any] | None:
    if "orcid_id" not in author:
        return None
    answer = client.search("/account/authors/search", {"search_for": author["orcid_id"]})
    found = read(list[Author], answer, "/account/authors/search")
    same = [one for one in found if (one.orcid_id or "").endswith(author["orcid_id"])]
    # The one that logs in before copies that co-authors made.
    same.sort(key=lambda one: (not one.is_active, one.id))
    return {"id": same[0].id} if same else None
