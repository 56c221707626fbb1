"""Why rows were added, removed, or are made from another record than before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.diff.cell_rows import CODE, DICTIONARY, RANKED, Aligned, Causes
from curation.diff.departures import Passing
from curation.diff.evidence import KEPT_OUT, Ledgers, Records
from schemas.published import CURATED_TABLES

UPSTREAM = "record changed upstream"
REPRESENTATIVE = "new representative"
_VERSIONS = {"dictionary": DICTIONARY, "code": CODE, "mriqc-snapshot": CODE}

_FATES = (("representative",), ("representative", "duplicate"))
"""Fates of records that stand in a table: a unique one, a curated one."""


@dataclass(frozen=True)
class Evidence:
    """All that causes are taken from.

    Attributes:
        a, b: the ledgers of the two versions.
        changed: of what they were made with, the names of what changed.
        passing: records that came and went, by resource.
        causes: where causes get numbers.
    """

    a: Ledgers
    b: Ledgers
    changed: frozenset[str]
    passing: dict[str, Passing]
    causes: Causes

    def of_versions(self, *names: str) -> str | None:
        """The cause that one of the versions given is, the first that changed; ``None`` if none did."""
        return next((_VERSIONS[name] for name in names if name in self.changed), None)

    @property
    def same_dictionary(self) -> bool:
        """Whether both versions name the same dictionary, which tells what columns there are."""
        return "dictionary" not in self.changed and self.a.version.versions.get("dictionary") is not None


@dataclass(frozen=True)
class Pairs:
    """Rows that both versions have, and what their records tell.

    Attributes:
        table: its name.
        resource: whose records its rows are made from.
        keys: of the rows.
        checksums: of their images.
        record_a: records that they were made from; record_b: that they are made from.
        base: numbers of the cause of all that comes from the record; 0 where it is the same record, unchanged.
        same: where it is the same record, unchanged, as both ledgers say.
    """

    table: str
    resource: str
    keys: pa.Array
    checksums: pa.Array
    record_a: pa.Array
    record_b: pa.Array
    base: np.ndarray
    same: np.ndarray

    def pick(self, which: np.ndarray) -> Pairs:
        """Some of the rows."""
        mask, names = pa.array(which), ("keys", "checksums", "record_a", "record_b")
        picked = {name: getattr(self, name).filter(mask) for name in names}
        return Pairs(self.table, self.resource, **picked, base=self.base[which], same=self.same[which])


def resource_of(table: str) -> str:
    """Whose records a table is made from."""
    return table.removesuffix("_curated")


def pair_rows(
    table: str,
    keys: pa.Array,
    checksums: pa.Array,
    record_a: pa.Array,
    record_b: pa.Array,
    evidence: Evidence,
) -> Pairs:
    """Find out what became of the records of rows that both versions have."""
    resource = resource_of(table)
    a, b = evidence.a.records[resource], evidence.b.records[resource]
    places_a, places_b = a.places(record_a), b.places(record_b)
    role = _role(table)
    ids_a, ids_b = _objects(record_a), _objects(record_b)
    known = (a.texts(role, places_a) == ids_a) & (b.texts(role, places_b) == ids_b)
    known &= _is_of(table, checksums, a, places_a) & _is_of(table, checksums, b, places_b)
    same_id = ids_a == ids_b
    # What the service changes gets another etag and another time.
    same_version, same_image = (
        np.logical_and.reduce([a.texts(name, places_a) == b.texts(name, places_b) for name in names])
        for names in (("etag", "updated"), ("md5sum",))
    )
    same_content = same_version & same_image
    base = np.zeros(len(known), dtype="int64")
    base[known & same_id & ~same_version] = evidence.causes.number(UPSTREAM)
    moved = np.flatnonzero(known & ~same_id)
    if len(moved):
        picked = pa.array(moved)
        base[moved] = _representatives(
            resource, checksums.take(picked), record_a.take(picked), record_b.take(picked), evidence
        )
    return Pairs(table, resource, keys, checksums, record_a, record_b, base, known & same_id & same_content)


def _representatives(
    resource: str, checksums: pa.Array, record_a: pa.Array, record_b: pa.Array, evidence: Evidence
) -> np.ndarray:
    """Why another record represents an image, as both ledgers say that it does."""
    a, b, passing = evidence.a.records[resource], evidence.b.records[resource], evidence.passing[resource]
    former, latter = b.places(record_a), a.places(record_b)
    found = np.zeros(len(checksums), dtype="int64")
    # Later ones first: what is said of a row last holds.
    if evidence.of_versions("dictionary", "code", "mriqc-snapshot"):
        found[:] = evidence.causes.number(REPRESENTATIVE, RANKED)
    others = (a.of_images(checksums) != b.of_images(checksums)).any(axis=1).to_numpy()
    found[others] = evidence.causes.number(REPRESENTATIVE, "a record of the image changed")
    came_cause, came_detail = passing.came
    came = came_cause if came_detail is None else f"{came_cause} ({came_detail})"
    found[latter < 0] = evidence.causes.number(REPRESENTATIVE, came)
    for fate in KEPT_OUT:
        found[a.texts("fate", latter) == fate] = evidence.causes.number(
            REPRESENTATIVE, f"it was {fate} before"
        )
    same_image = _lower(b.texts("md5sum", former)) == _lower(_objects(checksums))
    found[(former >= 0) & ~same_image] = evidence.causes.number(
        REPRESENTATIVE, "the former is of another image now"
    )
    for fate in KEPT_OUT:
        found[b.texts("fate", former) == fate] = evidence.causes.number(
            REPRESENTATIVE, f"the former is {fate} now"
        )
    left = passing.left
    found[former < 0] = (
        0 if left is None else evidence.causes.number(REPRESENTATIVE, f"the former was {left[0]}")
    )
    return found


def why_added(aligned: Aligned, evidence: Evidence) -> np.ndarray:
    """Numbers of the causes of rows that only the second version has."""
    places = pa.array(aligned.alignment.only_b)
    keys, ids = aligned.alignment.keys_b.take(places), aligned.records_b.take(places)
    resource = resource_of(aligned.table)
    a, b = evidence.a.records[resource], evidence.b.records[resource]
    now, before = b.places(ids), a.places(ids)
    found = np.zeros(len(keys), dtype="int64")
    sound = _stands(aligned.table, keys, ids, b, now)
    absent = _absent(aligned.table, keys, a)
    new = sound & absent & (before < 0)
    found[new] = evidence.causes.number(*evidence.passing[resource].came)
    found |= _judged_otherwise(
        evidence, sound & absent & (before >= 0), (a, before), (b, now), "was {} before"
    )
    return found


def why_removed(aligned: Aligned, evidence: Evidence) -> np.ndarray:
    """Numbers of the causes of rows that only the first version has."""
    places = pa.array(aligned.alignment.only_a)
    keys, ids = aligned.alignment.keys_a.take(places), aligned.records_a.take(places)
    resource = resource_of(aligned.table)
    a, b = evidence.a.records[resource], evidence.b.records[resource]
    before, now = a.places(ids), b.places(ids)
    found = np.zeros(len(keys), dtype="int64")
    stood = _stands(aligned.table, keys, ids, a, before)
    absent = _absent(aligned.table, keys, b)
    left = evidence.passing[resource].left
    if left is not None:
        found[stood & absent & (now < 0)] = evidence.causes.number(*left)
    found |= _judged_otherwise(evidence, stood & absent & (now >= 0), (b, now), (a, before), "{} now")
    return found


def _judged_otherwise(
    evidence: Evidence,
    which: np.ndarray,
    out: tuple[Records, np.ndarray],
    kept: tuple[Records, np.ndarray],
    words: str,
) -> np.ndarray:
    """Causes of rows whose record both ledgers have, but only one as a representative.

    Args:
        evidence: all there is.
        which: the rows.
        out: the ledger in which it is none, and its places there.
        kept: the other, and its places there.
        words: how its fate is told.
    """
    found = np.zeros(len(which), dtype="int64")
    etags = [records.texts("etag", places) for records, places in (out, kept)]
    times = [records.texts("updated", places) for records, places in (out, kept)]
    edited = which & ((etags[0] != etags[1]) | (times[0] != times[1]))
    checksums = [records.texts("md5sum", places) for records, places in (out, kept)]
    moved = edited & (checksums[0] != checksums[1])
    found[edited] = evidence.causes.number(UPSTREAM)
    found[moved] = evidence.causes.number(UPSTREAM, "it is of another image")
    fates = out[0].texts("fate", out[1])
    versions = evidence.of_versions("dictionary", "code", "mriqc-snapshot")
    for fate in KEPT_OUT:
        told = words.format(fate)
        apart = which & (fates == fate)
        found[apart & edited] = evidence.causes.number(UPSTREAM, told)
        found[apart & ~edited] = evidence.causes.number(told, versions)
    return found


def _stands(table: str, keys: pa.Array, ids: pa.Array, records: Records, places: np.ndarray) -> np.ndarray:
    """Whether a ledger says that a record stands in a table, in the row of this key."""
    stands = records.texts(_role(table), places) == _objects(ids)
    return np.asarray(stands & _is_of(table, keys, records, places), dtype=bool)


def _is_of(table: str, checksums: pa.Array, records: Records, places: np.ndarray) -> np.ndarray:
    """Whether a ledger has records as sound ones of the images in whose rows they stand."""
    found = (places >= 0) & np.isin(
        records.texts("fate", places).astype(str), _FATES[table in CURATED_TABLES]
    )
    if table != "rating":
        found &= _lower(records.texts("md5sum", places)) == _lower(_objects(checksums))
    return np.asarray(found, dtype=bool)


def _absent(table: str, keys: pa.Array, records: Records) -> np.ndarray:
    """Whether a ledger has no record that could stand in the row of this key."""
    if table != "rating":
        return records.of_images(keys)["count"].to_numpy() == 0
    fates = records.texts("fate", records.places(keys))
    return np.isin(fates.astype(str), ("None", *KEPT_OUT))


def _role(table: str) -> str:
    return "curated_representative" if table in CURATED_TABLES else "representative"


def _objects(values: pa.Array) -> np.ndarray:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=object)


def _lower(texts: np.ndarray) -> np.ndarray:
    return _objects(pc.utf8_lower(pa.array(texts, pa.string())))
