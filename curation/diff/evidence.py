"""What the ledgers of two versions say of the rows that differ."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curation.deduplicate.similar import ACQUISITION_KEY
from curation.diff.reading import ledger, places_in, those_in, whole
from curation.diff.version import Version
from curation.repair import UNDECIDABLE, UNHELD

_RECORDS = (
    "record_id", "resource", "created", "updated", "etag", "md5sum", "fate", "reason", "representative",
    "curated_representative", "repeat",
)  # fmt: skip
_REPAIRS = ("record_id", "resource", "column", "old", "new", "rule", "confidence")
_MATCHES = (
    "resource", "md5sum", "chosen", "source", "dataset", "path", "last_version", "url", "doi",
)  # fmt: skip
_DISAGREEMENTS = ("record_id", "resource", "column", "curated", "sidecar", "sidecar_path")
KEPT_OUT = ("quarantined", "excluded")


@dataclass(frozen=True)
class Wanted:
    """What is asked of the ledgers of one resource.

    Attributes:
        record_ids: of records, sorted.
        checksums: of images, sorted.
    """

    record_ids: pa.Array
    checksums: pa.Array


@dataclass(frozen=True)
class Records:
    """Rows of ``audit/records`` of one resource that are asked for, and what is counted over all of them.

    Attributes:
        rows: those of the records and images asked for.
        total: how many records the ledger has of the resource.
        tells_repeats: whether the ledger tells which runs were repeated.
        ids: of all records of the resource.
        shown: records that stand in the curated table, with their etags; what depends on the whole table is compared
            by them.
    """

    rows: pa.Table
    total: int
    tells_repeats: bool
    ids: pa.Array
    shown: pa.Table

    @cached_property
    def ids_of_rows(self) -> pa.Array:
        """Record ids of ``rows``."""
        return whole(self.rows.column("record_id"))

    def places(self, record_ids: pa.Array) -> np.ndarray:
        """Of each record, its place in ``rows``; -1 where it is not there."""
        return places_in(record_ids, self.ids_of_rows)

    def texts(self, name: str, places: np.ndarray) -> np.ndarray:
        """A column at places, ``None`` for nothing and at -1."""
        return _at(self.rows.column(name), places)

    @cached_property
    def images(self) -> pd.DataFrame:
        """Of each checksum in lower case, how many sound records it has (``count``), and what tells these apart."""
        sound = self.rows.filter(pc.invert(those_in(self.rows.column("fate"), KEPT_OUT)))
        frame = pd.DataFrame(
            {
                "md5sum": pc.utf8_lower(whole(sound.column("md5sum"))).to_pandas(),
                "mark": _marks(sound, ("record_id", "etag", "updated")),
                "count": 1,
            }
        )
        # Sums of hashes: the order of records does not matter.
        return frame.dropna(subset="md5sum").groupby("md5sum").sum()

    def of_images(self, checksums: pa.Array) -> pd.DataFrame:
        """``count`` and ``mark`` of images; 0 for those that have no sound record."""
        return _at_images(self.images, checksums)

    @cached_property
    def _repeats(self) -> pd.DataFrame:
        rows = self.rows.filter(self.rows.column("repeat").is_valid())
        frame = pd.DataFrame(
            {
                "md5sum": pc.utf8_lower(whole(rows.column("md5sum"))).to_pandas(),
                "repeats": 1,
                **{
                    name: pc.equal(rows.column("repeat"), name).cast(pa.int64()).to_pandas()
                    for name in ("first", "noisy")
                },
            }
        )
        return frame.groupby("md5sum").sum()

    def repeats(self, checksums: pa.Array) -> pd.DataFrame:
        """Of images, how many records are of repeated runs, and of these the ``first`` ones, and those not like it.

        In columns ``repeats``, ``first`` and ``noisy``.
        """
        return _at_images(self._repeats, checksums)


def read_records(version: Version, wanted: Mapping[str, Wanted]) -> dict[str, Records]:
    """Read ``audit/records``, once, for several resources."""
    kept: dict[str, list[pa.Table]] = {name: [] for name in wanted}
    ids: dict[str, list[pa.Table]] = {name: [] for name in wanted}
    shown: dict[str, list[pa.Table]] = {name: [] for name in wanted}
    repeats = _has_column(version, "repeat")
    for batch in ledger(version, "records", _RECORDS):
        for name, asked in wanted.items():
            rows = batch.filter(pc.equal(batch.column("resource"), name))
            ids[name].append(rows.select(["record_id"]))
            best = pc.equal(rows.column("record_id"), rows.column("curated_representative"))
            shown[name].append(rows.select(["record_id", "etag", "updated"]).filter(best))
            found = pc.or_(
                those_in(rows.column("record_id"), asked.record_ids),
                those_in(_lower(rows.column("md5sum")), asked.checksums),
            )
            kept[name].append(rows.filter(found))
    empty = _empty(_RECORDS)
    return {
        name: Records(
            pa.concat_tables([empty, *kept[name]]).combine_chunks(),
            sum(map(len, ids[name])),
            repeats,
            whole(pa.concat_tables([empty.select(["record_id"]), *ids[name]]).column("record_id")),
            pa.concat_tables([empty.select(["record_id", "etag", "updated"]), *shown[name]]).combine_chunks(),
        )
        for name in wanted
    }


def _has_column(version: Version, name: str) -> bool:
    """Whether ``audit/records`` has a column."""
    path = "audit/records.csv"
    if not version.has(path):
        return False
    # What is no text is told by who reads the rows.
    with version.path(path).open(encoding="utf-8", errors="replace", newline="") as file:
        return name in next(csv.reader(file), [])


@dataclass(frozen=True)
class Repairs:
    """Rows of ``audit/repairs`` of one resource that are asked for.

    Attributes:
        rows: those of the records asked for.
    """

    rows: pa.Table

    @cached_property
    def _columns(self) -> dict[str, pa.Table]:
        names = self.rows.column("column").unique().to_pylist()
        return {
            name: self.rows.filter(pc.equal(self.rows.column("column"), name)).combine_chunks()
            for name in names
        }

    def of(self, column: str, record_ids: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each record, whether the ledger has the cell, what it says that the cell holds, and the rules."""
        rows = self._columns.get(column)
        if rows is None:
            nothing = np.full(len(record_ids), None, dtype=object)
            return np.zeros(len(record_ids), dtype=bool), nothing, nothing
        places = places_in(record_ids, whole(rows.column("record_id")))
        return places >= 0, _at(rows.column("new"), places), _at(rows.column("rule"), places)

    def received(self, column: str, record_ids: pa.Array) -> np.ndarray:
        """Of each record, what the ledger says that was received for a cell; ``None`` where it has none."""
        rows = self._columns.get(column)
        if rows is None:
            return np.full(len(record_ids), None, dtype=object)
        return _at(rows.column("old"), places_in(record_ids, whole(rows.column("record_id"))))

    def marks(self, record_ids: pa.Array) -> np.ndarray:
        """Of each record, what tells all its rows from others; 0 where it has none."""
        return _at_keys(self._marks, record_ids)

    @cached_property
    def _marks(self) -> pd.Series:
        return _sums(self.rows, "record_id", ("column", "new", "rule"))

    def undecided(self, record_ids: pa.Array) -> np.ndarray:
        """Which records have a cell that was left empty as nothing could decide."""
        left = pc.and_(
            pc.equal(self.rows.column("confidence"), UNDECIDABLE),
            pc.not_equal(self.rows.column("rule"), UNHELD),
        )
        return places_in(record_ids, whole(self.rows.filter(left).column("record_id"))) >= 0

    @cached_property
    def of_acquisition(self) -> pa.Array:
        """All records, also those that were not asked for, with a repaired cell that tells an acquisition."""
        return whole(
            self.rows.filter(those_in(self.rows.column("column"), ACQUISITION_KEY)).column("record_id")
        )


