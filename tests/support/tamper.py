"""Changes tables of a folder as no run would: seeded faults for the diff."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def edit_rows(folder: Path, table: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the rows of a Parquet file."""
    path = folder / "parquet" / f"{table}.parquet"
    found = pq.read_table(path)
    rows = found.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=found.schema), path)


def flip(folder: Path, table: str, key: str, column: str, value: Any) -> None:
    """Put a value into one cell."""

    def change(rows: list[dict[str, Any]]) -> None:
        (row,) = (row for row in rows if key in (row["md5sum"], row["record_id"]))
        assert row[column] != value
        row[column] = value

    edit_rows(folder, table, change)


def drop(folder: Path, table: str, key: str) -> None:
    """Drop one row."""

    def change(rows: list[dict[str, Any]]) -> None:
        (row,) = (row for row in rows if key in (row["md5sum"], row["record_id"]))
        rows.remove(row)

    edit_rows(folder, table, change)


def edit_snapshot(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change ``snapshot.json``."""
    path = folder / "snapshot.json"
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))


def relist(folder: Path, *gone: str) -> None:
    """Make ``snapshot.json`` list the files as they are, as if the program had made them so; ``gone`` not at all."""

    def change(said: dict[str, Any]) -> None:
        for name in gone:
            (folder / name).unlink(missing_ok=True)
            del said["files"][name]
        for name, about in said["files"].items():
            content = (folder / name).read_bytes()
            about |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    edit_snapshot(folder, change)


def edit_lines(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Change the lines of a text."""
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
