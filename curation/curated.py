"""The curated tables: one row an image, its best record, with what the other records of the image tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from dask.delayed import Delayed

from curation.deduplicate import Decision, Repeats, count_similar
from curation.deduplicate.similar import ACQUISITION_KEY
from curation.engine import Engine
from curation.flags import flag
from curation.harmonise import harmonise
from curation.kept import KEY, LINE, find_rows, lists, row_keys, unlisted, write_kept
from curation.match.public import PUBLIC_COLUMNS, PublicImages, Said, disagreements
from curation.partitions import Partition
from curation.repair import Tally, repair, rules, tallied
from curation.tables import Begun, Encoded, Rows, encode, first_cells, rows_of
from curation.typed import ASIDES
from schemas import table
from schemas.dictionary import Resource
from schemas.published import published_table

REPAIRS, DISAGREEMENTS, NOTES = "_repairs", "_disagreements", "_notes"
"""Columns of kept rows: each row's rows of two ledgers, and what the rules did with it."""
_OF_ROW = ["record_id", "resource", "md5sum"]
"""Columns of these ledgers that the row itself tells."""
KEY_ROWS = 100_000
"""Rows of which the columns that tell an acquisition are read at a time."""


@dataclass(frozen=True)
class CuratedRows:
    """Some rows of a curated table, and what is to be said of them.

    Attributes:
        encoded: the rows.
        repairs: rows of ``audit/repairs``.
        disagreements: rows of ``audit/disagreements``.
        tallies: what each rule did.
    """

    encoded: Encoded
    repairs: pa.Table
    disagreements: pa.Table
    tallies: dict[str, Tally]


def curated_calls(
    resource: Resource,
    typed: Sequence[Partition],
    decision: Decision,
    repeats: Repeats,
    public: PublicImages | None,
    engine: Engine,
) -> Iterator[Delayed]:
    """Calls that make the rows of a curated table, in their order; each returns :class:`CuratedRows`.

    Args:
        resource: whose images they are.
        typed: typed columns, a file a part.
        decision: what became of the records.
        repeats: how they compare.
        public: the public copies of the table's images; ``None`` if no index was asked.
        engine: where they will run, and rows are repaired that are not kept yet.
    """
    keys = row_keys(typed, decision.curated, public.given_digests if public is not None else None)
    kept = find_rows(typed, "curated", keys)
    said = public.said_of(kept.missing) if public is not None and len(kept.missing) else None
    missing = rows_of(typed, decision.curated.iloc[kept.missing])
    kept.make(
        (
            engine.call(
                keep_repaired,
                resource,
                rows,
                keys.take(pa.array(places)),
                said.rows(number * len(kept.todo[0][0]), len(places)) if said is not None else None,
                to,
            )
            for number, (rows, (places, to)) in enumerate(zip(missing, kept.todo, strict=True))
        ),
        engine,
    )
    added = pa.table(_by_image(resource, typed, decision, repeats))
    start = 0
    for rows in rows_of(kept.partitions, kept.places):
        columns = public.columns if public is not None else {}
        others = {name: column.slice(start, len(rows)) for name, column in columns.items()}
        others |= {
            name: added.column(name).slice(start, len(rows)).combine_chunks() for name in added.column_names
        }
        yield engine.call(curated_rows, resource, rows, others)
        start += len(rows)


