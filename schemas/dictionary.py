"""Reads the data dictionary: one YAML a family of columns, four tables made of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

import pyarrow as pa
import yaml

Resource = Literal["T1w", "T2w", "bold", "rating"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
"""The resources of the Web-API, and so the tables."""

ColumnType = Literal["number", "integer", "text", "boolean"]
Privacy = Literal["dropped", "sha256", "withheld"]

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
}

_FAMILIES: dict[Resource, tuple[tuple[tuple[str, ...], str], ...]] = {
    # (where in the document, file): the order is the order of the published columns.
    "T1w": (((), "anatomical"), (("bids_meta",), "acquisition"), (("provenance",), "provenance")),
    "T2w": (((), "anatomical"), (("bids_meta",), "acquisition"), (("provenance",), "provenance")),
    "bold": (((), "bold"), (("bids_meta",), "acquisition"), (("provenance",), "provenance")),
    "rating": (((), "rating"),),
}


@dataclass(frozen=True)
class Column:
    """One declared field of a document, and the column it becomes.

    Attributes:
        name: column name: the keys on the way to the value, joined by ``_``.
        path: the keys on the way to the value, e.g. ``("provenance", "settings", "fd_thres")``.
        type: what its values are.
        required: whether the service refuses a document without it.
        nullable: whether the service takes ``null`` for it.
        lists: whether an array is a legitimate value (BIDS: "string or array of strings").
        personal: how it is kept from being published in clear; ``None`` where it is not personal.
    """

    name: str
    path: tuple[str, ...]
    type: ColumnType
    required: bool = False
    nullable: bool = False
    lists: bool = False
    personal: Privacy | None = None

    @property
    def arrow(self) -> pa.Field:
        """The Arrow field that holds the values as received."""
        return pa.field(self.name, ARROW_TYPES[self.type])


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
    def arrow_schema(self) -> pa.Schema:
        """Declared columns as received, in dictionary order."""
        return pa.schema([column.arrow for column in self.columns])


def _read_family(name: str) -> bytes:
    return (files("schemas") / "columns" / f"{name}.yaml").read_bytes()


@cache
def table(resource: Resource) -> Table:
    """The table of one resource.

    Raises:
        KeyError: the resource is not one of :data:`RESOURCES`.
        TypeError: a YAML row has a key that :class:`Column` does not know.
    """
    columns: list[Column] = []
    for prefix, family in _FAMILIES[resource]:
        for row in yaml.safe_load(_read_family(family))["columns"]:
            if resource not in row.pop("only", RESOURCES):
                continue
            path = prefix + tuple(row.pop("name").split("."))
            columns.append(Column(name="_".join(path), path=path, **row))
    return Table(resource, tuple(columns))


@cache
def dictionary_digest() -> str:
    """SHA-256 (hex) of the dictionary's files: what typed columns are keyed by."""
    digest = hashlib.sha256()
    for family in sorted({family for rows in _FAMILIES.values() for _, family in rows}):
        content = _read_family(family)
        digest.update(f"{family} {len(content)}\n".encode() + content)
    return digest.hexdigest()
