"""What an article says of a release: taken from the ``CITATION.cff`` of its tag, as FigShare takes it."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from curation.deposit.client import FigShare
from curation.deposit.files import Release
from curation.deposit.models import Author, Category, License, read
from curation.errors import UsageError

CITATION = "CITATION.cff"
DEFINED_TYPE = "dataset"
LICENSE = "CC0"
# Limits of ArticleCreate in FigShare's OpenAPI description.
_TITLE, _DESCRIPTION = range(3, 1001), 20_000
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
    citation = parse_citation(release.text(CITATION), f"{CITATION} of {release.version}")
    told = str(citation.get("version", release.version))
    if told != release.version:
        raise UsageError(
            f"{CITATION} of the tag {release.version} is of version {told}; make the release again"
        )
    license_id = str(citation.get("license", LICENSE))
    description = Description(
        str(citation.get("title") or "").strip(),
        _paragraphs(str(citation.get("abstract") or ""), release.version),
        tuple(_author(one) for one in citation.get("authors") or ()),
        tuple(str(word) for word in citation.get("keywords") or ()),
        tuple(_references(citation)),
    )
    problems = [
        f"its title has {len(description.title)} characters, FigShare takes 3 to 1000"
        if len(description.title) not in _TITLE
        else "",
        "" if citation.get("abstract") else "it has no abstract, which becomes the description",
        f"its abstract makes a description of {len(description.description)} characters, FigShare takes 20000"
        if len(description.description) > _DESCRIPTION
        else "",
        ""
        if description.authors and all(description.authors)
        else "it has no authors, or one without a name",
        "" if description.keywords else "it has no keywords",
        "" if license_id.startswith(LICENSE) else f"its license is {license_id}, the tables are {LICENSE}",
    ]
    if found := [problem for problem in problems if problem]:
        raise UsageError(
            f"{CITATION} of {release.version}: {'; '.join(found)}. Put it right in the dataset and make a new release"
        )
    return description


def parse_citation(text: bytes | None, where: str) -> dict[str, Any]:
    """The fields of a citation file.

    Raises:
        UsageError: it is not there or no mapping.
    """
    if text is None:
        raise UsageError(f"{where}: not there; a deposit's metadata come from it")
    try:
        # BaseLoader: versions and dates stay the texts that they are.
        citation = yaml.load(text.decode(), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{where}: cannot be read as YAML: {reason}") from None
    if not isinstance(citation, dict):
        raise UsageError(f"{where}: no citation file; expected `cff-version: 1.2.0` and more")
    return citation


def _paragraphs(abstract: str, version: str) -> str:
    """HTML: FigShare shows no plain line ends."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", abstract)]
    paragraphs.append(f"Version {version}.")
    return "".join(f"<p>{html.escape(text, quote=False)}</p>" for text in paragraphs if text)


def _author(citation: Any) -> dict[str, str]:
    """A person or an entity; e-mail addresses stay where they are. Empty without a name."""
    one = citation if isinstance(citation, dict) else {}
    first = str(one.get("given-names") or "")
    last = " ".join(str(one[k]) for k in ("name-particle", "family-names", "name-suffix") if one.get(k))
    name = " ".join(filter(None, [first, last])) or str(one.get("name") or one.get("alias") or "")
    if not name:
        return {}
    found = _ORCID.search(str(one.get("orcid") or ""))
    author = {"name": name, "first_name": first, "last_name": last, "orcid_id": found[0] if found else ""}
    return {field: value for field, value in author.items() if value}


def _references(citation: dict[str, Any]) -> Iterable[str]:
    """Addresses of the preferred citation and the references, each once."""
    cited = [citation.get("preferred-citation"), *(citation.get("references") or ())]
    addresses = []
    for one in cited:
        if isinstance(one, dict) and one.get("doi"):
            addresses.append(f"https://doi.org/{str(one['doi']).removeprefix('https://doi.org/')}")
        elif isinstance(one, dict) and str(one.get("url") or "").startswith(("http://", "https://")):
            addresses.append(str(one["url"]))
    return dict.fromkeys(addresses)


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
