"""``croissant.json``: the release for search engines (schema.org) and machine learning (MLCommons Croissant 1.0).

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from curation.release.citation import Citation, Creator, plain_citation
from curation.release.version import Version
from schemas import bids
from schemas.dictionary import Column, ColumnType
from schemas.published import CURATED_TABLES, LEDGERS, TABLES, PublishedTable, published_table

NAME = "croissant.json"
SOURCE_URL = "https://mriqc.nimh.nih.gov"
"""Where the records come from: the dataset's page, where its citation file names none."""

_SPECIFICATION = "http://mlcommons.org/croissant/1.0"
_TYPES: dict[ColumnType, str] = {
    "number": "sc:Float",
    "integer": "sc:Integer",
    "text": "sc:Text",
    "boolean": "sc:Boolean",
    "time": "sc:DateTime",
}
# Croissant's own terms, as its specification's appendix lists them; prefixes first, then names that are `cr:` and the
# same name, and those that say how their values are read.
_PREFIXES = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_TYPED_TERMS = {
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}


def croissant(snapshot: Mapping[str, Any], version: Version, day: date, citation: Citation) -> dict[str, Any]:
    """Describe a release.

    Args:
        snapshot: what ``snapshot.json`` says; its ``files`` have sizes and digests.
        version: of the release.
        day: of the release.
        citation: from ``CITATION.cff``.
    """
    described = {
        "@context": _PREFIXES | {term: f"cr:{term}" for term in _TERMS} | _TYPED_TERMS,
        "@type": "sc:Dataset",
        "name": citation.title,
        "description": citation.abstract or citation.title,
        "conformsTo": _SPECIFICATION,
        "license": _license(citation.license),
        "url": citation.url or (f"https://doi.org/{citation.doi}" if citation.doi else SOURCE_URL),
        "version": str(version),
        "datePublished": day.isoformat(),
        "creator": [_creator(creator) for creator in citation.creators],
        "keywords": list(citation.keywords),
        "citeAs": plain_citation(citation, version, day),
        # The description is of one version, whose files never change.
        "isLiveDataset": False,
        "isAccessibleForFree": True,
        "isBasedOn": [reference.where for reference in citation.references if reference.where],
        "identifier": f"https://doi.org/{citation.doi}" if citation.doi else None,
        "distribution": [_file(name, snapshot["files"][name]) for name in _tables_of(snapshot)],
        "recordSet": [_record_set(published_table(name)) for name in TABLES],
    }
    return {key: value for key, value in described.items() if value not in (None, [])}


def _license(identifier: str) -> str:
    return f"https://spdx.org/licenses/{identifier}.html" if " " not in identifier else identifier


def _creator(creator: Creator) -> dict[str, Any]:
    found: dict[str, Any] = {
        "@type": "sc:Person" if creator.is_person else "sc:Organization",
        "name": creator.name,
        "givenName": creator.given or None,
        "familyName": creator.family if creator.is_person else None,
        "identifier": creator.orcid,
        "affiliation": {"@type": "sc:Organization", "name": creator.affiliation}
        if creator.affiliation
        else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _tables_of(snapshot: Mapping[str, Any]) -> list[str]:
    """Paths of the tables' files: CSV in the dictionary's order, then Parquet."""
    listed = [published_table(name).path for name in TABLES]
    return [*listed, *sorted(name for name in snapshot["files"] if name.startswith("parquet/"))]


def _file(path: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    is_csv = path.endswith(".csv")
    name = path.rpartition("/")[2].rpartition(".")[0]
    described = published_table(name).description
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "description": described if is_csv else f"{described} With types.",
        "contentUrl": path,
        "contentSize": f"{facts['bytes']} B",
        "encodingFormat": "text/csv" if is_csv else "application/x-parquet",
        "sha256": facts["sha256"],
    }


def _record_set(table: PublishedTable) -> dict[str, Any]:
    described: dict[str, Any] = {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.description,
        "key": [{"@id": f"{table.name}/{column}"} for column in table.key],
        "field": [_field(table, column) for column in table.columns],
    }
    return {key: value for key, value in described.items() if value != []}


def _field(table: PublishedTable, column: Column) -> dict[str, Any]:
    unit = bids.unit(column)
    described: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{table.name}/{column.name}",
        "name": column.name,
        # Croissant has no place for units.
        "description": bids.description(column) + (f" Unit: {unit}." if unit not in (None, "1") else ""),
        "dataType": _TYPES[column.type],
        "equivalentProperty": bids.term_url(column),
        "references": _references(table, column),
        "source": {"fileObject": {"@id": _source(table)}, "extract": {"column": column.name}},
    }
    return {key: value for key, value in described.items() if value is not None}


def _source(table: PublishedTable) -> str:
    """The file that records are read from: Parquet where there is one, as ids such as ``01`` stay texts there."""
    return table.path if table.name in LEDGERS else f"parquet/{table.name}.parquet"


def _references(table: PublishedTable, column: Column) -> dict[str, Any] | None:
    """The field of another table that a column's values are keys of."""
    if column.name == "md5sum" and table.name in CURATED_TABLES:
        return {"field": {"@id": f"{table.name.removesuffix('_curated')}/md5sum"}}
    if column.name == "record_id" and table.name in LEDGERS and table.name != "records":
        return {"field": {"@id": "records/record_id"}}
    return None
