"""``CHANGES.md``: a section a release, newest first. What earlier sections say is never touched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from curation.errors import UsageError
from curation.release.texts import bare_doi, newline_of
from curation.release.version import Version

TITLE = "# Changes"
# A heading that a person wrote with trailing blanks is one, too.
_HEADING = re.compile(r"^## (\S+)[ \t]*\r?$", re.MULTILINE)
_DOI = re.compile(r"DOI: (https://doi\.org/\S+)[ \t]*\r?\n(?:[ \t]*\r?\n)?")


@dataclass(frozen=True)
class _Section:
    """Where a release's section is in the text: its heading's begin, its body's begin, its end."""

    version: Version
    begin: int
    body: int
    end: int


def new_entry(
    existing: str | None, version: Version, day: date, words: str | None, lines: Sequence[str]
) -> str:
    """The text of ``CHANGES.md`` with an entry for a release.

    Args:
        existing: the text as it is; ``None`` where there is none.
        version: of the release.
        day: of the release.
        words: a maintainer's, in Markdown; they come first.
        lines: what changed, each an item of a list; further lines of one are indented.

    Returns:
        The new text; the same text where it has this very entry.

    Raises:
        UsageError: the text has no title, has an entry of this version that says something else, or has a newer
            version; or the words have headings that would look like those of releases.
    """
    text = existing if existing else f"{TITLE}\n"
    newline = newline_of(text)
    entry = _entry(day, words, lines).replace("\n", newline)
    sections = _sections(text)
    for section in sections:
        if section.version == version:
            if _without_doi(text[section.body : section.end]) == entry.strip():
                return text
            raise UsageError(
                f"CHANGES.md has an entry of {version} that says something else; remove it, or choose another version"
            )
    if sections and sections[0].version > version:
        raise UsageError(
            f"CHANGES.md has an entry of {sections[0].version}, which is newer than {version}; choose a newer version"
        )
    place = sections[0].begin if sections else len(text)
    before, after = text[:place], text[place:]
    while not before.endswith(newline * 2):
        before += newline
    return f"{before}## {version}{newline * 2}{entry}{newline if after else ''}{after}"


def with_doi(text: str, version: Version, doi: str) -> str:
    """The text with the DOI of a version's deposit directly below its heading.

    Raises:
        UsageError: there is no entry of this version, or it has another DOI.
    """
    section = _section(text, version)
    url = f"https://doi.org/{bare_doi(doi)}"
    body = text[section.body : section.end].lstrip("\r\n")
    if found := _DOI.match(body):
        if found[1] == url:
            return text
        raise UsageError(
            f"CHANGES.md: {version} has the DOI {found[1]}, not {url}; a version has one deposit"
        )
    newline = newline_of(text)
    heading = text[section.begin : section.body].rstrip("\r\n")
    return f"{text[: section.begin]}{heading}{newline * 2}DOI: {url}{newline * 2}{body}{text[section.end :]}"


def dois(text: str) -> dict[Version, str]:
    """The DOIs of the versions whose deposits are public, without what resolves them.

    Raises:
        UsageError: the text has no title, or something else in the place of a DOI.
    """
    found: dict[Version, str] = {}
    for section in _sections(text):
        if match := _doi_of(text[section.body : section.end].strip()):
            found.setdefault(section.version, bare_doi(match[1]))
    return found


def entry_of(text: str, version: Version) -> str:
    """What the text says of a version, without its heading and DOI.

    Raises:
        UsageError: there is no entry of this version.
    """
    section = _section(text, version)
    return _without_doi(text[section.body : section.end])


def _without_doi(body: str) -> str:
    body = body.strip()
    found = _doi_of(body)
    return body[found.end() :].strip() if found else body


def _doi_of(body: str) -> re.Match[str] | None:
    # The line of a DOI may be the last of an entry that says nothing else.
    return _DOI.match(f"{body}\n")


def _entry(day: date, words: str | None, lines: Sequence[str]) -> str:
    said = "\n".join((words or "").splitlines()).strip("\n")
    if wrong := re.search(r"^ {0,3}##?(?=\s|$).*", said, re.MULTILINE):
        raise UsageError(
            f"the words on this release have the heading {wrong[0].strip()!r}; expected ### or deeper, as # and ## are "
            "those of CHANGES.md itself"
        )
    if re.search(r"^DOI: ", said.lstrip()):
        raise UsageError(
            "the words on this release begin with a DOI; the DOI is added when its deposit is public"
        )
    items = ["\n  ".join(line.splitlines()) for line in lines]
    changed = "\n".join(f"- {item}" for item in items)
    parts = [said.rstrip(), f"Released on {day.isoformat()}.", changed]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sections(text: str) -> list[_Section]:
    if text.removeprefix("\ufeff").split("\n", 1)[0].rstrip() != TITLE:
        raise UsageError(f"CHANGES.md: its first line is not {TITLE!r}; put that line on top")
    found: list[tuple[Version, int, int]] = []
    for match in _HEADING.finditer(text):
        try:
            version = Version.parse(match[1])
        except UsageError:
            continue
        found.append((version, match.start(), match.end()))
    ends = [*(begin for _, begin, _ in found[1:]), len(text)][: len(found)]
    return [_Section(*place, end) for place, end in zip(found, ends, strict=True)]


def _section(text: str, version: Version) -> _Section:
    sections = _sections(text)
    for section in sections:
        if section.version == version:
            return section
    known = ", ".join(str(section.version) for section in sections[:5]) or "none"
    raise UsageError(f"CHANGES.md has no entry of {version}; it has {known}")
