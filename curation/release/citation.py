"""``CITATION.cff``: how a version is cited, in the Citation File Format 1.2.0.

The file belongs to the maintainer. A release and a deposit set a key each, in the text itself: comments, the order of
keys and everything else stay as they are.
https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema-guide.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any

import yaml

from curation.errors import UsageError
from curation.release.texts import bare_doi, doi_of_all_versions, is_doi, newline_of
from curation.release.version import Version

NAME = "CITATION.cff"
CFF_VERSION = "1.2.0"
_DATA_LICENSE = "CC0-1.0"
# Characters of a title, ArticleCreate in FigShare's OpenAPI description: https://docs.figshare.com.
_DEPOSITED_TITLE = range(3, 1001)
# https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema-guide.md#valid-keys
_KEYS = {
    "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords",
    "license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "title", "type", "url", "version",
}  # fmt: skip


@dataclass(frozen=True)
class Creator:
    """A person, or an entity such as an institution.

    Attributes:
        family: a person's family name with its particle and suffix, or an entity's whole name.
        given: a person's given names; empty for an entity.
        orcid: the address of the ORCID record.
        affiliation: where the person works.
        is_person: whether it is one.
    """

    family: str
    given: str = ""
    orcid: str | None = None
    affiliation: str | None = None
    is_person: bool = True

    @property
    def name(self) -> str:
        """Given names first."""
        return f"{self.given} {self.family}".strip()

    @property
    def cited(self) -> str:
        """As lists of references have it: ``Esteban, O.``"""
        initials = " ".join(f"{part[0]}." for part in self.given.split())
        return f"{self.family}, {initials}" if initials else self.family


@dataclass(frozen=True)
class Reference:
    """A work that the dataset is made from or described by.

    Attributes:
        title: of the work.
        where: the address of its DOI, or another one; empty if it has none.
        doi: without what resolves it.
        creators: its authors.
    """

    title: str
    where: str
    doi: str | None
    creators: tuple[Creator, ...]


@dataclass(frozen=True)
class Citation:
    """What a citation file says.

    Attributes:
        title: of the dataset.
        paragraphs: of the abstract, each without line ends; none if it has no abstract.
        creators: in order.
        license: SPDX identifiers, with ``OR`` between those of which one may be chosen.
        keywords: in order.
        version: as text; ``None`` where it has none.
        released: the day of that version, ISO 8601.
        doi: without what resolves it.
        url: of the dataset's page or repository.
        references: in order.
        preferred: what is to be cited instead of the dataset; ``None`` without.
    """

    title: str
    paragraphs: tuple[str, ...]
    creators: tuple[Creator, ...]
    license: str
    keywords: tuple[str, ...]
    version: str | None
    released: str | None
    doi: str | None
    url: str | None
    references: tuple[Reference, ...]
    preferred: Reference | None = None

    @property
    def abstract(self) -> str:
        """All of it in one paragraph; empty if it has none."""
        return " ".join(self.paragraphs)


def first_citation(version: Version, day: date) -> str:
    """A citation file for a dataset that has none: the authors are those of the dataset of 2019.

    Args:
        version: of the release.
        day: of the release.
    """
    template = (files("curation.release") / "first_citation.cff").read_text(encoding="utf-8")
    return with_release(template, version, day)


def with_release(text: str, version: Version, day: date) -> str:
    """The text with ``version`` and ``date-released`` of a release.

    The DOI of an earlier version's deposit would lead those who cite this version to other data. It becomes the DOI
    that FigShare gives all versions of an article, until the deposit of this one sets its own.

    Args:
        text: of a citation file.
        version: of the release.
        day: of the release.

    Raises:
        UsageError: it is no YAML or no citation file, or has these keys in a form that cannot be edited in place.
    """
    before = read_citation(text)
    changes: dict[str, str] = {"version": str(version), "date-released": day.isoformat()}
    if before.doi and before.version != str(version) and doi_of_all_versions(before.doi) != before.doi:
        changes["doi"] = doi_of_all_versions(before.doi)
    return _edited(text, changes)


def with_doi(text: str, doi: str) -> str:
    """The text with the ``doi`` of a deposit that is public.

    Raises:
        UsageError: it is no YAML or no citation file, or ``doi`` is none.
    """
    read_citation(text)
    return _edited(text, {"doi": bare_doi(doi)})


def read_citation(text: str) -> Citation:
    """Read and check a citation file.

    Raises:
        UsageError: it is no YAML; a key that the format requires, or that a release needs, is missing or is not what
            the format says. The message has the line.
    """
    node, content = _parse(text)
    _check(content, {key.value: key.start_mark.line + 1 for key, _ in node.value})
    return Citation(
        title=content["title"].strip(),
        paragraphs=_paragraphs(content.get("abstract", "")),
        creators=tuple(creator for creator in map(_creator, content["authors"]) if creator),
        license=" OR ".join(_licenses(content)),
        keywords=tuple(content.get("keywords", [])),
        version=str(content["version"]) if "version" in content else None,
        released=str(content["date-released"]) if "date-released" in content else None,
        doi=bare_doi(content["doi"]) if "doi" in content else None,
        url=content.get("url") or content.get("repository"),
        references=tuple(_reference(one) for one in content.get("references", [])),
        preferred=_reference(content["preferred-citation"]) if "preferred-citation" in content else None,
    )


def required_for_deposit(citation: Citation) -> list[str]:
    """What a publication at FigShare would lack, in words; a release cannot be changed once it has its tag.

    Args:
        citation: of the dataset.
    """
    length = len(citation.title)
    lacks = {
        f"its title has {length} characters, FigShare takes 3 to 1000": length not in _DEPOSITED_TITLE,
        "it has no abstract, which becomes the description": not citation.paragraphs,
        "it has no authors, or one without a name": not citation.creators
        or any(not creator.name for creator in citation.creators),
        "it has no keywords": not any(word.strip() for word in citation.keywords),
        f"its license is {citation.license or 'missing'}, the tables are {_DATA_LICENSE}": _DATA_LICENSE
        not in citation.license.split(" OR "),
    }
    return [said for said, lacking in lacks.items() if lacking]


def _check(content: Mapping[str, Any], lines: Mapping[str, int]) -> None:
    """Check what a citation file says; ``lines`` has where each key is."""

    def refuse(key: str, expected: str) -> UsageError:
        place = f"line {lines[key]}" if key in lines else "missing"
        return UsageError(f"{NAME}: {key} ({place}): expected {expected}")

    if unknown := [key for key in lines if key not in _KEYS]:
        raise refuse(unknown[0], f"a key of the Citation File Format {CFF_VERSION}; is it misspelt?")
    if str(content.get("cff-version")) != CFF_VERSION:
        raise refuse("cff-version", CFF_VERSION)
    for key in ("title", "message"):
        if not isinstance(content.get(key), str) or not content[key].strip():
            raise refuse(key, "a text")
    for key in ("abstract", "doi", "url", "repository"):
        if key in content and not isinstance(content[key], str):
            raise refuse(key, "a text")
    licenses = _licenses(content)
    keywords, references = content.get("keywords", []), content.get("references", [])
    for key, words in {"license": licenses, "keywords": keywords}.items():
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise refuse(key, "texts")
    if not isinstance(references, list) or not all(isinstance(one, dict) for one in references):
        raise refuse("references", "a list of references")
    authors = content.get("authors")
    if not isinstance(authors, list) or not authors:
        raise refuse("authors", "a list of at least one person or entity")
    for number, author in enumerate(authors, start=1):
        if _creator(author) is None:
            raise refuse("authors", f"family-names, given-names or name (as texts) of author {number}")
    preferred = content.get("preferred-citation", {})
    if not isinstance(preferred, dict):
        raise refuse("preferred-citation", "a reference")
    for key, works in {
        "doi": [content], "references": references, "preferred-citation": [preferred],
    }.items():  # fmt: skip
        for work in works:
            if "doi" in work and not is_doi(str(work["doi"])):
                raise refuse(key, f"a DOI in place of {str(work['doi'])!r}")


def _paragraphs(text: str) -> tuple[str, ...]:
    found = (" ".join(paragraph.split()) for paragraph in re.split(r"\n[^\S\n]*\n", text))
    return tuple(paragraph for paragraph in found if paragraph)


def _licenses(content: Mapping[str, Any]) -> Any:
    """A list of licences, of which one may be chosen; something else where the file has something else."""
    found = content.get("license", _DATA_LICENSE)
    return [found] if isinstance(found, str) else found


def plain_citation(citation: Citation, version: Version, day: date) -> str:
    """A version as lists of references have it, in the style of the APA.

    Args:
        citation: of the dataset.
        version: that is cited.
        day: it was released.
    """
    names = [creator.cited for creator in citation.creators]
    authors = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, & {names[-1]}"
    authors += "" if authors.endswith(".") else "."
    where = f" https://doi.org/{citation.doi}" if citation.doi else ""
    return f"{authors} ({day.year}). {citation.title} (Version {version}) [Data set].{where}"


def _creator(author: Any) -> Creator | None:
    """An author of a citation file; ``None`` if it is none."""
    if not isinstance(author, dict) or not all(isinstance(value, str) for value in author.values()):
        return None
    orcid, affiliation = author.get("orcid"), author.get("affiliation")
    if "name" in author:
        return Creator(author["name"], "", orcid, affiliation, is_person=False)
    particle, suffix = author.get("name-particle", ""), author.get("name-suffix", "")
    family = f"{particle} {author.get('family-names', '')} {suffix}".strip()
    given = author.get("given-names", "") or ("" if family else author.get("alias", ""))
    if not family:
        family, given = given, ""
    return Creator(family, given, orcid, affiliation) if family else None


def _reference(one: Mapping[str, Any]) -> Reference:
    doi = bare_doi(str(one["doi"])) if "doi" in one else None
    where = f"https://doi.org/{doi}" if doi else str(one.get("url", ""))
    authors = one.get("authors") or []
    creators = [_creator(author) for author in authors if isinstance(authors, list)]
    return Reference(str(one.get("title", where)), where, doi, tuple(filter(None, creators)))


def _parse(text: str) -> tuple[yaml.MappingNode, dict[str, Any]]:
    """The nodes of a citation file, with their places in the text, and what they say."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UsageError(f"{NAME}: {line}not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{NAME}: not valid YAML: {error}") from error
    if not isinstance(node, yaml.MappingNode) or node.flow_style or not isinstance(content, dict):
        raise UsageError(f"{NAME}: expected keys with their values, one a line")
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise UsageError(f"{NAME}: line {key.start_mark.line + 1}: {key.value} is there twice")
        seen.add(key.value)
    return node, content


