"""The curated tables: one row an image, its best record, with what the other records of the image tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from dask.delayed import Delayed

from curation.deduplicate import Decision, Repeats, count_similar
from curation.deduplicate.similar import ACQUISITION_KEY
from curation.engine import Engine
from curation.flags import flag
from curation.harmonise import harmonise
from curation.match.public import PUBLIC_COLUMNS, PublicImages, PublicRows, disagreements
from curation.partitions import Partition
from curation.repair import Tally, repair, rules
from curation.tables import Encoded, Rows, encode, rows_of
from curation.typed import ASIDES
from schemas import table
from schemas.dictionary import Resource
from schemas.published import published_table

KEY_ROWS = 100_000
"""Rows of which the columns that tell an acquisition are read at a time."""


@dataclass(frozen=True)
class CuratedRows:
    """Some rows of a curated table, and what is to be said of them.

    Attributes:
        encoded: the rows.
        repairs: rows of ``audit/repairs``.
        disagreements: rows of ``audit/disagreements``; ``None`` where no index was asked.
        tallies: what each rule did.
    """

    encoded: Encoded
    repairs: pa.Table
    disagreements: pa.Table | None
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
        engine: where they will run.
    """
    added = pa.table(_by_image(resource, typed, decision, repeats))
    start = 0
    for rows in rows_of(typed, decision.curated):
        known = public.rows(start, len(rows)) if public is not None else None
        yield engine.call(curate_rows, resource, rows, added.slice(start, len(rows)).combine_chunks(), known)
        start += len(rows)


def curate_rows(resource: Resource, rows: Rows, added: pa.Table, public: PublicRows | None) -> CuratedRows:
    """Rows of a curated table: repaired, with harmonised columns, counts and flags.

    Args:
        resource: whose images they are.
        rows: the records that represent them.
        added: what is counted over all records of each image.
        public: what is known of their public copies; ``None`` if no index was asked.
    """
    asked = [column.name for column in table(resource).columns if column.personal != "dropped"]
    received = rows.read(["created", "record_id", *asked, ASIDES])
    given = public.given if public is not None else None
    repaired = repair(resource, received.drop_columns([ASIDES]), received.column(ASIDES), rules(), given)
    harmonised = harmonise(resource, repaired.rows)
    columns = {
        "md5sum" if name == "provenance_md5sum" else name: repaired.rows.column(name)
        for name in repaired.rows.column_names
    }
    columns |= {name: added.column(name) for name in added.column_names}
    found, disagreeing = {}, None
    if public is not None:
        differs, disagreeing = disagreements(resource, received, repaired, public.given)
        found = {"sidecar_mismatch": differs, "modality_mismatch": public.mismatch}
        columns |= public.columns
    else:
        columns |= {name: pa.nulls(len(rows)) for name in PUBLIC_COLUMNS}
    columns |= harmonised | {"flags": flag(resource, repaired, harmonised, found)}
    published = published_table(f"{resource}_curated")
    made = pa.table([columns[name] for name in published.names], names=published.names)
    return CuratedRows(encode(made, published.arrow_schema), repaired.ledger, disagreeing, repaired.tallies)


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
