"""Stage 2, flatten: documents to typed columns, whose number and order never depend on the documents.

A value that its column cannot hold without loss stays as received: under its key, in ``bids_meta_extra`` or
``extra``, as canonical JSON, where undeclared keys are too. So does a text that a spreadsheet would take for a formula:
JSON starts with a brace, and no published cell is a formula. ``null`` under a declared key is a missing value. Numbers
and booleans written as text, and whole numbers of either type, are read as declared, and every such reading is noted.
Personal data stay behind here (see :mod:`curation.personal`).

What a declared column was sent as, where that is not what its cell holds, goes along as an :class:`Aside`: repairs
work on these, without reading documents again.

What keeps a record out of the tables and can be seen here only is a fault: a document that cannot be read as one value
a key, and a value of another type in a strict column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyarrow as pa

from curation.flatten.cells import MISFIT, READERS, could_be_formula
from curation.flatten.dates import read_moment, read_rfc_1123
from curation.flatten.documents import UnreadableDocument, canonical_json, parse_document
from curation.flatten.usual import read_usual
from curation.personal import Scrubber
from curation.personal_keys import normal_key
from curation.pseudonyms import Pseudonyms
from schemas import Column, Table
from schemas.dictionary import Resource
from schemas.published import published_columns
from schemas.spellings import meant_column

UNREADABLE = "unreadable"
SET_ASIDE = "set aside"
FORMULA = "possible formula"
OTHER_KEY, AS_TEXT = "other key", "as text"
# Documents whose cells are Python objects at a time: some twenty times as large as on disk.
SLICE_ROWS = 1_000
_JSON_TYPES: dict[type, str] = {
    str: "text", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object",
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A hard rule that a record breaks.

    Attributes:
        column: as in the typed columns; ``None`` for the whole document.
        rule: its name.
        found: what is there instead; never a text of the sender.
    """

    column: str | None
    rule: str
    found: str | None = None


@dataclass(frozen=True)
class Aside:
    """What was received for a column, where that is not what its cell holds.

    Attributes:
        column: its name.
        key: the key it stood under, within ``bids_meta`` or where else the column is from.
        why: :data:`OTHER_KEY` (a misspelling of the column's), :data:`UNREADABLE` (its cell cannot hold the value),
            :data:`FORMULA`, or :data:`AS_TEXT` (a number or boolean in text, which the cell does hold).
        value: the value, as canonical JSON without personal data.
    """

    column: str
    key: str
    why: str
    value: str


@dataclass
class Flattened:
    """Columns of some documents, a row a document.

    Attributes:
        table: the published columns of the dictionary, the extra ones included.
        faults: what was found on the way, for every document.
        withheld: by rule and place, what was withheld or changed as personal.
        readings: by type and place, what was read as another type than it was sent as, or set aside.
        asides: what was received for columns otherwise than their cells hold it, for every document.
        moments: ``_created`` and ``_updated``, in seconds since 1970, where they can be read.
    """

    table: pa.Table
    faults: list[list[Fault]] = field(default_factory=list)
    withheld: list[list[str]] = field(default_factory=list)
    readings: list[list[str]] = field(default_factory=list)
    asides: list[list[Aside]] = field(default_factory=list)
    moments: list[tuple[int | None, int | None]] = field(default_factory=list)


def flat_schema(table: Table) -> pa.Schema:
    """The Arrow schema of :attr:`Flattened.table`; ``bids_meta_extra`` follows the ``bids_meta`` columns."""
    return _schema(table.resource)


@cache
def _schema(resource: Resource) -> pa.Schema:
    return pa.schema([column.arrow for column in published_columns(resource)])


def flatten(table: Table, documents: Sequence[bytes], pseudonyms: Pseudonyms | None = None) -> Flattened:
    """Turn documents (JSON objects as received) into columns.

    Args:
        table: their columns.
        documents: as received.
        pseudonyms: what names of raters and serial numbers become; without, their columns stay empty.
    """
    flattener = _Flattener(table, pseudonyms)
    schema = flat_schema(table)
    made = Flattened(schema.empty_table())
    tables = [made.table]
    for start in range(0, len(documents), SLICE_ROWS):
        usual = read_usual(table.resource, documents[start : start + SLICE_ROWS], pseudonyms)
        columns: list[list[Any] | None] = [usual.cells.get(name) for name in schema.names]
        for place in sorted(usual.others):
            for number, cell in enumerate(flattener.row(usual.documents[place])):
                column = columns[number]
                if column is not None:
                    column[place] = cell
                elif cell is not None:
                    columns[number] = _only(cell, place, len(usual.documents))
            usual.faults[place], usual.withheld[place] = flattener.faults, flattener.withheld
            usual.readings[place], usual.asides[place] = flattener.readings, flattener.asides
            usual.moments[place] = flattener.moments
        tables.append(_as_table(columns, schema, len(usual.documents)))
        made.faults += usual.faults
        made.withheld += usual.withheld
        made.readings += usual.readings
        made.asides += usual.asides
        made.moments += usual.moments
    made.table = pa.concat_tables(tables).combine_chunks()
    return made


