"""The curated tables: one row an image, its best record, with what the other records of the image tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.deduplicate import Decision, Repeats, count_similar
from curation.deduplicate.similar import ACQUISITION_KEY
from curation.flags import flag
from curation.harmonise import harmonise
from curation.match.public import PUBLIC_COLUMNS, PublicImages, disagreements
from curation.repair import Repaired, repair, rules
from curation.tables import gather
from curation.typed import ASIDES
from schemas import table
from schemas.dictionary import Resource
from schemas.published import PublishedTable


def curated_rows(
    resource: Resource,
    published: PublishedTable,
    paths: Sequence[Path],
    decision: Decision,
    repeats: Repeats,
    public: PublicImages | None,
    on_chunk: Callable[[Repaired, pa.Table | None], None],
) -> Iterator[pa.Table]:
    """The rows of a curated table, in chunks: repaired, with harmonised columns, counts and flags.

    Args:
        resource: whose images they are.
        published: the table.
        paths: typed columns, a file a part.
        decision: what became of the records.
        repeats: how they compare.
        public: the public copies of the table's images; ``None`` if no index was asked.
        on_chunk: told what the repair of each chunk did, and where it is not what sidecars say.
    """
    added = _by_image(resource, paths, decision, repeats)
    asked = [column.name for column in table(resource).columns if column.personal != "dropped"]
    start = 0
    for chunk in gather(paths, decision.curated, ["created", "record_id", *asked, ASIDES]):
        given = public.given(start, len(chunk)) if public else None
        repaired = repair(resource, chunk.drop_columns([ASIDES]), chunk.column(ASIDES), rules(), given)
        harmonised = harmonise(resource, repaired.rows)
        columns = {
            "md5sum" if name == "provenance_md5sum" else name: repaired.rows.column(name)
            for name in repaired.rows.column_names
        }
        columns |= {name: values.slice(start, len(chunk)) for name, values in added.items()}
        found, disagreeing = {}, None
        if public is not None and given is not None:
            differs, disagreeing = disagreements(resource, chunk, repaired, given)
            found = {
                "sidecar_mismatch": differs,
                "modality_mismatch": public.mismatch[start : start + len(chunk)],
            }
        columns |= _public_columns(public, start, len(chunk))
        columns |= harmonised | {"flags": flag(resource, repaired, harmonised, found)}
        on_chunk(repaired, disagreeing)
        start += len(chunk)
        yield pa.table([columns[name] for name in published.names], names=published.names)


def _public_columns(
    public: PublicImages | None, start: int, rows: int
) -> dict[str, pa.Array | pa.ChunkedArray]:
    if public is None:
        return {name: pa.nulls(rows) for name in PUBLIC_COLUMNS}
    return {name: column.slice(start, rows) for name, column in public.columns.items()}


def _by_image(
    resource: Resource, paths: Sequence[Path], decision: Decision, repeats: Repeats
) -> dict[str, pa.Array]:
    """What is counted over all records of each image, in the order of the table."""
    sound = decision.records[decision.records["group"] >= 0]
    groups = decision.curated["group"].to_numpy()
    n_records = np.bincount(sound["group"], minlength=1)
    n_versions = sound.drop_duplicates(["group", "version"])["group"].value_counts()
    declared = {column.name for column in table(resource).columns}
    shared = [name for name in ACQUISITION_KEY if name in declared]
    keys = list(gather(paths, decision.curated, shared))
    return {
        "n_records": pa.array(n_records[groups], pa.int64()),
        "n_versions": pa.array(n_versions.reindex(groups).to_numpy(), pa.int64()),
        "iqm_spread": pa.array(repeats.spread, pa.float64(), from_pandas=True),
        "n_same_acquisition": count_similar(pa.concat_tables(keys)) if keys else pa.array([], pa.int64()),
    }
