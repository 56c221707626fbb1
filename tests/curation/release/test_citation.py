"""CITATION.cff: a first one that its schema takes, and keys set in one that a person edited."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UsageError
from curation.release import Version
from curation.release.citation import (
    first_citation,
    plain_citation,
    read_citation,
    required_for_deposit,
    with_doi,
    with_release,
)

VERSION, DAY = Version(2026, 11, 23), date(2026, 11, 23)
DOI = "10.6084/m9.figshare.77.v2"
EDITED = """\
# Ours.
title: "A title: with a colon"   # kept
authors:
# the institution first
- {name: An Institute, orcid: "https://orcid.org/0000-0001-2345-6789"}
- family-names: Berg
  name-particle: van den
  given-names: "Eva-Maria"
version:    2026.11     # a number
date-released: 2026-11-01
message: >-
  Cite
  this.
cff-version: 1.2.0
"""


def valid(text: str, folder: Path) -> None:
    path = folder / "CITATION.cff"
    path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_first_one_is_what_the_schema_says(tmp_path: Path) -> None:
    text = with_doi(first_citation(VERSION, DAY), DOI)
    valid(text, tmp_path)
    citation = read_citation(text)
    assert (citation.version, citation.released, citation.doi) == ("2026.11.23", "2026-11-23", DOI)
    assert citation.license == "CC0-1.0"
    assert citation.creators[0].name == "Oscar Esteban" and len(citation.creators) == 8
    dois = [reference.doi for reference in citation.references]
    assert dois == ["10.1038/s41597-019-0035-4", "10.6084/m9.figshare.7097879.v4"]


def test_comments_order_and_other_keys_stay(tmp_path: Path) -> None:
    text = with_release(EDITED, VERSION, DAY)
    assert text == EDITED.replace("2026.11 ", '"2026.11.23" ').replace(": 2026-11-01", ': "2026-11-23"')
    valid(text, tmp_path)
    assert with_release(text, VERSION, DAY) == text
    assert with_doi(text, f"https://doi.org/{DOI}") == f'{text}doi: "{DOI}"\n'
    assert [creator.cited for creator in read_citation(text).creators] == ["An Institute", "van den Berg, E."]


def test_line_ends_and_a_missing_last_one() -> None:
    text = EDITED.replace("\n", "\r\n").rstrip()
    assert with_doi(text, DOI) == f'{text}\r\ndoi: "{DOI}"\r\n'


def test_the_doi_of_an_earlier_version_is_not_cited_with_a_later_one() -> None:
    deposited = with_doi(with_release(EDITED, VERSION, DAY), DOI)
    assert read_citation(with_release(deposited, VERSION, DAY)).doi == DOI
    later = with_release(deposited, Version(2026, 12, 1), date(2026, 12, 1))
    assert read_citation(later).doi == "10.6084/m9.figshare.77"
    other = deposited.replace(DOI, "10.5281/zenodo.7")
    assert (
        read_citation(with_release(other, Version(2026, 12, 1), date(2026, 12, 1))).doi == "10.5281/zenodo.7"
    )


BLOCKS = [
    'cff-version: "1.2.0"\n',
    "title: Ä title # with a comment\n",
    "message: |\n  version: not this one\n\n  nor date-released: this\n",
    "authors:\n  - name: One\n",
    "version: '1' # old\n",
    "date-released: 2020-01-01\n",
    "doi: 10.1234/old\n",
    "# version: a comment\n",
    "keywords: [a, b]\n",
]


@settings(deadline=None, max_examples=50)
@given(
    st.permutations(BLOCKS),
    st.sets(st.sampled_from(["version", "date-released", "doi"])),
    st.sampled_from(["\n", "\r"]),
)
def test_only_these_keys_change(blocks: list[str], without: set[str], end: str) -> None:
    newline = "\r\n" if end == "\r" else "\n"
    kept = [block for block in blocks if block.split(":")[0] not in without]
    text = "".join(kept).replace("\n", newline)
    edited = with_doi(with_release(text, VERSION, DAY), DOI)
    assert with_doi(with_release(edited, VERSION, DAY), DOI) == edited
    content = yaml.load(edited, Loader=yaml.BaseLoader)
    assert content == yaml.load(text, Loader=yaml.BaseLoader) | {
        "version": "2026.11.23", "date-released": "2026-11-23", "doi": DOI
    }  # fmt: skip
    ours = ("version:", "date-released:", "doi:")
    old, new = ([line for line in one.split("\n") if not line.startswith(ours)] for one in (text, edited))
    assert old == new


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("message: >-", "message: [", "line 1[0-9]: not valid YAML"),
        ("cff-version: 1.2.0", "cff-version: 1.1.0", r"cff-version \(line 14\): expected 1.2.0"),
        ("cff-version: 1.2.0\n", "", r"cff-version \(missing\)"),
        ("title:", "titel:", r"titel \(line 2\): expected a key of"),
        ("cff-version: 1.2.0", "cff-version: 1.2.0\nversion: 2", "line 15: version is there twice"),
        ("name: An Institute", "alias: 3", r"authors \(line 3\): expected .* of author 1"),
        ("2026.11     # a number", "[1, 2]", "cannot be set in this file|line 9: expected version"),
        ("cff-version: 1.2.0", "cff-version: 1.2.0\ndoi: 11.5", r"doi \(line 15\)"),
        ("2026.11     # a number", "&x 2026.11", ""),
    ],
)
def test_what_is_none_is_refused_with_line_and_reason(old: str, new: str, said: str) -> None:
    text = EDITED.replace(old, new)
    assert text != EDITED
    try:
        edited = with_release(text, VERSION, DAY)
    except UsageError as error:
        assert "CITATION.cff" in str(error)
        if said:
            with pytest.raises(UsageError, match=said):
                raise
    else:
        assert not said and read_citation(edited).version == "2026.11.23"


def test_a_value_of_several_lines_is_not_edited() -> None:
    text = EDITED.replace("version:    2026.11     # a number", "version: >-\n  2026.11")
    with pytest.raises(UsageError, match="line 9: expected version and its value on one line"):
        with_release(text, VERSION, DAY)
    for flow in ("{cff-version: 1.2.0}", "- a", "", "text"):
        with pytest.raises(UsageError, match="one a line"):
            read_citation(flow)


def test_what_a_deposit_requires() -> None:
    assert required_for_deposit(read_citation(first_citation(VERSION, DAY))) == []
    no_abstract, no_keywords = "it has no abstract, which becomes the description", "it has no keywords"
    assert required_for_deposit(read_citation(EDITED)) == [no_abstract, no_keywords]
    whole = f"{EDITED}abstract: |\n  One\n  a.\n\n  Two.\nkeywords: [a]\nlicense: [MIT, CC0-1.0]\n"
    citation = read_citation(whole)
    assert (citation.paragraphs, citation.abstract) == (("One a.", "Two."), "One a. Two.")
    assert required_for_deposit(citation) == []
    for old, new, said in (
        ("A title: with a colon", "AB", "its title has 2 characters, FigShare takes 3 to 1000"),
        ("A title: with a colon", "A" * 1001, "its title has 1001 characters, FigShare takes 3 to 1000"),
        ("abstract: |\n  One\n  a.\n\n  Two.\n", "abstract: ' '\n", no_abstract),
        ("name: An Institute", "name: ''", "it has no authors, or one without a name"),
        ("keywords: [a]", "keywords: []", no_keywords),
        ("[MIT, CC0-1.0]", "MIT", "its license is MIT, the tables are CC0-1.0"),
    ):
        assert old in whole
        assert required_for_deposit(read_citation(whole.replace(old, new))) == [said]


def test_a_citation_of_the_version() -> None:
    text = with_doi(with_release(EDITED, VERSION, DAY), DOI)
    assert plain_citation(read_citation(text), VERSION, DAY) == (
        "An Institute, & van den Berg, E. (2026). A title: with a colon (Version 2026.11.23) [Data set]. "
        f"https://doi.org/{DOI}"
    )
