"""Stage 2, flatten: documents to typed columns, whose number and order never depend on the documents.

A value that its column cannot hold without loss stays as received: under its key, in ``bids_meta_extra`` or
``extra``, as canonical JSON, where undeclared keys are too. ``null`` under a declared key is a missing value. Personal
data stay behind here (see :mod:`curation.personal`). A document that cannot be read as one value a key gets a fault
instead of columns: it will be quarantined.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa

from curation.personal import Scrubber, normal_key
from schemas import Column, Table

EXTRA_COLUMNS = ("bids_meta_extra", "extra")
NOT_JSON = "document is no JSON object"
KEY_TWICE = "document has a key twice"
TOO_DEEP = "document is nested too deeply"
CHECKSUM_MALFORMED = "checksum malformed"

MAX_DEPTH = 100
"""Levels of nesting MongoDB stores; https://www.mongodb.com/docs/manual/reference/limits/#bson-documents"""

_EXACT = 2**53
"""Integers up to here are doubles (IEEE 754, binary64)."""
_SUSPECT = 2**63
"""orjson makes floats of integers beyond 64 bits."""
_DIGITS = 4000
"""Python refuses to read integers of more than 4,300 digits."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RFC_1123 = re.compile(r"(\w{3}), ([0-9]{2}) (\w{3}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT\Z")
_STRING_OR_PLUS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\+(?=Infinity)', re.DOTALL)


class UnreadableDocument(ValueError):
    """A document cannot be read without loss; the message says why and quotes nothing of it."""


class _Misfit:
    """Says that a column cannot hold a value."""


_MISFIT = _Misfit()


@dataclass(frozen=True)
class _Beyond:
    """A number as it was written, which no double and no integer of Python's holds: ``1e400``."""

    text: str


@dataclass
class Flattened:
    """Columns of some documents, a row a document.

    Attributes:
        table: the published columns of the dictionary, and those of ``EXTRA_COLUMNS`` that the table has.
        faults: why a document is unusable, ``None`` where it is not.
        withheld: by rule and place, what was withheld or changed as personal.
    """

    table: pa.Table
    faults: list[str | None]
    withheld: list[list[str]]


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
    """Turn documents (JSON objects as received) into columns."""
    flattener = _Flattener(table)
    rows, faults, withheld = [], [], []
    for document in documents:
        row, fault, found = flattener.row(document)
        rows.append(row)
        faults.append(fault)
        withheld.append(found)
    schema = flat_schema(table)
    values = zip(*rows, strict=True) if rows else [[] for _ in schema]
    arrays = [pa.array(column, kind.type) for column, kind in zip(values, schema, strict=True)]
    return Flattened(pa.table(arrays, schema=schema), faults, withheld)


class _Flattener:
    def __init__(self, table: Table) -> None:
        schema = flat_schema(table)
        self._width = len(schema)
        self._meta_extra = schema.get_field_index("bids_meta_extra")
        self._extra = schema.get_field_index("extra")
        self._checksum = table.checksum
        self._fault: str | None = None
        # Beside what is personal everywhere: the names of raters.
        hidden = {normal_key(c.path[-1]) for c in table.columns if c.personal in ("dropped", "withheld")}
        self._scrubber = Scrubber(frozenset(hidden), canonical_json)
        self._tree: dict[str, Any] = {}
        for column in table.columns:
            level = self._tree
            for key in column.path[:-1]:
                level = level.setdefault(key, {})
            plain = column.type == "number" and column.personal is None
            level[column.path[-1]] = (
                column,
                schema.get_field_index(column.name),
                _READERS[column.type],
                plain,
            )

    def row(self, document: bytes) -> tuple[list[Any], str | None, list[str]]:
        """The cells of one document, why it is unusable, and what was withheld from it."""
        self._scrubber.found = []
        self._fault = None
        row: list[Any] = [None] * self._width
        try:
            parsed = parse_document(document)
        except UnreadableDocument as error:
            return row, str(error), []
        rest = _without_envelope(self._place(self._tree, parsed, row))
        meta = rest.get("bids_meta")
        if self._meta_extra >= 0 and type(meta) is dict:
            del rest["bids_meta"]
            row[self._meta_extra] = self._extra_text(meta, "bids_meta_extra", parsed["bids_meta"])
        if rest:
            row[self._extra] = self._extra_text(rest, "extra", rest)
        return row, self._fault, self._scrubber.found

    def _place(self, level: dict[str, Any], values: dict[str, Any], row: list[Any]) -> dict[str, Any]:
        """Put declared values into ``row``; returns what found no place."""
        rest: dict[str, Any] = {}
        for key, value in values.items():
            known = level.get(key)
            if known is None:
                rest[key] = value
            elif value is None:
                continue
            elif type(known) is tuple:
                if known[3] and type(value) is float:  # most values of most documents
                    row[known[1]] = value
                else:
                    self._read(known, key, value, row, rest)
            elif type(value) is dict and value:
                below = self._place(known, value, row)
                if below:
                    rest[key] = below
            else:
                rest[key] = value
        return rest

    def _read(self, known: tuple, key: str, value: Any, row: list[Any], rest: dict[str, Any]) -> None:
        column, index, read, _ = known
        if column.personal is None:
            if column.lists and type(value) is list:
                row[index] = canonical_json(self._scrubber.tree(value, column.name))
                return
            cell = read(value)
            if cell is not _MISFIT:
                row[index] = self._scrubber.text(cell, column.name) if type(cell) is str else cell
                return
            rest[key] = value
            if column is self._checksum:
                self._fault = CHECKSUM_MALFORMED
        elif column.personal == "sha256":
            row[index] = self._scrubber.id(value, column.name)
        else:
            self._scrubber.found.append(f"{column.personal} {column.name}")

    def _extra_text(self, rest: dict[str, Any], where: str, received: dict[str, Any]) -> str | None:
        """Canonical JSON; nothing where all was personal, ``{}`` only where an empty object was received."""
        rest = self._scrubber.tree(rest, where)
        return canonical_json(rest) if rest or not received else None