@dataclass(frozen=True)
class Matches:
    """Rows of ``audit/matches`` of one resource that are asked for.

    Attributes:
        rows: those of the images asked for.
    """

    rows: pa.Table

    @cached_property
    def _chosen(self) -> pa.Table:
        return self.rows.filter(pc.equal(self.rows.column("chosen"), "true")).combine_chunks()

    def chosen(self, name: str, checksums: pa.Array) -> np.ndarray:
        """A column of the chosen copy of each image; ``None`` where there is none."""
        places = places_in(checksums, whole(self._chosen.column("md5sum")))
        return _at(self._chosen.column(name), places)

    def copies(self, checksums: pa.Array) -> np.ndarray:
        """How many copies each image has."""
        return _at_keys(self._counts, checksums)

    def marks(self, checksums: pa.Array) -> np.ndarray:
        """Of each image, what tells all its copies from others; 0 where it has none."""
        return _at_keys(self._marks, checksums)

    @cached_property
    def _marks(self) -> pd.Series:
        return _sums(self.rows, "md5sum", _MATCHES[2:])

    @cached_property
    def _counts(self) -> pd.Series:
        return pd.Series(self.rows.column("md5sum").to_pandas()).value_counts()


@dataclass(frozen=True)
class Disagreements:
    """Rows of ``audit/disagreements`` of one resource that are asked for.

    Attributes:
        rows: those of the records asked for.
    """

    rows: pa.Table

    def marks(self, record_ids: pa.Array) -> np.ndarray:
        """Of each record, what tells all its rows from others; 0 where it has none."""
        return _at_keys(_sums(self.rows, "record_id", _DISAGREEMENTS[2:]), record_ids)

    def has(self, record_ids: pa.Array) -> np.ndarray:
        """Which records have a row."""
        return places_in(record_ids, whole(self.rows.column("record_id"))) >= 0


