"""Two plain alternatives for the tables of images and ratings: one query of DuckDB, and pandas.

Both read the files that are imported, keep the earliest record of each checksum and write CSV. Neither validates,
repairs, matches or accounts for anything: they tell what tables cost, not what they are worth. DuckDB leaves out
undeclared keys and, in silence, every record with a value that does not fit its column.
"""

from __future__ import annotations

import json
import os
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.corpus import SHARES
from schemas import RESOURCES, table
from schemas.dictionary import Column, ColumnType, Resource

MOST_PANDAS = 50_000
"""Records that pandas is given at the most: a million take 24 GB."""
_TYPES: dict[ColumnType, str] = {
    "number": "DOUBLE",
    "integer": "BIGINT",
    "text": "VARCHAR",
    "boolean": "BOOLEAN",
    "time": "VARCHAR",
}
_RFC_1123 = "%a, %d %b %Y %H:%M:%S GMT"


def with_duckdb(corpus: str, out: str) -> dict[str, Any]:
    """Query the files of a folder, with as many threads as there are processors; returns seconds and rows.

    Args:
        corpus: the folder.
        out: where CSV goes.
    """
    import duckdb

    Path(out).mkdir(parents=True)
    connection = duckdb.connect()
    connection.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
    connection.execute(f"SET temp_directory = {_quoted(out)}")
    rows: dict[str, int] = {}
    begun = time.perf_counter()
    for resource in RESOURCES:
        target = f"{out}/{resource}.csv"
        query = duckdb_query(resource, f"{corpus}/{resource}.jsonl")
        counted: Any = connection.execute(f"COPY ({query}) TO {_quoted(target)} (FORMAT csv, HEADER)")
        rows[resource] = counted.fetchone()[0]
    return {"seconds": time.perf_counter() - begun, "rows": rows}


def duckdb_query(resource: Resource, path: str) -> str:
    """The query of one resource: the earliest record of each checksum; of ratings, each record once."""
    columns = table(resource).columns
    chosen = ", ".join(f"{_access(column)} AS {_name(column.name)}" for column in columns)
    key = "record_id" if resource == "rating" else _name(table(resource).checksum.name)
    return f"""
        SELECT * FROM (
            SELECT try_strptime("_created", {_quoted(_RFC_1123)}) AS created, {chosen}, "_id" AS record_id
            FROM read_json(
                {_quoted(path)}, format = 'newline_delimited', columns = {_document(columns)},
                ignore_errors = true, maximum_object_size = {64 << 20}
            )
        )
        QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY created, record_id) = 1
        ORDER BY created, record_id"""


def _document(columns: tuple[Column, ...]) -> str:
    """What a document is made of, as ``read_json`` wants it."""
    tree: dict[str, Any] = {"_id": "VARCHAR", "_created": "VARCHAR"}
    for column in columns:
        place = tree
        for key in column.path[:-1]:
            place = place.setdefault(key, {})
        # A text or a list of texts: DuckDB gives the list as JSON.
        place[column.path[-1]] = "VARCHAR" if column.lists else _TYPES[column.type]
    return "{" + ", ".join(f"{_quoted(key)}: {_quoted(_type(value))}" for key, value in tree.items()) + "}"


def _type(value: str | dict[str, Any]) -> str:
    if isinstance(value, str):
        return value
    return "STRUCT(" + ", ".join(f"{_name(key)} {_type(inner)}" for key, inner in value.items()) + ")"


def _access(column: Column) -> str:
    return ".".join(map(_name, column.path))


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def with_pandas(corpus: str, out: str, records: int) -> dict[str, Any]:
    """Make frames of the first ``records`` records, a resource at a time; returns seconds and rows.

    Args:
        corpus: a folder of files.
        out: where CSV goes.
        records: of all resources, in the shares of the corpus.
    """
    # Imported here: what measures DuckDB need not hold it. Its import is not measured, as nobody's is.
    import pandas as pd

    Path(out).mkdir(parents=True)
    rows: dict[str, int] = {}
    begun = time.perf_counter()
    for resource, share in SHARES.items():
        with Path(corpus, f"{resource}.jsonl").open() as lines:
            documents = [json.loads(line) for line in islice(lines, round(records * share))]
        frame = pd.json_normalize(documents, sep="_")
        frame["_created"] = pd.to_datetime(frame["_created"], format=_RFC_1123)
        key = "_id" if resource == "rating" else table(resource).checksum.name
        frame = frame.sort_values(["_created", "_id"]).drop_duplicates(key)
        frame.to_csv(f"{out}/{resource}.csv", index=False)
        rows[resource] = len(frame)
    return {"seconds": time.perf_counter() - begun, "rows": rows}
