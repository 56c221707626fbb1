"""What curation does with one resource: from its sealed parts to its tables and its rows of the ledgers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.curated import curated_rows
from curation.deduplicate import (
    IMAGE_KEY_COLUMNS,
    KEY_COLUMNS,
    Decision,
    Fate,
    compare_repeats,
    decide,
    make_ledgers,
)
from curation.errors import LawBroken
from curation.index.index import Index
from curation.match.public import copies_ledger, find_public, public_coverage
from curation.pseudonyms import Pseudonyms
from curation.ratings import agreement, compare, rate
from curation.repair import Repaired, Tally
from curation.scrubbed import count_scrubbed
from curation.store import Part, RecordStore
from curation.tables import gather, write_table
from curation.typed import READINGS, make_typed, read_typed
from schemas import table
from schemas.dictionary import Resource
from schemas.published import IMAGE_RESOURCES, PublishedTable, published_table, received_name


@dataclass
class Curated:
    """What became of one resource.

    Attributes:
        decision: the fate of every record.
        ledgers: its rows of the ledgers, by name.
        readings: what was read as another type than it was sent as, in the unique table.
        tallies: what each rule of repair did.
        agreement: of ratings, how raters agree.
        public: of images, how many are public, by dataset and year.
    """

    decision: Decision
    ledgers: dict[str, pa.Table]
    readings: Counter[str] = field(default_factory=Counter)
    tallies: dict[str, Tally] = field(default_factory=dict)
    agreement: dict[str, Any] = field(default_factory=dict)
    public: dict[str, Any] = field(default_factory=dict)

    @property
    def checksums(self) -> pa.ChunkedArray:
        """The checksums of its unique table."""
        records = self.decision.records
        heads = records.loc[records["fate"] == Fate.REPRESENTATIVE, "md5sum"]
        return pa.chunked_array([heads.to_numpy(object)], pa.string())


def curate_resource(
    store: RecordStore,
    resource: Resource,
    staging: Path,
    pseudonyms: Pseudonyms | None,
    index: Index | None,
    images: Mapping[str, pa.ChunkedArray],
) -> Curated:
    """Write the tables of one resource, and return its rows of the ledgers.

    Args:
        store: the record store.
        resource: which.
        staging: where the tables are written.
        pseudonyms: what names of raters and serial numbers become; without, their columns are empty.
        index: of public images; ``None`` if there is none to ask.
        images: of ratings, the checksums of the image tables by name.
    """
    parts = store.parts(resource)
    paths = make_typed(store, resource, parts, pseudonyms)
    decision = _decide(resource, paths, parts, store.deletions(resource))
    # Counted in the sealed parts themselves, not in what was made of them.
    sealed = _distinct_ids(parts)
    require(decision.received == sealed, f"{resource}: {sealed} records sealed, {decision.received} typed")
    curated = Curated(decision, {"scrubbed": count_scrubbed(resource, paths, decision)})
    if resource in IMAGE_RESOURCES:
        _write_images(resource, paths, curated, staging, pseudonyms, index)
    else:
        _write_ratings(resource, paths, curated, staging, images)
    return curated


def _write_images(
    resource: Resource,
    paths: Sequence[Path],
    curated: Curated,
    staging: Path,
    pseudonyms: Pseudonyms | None,
    index: Index | None,
) -> None:
    decision, published = curated.decision, published_table(resource)
    columns = [received_name(resource, column) for column in published.columns]
    chunks = (
        _without_readings(chunk, curated.readings).rename_columns(published.names)
        for chunk in gather(paths, decision.unique, [*columns, READINGS])
    )
    _write(published, chunks, staging, expected=len(decision.unique))
    repeats = compare_repeats(paths, decision, [column.name for column in table(resource).iqms])
    better = published_table(f"{resource}_curated")
    repairs, differing = [_empty("repairs")], [_empty("disagreements")]
    best = decision.records[decision.records["best"] == decision.records.index]
    checksums, ids = (
        pa.chunked_array([best[name].to_numpy(object)], pa.string()) for name in ("md5sum", "record_id")
    )
    public = find_public(resource, checksums, index, pseudonyms) if index is not None else None
    curated.ledgers["matches"] = (
        copies_ledger(resource, public, ids, checksums) if public else _empty("matches")
    )
    curated.public = public_coverage(best["created"], public) if public else {}

    def note(repaired: Repaired, disagreeing: pa.Table | None) -> None:
        repairs.append(repaired.ledger)
        if disagreeing is not None:
            differing.append(disagreeing)
        for rule, tally in repaired.tallies.items():
            curated.tallies[rule] = curated.tallies.get(rule, Tally()) + tally

    rows = curated_rows(resource, better, paths, decision, repeats, public, note)
    _write(better, rows, staging, expected=len(decision.unique))
    records, quarantine = make_ledgers(resource, decision, repeats)
    curated.ledgers |= {"records": records, "quarantine": quarantine, "repairs": pa.concat_tables(repairs)}
    curated.ledgers["disagreements"] = pa.concat_tables(differing)


def _write_ratings(
    resource: Resource,
    paths: Sequence[Path],
    curated: Curated,
    staging: Path,
    images: Mapping[str, pa.ChunkedArray],
) -> None:
    decision, published = curated.decision, published_table(resource)
    received = [column.name for column in (*table(resource).columns, *published.columns[-2:])]
    # Ratings are few beside images, and are compared with each other.
    chunks = list(gather(paths, decision.unique, [*received, "created", "updated", READINGS]))
    whole = []
    if chunks:
        sent = pa.concat_tables(_without_readings(chunk, curated.readings) for chunk in chunks)
        rated, compared = rate(sent), compare(sent, images)
        curated.agreement = agreement(sent, rated, compared)
        columns = {name: part.column(name) for part in (sent, rated, compared) for name in part.column_names}
        whole.append(pa.table([columns[name] for name in published.names], names=published.names))
    _write(published, iter(whole), staging, expected=len(decision.unique))
    records, quarantine = make_ledgers(resource, decision, None)
    curated.ledgers |= {"records": records, "quarantine": quarantine}
    curated.ledgers |= {name: _empty(name) for name in ("repairs", "matches", "disagreements")}


def _empty(name: str) -> pa.Table:
    return published_table(name).arrow_schema.empty_table()


def _decide(
    resource: Resource, paths: Sequence[Path], parts: Sequence[Part], deletions: Mapping[str, int]
) -> Decision:
    checksum = table(resource).checksum.name
    names = [*(IMAGE_KEY_COLUMNS if resource in IMAGE_RESOURCES else KEY_COLUMNS), checksum]
    renamed = ["md5sum" if name == checksum else name for name in names]
    keys = [read_typed(path, names).rename_columns(renamed) for path in paths]
    return decide(resource, keys, [part.sequence for part in parts], deletions)


def _write(published: PublishedTable, chunks: Iterator[pa.Table], staging: Path, *, expected: int) -> None:
    parquet = staging / "parquet" / f"{published.name}.parquet"
    rows = write_table(chunks, published.arrow_schema, staging / published.path, parquet)
    require(rows == expected, f"{published.path} has {rows} rows for {expected} representatives")


def _distinct_ids(parts: Sequence[Part]) -> int:
    chunks = [chunk for part in parts for chunk in part.keys().column("record_id").chunks]
    return pc.count_distinct(pa.chunked_array(chunks, pa.string())).as_py()


def _without_readings(chunk: pa.Table, readings: Counter[str]) -> pa.Table:
    """Count what was noted of the rows of ``chunk``; returns it without that column."""
    for note in pc.value_counts(pc.list_flatten(chunk.column(READINGS))).to_pylist():
        readings[note["values"]] += note["counts"]
    return chunk.drop_columns([READINGS])


def require(holds: bool, found: str) -> None:
    """Stop where law 1 does not hold.

    Raises:
        LawBroken: it does not.
    """
    if not holds:
        raise LawBroken(
            f"nothing is lost (law 1): {found}. Nothing was published; please report this as a defect"
        )
