"""``isatab/``: the release as an investigation with one study and an assay a table, in ISA-Tab 1.0.

https://isa-specs.readthedocs.io/en/latest/isatab.html
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from curation.release.citation import Citation, Creator
from curation.release.version import Version
from schemas.published import IMAGE_RESOURCES

FOLDER = "isatab"
INVESTIGATION = f"{FOLDER}/i_investigation.txt"
STUDY = f"{FOLDER}/s_mriqc_webapi.txt"
ASSAYS: dict[str, str] = {name: f"{FOLDER}/a_{name}.txt" for name in (*IMAGE_RESOURCES, "rating")}
"""The assay's file of each resource."""

_TAXA, _ANATOMY = "NCBITaxon", "UBERON"
_OBO = "http://purl.obolibrary.org/obo/"
_HUMAN = ("Homo sapiens", _TAXA, f"{_OBO}NCBITaxon_9606")
_BRAIN = ("brain", _ANATOMY, f"{_OBO}UBERON_0000955")
_IMAGES = {"T1w": "T1-weighted images", "T2w": "T2-weighted images", "bold": "functional (BOLD) images"}
_MEASURED = {
    resource: "image quality metrics" if resource in _IMAGES else "expert rating of image quality"
    for resource in ASSAYS
}
_TECHNOLOGY = "magnetic resonance imaging"

ACQUISITION, EXTRACTION, RATING, CURATION = "image acquisition", "MRIQC", "rating", "curation"
# Name, type, description, address, parameters, components: a program and what it is.
_PROTOCOLS: tuple[tuple[str, str, str, str, str, tuple[str, str]], ...] = (
    (
        ACQUISITION,
        "sample collection",
        "Images of human brains are acquired at many sites, on scanners and with sequences of the sites' own choice. "
        "The tables have the acquisition parameters that came with them. Images are not part of the database; the MD5 "
        "of each image's file tells which one a row is about.",
        "",
        "Manufacturer;MagneticFieldStrength;RepetitionTime;EchoTime;FlipAngle",
        ("", ""),
    ),
    (
        EXTRACTION,
        "feature extraction",
        "Users run MRIQC on their images. It computes image quality metrics and, unless a user opts out, sends them "
        "with acquisition parameters and provenance to the Web-API, which checks and keeps each record.",
        "https://mriqc.readthedocs.io/en/latest/measures.html",
        "MRIQC version;settings",
        ("MRIQC", "software"),
    ),
    (
        RATING,
        "manual annotation",
        "Experts look at MRIQC's visual report of an image, rate its quality on a scale from exclude to excellent, "
        "name the artifacts they see, and send the rating with the image's checksum to the Web-API.",
        "https://doi.org/10.1038/s41597-019-0035-4",
        "",
        ("MRIQC", "software"),
    ),
    (
        CURATION,
        "data transformation",
        "Records are validated, told apart by the image's checksum, compared with checksums of public images, repaired "
        "by declared rules, and harmonised. audit/records.csv has what became of every record, audit/repairs.csv every "
        "cell that is not what was received.",
        "",
        "",
        ("mriqc-snapshot", "software"),
    ),
)

_Rows = list[list[str]]


def isatab(snapshot: Mapping[str, Any], version: Version, day: date, citation: Citation) -> dict[str, bytes]:
    """The files of the folder ``isatab``, by path.

    Args:
        snapshot: what ``snapshot.json`` says.
        version: of the release.
        day: of the release.
        citation: from ``CITATION.cff``.
    """
    found = {INVESTIGATION: _investigation(snapshot, version, day, citation), STUDY: _study()}
    found |= {path: _assay(resource, snapshot) for resource, path in ASSAYS.items()}
    return {path: _written(rows) for path, rows in found.items()}


def _written(rows: _Rows) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows([[" ".join(cell.split()) for cell in row] for row in rows])
    return text.getvalue().encode()


def _investigation(snapshot: Mapping[str, Any], version: Version, day: date, citation: Citation) -> _Rows:
    program = snapshot.get("versions", {}).get("mriqc-snapshot", "")
    about = [
        ["Identifier", f"mriqc-snapshot-{version}"],
        ["Title", citation.title],
        ["Description", citation.abstract or citation.title],
        ["Submission Date", day.isoformat()],
        ["Public Release Date", day.isoformat()],
    ]
    comments = [["Comment[Version]", str(version)], ["Comment[License]", citation.license]]
    if citation.doi:
        comments.append(["Comment[DOI]", citation.doi])
    return [
        ["ONTOLOGY SOURCE REFERENCE"],
        ["Term Source Name", _TAXA, _ANATOMY],
        ["Term Source File", f"{_OBO}ncbitaxon.owl", f"{_OBO}uberon.owl"],
        ["Term Source Version", "", ""],
        ["Term Source Description", "NCBI organismal classification", "Uber-anatomy ontology"],
        ["INVESTIGATION"],
        *([f"Investigation {name}", value] for name, value in about),
        *comments,
        ["INVESTIGATION PUBLICATIONS"],
        *_publications("Investigation", citation),
        ["INVESTIGATION CONTACTS"],
        *_contacts("Investigation", citation.creators),
        ["STUDY"],
        *([f"Study {name}", value] for name, value in about),
        ["Study File Name", _name(STUDY)],
        ["STUDY DESIGN DESCRIPTORS"],
        *_terms(
            "Study Design Type", ["observation design", "crowdsourced data collection", "quality control"]
        ),
        ["STUDY PUBLICATIONS"],
        *_publications("Study", citation),
        ["STUDY FACTORS"],
        ["Study Factor Name", "modality"],
        *_terms("Study Factor Type", ["imaging modality"]),
        ["STUDY ASSAYS"],
        ["Study Assay File Name", *map(_name, ASSAYS.values())],
        *_terms("Study Assay Measurement Type", [_MEASURED[resource] for resource in ASSAYS]),
        *_terms("Study Assay Technology Type", [_TECHNOLOGY for _ in ASSAYS]),
        ["Study Assay Technology Platform", *("MRIQC Web-API" for _ in ASSAYS)],
        ["STUDY PROTOCOLS"],
        *_protocols(program),
        ["STUDY CONTACTS"],
        *_contacts("Study", citation.creators),
    ]


