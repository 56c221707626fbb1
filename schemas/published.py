"""The published tables: which columns they have, in what order, made of the data dictionary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pyarrow as pa

from schemas import bids
from schemas.dictionary import RESOURCES, Column, Resource, make_column, read_yaml, table
from schemas.reading import load_yaml

SNAPSHOT_FORMAT = 4
"""Of ``snapshot.json``; CHANGELOG.md says what each has that the one before has not."""
IMAGE_RESOURCES: tuple[Resource, ...] = tuple(name for name in RESOURCES if name != "rating")
UNIQUE_TABLES: tuple[str, ...] = RESOURCES
CURATED_TABLES: tuple[str, ...] = tuple(f"{name}_curated" for name in IMAGE_RESOURCES)
LEDGERS: tuple[str, ...] = (
    "records", "quarantine", "repairs", "matches", "disagreements", "scrubbed",
)  # fmt: skip
TABLES: tuple[str, ...] = (*UNIQUE_TABLES, *CURATED_TABLES, *LEDGERS)
"""Every published table, by name."""

# The order of the table of 2019.
_RATING_ORDER = ("md5sum", "rating", "created", "updated", "name", "comment")
_LEDGER_KEYS = {"records": ("resource", "record_id"), "repairs": ("resource", "record_id", "column")}
_LEDGER_KEYS["disagreements"] = _LEDGER_KEYS["repairs"]
_LEDGER_KEYS["scrubbed"] = ("resource", "rule", "column")


@dataclass(frozen=True)
class PublishedTable:
    """A published table.

    Attributes:
        name: e.g. ``T1w_curated``.
        description: one sentence.
        columns: in the order of the files; ``md5sum`` goes by that name.
        key: columns whose values identify a row.
        path: of its CSV file, relative to the dataset.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    path: str

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return pa.schema([column.arrow for column in self.columns])

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]


@cache
def _curation() -> dict[str, Any]:
    return load_yaml(read_yaml("curation")) | load_yaml(read_yaml("rated"))


def _section(name: str, resource: str = "") -> dict[str, Column]:
    rows = [dict(row) for row in _curation()[name] if resource in row.get("only", (resource,))]
    for row in rows:
        row.pop("only", None)
    return {row["name"]: make_column(row.pop("name"), (), row, resource) for row in rows}


@cache
def published_columns(resource: Resource) -> tuple[Column, ...]:
    """The declared columns that are published, checksum first, with the extra ones.

    Names are those of documents; the checksum is not yet called ``md5sum``.
    """
    declared, added = table(resource), _section("added")
    columns = [column for column in declared.columns if column.personal != "dropped"]
    columns.sort(key=lambda column: column is not declared.checksum)
    places = [place for place, column in enumerate(columns) if column.path[0] == "bids_meta"]
    if places:
        columns.insert(places[-1] + 1, added["bids_meta_extra"])
    return (*columns, added["extra"])


@cache
def published_table(name: str) -> PublishedTable:
    """A published table by its name.

    Raises:
        KeyError: there is none of that name.
    """
    description = _curation()["tables"][name]
    if name in LEDGERS:
        columns = tuple(_section(name).values())
        return PublishedTable(name, description, columns, _LEDGER_KEYS.get(name, ()), f"audit/{name}.csv")
    resource: Resource = name.removesuffix("_curated")  # type: ignore[assignment]
    columns = _curated(resource) if name in CURATED_TABLES else _unique(resource)
    key: tuple[str, ...] = ("record_id",) if name == "rating" else ("md5sum",)
    return PublishedTable(name, description, columns, key, f"csv/{name}.csv")


def _unique(resource: Resource) -> tuple[Column, ...]:
    added = _section("added")
    checksum, *others = published_columns(resource)
    columns = [replace(checksum, name="md5sum"), added["created"], *others, added["record_id"]]
    if resource == "rating":
        by_name = {column.name: column for column in [*columns, added["updated"]]}
        first = [by_name[name] for name in _RATING_ORDER]
        columns = [*first, *_section("rated").values(), added["extra"], added["record_id"]]
    return tuple(columns)


def _curated(resource: Resource) -> tuple[Column, ...]:
    """Those of the unique table but the extra ones, and those that curation adds."""
    *columns, record_id = _unique(resource)
    kept = [column for column in columns if column.name not in ("bids_meta_extra", "extra")]
    return (*kept, *_section("curated", resource).values(), record_id)


@cache
def flag_meanings(resource: Resource) -> dict[str, str]:
    """Every flag that a row of a curated table can have, and what it means; sorted by name."""
    meanings: dict[str, str] = dict(_curation()["flags"])
    if resource != "bold":
        del meanings["tr_mismatch"]
    by_flag: dict[str, list[str]] = {}
    for column in table(resource).columns:
        for flag, bound, side in column.plausible_ends:
            unit = bids.unit(column)
            unit = "" if unit in (None, "1") else f" {unit}"
            by_flag.setdefault(flag, []).append(f"{column.name} is {side} {bound:g}{unit}")
    meanings |= {flag: " or ".join(bounds) + "." for flag, bounds in by_flag.items()}
    return dict(sorted(meanings.items()))


def received_name(resource: Resource, column: Column) -> str:
    """The name that a column of a table has where documents are kept as columns."""
    return table(resource).checksum.name if column.name == "md5sum" else column.name
