"""Writes what explains the tables: ``dictionary/``, a JSON a table, and ``datapackage.json``."""

from __future__ import annotations

from pathlib import Path

from curation.repair.page import rule_meanings
from curation.store.files import to_json
from curation.store.parts import file_sha256
from schemas.publication import datapackage, sidecar
from schemas.published import TABLES, PublishedTable, published_table


def describe(folder: Path) -> None:
    """Describe the finished tables of a folder, all of which are there."""
    (folder / "dictionary").mkdir(exist_ok=True)
    tables = [published_table(name) for name in TABLES]
    for table in tables:
        described = sidecar(table)
        if table.name == "repairs":
            described["rule"]["Levels"] = rule_meanings()
        (folder / "dictionary" / f"{table.name}.json").write_bytes(to_json(described))
    package = datapackage({table: _facts(folder, table) for table in tables})
    (folder / "datapackage.json").write_bytes(to_json(package))


def _facts(folder: Path, table: PublishedTable) -> dict[str, int | str]:
    path = folder / table.path
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