def keep_repaired(resource: Resource, rows: Rows, keys: pa.Array, said: Said | None, to: Partition) -> None:
    """Write what records, and the sidecars of their public images, decide of rows of a curated table.

    Args:
        resource: whose images they are.
        rows: the records that represent them.
        keys: of the rows.
        said: what is said of their public copies; ``None`` if no index was asked.
        to: where they are written.
    """
    asked = [column.name for column in table(resource).columns if column.personal != "dropped"]
    received = rows.read(["created", "record_id", *asked, ASIDES])
    sidecars = said.sidecars if said is not None else None
    repaired = repair(resource, received.drop_columns([ASIDES]), received.column(ASIDES), rules(), sidecars)
    harmonised = harmonise(resource, repaired.rows)
    columns = {
        "md5sum" if name == "provenance_md5sum" else name: repaired.rows.column(name)
        for name in repaired.rows.column_names
    }
    found, disagreeing, places = (
        {},
        published_table("disagreements").arrow_schema.empty_table(),
        np.array([], int),
    )
    if said is not None:
        disagreeing, places = disagreements(resource, received, repaired, said.sidecars)
        found["sidecar_mismatch"] = np.isin(np.arange(len(rows)), places)
        found["modality_mismatch"] = said.mismatch
    columns |= harmonised | {"flags": flag(resource, repaired, harmonised, found)}
    published = published_table(f"{resource}_curated").arrow_schema
    fields = [field for field in published if field.name in columns]
    made = pa.table([columns[field.name].cast(field.type) for field in fields], schema=pa.schema(fields))
    notes: dict[str, pa.Array | pa.ChunkedArray] = {
        KEY: keys,
        LINE: first_cells(made.select(first_names(resource))),
        REPAIRS: lists(repaired.ledger.drop_columns(_OF_ROW), repaired.changed, len(rows)),
        DISAGREEMENTS: lists(disagreeing.drop_columns(_OF_ROW), places, len(rows)),
        NOTES: repaired.notes,
    }
    for name, column in notes.items():
        made = made.append_column(name, column)
    write_kept(to, made)


def first_names(resource: Resource) -> list[str]:
    """The columns that a curated table begins with, which a record and its public image's sidecar decide."""
    names = published_table(f"{resource}_curated").names
    return names[: names.index(PUBLIC_COLUMNS[0])]


def curated_rows(
    resource: Resource, rows: Rows, others: Mapping[str, pa.Array | pa.ChunkedArray]
) -> CuratedRows:
    """Rows of a curated table: as they are kept, with what is known of public copies, and counts.

    Args:
        resource: whose images they are.
        rows: kept rows.
        others: columns that are not kept; those of :data:`PUBLIC_COLUMNS` are missing where no index was asked.
    """
    published, first = published_table(f"{resource}_curated"), first_names(resource)
    kept = rows.read([*first, "flags", "record_id", LINE, REPAIRS, DISAGREEMENTS, NOTES])
    columns = {name: pa.nulls(len(rows)) for name in PUBLIC_COLUMNS}
    columns |= {name: kept.column(name) for name in kept.column_names} | dict(others)
    made = pa.table([columns[name] for name in published.names], names=published.names)
    disagreeing = _ledger(resource, "disagreements", kept, DISAGREEMENTS)
    # Column by column, as they were compared.
    numbers = {column.name: number for number, column in enumerate(table(resource).columns)}
    order = np.argsort([numbers[name] for name in disagreeing.column("column").to_pylist()], kind="stable")
    return CuratedRows(
        encode(made, published.arrow_schema, begun=Begun(kept.column(LINE), len(first))),
        _ledger(resource, "repairs", kept, REPAIRS),
        disagreeing.take(pa.array(order, pa.int64())),
        tallied(kept.column(NOTES)),
    )


def _ledger(resource: Resource, name: str, kept: pa.Table, column: str) -> pa.Table:
    """Rows of a ledger of cells, of the lists that are kept of each row."""
    schema = published_table(name).arrow_schema
    cells, places = unlisted(kept.column(column))
    columns = {field: cells.column(field) for field in cells.column_names}
    columns |= {field: kept.column(field).take(pa.array(places)) for field in ("record_id", "md5sum")}
    columns["resource"] = pa.array([resource] * len(cells), pa.string())
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _by_image(
    resource: Resource, typed: Sequence[Partition], decision: Decision, repeats: Repeats
) -> dict[str, pa.Array]:
    """What is counted over all records of each image, in the order of the table."""
    sound = decision.records[decision.records["group"] >= 0]
    groups = decision.curated["group"].to_numpy()
    n_records = np.bincount(sound["group"], minlength=1)
    n_versions = sound.drop_duplicates(["group", "version"])["group"].value_counts()
    declared = {column.name for column in table(resource).columns}
    shared = [name for name in ACQUISITION_KEY if name in declared]
    keys = [rows.read(shared) for rows in rows_of(typed, decision.curated, KEY_ROWS)]
    return {
        "n_records": pa.array(n_records[groups], pa.int64()),
        "n_versions": pa.array(n_versions.reindex(groups).to_numpy(), pa.int64()),
        "iqm_spread": pa.array(repeats.spread, pa.float64(), from_pandas=True),
        "n_same_acquisition": count_similar(pa.concat_tables(keys)) if keys else pa.array([], pa.int64()),
    }
