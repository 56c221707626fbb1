"""Stage 2, flatten: documents to typed columns, whose number and order never depend on the documents.

A value that its column cannot hold without loss stays as received: under its key, in ``bids_meta_extra`` or
``extra``, as canonical JSON, where undeclared keys are too. Personal data stay behind here (see
:mod:`curation.personal`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from curation import personal
from schemas import Column, Table

_ENVELOPE = frozenset({"_id", "_etag", "_created", "_updated", "_links"})
"""Keys the service adds to a document; the store keeps the first four beside it."""

_EXACT = 2**53
"""Integers up to here are doubles (IEEE 754, binary64)."""
_INT64 = 2**63

EXTRA_COLUMNS = ("bids_meta_extra", "extra")


class _Misfit:
    """Says that a column cannot hold a value."""


_MISFIT = _Misfit()


class _Overflow(str):
    """The text of a number too large for a double, such as ``1e400``: no column takes it."""


@dataclass
class Flattened:
    """Columns of some documents.

    Attributes:
        table: one row a document: the published columns of the dictionary, then those of ``EXTRA_COLUMNS`` that
            the table has.
        misfits: by column, values that stayed in an extra column.
        scrubbed: by rule and place, values withheld or changed as personal.
    """

    table: pa.Table
    misfits: Counter[str] = field(default_factory=Counter)
    scrubbed: Counter[str] = field(default_factory=Counter)


def published_columns(table: Table) -> list[Column]:
    """The declared columns that are published (empty ones included), in dictionary order, checksum first."""
    columns = [column for column in table.columns if column.personal != "dropped"]
    return sorted(columns, key=lambda column: column is not table.checksum)


def flat_schema(table: Table) -> pa.Schema:
    """The Arrow schema of :attr:`Flattened.table`; ``bids_meta_extra`` follows the ``bids_meta`` columns."""
    columns = published_columns(table)
    fields = [column.arrow for column in columns]
    places = [i for i, column in enumerate(columns) if column.path[0] == "bids_meta"]
    if places:
        fields.insert(places[-1] + 1, pa.field("bids_meta_extra", pa.string()))
    return pa.schema([*fields, pa.field("extra", pa.string())])


def flatten(table: Table, documents: Sequence[bytes]) -> Flattened:
    """Turn documents (JSON objects as received) into columns.

    Raises:
        ValueError: a document is no JSON object; the store seals none that is not.
    """
    flattener = _Flattener(table)
    rows = [flattener.row(parse_document(document)) for document in documents]
    schema = flat_schema(table)
    values = zip(*rows, strict=True) if rows else [[] for _ in schema]
    arrays = [pa.array(column, kind.type) for column, kind in zip(values, schema, strict=True)]
    return Flattened(pa.table(arrays, schema=schema), flattener.misfits, flattener.scrubbed)


class _Flattener:
    def __init__(self, table: Table) -> None:
        self.misfits: Counter[str] = Counter()
        self.scrubbed: Counter[str] = Counter()
        schema = flat_schema(table)
        self._width = len(schema)
        self._meta_extra = schema.get_field_index("bids_meta_extra")
        self._extra = schema.get_field_index("extra")
        self._tree: dict[str, Any] = {}
        for column in table.columns:
            level = self._tree
            for key in column.path[:-1]:
                level = level.setdefault(key, {})
            level[column.path[-1]] = (column, schema.get_field_index(column.name), _READERS[column.type])

    def row(self, document: dict[str, Any]) -> list[Any]:
        row: list[Any] = [None] * self._width
        rest = self._place(self._tree, document, row)
        for key in _ENVELOPE:
            rest.pop(key, None)
        if self._meta_extra >= 0 and isinstance(rest.get("bids_meta"), dict):
            row[self._meta_extra] = self._extra_text(rest.pop("bids_meta"), "bids_meta_extra")
        row[self._extra] = self._extra_text(rest, "extra")
        return row

    def _place(self, level: dict[str, Any], values: dict[str, Any], row: list[Any]) -> dict[str, Any]:
        """Put declared values into ``row``; returns what found no place."""
        rest: dict[str, Any] = {}
        for key, value in values.items():
            known = level.get(key)
            if known is None:
                rest[key] = value
            elif type(known) is dict:
                if isinstance(value, dict):
                    below = self._place(known, value, row)
                    if below:
                        rest[key] = below
                elif value is not None:
                    rest[key] = value
            elif value is not None:
                self._read(known, key, value, row, rest)
        return rest

    def _read(self, known: tuple, key: str, value: Any, row: list[Any], rest: dict[str, Any]) -> None:
        column, index, read = known
        if column.personal in ("dropped", "withheld"):
            self.scrubbed[f"{column.personal} {column.name}"] += 1
            return
        cell = canonical_json(value) if column.lists and type(value) is list else read(value)
        if cell is _MISFIT:
            self.misfits[column.name] += 1
            rest[key] = value if column.personal is None else personal.hash_id(canonical_json(value))
        elif column.personal == "sha256":
            row[index] = personal.hash_id(cell)
            if row[index] != cell:
                self.scrubbed[f"hashed {column.name}"] += 1
        else:
            row[index] = personal.scrub_text(cell, column.name, self.scrubbed) if type(cell) is str else cell

    def _extra_text(self, rest: dict[str, Any], where: str) -> str | None:
        rest = personal.scrub_tree(rest, where, self.scrubbed)
        return canonical_json(rest) if rest else None


def parse_document(document: bytes) -> dict[str, Any]:
    """Parse one JSON object, non-finite tokens included; numbers too large for a double stay text.

    Raises:
        ValueError: it is not one.
    """
    try:
        parsed = orjson.loads(document)
        overflow = _has_infinity(parsed)
    except orjson.JSONDecodeError:
        overflow = True
    if overflow:
        # orjson refuses NaN and Infinity and reads 1e400 as infinity; so here an infinity is an overflow.
        parsed = json.loads(document, parse_float=_float_or_overflow)
    if not isinstance(parsed, dict):
        raise ValueError(f"a document is a JSON object, found {type(parsed).__name__}")
    return parsed


def _float_or_overflow(text: str) -> float | _Overflow:
    number = float(text)
    return _Overflow(text) if math.isinf(number) else number


def _has_infinity(value: Any) -> bool:
    if type(value) is float:
        return math.isinf(value)
    if type(value) is dict:
        return any(_has_infinity(item) for item in value.values() if type(item) in (float, dict, list))
    if type(value) is list:
        return any(_has_infinity(item) for item in value if type(item) in (float, dict, list))
    return False


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no blanks and the shortest numbers; non-finite ones as the service sends them."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not _is_utf8(text):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text


def _is_utf8(text: str) -> bool:
    """Whether a text can be written: JSON's escapes can make half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_number(value: Any) -> float | _Misfit:
    if type(value) is float:
        return value
    if type(value) is int and (abs(value) <= _EXACT or _is_double(value)):
        return float(value)
    return _MISFIT


def _is_double(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _read_integer(value: Any) -> int | _Misfit:
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    # -0.0 has a sign that an integer has not.
    if type(value) is float and value.is_integer() and abs(value) <= _EXACT and str(value) != "-0.0":
        return int(value)
    return _MISFIT


def _read_text(value: Any) -> str | _Misfit:
    if type(value) is str:
        return value if value.isascii() or _is_utf8(value) else _MISFIT
    if type(value) in (int, float):
        return canonical_json(value)
    return _MISFIT


def _read_boolean(value: Any) -> bool | _Misfit:
    return value if type(value) is bool else _MISFIT


_READERS: dict[str, Callable[[Any], Any]] = {
    "number": _read_number,
    "integer": _read_integer,
    "text": _read_text,
    "boolean": _read_boolean,
}