class _Loader(yaml.SafeLoader):
    """Reads dates as the texts that the format's schema says they are."""


_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def _edited(text: str, changes: Mapping[str, str]) -> str:
    """The text with values of keys of the top level set; all of it that need not change is as it was."""
    _, before = _parse(text)
    edited = text
    for key, value in changes.items():
        # Quotes: 2026.11 would be a number, 2026-11-23 is a date to YAML and a text to the format.
        edited = _set(edited, key, f'"{value}"') if str(before.get(key)) != value else edited
    _, after = _parse(edited)
    if after != before | {key: after.get(key) for key in changes} or any(
        str(after.get(key)) != value for key, value in changes.items()
    ):
        raise UsageError(
            f"{NAME}: {', '.join(changes)} cannot be set in this file without changing more; write each of them "
            "on a line of its own"
        )
    return edited


def _set(text: str, key: str, value: str) -> str:
    node, _ = _parse(text)
    for found, old in node.value:
        if found.value != key:
            continue
        plain = isinstance(old, yaml.ScalarNode) and old.style not in ("|", ">")
        if not plain or old.start_mark.line != old.end_mark.line:
            raise UsageError(
                f"{NAME}: line {found.start_mark.line + 1}: expected {key} and its value on one line"
            )
        blank = "" if text[old.start_mark.index - 1].isspace() else " "
        return f"{text[: old.start_mark.index]}{blank}{value}{text[old.end_mark.index :]}"
    # New keys stand below the one that every citation file has.
    place = next(found.start_mark for found, _ in node.value if found.value == "cff-version")
    newline = newline_of(text)
    line_end = text.find("\n", place.index)
    indented = f"{' ' * place.column}{key}: {value}{newline}"
    if line_end < 0:
        return f"{text}{newline}{indented}"
    return f"{text[: line_end + 1]}{indented}{text[line_end + 1 :]}"
