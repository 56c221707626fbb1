"""Documents for tests of curation: stores made of them, and a second opinion on what is published of them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.store import Record, RecordStore
from schemas import Column, Table, table
from schemas.dictionary import Resource

ENVELOPE = {"_id", "_etag", "_created", "_updated", "_links"}


def moment(seconds: int) -> str:
    """A time as the service writes it."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def valid(resource: Resource, md5sum: str = "0" * 32, /, **values: Any) -> dict[str, Any]:
    """The least that passes every hard rule of a resource, then ``values``: columns by name to what they hold."""
    document: dict[str, Any] = {}
    columns = {column.name: column for column in table(resource).columns}
    sound = {column.name: _sound(column) for column in columns.values() if column.required}
    sound[table(resource).checksum.name] = md5sum
    for name, value in (sound | values).items():
        level = document
        for key in columns[name].path[:-1]:
            level = level.setdefault(key, {})
        level[columns[name].path[-1]] = value
    return document


def _sound(column: Column) -> Any:
    if column.accept is not None and column.accept.values:
        return column.accept.values[0]
    if column.type == "text":
        return "a" * 64 if column.personal else "0.14.2"
    low, high = column.plausible or column.hard or (1, 1)
    value = (low or 0) if high is None else high if low is None else (low + high) / 2
    return int(value) if column.type == "integer" else float(value)


def record(document: dict[str, Any] | bytes, **keys: str) -> Record:
    """A document as the pull hands it to the store; the keys are the document's own unless given."""
    own = document if isinstance(document, dict) else {}
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    found = {name: own.get(f"_{name}", "") for name in ("id", "etag", "created", "updated")} | keys
    texts = {name: value if isinstance(value, str) else "" for name, value in found.items()}
    return Record(**texts, document=content)


def seal(store: RecordStore, resource: str, sequence: int, records: Iterable[Record]) -> None:
    """Seal one part."""
    writer = store.writer(resource, sequence, {"kind": "test"})
    writer.add([(one, True) for one in records])
    writer.seal()


def store_of(path: Path, records: dict[str, list[Record]], part: int = 1_000) -> RecordStore:
    """A store of one run, ``part`` records a part."""
    store = RecordStore(path)
    for resource, found in records.items():
        for start in range(0, len(found), part):
            seal(store, resource, 1, found[start : start + part])
    return store


# --- the second opinion --------------------------------------------------------------------------------------


def exact(text: str | bytes) -> Any:
    """JSON with every number as it was written: integers, the 64 bits of doubles, the text of what is beyond."""
    return json.loads(text, parse_float=_bits, parse_constant=_bits)


def _bits(text: str) -> tuple[str, str]:
    number = float(text)
    if math.isinf(number) and "inf" not in text.lower():
        return ("beyond", text)
    return ("double", struct.pack("<d", number).hex() if not math.isnan(number) else "nan")


def lost(
    table: Table, document: str | bytes, row: dict[str, Any], personal: frozenset[str] = frozenset()
) -> list[str]:
    """Places of a document whose value is neither in its column of ``row`` nor under its key in an extra column.

    Personal columns, and keys that are ``personal``, are left out.
    """
    received = exact(document)
    extra = exact(row["extra"]) if row["extra"] is not None else {}
    meta_extra = row.get("bids_meta_extra")
    if meta_extra is not None:
        extra["bids_meta"] = exact(meta_extra)
    columns = {column.path: column for column in table.columns}
    prefixes = {path[:n] for path in columns for n in range(1, len(path))}

    def walk(value: Any, rest: Any, path: tuple[str, ...]) -> Iterable[str]:
        for key, item in value.items():
            here = (*path, key)
            there = rest.get(key, ...) if isinstance(rest, dict) else ...
            if (len(here) == 1 and key in ENVELOPE) or key in personal:
                continue
            if here in columns:
                column = columns[here]
                if column.personal or item is None:
                    continue
                cell = row["md5sum" if column is table.checksum and "md5sum" in row else column.name]
                if not (_holds(column.type, cell, item) if cell is not None else item == there):
                    yield ".".join(here)
            elif here in prefixes and isinstance(item, dict) and item:
                yield from walk(item, there, here)
            elif item != there and not (here in prefixes and item is None):
                yield ".".join(here)

    return list(walk(received, extra, ()))


def _holds(kind: str, cell: Any, item: Any) -> bool:
    double = isinstance(item, tuple) and item[0] == "double"
    if kind == "boolean":
        return item is cell or (isinstance(item, str) and item.lower() == str(cell).lower())
    if kind in ("number", "integer") and isinstance(item, str):
        return _bits(repr(float(item))) == _bits(repr(float(cell)))
    if kind == "number":
        if double:
            return item == _bits(repr(cell))
        return type(item) is int and item == cell and int(cell) == item
    if kind == "integer":
        return item == _bits(repr(float(cell))) if double else type(item) is int and item == cell
    if isinstance(item, str):
        return item == cell
    return isinstance(item, list | int | tuple) and item is not True and exact(cell) == item


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as dicts."""
    return table.to_pylist()
