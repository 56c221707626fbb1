"""Reads the data dictionary: one YAML a family of columns, four tables made of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import pyarrow as pa

from schemas.reading import load_yaml

Resource = Literal["T1w", "T2w", "bold", "rating"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
"""The resources of the Web-API, and so the tables."""

ColumnType = Literal["number", "integer", "text", "boolean", "time"]
Privacy = Literal["dropped", "sha256", "device", "rater"]
Direction = Literal["higher", "lower", "neither"]
Fate = Literal["quarantined", "excluded"]
Range = tuple[float | None, float | None]
"""Lowest and highest value, both allowed; ``None`` for an open end."""

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("s", tz="UTC"),
}

_FAMILIES: dict[Resource, tuple[tuple[tuple[str, ...], str], ...]] = {
    # (where in the document, file): the order is the order of the published columns.
    "T1w": (((), "anatomical"), (("bids_meta",), "acquisition"), (("provenance",), "provenance")),
    "T2w": (((), "anatomical"), (("bids_meta",), "acquisition"), (("provenance",), "provenance")),
    "bold": (((), "bold"), (("bids_meta",), "acquisition"), (("provenance",), "provenance")),
    "rating": (((), "rating"),),
}


@dataclass(frozen=True)
class Accept:
    """The values a column may have, and what becomes of a record that has another.

    Attributes:
        rule: the name of the rule such a record breaks.
        fate: of that record.
        values: those that are accepted, unless there is a
        pattern: which a text has to match from its first to its last character.
    """

    rule: str
    fate: Fate = "quarantined"
    values: tuple[str | bool, ...] = ()
    pattern: str | None = None


@dataclass(frozen=True)
class Column:
    """One declared field of a document and the column it becomes, or a column that curation adds.

    Attributes:
        name: column name: the keys on the way to the value, joined by ``_``.
        path: the keys on the way to the value, e.g. ``("provenance", "settings", "fd_thres")``; empty where curation
            adds the column.
        type: what its values are.
        required: whether a record without it is quarantined (and refused by the service).
        nullable: whether the service takes ``null`` for it.
        lists: whether an array is a legitimate value (BIDS: "string or array of strings").
        personal: how it is kept from being published in clear: not at all, as SHA-256, or as the pseudonym of a
            ``device`` or a ``rater``; ``None`` where it is not personal.
        strict: whether a record whose value cannot be read as declared is quarantined; elsewhere the value is kept
            in the extra column.
        unit: of a number; ``"1"`` where it has no dimension.
        description: what it means.
        hard: outside this range a value cannot be; the record is quarantined.
        plausible: outside this range a reader should look; the record is flagged.
        plausible_source: where the bounds are from.
        flag_above: name of the flag of a value above the plausible range, where it has a name of its own.
        direction: whether higher or lower values mean a better image.
        levels: values and what they mean.
        accept: the values it may have.
        spellings: other keys, misspelled or renamed, under which its writers are known to send it.
        source: where the column and its definition are from.
        bids: where the BIDS schema has it, e.g. ``metadata.EchoTime``: description and unit are read there.
    """

    name: str
    path: tuple[str, ...]
    type: ColumnType
    required: bool = False
    nullable: bool = False
    lists: bool = False
    personal: Privacy | None = None
    strict: bool = True
    unit: str | None = None
    description: str = ""
    hard: Range | None = None
    plausible: Range | None = None
    plausible_source: str = ""
    flag_above: str | None = None
    direction: Direction | None = None
    levels: tuple[tuple[str, str], ...] = ()
    accept: Accept | None = None
    spellings: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    bids: str | None = None

    @property
    def arrow(self) -> pa.Field:
        """The Arrow field that holds the values as received."""
        return pa.field(self.name, ARROW_TYPES[self.type])

    @property
    def is_iqm(self) -> bool:
        """Whether it is a measure of the image: a number at the top level of a document."""
        return len(self.path) == 1 and self.type in ("number", "integer")

    @property
    def implausible(self) -> str:
        """The name of the flag of a value outside the plausible range."""
        return f"implausible_{self.name.removeprefix('bids_meta_')}"

    @property
    def plausible_ends(self) -> tuple[tuple[str, float, Literal["below", "above"]], ...]:
        """The ends of the plausible range: the flag of a value beyond, the bound, and on which side beyond is."""
        low, high = self.plausible or (None, None)
        ends: list[tuple[str, float, Literal["below", "above"]]] = []
        if low is not None:
            ends.append((self.implausible, low, "below"))
        if high is not None:
            ends.append((self.flag_above or self.implausible, high, "above"))
        return tuple(ends)


@dataclass(frozen=True)
class Table:
    """The declared columns of one resource, in dictionary order."""

    resource: Resource
    columns: tuple[Column, ...]

    @property
    def checksum(self) -> Column:
        """The column that holds the image's MD5."""
        return next(c for c in self.columns if c.path[-1] == "md5sum")

    @property
    def iqms(self) -> tuple[Column, ...]:
        """The columns of image quality metrics."""
        return tuple(column for column in self.columns if column.is_iqm)


def read_yaml(name: str) -> bytes:
    """One file of the dictionary, as it is."""
    return (files("schemas") / "columns" / f"{name}.yaml").read_bytes()


@cache
def table(resource: Resource) -> Table:
    """The table of one resource, as documents have it.

    Raises:
        KeyError: the resource is not one of :data:`RESOURCES`.
        TypeError: a YAML row has a key that :class:`Column` does not know.
    """
    columns: list[Column] = []
    for prefix, family in _FAMILIES[resource]:
        content = load_yaml(read_yaml(family))
        for row in content["columns"]:
            if resource in row.pop("only", RESOURCES):
                path = prefix + tuple(row.pop("name").split("."))
                strict = content.get("strict", True) or row.get("required", False)
                columns.append(make_column("_".join(path), path, row, resource, strict))
    return Table(resource, tuple(columns))


def make_column(
    name: str, path: tuple[str, ...], row: dict[str, Any], resource: str, strict: bool = True
) -> Column:
    """A column of a row of YAML; ``$resource`` among the accepted values is the table's own resource."""
    row = dict(row)
    if isinstance(row.get("plausible"), dict):
        # Where modalities differ.
        row["plausible"] = row["plausible"][resource]
    for key in ("hard", "plausible", "source", "spellings"):
        if key in row:
            row[key] = tuple(row[key])
    row["levels"] = tuple((str(value), meaning) for value, meaning in row.get("levels", {}).items())
    if accept := row.get("accept"):
        values = tuple(resource if value == "$resource" else value for value in accept.get("values", ()))
        row["accept"] = Accept(**{**accept, "values": values})
    return Column(name=name, path=path, strict=strict, **row)


@cache
def dictionary_digest() -> str:
    """SHA-256 (hex) of the dictionary's files: what typed columns are keyed by."""
    digest = hashlib.sha256()
    for family in sorted(
        {"curation", "rated", *(family for rows in _FAMILIES.values() for _, family in rows)}
    ):
        content = read_yaml(family)
        digest.update(f"{family} {len(content)}\n".encode() + content)
    return digest.hexdigest()
