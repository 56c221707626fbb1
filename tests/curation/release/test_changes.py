"""CHANGES.md: entries come on top of each other, and what is below is never touched."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UsageError
from curation.release import Version
from curation.release.changes import dois, entry_of, new_entry, with_doi
from curation.release.texts import article_and_version

DAY = date(2026, 11, 23)
VERSION = Version.of_date(DAY)
DOI = "10.6084/m9.figshare.77.v2"
LINES = st.lists(st.text("aé#-*:", min_size=1), max_size=3)


def entered(existing: str | None, days: int, lines: list[str], words: str | None = None) -> str:
    day = DAY + timedelta(days)
    return new_entry(existing, Version.of_date(day), day, words, lines)


def test_the_first_entry() -> None:
    text = new_entry(None, VERSION, DAY, "On **top**.\n\n### Scanners\n", ["3 records more", "two\nlines"])
    assert text == (
        "# Changes\n\n## 2026.11.23\n\nOn **top**.\n\n### Scanners\n\nReleased on 2026-11-23.\n\n"
        "- 3 records more\n- two\n  lines\n"
    )
    assert entry_of(text, VERSION).startswith("On **top**.")


@settings(deadline=None, max_examples=50)
@given(st.lists(LINES, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_entries_before_are_untouched_and_entering_again_changes_nothing(
    entries: list[list[str]], newline: str, deposited: bool
) -> None:
    text = f"# Changes{newline}"
    for days, lines in enumerate(entries):
        before, version = text, Version.of_date(DAY + timedelta(days))
        text = entered(text, days, lines)
        assert text.startswith(f"# Changes{newline * 2}## {version}{newline * 2}")
        assert text.endswith(before.removeprefix(f"# Changes{newline}"))
        assert ("\n" in text.replace("\r\n", "")) == (newline == "\n")
        if deposited:
            text = with_doi(text, version, DOI)
            heading = f"## {version}{newline * 2}DOI: https://doi.org/{DOI}{newline * 2}"
            assert text.count(heading) == 1
            assert with_doi(text, version, f"https://doi.org/{DOI}") == text
        assert entered(text, days, lines) == text


def test_a_doi_touches_one_entry_only() -> None:
    text = entered(entered(None, 0, ["one"]), 1, ["two"])
    first, second = text.split("## 2026.11.23\n")
    assert with_doi(text, VERSION, DOI) == f"{first}## 2026.11.23\n\nDOI: https://doi.org/{DOI}\n{second}"
    assert entry_of(with_doi(text, VERSION, DOI), VERSION) == entry_of(text, VERSION)


def test_what_a_person_wrote_between_stays() -> None:
    existing = "# Changes\n\nAll versions are on FigShare.\n\n## 2026.11.22\n\nMine.\n\n## Older ones\n\nSee there.\n"
    text = entered(existing, 0, ["a"])
    assert text.startswith("# Changes\n\nAll versions are on FigShare.\n\n## 2026.11.23\n")
    assert text.endswith(existing.split("FigShare.\n\n")[1])
    assert "See there." in entry_of(text, Version(2026, 11, 22))


def test_what_does_not_fit_is_refused() -> None:
    text = with_doi(entered(None, 0, ["one"]), VERSION, DOI)
    for wrong, said in [
        (lambda: entered(text, 0, ["other"]), "says something else"),
        (lambda: entered(text, 0, ["one"], "words"), "says something else"),
        (lambda: entered(text, -1, ["one"]), "2026.11.23, which is newer than 2026.11.22"),
        (lambda: entered("Changes\n", 0, []), "first line"),
        (lambda: entered(None, 0, [], "## 2026.11.01\n"), "'## 2026.11.01'"),
        (lambda: entered(None, 0, [], "Words.\n# Title"), "'# Title'"),
        (lambda: entered(None, 0, [], "DOI: https://doi.org/10.1234/x"), "begin with a DOI"),
        (lambda: with_doi(text, VERSION, "10.6084/m9.figshare.77.v3"), "one deposit"),
        (lambda: with_doi(text, VERSION, "figshare.77"), "not a DOI"),
        (lambda: with_doi(text, Version(2026, 11, 22), DOI), "no entry of 2026.11.22; it has 2026.11.23"),
    ]:
        with pytest.raises(UsageError, match=said):
            wrong()


def test_dois_of_versions() -> None:
    text = "# Changes\n\n## 2026.12.01\n\nDOI: https://doi.org/10.6084/m9.figshare.7.v2\n\nWords.\n\n## 2026.11.24\n\n"
    text += "Not deposited, unlike\nDOI: https://doi.org/10.6084/m9.figshare.7.v9\n\n"
    text += "## 2026.11.23\n\nDOI: https://doi.org/10.6084/m9.figshare.7.v1"
    found = {str(version): doi for version, doi in dois(text).items()}
    assert found == {"2026.12.01": "10.6084/m9.figshare.7.v2", "2026.11.23": "10.6084/m9.figshare.7.v1"}
    assert [article_and_version(doi) for doi in found.values()] == [(7, 2), (7, 1)]
    assert article_and_version("10.6084/m9.figshare.7") is None
    with pytest.raises(UsageError, match="is not a DOI"):
        dois("# Changes\n\n## 2026.11.23\n\nDOI: https://doi.org/none\n")
