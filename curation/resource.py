"""What curation does with one resource: from its typed columns to its tables and its rows of the ledgers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curation.curated import CuratedRows, curated_calls
from curation.deduplicate import (
    IMAGE_KEY_COLUMNS,
    KEY_COLUMNS,
    Decision,
    Fate,
    Repeats,
    compare_repeats,
    decide,
    quarantine_ledger,
    records_ledger,
)
from curation.engine import Engine
from curation.errors import LawBroken
from curation.index.index import Index
from curation.ledgers import Ledgers
from curation.match.public import PublicImages, copies_ledger, find_public, public_coverage
from curation.partitions import Partition
from curation.pseudonyms import Pseudonyms
from curation.ratings import agreement, compare, rate
from curation.repair import Tally
from curation.scrubbed import count_scrubbed
from curation.store import Part, RecordStore
from curation.tables import TableWriter, encode, rows_of
from curation.typed import READINGS
from curation.unique import unique_calls, without_readings
from curation.withdrawals import Settled
from schemas import table
from schemas.dictionary import Resource
from schemas.published import IMAGE_RESOURCES, PublishedTable, published_table

Compared = tuple[Repeats, PublicImages | None]
"""How records of one image compare, and which images are public; ``None`` where no index was asked."""


@dataclass
class Curated:
    """What became of one resource.

    Attributes:
        counts: of its records: ``received``, ``withdrawn``, and by fate.
        newest: creation time of its newest record, in seconds since 1970.
        checksums: of images, those of the unique table.
        readings: what was read as another type than it was sent as, in the unique table.
        tallies: what each rule of repair did.
        agreement: of ratings, how raters agree.
        public: of images, how many are public, by dataset and year.
        left: of images, how many records left on request, by checksum.
        stay: likewise, how many records stay of images that somebody asked to withdraw.
    """

    counts: dict[str, int]
    newest: int | None
    checksums: pa.Array
    readings: Counter[str] = field(default_factory=Counter)
    tallies: dict[str, Tally] = field(default_factory=dict)
    agreement: dict[str, Any] = field(default_factory=dict)
    public: dict[str, Any] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    stay: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Making:
    """What is needed to make the tables of a resource.

    Attributes:
        resource: which.
        typed: its typed columns, a file a part.
        staging: where tables are written.
        ledgers: where its rows of the ledgers go.
        engine: where chunks of tables are made.
        pseudonyms: what names of raters and serial numbers become; without, their columns are empty.
        index: of public images; ``None`` if there is none to ask.
        withdrawals: requests to withdraw records, decided.
    """

    resource: Resource
    typed: Sequence[Partition]
    staging: Path
    ledgers: Ledgers
    engine: Engine
    pseudonyms: Pseudonyms | None
    index: Index | None
    withdrawals: Settled


def curate_resource(making: Making, store: RecordStore, images: Mapping[str, pa.Array]) -> Curated:
    """Write the tables of one resource, and its rows of the ledgers.

    Args:
        making: of what and where.
        store: the record store.
        images: of ratings, the checksums of the image tables by name.
    """
    resource, parts = making.resource, store.parts(making.resource)
    decision = _decide(making, parts, store.deletions(resource))
    # Counted in the sealed parts themselves, not in what was made of them.
    sealed = _distinct_ids(parts)
    require(decision.received == sealed, f"{resource}: {sealed} records sealed, {decision.received} typed")
    times, heads = decision.records["created"], decision.records["fate"] == Fate.REPRESENTATIVE
    checksums = decision.records.loc[heads, "md5sum"]
    curated = Curated(
        _counts(resource, decision),
        None if times.isna().all() else int(times.max()),
        pa.array(checksums.to_numpy(object) if resource in IMAGE_RESOURCES else [], pa.string()),
    )
    curated.left, curated.stay = decision.left, _staying(making, decision)
    making.ledgers.write("scrubbed", count_scrubbed(resource, making.typed, decision))
    if resource in IMAGE_RESOURCES:
        _write_images(making, decision, curated)
    else:
        _write_ratings(making, decision, curated, images)
    making.ledgers.end_resource()
    return curated


def _write_images(making: Making, decision: Decision, curated: Curated) -> None:
    stopped = threading.Event()
    with ThreadPoolExecutor(1, "tell") as beside:
        # Comparing records, and then telling of each, uses one thread; the tables are written beside it.
        compared = beside.submit(_compare, making, decision, curated)
        told = beside.submit(_tell, making, decision, compared, stopped)
        try:
            _write_unique(making, decision, curated, compared)
            _write_curated(making, decision, curated, compared.result(), told)
        except BaseException:
            stopped.set()
            raise
        told.result()


def _write_unique(making: Making, decision: Decision, curated: Curated, compared: Future[Any]) -> None:
    with _writer(making, published_table(making.resource)) as writer:
        calls = unique_calls(making.resource, making.typed, decision, making.engine)
        for encoded, readings in making.engine.run(calls):
            _raise_early(compared)
            writer.write(encoded)
            curated.readings.update(readings)
    _require_rows(making.resource, writer, len(decision.unique))


def _write_curated(
    making: Making, decision: Decision, curated: Curated, compared: Compared, told: Future[Any]
) -> None:
    published, ledgers = published_table(f"{making.resource}_curated"), making.ledgers
    with _writer(making, published) as writer:
        calls = curated_calls(making.resource, making.typed, decision, *compared, making.engine)
        made: Iterator[CuratedRows] = making.engine.run(calls)
        for rows in made:
            _raise_early(told)
            writer.write(rows.encoded)
            ledgers.write("repairs", rows.repairs)
            ledgers.write("disagreements", rows.disagreements)
            for rule, tally in rows.tallies.items():
                curated.tallies[rule] = curated.tallies.get(rule, Tally()) + tally
    _require_rows(published.name, writer, len(decision.unique))


def _raise_early(beside: Future[Any]) -> None:
    """An error of what runs beside ends this, too, and not only once all is written."""
    if beside.done():
        beside.result()


def _compare(making: Making, decision: Decision, curated: Curated) -> Compared:
    """How records of one image compare, and which images are public."""
    iqms = [column.name for column in table(making.resource).iqms]
    repeats = compare_repeats(making.typed, decision, iqms, making.engine)
    if making.index is None:
        return repeats, None
    best = _best(decision)
    public = find_public(making.resource, _texts(best["md5sum"]), making.index, making.pseudonyms)
    curated.public = public_coverage(best["created"], public)
    return repeats, public


def _tell(making: Making, decision: Decision, compared: Future[Compared], stopped: threading.Event) -> None:
    """Write the ledgers that tell of every record, and of every copy of an image."""
    repeats, public = compared.result()
    for name, rows in _told(making, decision, repeats, public):
        if stopped.is_set():
            return
        making.ledgers.write(name, rows)


def _told(
    making: Making, decision: Decision, repeats: Repeats, public: PublicImages | None
) -> Iterator[tuple[str, pa.Table]]:
    for rows in records_ledger(making.resource, decision, repeats):
        yield "records", rows
    yield "quarantine", quarantine_ledger(making.resource, decision)
    if public is not None:
        best = _best(decision)
        for rows in copies_ledger(making.resource, public, _texts(best["record_id"]), _texts(best["md5sum"])):
            yield "matches", rows


def _best(decision: Decision) -> pd.DataFrame:
    """The records of the curated table, in its order."""
    return decision.records[decision.records["best"] == decision.records.index]


def _texts(values: pd.Series) -> pa.ChunkedArray:
    return pa.table({"text": values.array}, pa.schema([("text", pa.string())])).column("text")


def _write_ratings(
    making: Making, decision: Decision, curated: Curated, images: Mapping[str, pa.Array]
) -> None:
    resource, published = making.resource, published_table(making.resource)
    received = [column.name for column in (*table(resource).columns, *published.columns[-2:])]
    # Ratings are few beside images, and are compared with each other.
    every = rows_of(making.typed, decision.unique, at_once=len(decision.unique) or 1)
    with _writer(making, published) as writer:
        for rows in every:
            sent = without_readings(rows.read([*received, "created", "updated", READINGS]), curated.readings)
            rated, compared = rate(sent), compare(sent, images)
            curated.agreement = agreement(sent, rated, compared)
            columns = {
                name: part.column(name) for part in (sent, rated, compared) for name in part.column_names
            }
            whole = pa.table([columns[name] for name in published.names], names=published.names)
            writer.write(encode(whole, published.arrow_schema))
    _require_rows(resource, writer, len(decision.unique))
    for ledger in records_ledger(resource, decision, None):
        making.ledgers.write("records", ledger)
    making.ledgers.write("quarantine", quarantine_ledger(resource, decision))


def _writer(making: Making, published: PublishedTable) -> TableWriter:
    parquet = making.staging / "parquet" / f"{published.name}.parquet"
    return TableWriter(published.arrow_schema, making.staging / published.path, parquet)


def _require_rows(name: str, writer: TableWriter, expected: int) -> None:
    require(writer.rows == expected, f"{name} has {writer.rows} rows for {expected} representatives")


def _counts(resource: Resource, decision: Decision) -> dict[str, int]:
    """Records by fate; law 1: every record received is in exactly one of them."""
    found = decision.records["fate"].value_counts()
    counts = {str(fate): int(found.get(fate, 0)) for fate in Fate}
    accounted = sum(counts.values()) + decision.withdrawn
    require(
        accounted == decision.received and found.sum() == len(decision.records),
        f"{resource}: {decision.received} records received, {accounted} accounted for",
    )
    return {
        "received": decision.received,
        "representatives": counts[Fate.REPRESENTATIVE],
        "duplicates": counts[Fate.DUPLICATE],
        "quarantined": counts[Fate.QUARANTINED],
        "excluded": counts[Fate.EXCLUDED],
        "withdrawn": decision.withdrawn,
    }


def _decide(making: Making, parts: Sequence[Part], deletions: Mapping[str, int]) -> Decision:
    resource = making.resource
    checksum = table(resource).checksum.name
    names = [*(IMAGE_KEY_COLUMNS if resource in IMAGE_RESOURCES else KEY_COLUMNS), checksum]
    renamed = ["md5sum" if name == checksum else name for name in names]
    keys = [path.read(names).rename_columns(renamed) for path in making.typed]
    # Who rates an image has not submitted it: ratings are not theirs to withdraw.
    leaving = making.withdrawals.leaving if resource in IMAGE_RESOURCES else {}
    return decide(resource, keys, [part.sequence for part in parts], deletions, leaving)


def _staying(making: Making, decision: Decision) -> dict[str, int]:
    """How many records stay, by checksum, of images that somebody asked to withdraw."""
    asked = [one.checksum for one in making.withdrawals.requests]
    if not asked or making.resource not in IMAGE_RESOURCES:
        return {}
    checksums = decision.records["md5sum"].str.lower()
    counted = checksums[checksums.isin(asked)].value_counts()
    return {str(checksum): int(count) for checksum, count in counted.items()}


def _distinct_ids(parts: Sequence[Part]) -> int:
    chunks = [chunk for part in parts for chunk in part.keys().column("record_id").chunks]
    return pc.count_distinct(pa.chunked_array(chunks, pa.string())).as_py()


def require(holds: bool, found: str) -> None:
    """Stop where law 1 does not hold.

    Raises:
        LawBroken: it does not.
    """
    if not holds:
        raise LawBroken(
            f"nothing is lost (law 1): {found}. Nothing was published; please report this as a defect"
        )
