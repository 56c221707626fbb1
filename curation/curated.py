"""The curated tables: one row an image, its best record, with what the other records of the image tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.deduplicate import Decision, Repeats, count_similar
from curation.deduplicate.similar import ACQUISITION_KEY
from curation.flags import flag
from curation.tables import gather
from curation.typed import READINGS
from schemas import table
from schemas.dictionary import Resource
from schemas.published import PublishedTable, received_name


def curated_rows(
    resource: Resource, published: PublishedTable, paths: Sequence[Path], decision: Decision, repeats: Repeats
) -> Iterator[pa.Table]:
    """The rows of a curated table, in chunks.

    Args:
        resource: whose images they are.
        published: the table.
        paths: typed columns, a file a part.
        decision: what became of the records.
        repeats: how they compare.
    """
    added = _by_image(resource, paths, decision, repeats)
    received = [
        column for column in published.columns if column.path or column.name in ("created", "record_id")
    ]
    names = [received_name(resource, column) for column in received]
    start = 0
    for chunk in gather(paths, decision.curated, [*names, READINGS]):
        columns = {c.name: chunk.column(name) for c, name in zip(received, names, strict=True)}
        columns |= {name: values.slice(start, len(chunk)) for name, values in added.items()}
        columns["flags"] = flag(resource, chunk, chunk.column(READINGS))
        start += len(chunk)
        yield pa.table([columns[name] for name in published.names], names=published.names)


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