def _without_envelope(rest: dict[str, Any]) -> dict[str, Any]:
    """Drop what the service adds to a document, where the ledger says the same."""
    rest.pop("_links", None)
    for key in ("_id", "_etag"):
        if type(rest.get(key)) in (str, type(None)):
            rest.pop(key, None)
    for key in ("_created", "_updated"):
        value = rest.get(key)
        if value is None or (type(value) is str and is_rfc_1123(value)):
            rest.pop(key, None)
    return rest


@lru_cache(maxsize=4096)
def is_rfc_1123(text: str) -> bool:
    """Whether a text is a moment exactly as the service writes it: ``Thu, 24 Aug 2017 21:58:35 GMT``."""
    match = _RFC_1123.match(text)
    if match is None or match[3] not in _MONTHS:
        return False
    month = _MONTHS.index(match[3]) + 1
    try:
        moment = datetime(int(match[4]), month, int(match[2]), int(match[5]), int(match[6]), int(match[7]))
    except ValueError:
        return False
    return _DAYS[moment.weekday()] == match[1]


# --- reading JSON ------------------------------------------------------------------------------------------


def parse_document(document: bytes) -> dict[str, Any]:
    """Parse one JSON object, non-finite tokens included.

    Raises:
        UnreadableDocument: it is not one, has a key twice in one object, or is nested deeper than MongoDB stores.
    """
    try:
        parsed = orjson.loads(document)
    except orjson.JSONDecodeError:
        parsed = None
    # A key that comes twice is seen by counting: orjson keeps the last. Every key ends in '":' as long as no blank
    # comes before a colon; texts that hold either only cost the slower way.
    if (
        type(parsed) is not dict
        or _count_keys(parsed, 1) != document.count(b'":')
        or any(blank in document for blank in (b" :", b"\n:", b"\r:", b"\t:"))
    ):
        parsed = _parse_carefully(document)
        if type(parsed) is not dict:
            raise UnreadableDocument(NOT_JSON)
        _count_keys(parsed, 1)
    return parsed


def _count_keys(value: Any, depth: int) -> int:
    """Keys in an object or array and all below; negative where a number may not be the one that was written.

    Raises:
        UnreadableDocument: it is nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise UnreadableDocument(TOO_DEEP)
    if type(value) is dict:
        count, items = len(value), value.values()
    else:
        count, items = 0, value
    for item in items:
        kind = type(item)
        if kind is float:
            if not -_SUSPECT < item < _SUSPECT:
                count -= 1 << 60
        elif kind is dict or kind is list:
            count += _count_keys(item, depth + 1)
    return count


def _parse_carefully(document: bytes) -> Any:
    """Parse with the standard library, which reads NaN and Infinity and can be told of every number and pair."""
    try:
        text = document.decode()
        if "+Infinity" in text:  # of older exports
            text = _STRING_OR_PLUS.sub(lambda match: "" if match[0] == "+" else match[0], text)
        return json.loads(
            text, parse_float=_read_float, parse_int=_read_int, object_pairs_hook=_object_of_pairs
        )
    except UnreadableDocument:
        raise
    except RecursionError:
        raise UnreadableDocument(TOO_DEEP) from None
    except ValueError:
        # Without its cause, which holds the document.
        raise UnreadableDocument(NOT_JSON) from None


def _read_float(text: str) -> float | _Beyond:
    number = float(text)
    return _Beyond(text) if math.isinf(number) else number


def _read_int(text: str) -> int | _Beyond:
    return int(text) if len(text) <= _DIGITS else _Beyond(text)


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise UnreadableDocument(KEY_TWICE)
    return made


# --- writing JSON ------------------------------------------------------------------------------------------

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_encode_ascii = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no blanks and the shortest numbers; non-finite ones as the service sends them."""
    try:
        text = _encode(value)
    except TypeError:
        return _canonical_around_beyond(value)
    return text if text.isascii() or _is_utf8(text) else _encode_ascii(value)


def _canonical_around_beyond(value: Any) -> str:
    if type(value) is _Beyond:
        return value.text
    if type(value) is dict:
        pairs = (f"{canonical_json(key)}:{canonical_json(value[key])}" for key in sorted(value))
        return "{" + ",".join(pairs) + "}"
    return "[" + ",".join(map(canonical_json, value)) + "]"


def _is_utf8(text: str) -> bool:
    """Whether a text can be written: JSON's escapes can make half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- what a column holds -----------------------------------------------------------------------------------


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
    # Beyond doubles pandas would round them as soon as a value of the column is missing.
    if type(value) is int and abs(value) <= _EXACT:
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