@dataclass(frozen=True)
class Ledgers:
    """What the ledgers of one version say of the records and images that were asked for, by resource.

    Attributes:
        version: whose they are.
        records, repairs, matches, disagreements: of each resource.
    """

    version: Version
    records: Mapping[str, Records]
    repairs: Mapping[str, Repairs]
    matches: Mapping[str, Matches]
    disagreements: Mapping[str, Disagreements]

    def knows_rules(self, names: np.ndarray) -> np.ndarray:
        """Where all rules that a ledger names (a blank between two, or ``None``) are those of the version.

        A version that does not tell its rules knows all.
        """
        known = self.version.snapshot.get("repairs")
        if known is None:
            return np.ones(len(names), dtype=bool)
        return np.array([known.keys() >= set((text or "").split()) for text in names], dtype=bool)

    def rule_versions(self, names: str | None) -> str | None:
        """The versions of the rules that a ledger names, a blank between two; ``None`` where none is known."""
        known = self.version.snapshot.get("rules") or {}
        found = dict.fromkeys(known[name] for name in (names or "").split() if name in known)
        return " ".join(found) or None

    def same_shown(self, other: Ledgers, resource: str) -> bool:
        """Whether the curated tables of two versions are made from the same records."""
        return bool(self.records[resource].shown.equals(other.records[resource].shown))


def read_ledgers(version: Version, wanted: Mapping[str, Wanted], names: Sequence[str]) -> Ledgers:
    """Read ledgers of a version, each once; those that are not named are as if they were empty.

    Args:
        version: whose they are.
        wanted: records and images that will be asked for, by resource.
        names: of ledgers.

    Raises:
        DatasetError: content is not on this machine.
    """
    ids = {resource: one.record_ids for resource, one in wanted.items()}
    checksums = {resource: one.checksums for resource, one in wanted.items()}

    def rows(
        name: str, columns: Sequence[str], key: str, keys: Mapping[str, pa.Array]
    ) -> dict[str, pa.Table]:
        if name in names:
            return _filtered(version, name, columns, key, keys)
        return {resource: _empty(columns) for resource in keys}

    return Ledgers(
        version,
        read_records(version, wanted),
        {name: Repairs(found) for name, found in rows("repairs", _REPAIRS, "record_id", ids).items()},
        {name: Matches(found) for name, found in rows("matches", _MATCHES, "md5sum", checksums).items()},
        {
            name: Disagreements(found)
            for name, found in rows("disagreements", _DISAGREEMENTS, "record_id", ids).items()
        },
    )


def _filtered(
    version: Version, name: str, columns: Sequence[str], key: str, wanted: Mapping[str, pa.Array]
) -> dict[str, pa.Table]:
    """Rows of a ledger whose ``key`` is wanted, by resource."""
    found: dict[str, list[pa.Table]] = {resource: [_empty(columns)] for resource in wanted}
    for batch in ledger(version, name, columns):
        for resource, keys in wanted.items():
            if len(keys):
                rows = batch.filter(pc.equal(batch.column("resource"), resource))
                asked = those_in(rows.column(key), keys)
                if name == "repairs":
                    asked = pc.or_(asked, those_in(rows.column("column"), ACQUISITION_KEY))
                found[resource].append(rows.filter(asked))
    return {resource: pa.concat_tables(rows).combine_chunks() for resource, rows in found.items()}


def _empty(columns: Sequence[str]) -> pa.Table:
    return pa.schema([(name, pa.string()) for name in columns]).empty_table()


def _lower(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lower(column)


def _at(column: pa.ChunkedArray, places: np.ndarray) -> np.ndarray:
    taken = whole(column).take(pa.array(places, mask=places < 0))
    return np.asarray(taken.to_numpy(zero_copy_only=False), dtype=object)


def _marks(rows: pa.Table, names: Sequence[str]) -> np.ndarray:
    """A hash of several columns of each row."""
    joined = pc.binary_join_element_wise(
        *(rows.column(name) for name in names), "\x1f", null_handling="replace", null_replacement="\x1e"
    )
    return pd.util.hash_array(whole(joined).to_pandas().to_numpy(dtype=object), categorize=False)


def _sums(rows: pa.Table, key: str, names: Sequence[str]) -> pd.Series:
    """Of each key, the sum of the hashes of its rows."""
    frame = pd.DataFrame({"key": rows.column(key).to_pandas(), "mark": _marks(rows, names)})
    return frame.groupby("key")["mark"].sum()


def _at_images(frame: pd.DataFrame, checksums: pa.Array) -> pd.DataFrame:
    """Rows of images, by their checksums in lower case; 0 for those that have none."""
    lower = pc.utf8_lower(pc.fill_null(checksums, "")).to_pandas()
    return frame.reindex(lower.to_numpy(dtype=object), fill_value=0).reset_index(drop=True)


def _at_keys(values: pd.Series, keys: pa.Array) -> np.ndarray:
    """Values of keys; 0 for those that have none."""
    return values.reindex(keys.to_pandas().to_numpy(dtype=object), fill_value=0).to_numpy()
