"""Reads usual documents, many at a time and column by column: those in which nothing is misfit or misspelled, and
nothing personal stands where it is not expected.

What is made of them is what :mod:`curation.flatten.flatten` makes of each alone (a test compares), which also reads
all others. Most documents are usual, and most of a document is numbers: taken a column at a time, they cost a third.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from curation.flatten.cells import EXACT, could_be_formula
from curation.flatten.dates import read_rfc_1123
from curation.flatten.documents import (
    UnreadableDocument,
    canonical_json,
    count_colons,
    has_escapes,
)
from curation.free_text import is_hash, scrub, unescaped
from curation.personal import Scrubber, anchor, hash_id, is_hashed_id
from curation.personal_keys import judged, tells_release
from curation.pseudonyms import Pseudonyms
from schemas import Column, table
from schemas.dictionary import Resource
from schemas.spellings import meant_column

if TYPE_CHECKING:
    from curation.flatten.flatten import Aside, Fault

META = "bids_meta"
MOST_REMEMBERED, LONGEST_REMEMBERED = 50_000, 200
"""Texts that are remembered to be harmless, and their characters at the most: a few are sent by almost every record."""
_ENVELOPE = frozenset({"_id", "_etag", "_created", "_updated", "_links"})


@dataclass
class Usual:
    """What was made of some documents.

    Attributes:
        documents: as received.
        others: the places of those that were not read; their cells are missing.
        cells: by column, a cell a document; a column that nothing was received for may be missing.
        faults, withheld, readings, asides, moments: as :class:`curation.flatten.flatten.Flattened` has them.
    """

    documents: Sequence[bytes]
    others: set[int] = field(default_factory=set)
    cells: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = len(self.documents)
        # One list each that stays empty: who has something to say puts another in its place.
        self.faults: list[list[Fault]] = [[]] * size
        self.withheld: list[list[str]] = [[]] * size
        self.readings: list[list[str]] = [[]] * size
        self.asides: list[list[Aside]] = [[]] * size
        self.moments: list[tuple[int | None, int | None]] = [(None, None)] * size


@dataclass(frozen=True)
class _Level:
    """An object within documents: what is declared in it.

    Attributes:
        path: its keys.
        columns: the columns of its values, by key; personal: those of what is personal.
        inside: the objects in it, by key.
        known: all keys that are usual in it.
    """

    path: tuple[str, ...]
    columns: dict[str, Column]
    personal: dict[str, Column]
    inside: dict[str, _Level]
    known: frozenset[str]

    def all_inside(self) -> Iterator[_Level]:
        """The objects in it, and in those."""
        for level in self.inside.values():
            yield level
            yield from level.all_inside()


@cache
def _levels(resource: Resource) -> _Level:
    return _level(table(resource).columns, ())


def _level(every: Sequence[Column], path: tuple[str, ...]) -> _Level:
    size = len(path)
    below = [column for column in every if column.path[:size] == path]
    columns = {column.path[-1]: column for column in below if len(column.path) == size + 1}
    keys = sorted({column.path[size] for column in below if len(column.path) > size + 1})
    known = frozenset((*columns, *keys)) | (frozenset() if path else _ENVELOPE)
    personal = {key: column for key, column in columns.items() if column.personal is not None}
    inside = {key: _level(every, (*path, key)) for key in keys}
    return _Level(path, columns, personal, inside, known)


def read_usual(resource: Resource, documents: Sequence[bytes], pseudonyms: Pseudonyms | None = None) -> Usual:
    """Read those of some documents that are usual.

    Args:
        resource: whose records they are; of ratings, which name persons, none is usual.
        documents: as received.
        pseudonyms: what serial numbers become; without, their columns stay empty.
    """
    made = Usual(documents)
    if documents and table(resource).iqms:
        _Reader(resource, made, pseudonyms).read()
    else:
        made.others.update(range(len(documents)))
    for place in made.others:
        made.readings[place], made.withheld[place] = [], []
    return made


@cache
def _decoder(resource: Resource) -> msgspec.json.Decoder[Any]:
    """Decodes documents whose values, but those of objects in them, are of their columns' types; refuses others."""
    top = _levels(resource)
    fields: list[tuple[str, Any, Any]] = [("record_id", str, ""), ("etag", str, "")]
    fields += [("created", str, ""), ("updated", str, ""), ("links", dict | None, None)]
    names = {
        "record_id": "_id",
        "etag": "_etag",
        "created": "_created",
        "updated": "_updated",
        "links": "_links",
    }
    for number, (key, kind) in enumerate(
        [*((key, dict) for key in top.inside), *((k, _TYPES[c.type]) for k, c in top.columns.items())]
    ):
        fields.append((f"f{number}", kind | None, None))
        names[f"f{number}"] = key
    usual = msgspec.defstruct("Usual", fields, rename=names, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(usual)


class _Reader:
    def __init__(self, resource: Resource, made: Usual, pseudonyms: Pseudonyms | None) -> None:
        self._resource = resource
        self._pseudonyms = pseudonyms
        self._made = made
        self._others = made.others
        self._top = _levels(resource)
        self._scrubber = Scrubber(frozenset(), canonical_json)
        self._extras: list[str | None] = []
        # By path and place; what is missing is empty.
        self._objects: dict[tuple[str, ...], list[dict[str, Any]]] = {
            level.path: [] for level in self._top.all_inside()
        }

    def read(self) -> None:
        """Read document by document as much as is quick, then column by column."""
        decode, first = _decoder(self._resource).decode, _ENVELOPE_FIELDS + len(self._top.inside)
        nothing = msgspec.structs.astuple(_decoder(self._resource).decode(b"{}"))
        rows: list[tuple[Any, ...]] = []
        for place, document in enumerate(self._made.documents):
            try:
                values = msgspec.structs.astuple(decode(document))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                values = None
            if values is None or has_escapes(document) or not self._is_usual(place, document, values):
                self._others.add(place)
                values = nothing
            rows.append(values[first:])
            objects = dict(zip(self._top.inside, values[_ENVELOPE_FIELDS:first], strict=True))
            self._extras.append(self._take_objects(place, document, objects, self._top))
        by_column = map(list, zip(*rows, strict=True))
        for column, cells in zip(self._top.columns.values(), by_column, strict=True):
            if column.type == "number":  # the decoder looked
                self._made.cells[column.name] = cells
            else:
                self._read_column(column, cells)
        for level in self._top.all_inside():
            found = self._objects[level.path]
            for key in sorted(frozenset().union(*found) & level.columns.keys()):
                self._read_column(level.columns[key], list(map(dict.get, found, repeat(key))))
        self._made.cells["bids_meta_extra"] = self._extras

    def _read_column(self, column: Column, values: list[Any]) -> None:
        _READERS[column.personal or column.type](self, column, values)
        self._made.cells[column.name] = values

    def _is_usual(self, place: int, document: bytes, values: tuple[Any, ...]) -> bool:
        """Whether a document has no key twice, and what the service adds as it writes it."""
        record_id, etag, created, updated, links, *objects = values[
            : _ENVELOPE_FIELDS + len(self._top.inside)
        ]
        moments = read_rfc_1123(created), read_rfc_1123(updated)
        if (moments[0] is None and created) or (moments[1] is None and updated):
            return False
        self._made.moments[place] = moments
        # Every key has its colon, and numbers have none. What is missing or null is not counted: nulls are not usual.
        colons = len(values) - values.count(None) - values[:4].count("")
        colons += record_id.count(":") + etag.count(":") + created.count(":") + updated.count(":")
        try:
            for inside in (links, *objects):
                if inside is not None:
                    colons += count_colons(inside, 2)
        except UnreadableDocument:
            return False
        return colons == document.count(b":")

    def _take_objects(self, place: int, document: bytes, outer: dict[str, Any], level: _Level) -> str | None:
        """Take the objects within one; returns what is undeclared of acquisition parameters, as JSON."""
        extra = None
        for key, below in level.inside.items():
            inside = outer.get(key)
            if inside is None:
                inside = _NOTHING
            elif type(inside) is not dict or not inside:
                self._others.add(place)
                inside = _NOTHING
            self._objects[below.path].append(inside)
            for name, column in below.personal.items():
                value = inside.get(name)
                if value is not None and self._says_again(document, column, name, value):
                    self._others.add(place)
            if not below.known.issuperset(inside):
                if key == META:
                    extra = self._undeclared(place, inside, below)
                else:
                    self._others.add(place)
            if below.inside:
                self._take_objects(place, document, inside, below)
        return extra

    def _says_again(self, document: bytes, column: Column, key: str, value: Any) -> bool:
        """Whether what is personal may stand elsewhere in a document, too: then it is none of the usual."""
        if type(value) is not str:
            return True
        if column.personal == "sha256" and is_hashed_id(value):
            return False
        self._scrubber.begin()
        if column.personal == "sha256":
            self._scrubber.id(value, column.name)
        else:
            self._scrubber.learn(key, value)
        whole, own = document.decode().lower(), value.lower()
        return any(
            whole.count(anchor(secret)) > own.count(anchor(secret)) for secret in self._scrubber.secrets
        )

    def _undeclared(self, place: int, meta: dict[str, Any], level: _Level) -> str | None:
        """Undeclared acquisition parameters as canonical JSON, put together of what is remembered of keys and texts."""
        parts = []
        for key in sorted(meta.keys() - level.known):
            begun, release = _begun(self._resource, key) if len(key) <= LONGEST_REMEMBERED else (None, False)
            said = self._as_json(key, meta[key], release) if begun is not None else None
            if begun is None or said is None:
                self._others.add(place)
                return None
            parts.append(begun + said)
        return "{" + ",".join(parts) + "}"

    def _as_json(self, key: str, value: Any, release: bool) -> str | None:
        """A value as canonical JSON, if it may be shown as it is."""
        kind = type(value)
        if kind is float or kind is int:
            return repr(value)
        if kind is str:
            if value in _harmless[release] or _is_harmless(value, release):
                # A few short ones come again and again.
                return _quoted(value) if len(value) <= LONGEST_REMEMBERED else canonical_json(value)
            # What could be a formula is harmless in JSON.
            return None if scrub(unescaped(value), release)[1] else canonical_json(value)
        if kind is dict or (kind is list and not _are_harmless(value, release)):
            self._scrubber.begin()
            value = self._scrubber.tree({key: value}, "bids_meta_extra")[key]
            if self._scrubber.found:
                return None
        return canonical_json(value)

    def _leave(self, places: Iterable[int], values: list[Any]) -> None:
        """Leave documents to the other way of reading."""
        for place in places:
            self._others.add(place)
            values[place] = None

    def _number(self, column: Column, values: list[Any]) -> None:
        far = [
            place
            for place, value in enumerate(values)
            if value is not None and not (type(value) in (float, int) and -EXACT < value < EXACT)
        ]
        self._leave(far, values)

    def _integer(self, column: Column, values: list[Any]) -> None:
        self._leave(
            [
                place
                for place, value in enumerate(values)
                if value is not None and not (type(value) is int and -EXACT <= value <= EXACT)
            ],
            values,
        )

    def _boolean(self, column: Column, values: list[Any]) -> None:
        self._leave([p for p, v in enumerate(values) if v is not None and type(v) is not bool], values)

    def _text(self, column: Column, values: list[Any]) -> None:
        if not set(map(type, values)) <= _TEXTS:
            for place, value in enumerate(values):
                if type(value) not in _TEXTS:
                    self._not_text(column, place, values)
        known = _harmless[tells_release(column.name)]
        new = {text for text in values if text not in known}
        new.discard(None)
        if bad := {text for text in new if not _is_harmless(text, tells_release(column.name))}:
            self._leave([place for place, value in enumerate(values) if value in bad], values)

    def _not_text(self, column: Column, place: int, values: list[Any]) -> None:
        """Of lists only those of numbers and harmless texts are usual, and only where the column is for lists."""
        value = values[place]
        release = tells_release(column.name)
        if column.lists and type(value) is list and _are_harmless(value, release):
            values[place] = canonical_json(value)
            self._made.readings[place] = [*self._made.readings[place], f"array read as text in {column.name}"]
        else:
            self._leave([place], values)

    def _hashed(self, column: Column, values: list[Any]) -> None:
        for place, value in enumerate(values):
            if type(value) is str and not is_hashed_id(value):
                values[place] = hash_id(value)
                self._withhold(place, f"hashed in {column.name}")

    def _dropped(self, column: Column, values: list[Any]) -> None:
        for place, value in enumerate(values):
            if value is not None:
                self._withhold(place, f"removed in {column.name}")

    def _device(self, column: Column, values: list[Any]) -> None:
        for place, value in enumerate(values):
            if value is not None:
                named = self._pseudonyms is not None and type(value) is str and value.strip()
                values[place] = self._pseudonyms.of("device", value) if self._pseudonyms and named else None
                self._withhold(place, f"device in {column.name}")

    def _withhold(self, place: int, note: str) -> None:
        self._made.withheld[place] = [*self._made.withheld[place], note]


_ENVELOPE_FIELDS = 5
# A number from 2**53 on may have been an integer that no double holds.
_NUMBER = Annotated[float, msgspec.Meta(gt=-EXACT, lt=EXACT)]
_TYPES: dict[str, Any] = {"number": _NUMBER, "integer": int, "text": str, "boolean": bool}
_NOTHING: dict[str, Any] = {}
_NUMBERS = frozenset({float, int, type(None)})
_TEXTS = frozenset({str, type(None)})
_READERS: dict[str, Callable[[_Reader, Column, list[Any]], None]] = {
    "number": _Reader._number,
    "integer": _Reader._integer,
    "boolean": _Reader._boolean,
    "text": _Reader._text,
    "sha256": _Reader._hashed,
    "dropped": _Reader._dropped,
    "device": _Reader._device,
}
_harmless: dict[bool, set[str | None]] = {False: {None}, True: {None}}


def _is_harmless(text: str, release: bool) -> bool:
    """Whether a text becomes a cell as it is."""
    if is_hash(text):  # no two records have the same: nothing to remember
        return True
    if could_be_formula(text) or scrub(unescaped(text), release)[1]:
        return False
    if len(text) <= LONGEST_REMEMBERED and len(_harmless[release]) < MOST_REMEMBERED:
        _harmless[release].add(text)
    return True


def _are_harmless(items: list[Any], release: bool) -> bool:
    """Whether there are only numbers and harmless texts among the items of a list."""
    return all(
        type(item) in _NUMBERS
        or (type(item) is str and (item in _harmless[release] or _is_harmless(item, release)))
        for item in items
    )


@lru_cache(maxsize=MOST_REMEMBERED)
def _quoted(text: str) -> str:
    return canonical_json(text)


@lru_cache(maxsize=1 << 12)
def _begun(resource: Resource, key: str) -> tuple[str | None, bool]:
    """How JSON goes on with an undeclared key, and whether that tells a release; ``None`` for one that is not usual."""
    kind, _, is_id = judged(key)
    release = tells_release(key)
    if kind is not None or is_id or scrub(unescaped(key))[1] or meant_column(resource, key) is not None:
        return None, release
    return f"{canonical_json(key)}:", release
