"""The unique tables: one row an image, its earliest record as it was received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import Delayed

from curation.deduplicate import Decision
from curation.engine import Engine
from curation.kept import KEY, LINE, find_rows, row_keys, write_kept
from curation.partitions import Partition
from curation.tables import Begun, Encoded, Rows, encode, first_cells, rows_of
from curation.typed import READINGS
from schemas.dictionary import Resource
from schemas.published import published_table, received_name


def unique_calls(
    resource: Resource, typed: Sequence[Partition], decision: Decision, engine: Engine
) -> Iterator[Delayed]:
    """Calls that make the rows of a unique table, in their order; each returns what :func:`unique_rows` does.

    Args:
        resource: whose images they are.
        typed: typed columns, a file a part.
        decision: what became of the records.
        engine: where they will run, and lines of CSV are made that are not kept yet.
    """
    keys = row_keys(typed, decision.unique)
    kept = find_rows(typed, "unique", keys)
    missing = rows_of(typed, decision.unique.iloc[kept.missing])
    kept.make(
        (
            engine.call(keep_lines, resource, rows, keys.take(pa.array(places)), to)
            for rows, (places, to) in zip(missing, kept.todo, strict=True)
        ),
        engine,
    )
    lines = rows_of(kept.partitions, kept.places)
    for rows, known in zip(rows_of(typed, decision.unique), lines, strict=True):
        yield engine.call(unique_rows, resource, rows, known)


def keep_lines(resource: Resource, rows: Rows, keys: pa.Array, to: Partition) -> None:
    """Write what lines of a unique table begin with: all cells but the last.

    Args:
        resource: whose images they are.
        rows: the records that represent them.
        keys: of the rows.
        to: where they are written.
    """
    cells = first_cells(_received(resource, rows).select(range(len(published_table(resource).names) - 1)))
    write_kept(to, pa.table({KEY: keys, LINE: cells}))


def unique_rows(resource: Resource, rows: Rows, lines: Rows) -> tuple[Encoded, Counter[str]]:
    """Rows of a unique table, and what was read as another type than it was sent as.

    Args:
        resource: whose images they are.
        rows: the records that represent them.
        lines: what their lines of CSV begin with.
    """
    published, readings = published_table(resource), Counter[str]()
    read = without_readings(_received(resource, rows, READINGS), readings)
    begun = Begun(lines.read([LINE]).column(LINE), len(published.names) - 1)
    return encode(read, published.arrow_schema, begun=begun), readings


def _received(resource: Resource, rows: Rows, *others: str) -> pa.Table:
    published = published_table(resource)
    columns = [received_name(resource, column) for column in published.columns]
    return rows.read([*columns, *others]).rename_columns([*published.names, *others])


def without_readings(chunk: pa.Table, readings: Counter[str]) -> pa.Table:
    """Count what was noted of the rows of ``chunk``; returns it without that column."""
    for note in pc.value_counts(pc.list_flatten(chunk.column(READINGS))).to_pylist():
        readings[note["values"]] += note["counts"]
    return chunk.drop_columns([READINGS])
