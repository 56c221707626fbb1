"""Writes what explains the tables: ``dictionary/``, a JSON a table, and ``datapackage.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from curation.repair.page import rule_meanings
from curation.store.files import to_json
from schemas.publication import datapackage, sidecar
from schemas.published import TABLES, PublishedTable, published_table


def describe(folder: Path, digests: Mapping[str, str]) -> None:
    """Describe the finished tables of a folder, all of which are there.

    Args:
        folder: with the tables.
        digests: SHA-256 (hex) of their files, by path.
    """
    (folder / "dictionary").mkdir(exist_ok=True)
    tables = [published_table(name) for name in TABLES]
    for table in tables:
        described = sidecar(table)
        if table.name == "repairs":
            described["rule"]["Levels"] = rule_meanings()
        (folder / "dictionary" / f"{table.name}.json").write_bytes(to_json(described))
    package = datapackage({table: _facts(folder, table, digests) for table in tables})
    (folder / "datapackage.json").write_bytes(to_json(package))


def _facts(folder: Path, table: PublishedTable, digests: Mapping[str, str]) -> dict[str, int | str]:
    return {"bytes": (folder / table.path).stat().st_size, "sha256": digests[table.path]}
