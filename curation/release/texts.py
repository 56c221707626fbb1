"""What the texts of a release have in common."""

from __future__ import annotations

import re

from curation.errors import UsageError

# https://www.doi.org/doi-handbook/HTML/doi-name-syntax.html: a prefix of digits and dots, any suffix.
_DOI = re.compile(
    r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)?(10\.[0-9]{4,9}(?:\.[0-9]+)*/[^\s\"<>\\]+)", re.IGNORECASE
)
# https://info.figshare.com: a DOI of an article, and of one version of it.
_FIGSHARE_VERSION = re.compile(r"(10\.[0-9]+/\S*figshare\.([0-9]+))\.v([0-9]+)", re.IGNORECASE)


def newline_of(text: str) -> str:
    """How lines of a text end: as its first one does."""
    first, newline, _ = text.partition("\n")
    return "\r\n" if newline and first.endswith("\r") else "\n"


def is_doi(text: str) -> bool:
    """Whether a text is a DOI, alone or with what resolves it."""
    return _DOI.fullmatch(text.strip()) is not None


def bare_doi(text: str) -> str:
    """A DOI without what resolves it: ``10.6084/m9.figshare.7097879.v4``.

    Raises:
        UsageError: the text is no DOI.
    """
    match = _DOI.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a DOI; expected one such as 10.6084/m9.figshare.7097879.v4")
    return match[1]


def doi_of_all_versions(doi: str) -> str:
    """The DOI of a FigShare article of the DOI of one of its versions; other DOIs are as they are."""
    match = _FIGSHARE_VERSION.fullmatch(doi)
    return match[1] if match else doi


def article_and_version(doi: str) -> tuple[int, int] | None:
    """The numbers of a FigShare article and of its version in the DOI of that version; ``None`` of other DOIs."""
    match = _FIGSHARE_VERSION.fullmatch(doi)
    return (int(match[2]), int(match[3])) if match else None
