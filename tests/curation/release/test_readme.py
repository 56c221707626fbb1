"""README.md: a block between two comments; what a person wrote elsewhere stays."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UsageError
from curation.release import Version
from curation.release.citation import first_citation, read_citation
from curation.release.readme import BEGIN, END, with_release

DAY = date(2026, 11, 23)
VERSION = Version.of_date(DAY)
CITATION = read_citation(first_citation(VERSION, DAY))
TEXT = st.text("ab#<-\n ", max_size=40)


def released(text: str, version: Version = VERSION) -> str:
    return with_release(text, version, DAY, CITATION)


def test_below_the_title_of_a_dataset_laid_out_earlier() -> None:
    text = released("# Title\n\nWords.\n\n# Another\n")
    assert text.startswith(f"# Title\n\n{BEGIN}\n**The last release is version 2026.11.23 of 2026-11-23.**")
    assert text.endswith(f"{END}\n\nWords.\n\n# Another\n")
    assert "git checkout 2026.11.23 " in text and "(Version 2026.11.23) [Data set]" in text
    assert released("no title") == text[len("# Title\n\n") : text.index(END)] + f"{END}\n\nno title"
    assert released("# Title") == text[: text.index(END)] + f"{END}\n"


@settings(deadline=None, max_examples=50)
@given(TEXT, TEXT, st.sampled_from(["\n", "\r\n"]))
def test_only_the_block_changes(before: str, after: str, newline: str) -> None:
    first = f"# T\n{before}\n{BEGIN}\nOUTDATED\n{END}\n{after}".replace("\n", newline)
    text = released(first)
    assert text.split(BEGIN)[0] == first.split(BEGIN)[0]
    assert text.split(END)[1] == first.split(END)[1]
    assert "OUTDATED" not in text and ("\n" in text.replace("\r\n", "")) == (newline == "\n")
    assert released(text) == text
    assert released(released(text, Version(2026, 12, 1))) == text


@settings(deadline=None, max_examples=50)
@given(TEXT, st.sampled_from(["\n", "\r\n"]))
def test_setting_it_again_changes_nothing(text: str, newline: str) -> None:
    once = released(text.replace("\n", newline))
    assert released(once) == once


@pytest.mark.parametrize(
    "text", [f"{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"]
)
def test_a_block_without_begin_or_end_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected one of each"):
        released(text)