def _name(path: str) -> str:
    return path.removeprefix(f"{FOLDER}/")


def _terms(label: str, values: Sequence[str]) -> _Rows:
    """A label's values, with no accession numbers: they are words, not terms of an ontology."""
    empty = ["" for _ in values]
    return [
        [label, *values],
        [f"{label} Term Accession Number", *empty],
        [f"{label} Term Source REF", *empty],
    ]


def _publications(of: str, citation: Citation) -> _Rows:
    articles = [reference for reference in citation.references if reference.doi]
    return [
        [f"{of} PubMed ID", *("" for _ in articles)],
        [f"{of} Publication DOI", *(article.doi or "" for article in articles)],
        [f"{of} Publication Author List", *(_listed(article.creators) for article in articles)],
        [f"{of} Publication Title", *(article.title for article in articles)],
        *_terms(f"{of} Publication Status", ["published" for _ in articles]),
    ]


def _listed(creators: Iterable[Creator]) -> str:
    return "; ".join(creator.cited for creator in creators)


def _contacts(of: str, creators: Sequence[Creator]) -> _Rows:
    empty = ["" for _ in creators]
    names = [(creator.given or " ").partition(" ") for creator in creators]
    return [
        [f"{of} Person Last Name", *(creator.family for creator in creators)],
        [f"{of} Person First Name", *(first for first, _, _ in names)],
        [f"{of} Person Mid Initials", *(middle for _, _, middle in names)],
        *([f"{of} Person {label}", *empty] for label in ("Email", "Phone", "Fax", "Address")),
        [f"{of} Person Affiliation", *(creator.affiliation or "" for creator in creators)],
        *_terms(f"{of} Person Roles", ["author" for _ in creators]),
    ]


def _protocols(program: str) -> _Rows:
    names, kinds, descriptions, addresses, parameters, components = zip(*_PROTOCOLS, strict=True)
    # A protocol without parameters has no separators between their terms either.
    blanks = [";" * (text.count(";")) for text in parameters]
    return [
        ["Study Protocol Name", *names],
        *_terms("Study Protocol Type", kinds),
        ["Study Protocol Description", *descriptions],
        ["Study Protocol URI", *addresses],
        ["Study Protocol Version", *(program if name == CURATION else "" for name in names)],
        ["Study Protocol Parameters Name", *parameters],
        ["Study Protocol Parameters Name Term Accession Number", *blanks],
        ["Study Protocol Parameters Name Term Source REF", *blanks],
        ["Study Protocol Components Name", *(name for name, _ in components)],
        *_terms("Study Protocol Components Type", [kind for _, kind in components]),
    ]


def _study() -> _Rows:
    """A sample is all images of a modality: whose brains they show is not known, and who sent them neither."""
    header = [
        "Source Name", "Characteristics[organism]", "Term Source REF", "Term Accession Number",
        "Characteristics[organism part]", "Term Source REF", "Term Accession Number",
        "Protocol REF", "Sample Name", "Factor Value[modality]",
    ]  # fmt: skip
    rows = [
        [f"persons on {images}", *_HUMAN, *_BRAIN, ACQUISITION, images, resource]
        for resource, images in _IMAGES.items()
    ]
    return [header, *rows]


def _assay(resource: str, snapshot: Mapping[str, Any]) -> _Rows:
    """From a modality's images to its tables; ratings are of images of all modalities."""
    counts = snapshot["tables"][resource]
    comments = {
        "Comment[Records received]": str(counts["received"]),
        "Comment[Rows]": str(counts["representatives"]),
    }
    rows = []
    for modality in _IMAGES if resource == "rating" else [resource]:
        row = {
            "Sample Name": _IMAGES[modality],
            "Protocol REF": RATING if resource == "rating" else EXTRACTION,
            "Assay Name": f"{resource} of {modality}" if resource == "rating" else resource,
            "Raw Data File": f"../csv/{resource}.csv",
            **comments,
        }
        cells = list(row.items())
        if resource != "rating":
            cells += [
                ("Protocol REF", CURATION),
                ("Data Transformation Name", f"{resource}_curated"),
                ("Derived Data File", f"../csv/{resource}_curated.csv"),
            ]
        rows.append([*cells, ("Factor Value[modality]", modality)])
    return [[label for label, _ in rows[0]], *([value for _, value in row] for row in rows)]
