"""Dumps for tests: documents of a database written in every dialect, and what an import makes of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import zstandard
from bson import ObjectId, json_util

from curation.dumps import ImportReport, Problem, find_dumps, import_dumps
from curation.store import RecordStore

Document = dict[str, Any]
START = 1_514_764_800
"""The start of 2018, in seconds since 1970."""


def database_document(number: int, *, second: int = 0, age: int = 0, **values: Any) -> Document:
    """A small document as the database has it, created ``second`` seconds after 2018 began, updated ``age`` later."""
    created = START + second
    return {
        "_id": ObjectId(f"{created:08x}{number:016x}"),
        "_etag": f"{number:020x}{age:020x}",
        "_created": datetime.fromtimestamp(created, UTC),
        "_updated": datetime.fromtimestamp(created + age, UTC),
        "cjv": number / 7,
        "bids_meta": {"modality": "T1w", "EchoTime": 0.00207},
        **values,
    }


def bson_of(documents: Iterable[Document]) -> bytes:
    """As ``mongodump`` writes them."""
    return b"".join(map(bson.encode, documents))


def _version_1(value: Any) -> Any:
    """Strict mode of version 1, as ``mongoexport`` of MongoDB 2 and 3 writes it: dates with an offset."""
    if isinstance(value, dict):
        return {key: _version_1(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_version_1(item) for item in value]
    if isinstance(value, datetime):
        return {"$date": value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}+0000"}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**31:
        return {"$numberLong": str(value)}
    return {"$oid": str(value)} if isinstance(value, ObjectId) else value


def dialects(document: Document) -> dict[str, bytes]:
    """A document in every dialect of extended JSON, without line ends."""
    dates = json_util.DatetimeRepresentation
    version_1 = json_util.JSONOptions(
        json_mode=json_util.JSONMode.LEGACY, datetime_representation=dates.LEGACY, tz_aware=True
    )
    texts = {
        "canonical": json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS),
        "relaxed": json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS),
        "version 1, dates as numbers": json_util.dumps(document, json_options=version_1),
        "version 1": json.dumps(_version_1(document), default=json_util.default),
        "without blanks": json_util.dumps(
            document, json_options=json_util.CANONICAL_JSON_OPTIONS, separators=(",", ":")
        ),
        "over lines": json_util.dumps(
            document, json_options=json_util.RELAXED_JSON_OPTIONS, indent="\t", ensure_ascii=False
        ),
    }
    return {name: text.encode() for name, text in texts.items()}


def lines_of(documents: Iterable[Document], dialect: str = "relaxed") -> bytes:
    """As ``mongoexport`` writes them, one a line."""
    return b"".join(dialects(document)[dialect] + b"\n" for document in documents)


def compressed(content: bytes, suffix: str) -> bytes:
    """``content`` as a file whose name ends in ``suffix``."""
    if suffix.endswith(".gz"):
        return gzip.compress(content, 1, mtime=0)
    return zstandard.compress(content, 1) if suffix.endswith(".zst") else content


def run_import(
    path: Path, *files: Path, resource: str | None = None, problems: list[Problem] | None = None
) -> ImportReport:
    """Import files into the store at ``path``."""
    store = RecordStore(path)

    def on_problem(_: object, problem: Problem) -> None:
        if problems is not None:
            problems.append(problem)

    with store.lock():
        return import_dumps(store, find_dumps(list(files), resource), on_problem=on_problem)


def stored(path: Path, resource: str = "T1w") -> dict[str, tuple[str, bytes]]:
    """Etag and document of the newest version of every record, live or not."""
    newest: dict[str, tuple[str, bytes]] = {}
    for part in RecordStore(path).parts(resource):
        rows = part.documents()
        columns = [rows.column(name).to_pylist() for name in ("record_id", "etag", "document")]
        newest |= {record_id: (etag, document) for record_id, etag, document in zip(*columns, strict=True)}
    return newest


def versions(path: Path, resource: str = "T1w") -> int:
    """How many documents the store holds, older versions counted."""
    return sum(part.manifest["documents"] for part in RecordStore(path).parts(resource))


def ids_of(documents: Sequence[Document]) -> list[str]:
    """Ids of documents of the database."""
    return [str(document["_id"]) for document in documents]
