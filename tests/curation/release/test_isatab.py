"""ISA-Tab by the rules of its specification, which a strict reader here knows.

https://isa-specs.readthedocs.io/en/latest/isatab.html. ``isatools`` needs older versions of pandas and numpy than this
project and cannot be installed beside it.
"""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest

from curation.release import Version
from curation.release.citation import first_citation, read_citation
from curation.release.isatab import isatab

TERM = ("", " Term Accession Number", " Term Source REF")
PUBLICATION = ["PubMed ID", "Publication DOI", "Publication Author List", "Publication Title"]
PUBLICATION += [f"Publication Status{end}" for end in TERM]
CONTACT = [
    *(
        f"Person {name}"
        for name in ("Last Name", "First Name", "Mid Initials", "Email", "Phone", "Fax", "Address")
    ),
    *(f"Person {name}" for name in ("Affiliation", *(f"Roles{end}" for end in TERM))),
]
ABOUT = ["Identifier", "Title", "Description", "Submission Date", "Public Release Date"]
SECTIONS = {
    "ONTOLOGY SOURCE REFERENCE": [
        f"Term Source {name}" for name in ("Name", "File", "Version", "Description")
    ],
    "INVESTIGATION": [f"Investigation {name}" for name in ABOUT],
    "INVESTIGATION PUBLICATIONS": [f"Investigation {name}" for name in PUBLICATION],
    "INVESTIGATION CONTACTS": [f"Investigation {name}" for name in CONTACT],
    "STUDY": [f"Study {name}" for name in [*ABOUT, "File Name"]],
    "STUDY DESIGN DESCRIPTORS": [f"Study Design Type{end}" for end in TERM],
    "STUDY PUBLICATIONS": [f"Study {name}" for name in PUBLICATION],
    "STUDY FACTORS": ["Study Factor Name", *(f"Study Factor Type{end}" for end in TERM)],
    "STUDY ASSAYS": [
        "Study Assay File Name",
        *(f"Study Assay {kind} Type{end}" for kind in ("Measurement", "Technology") for end in TERM),
        "Study Assay Technology Platform",
    ],
    "STUDY PROTOCOLS": [
        "Study Protocol Name",
        *(f"Study Protocol Type{end}" for end in TERM),
        *(f"Study Protocol {name}" for name in ("Description", "URI", "Version")),
        *(f"Study Protocol Parameters Name{end}" for end in TERM),
        "Study Protocol Components Name",
        *(f"Study Protocol Components Type{end}" for end in TERM),
    ],
    "STUDY CONTACTS": [f"Study {name}" for name in CONTACT],
}
# What a node of a study or an assay may be followed by, besides comments.
ATTRIBUTES = ("Characteristics[", "Term Source REF", "Term Accession Number", "Factor Value[", "Comment[")


def table(path: Path) -> list[list[str]]:
    content = path.read_bytes()
    assert content.endswith(b"\n") and b"\r" not in content
    return list(csv.reader(content.decode().splitlines(), delimiter="\t", strict=True))


def investigation(path: Path) -> dict[str, dict[str, list[str]]]:
    """Sections of an investigation file, and the values of their labels."""
    sections: dict[str, dict[str, list[str]]] = {}
    for label, *values in table(path):
        if label == label.upper():
            assert not values
            sections[label] = {}
            continue
        section = list(sections.values())[-1]
        assert label not in section, label
        section[label] = values
    assert list(sections) == list(SECTIONS)
    for name, section in sections.items():
        assert [label for label in section if not label.startswith("Comment[")] == SECTIONS[name]
        lengths = {len(values) for label, values in section.items() if not label.startswith("Comment[")}
        assert len(lengths) == 1, (name, lengths)
    return sections


@pytest.fixture
def folder(release: Path) -> Path:
    return release / "isatab"


def test_the_investigation_is_complete(folder: Path) -> None:
    sections = investigation(folder / "i_investigation.txt")
    assert sections["INVESTIGATION"]["Investigation Title"] == ["Snapshot of the MRIQC Web-API"]
    assert sections["INVESTIGATION"]["Comment[Version]"] == ["2026.11.23"]
    assert sections["STUDY"]["Study Public Release Date"] == ["2026-11-23"]
    assert sections["STUDY PUBLICATIONS"]["Study Publication DOI"][0] == "10.1038/s41597-019-0035-4"
    contacts = sections["STUDY CONTACTS"]
    assert [contacts[f"Study Person {name}"][3] for name in ("First Name", "Mid Initials", "Last Name")] == [
        "Jan", "C.", "Varada"
    ]  # fmt: skip
    protocols = sections["STUDY PROTOCOLS"]
    for parameters, *terms in zip(
        *(protocols[f"Study Protocol Parameters Name{end}"] for end in TERM), strict=True
    ):
        assert {text.count(";") for text in terms} == {parameters.count(";")}


def test_files_of_the_study_fit_together(folder: Path, release: Path) -> None:
    sections = investigation(folder / "i_investigation.txt")
    [study] = sections["STUDY"]["Study File Name"]
    assays = sections["STUDY ASSAYS"]["Study Assay File Name"]
    assert {path.name for path in folder.iterdir()} == {"i_investigation.txt", study, *assays}
    sources = {*sections["ONTOLOGY SOURCE REFERENCE"]["Term Source Name"], ""}
    factors = sections["STUDY FACTORS"]["Study Factor Name"]
    samples: set[str] = set()
    used, tables = set(), set()
    for name in [study, *assays]:
        header, *rows = table(folder / name)
        assert rows and all(len(row) == len(header) and all(row) for row in rows)
        assert header[0] == ("Source Name" if name == study else "Sample Name")
        for row in rows:
            for label, value in zip(header, row, strict=True):
                if label == "Sample Name":
                    assert name == study or value in samples
                    samples |= {value}
                elif label == "Protocol REF":
                    assert value in sections["STUDY PROTOCOLS"]["Study Protocol Name"]
                    used.add(value)
                elif label.endswith("Data File"):
                    assert (folder / value).resolve().is_file()
                    tables.add((folder / value).resolve().name)
                elif label == "Term Source REF":
                    assert value in sources
                elif label.startswith("Factor Value["):
                    assert label[len("Factor Value[") : -1] in factors
                else:
                    assert label in (
                        "Source Name",
                        "Assay Name",
                        "Data Transformation Name",
                    ) or label.startswith(ATTRIBUTES)
    assert used == set(sections["STUDY PROTOCOLS"]["Study Protocol Name"])
    assert tables == {path.name for path in (release / "csv").iterdir()}


def test_what_a_maintainer_writes_cannot_break_the_format() -> None:
    day, version = date(2026, 11, 23), Version(2026, 11, 23)
    text = first_citation(version, day).replace(
        "title: Snapshot of the MRIQC Web-API", r'title: "A \"title\"\twith\ttabs,\nand lines"'
    )
    counts = {"received": 1, "representatives": 1}
    snapshot = {"tables": dict.fromkeys(["T1w", "T2w", "bold", "rating"], counts)}
    content = isatab(snapshot, version, day, read_citation(text))["isatab/i_investigation.txt"].decode()
    rows = {row[0]: row[1:] for row in csv.reader(content.splitlines(), delimiter="\t", strict=True)}
    assert rows["Study Title"] == ['A "title" with tabs, and lines']