def _only(cell: Any, place: int, size: int) -> list[Any]:
    """A column with one cell."""
    column = [None] * size
    column[place] = cell
    return column


def _as_table(columns: Sequence[list[Any] | None], schema: pa.Schema, size: int) -> pa.Table:
    arrays = [
        pa.nulls(size, kind.type) if column is None else pa.array(column, kind.type)
        for column, kind in zip(columns, schema, strict=True)
    ]
    return pa.table(arrays, schema=schema)


class _Flattener:
    def __init__(self, table: Table, pseudonyms: Pseudonyms | None) -> None:
        self._pseudonyms = pseudonyms
        schema = flat_schema(table)
        self._resource = table.resource
        self._width = len(schema)
        self._meta_extra = schema.get_field_index("bids_meta_extra")
        self._extra = schema.get_field_index("extra")
        self.faults: list[Fault] = []
        self.readings: list[str] = []
        self.asides: list[Aside] = []
        self.moments: tuple[int | None, int | None] = (None, None)
        # Beside what is personal everywhere: the names of raters.
        hidden = {normal_key(c.path[-1]) for c in table.columns if c.personal in ("dropped", "rater")}
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
                READERS[column.type],
                plain,
            )

    @property
    def withheld(self) -> list[str]:
        """What was withheld from the document read last."""
        return self._scrubber.found

    def row(self, document: bytes) -> list[Any]:
        """The cells of one document."""
        self._scrubber.begin()
        row = self._row(document)
        known = self._scrubber.repeated([*row, *(aside.value for aside in self.asides)])
        if known:
            # A text repeats what stands under a key that is withheld or hashed.
            self._scrubber.begin(known)
            row = self._row(document)
        return row

    def _row(self, document: bytes) -> list[Any]:
        self.faults, self.readings, self.asides, self.moments = [], [], [], (None, None)
        row: list[Any] = [None] * self._width
        try:
            parsed = parse_document(document)
        except UnreadableDocument as error:
            self.faults.append(Fault(None, str(error)))
            return row
        self.moments = (read_moment(parsed.get("_created")), read_moment(parsed.get("_updated")))
        rest = _without_envelope(self._place(self._tree, parsed, row))
        meta = rest.get("bids_meta")
        if self._meta_extra >= 0 and type(meta) is dict:
            del rest["bids_meta"]
            self._note_other_keys(meta)
            row[self._meta_extra] = self._extra_text(meta, "bids_meta_extra", parsed["bids_meta"])
        if rest:
            row[self._extra] = self._extra_text(rest, "extra", rest)
        return row

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
        if column.personal == "sha256":
            row[index] = self._scrubber.id(value, column.name)
            return
        if column.personal is not None:
            rule = "removed" if column.personal == "dropped" else column.personal
            self._scrubber.found.append(f"{rule} in {column.name}")
            self._scrubber.learn(key, value)
            if column.personal != "dropped" and self._pseudonyms is not None:
                text = value if type(value) is str else canonical_json(value)
                row[index] = self._pseudonyms.of(column.personal, text) if text.strip() else None
            return
        kind = _JSON_TYPES.get(type(value), "number")
        if column.lists and kind == "array":
            cell = canonical_json(self._scrubber.tree(value, column.name))
        else:
            cell = read(value)
        if cell is MISFIT:
            rest[key] = value
            self._cannot_hold(column, kind)
            self._note(column.name, key, UNREADABLE, value)
            return
        if type(cell) is str:
            if could_be_formula(cell):
                rest[key] = value
                self.readings.append(f"{FORMULA} {SET_ASIDE} from {column.name}")
                self._note(column.name, key, FORMULA, value)
                if column.required:
                    self.faults.append(Fault(column.name, UNREADABLE, "formula"))
                return
            cell = self._scrubber.text(cell, column.name)
        row[index] = cell
        # JSON has one type of numbers.
        if kind != column.type and (kind, column.type) != ("integer", "number"):
            self.readings.append(f"{kind} read as {column.type} in {column.name}")
            if kind == "text":
                # The cell holds it as a number or truth value; its digits are not searched.
                self.asides.append(Aside(column.name, key, AS_TEXT, canonical_json(value)))

    def _note(self, column: str, key: str, why: str, value: Any) -> None:
        counted = len(self._scrubber.found)
        self.asides.append(Aside(column, key, why, canonical_json(self._scrubber.tree(value, column))))
        # What is personal in it is counted where the value itself is dealt with.
        del self._scrubber.found[counted:]

    def _note_other_keys(self, meta: dict[str, Any]) -> None:
        for key, value in meta.items():
            if value is not None and (column := meant_column(self._resource, key)) is not None:
                self._note(column, key, OTHER_KEY, value)

    def _cannot_hold(self, column: Column, kind: str) -> None:
        if column.strict:
            self.faults.append(Fault(column.name, UNREADABLE, kind))
        else:
            self.readings.append(f"{kind} {SET_ASIDE} from {column.name}")

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
        if value is None or (type(value) is str and read_rfc_1123(value) is not None):
            rest.pop(key, None)
    return rest
