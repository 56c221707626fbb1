"""The Parquet file of all changed cells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.diff.cell_rows import CELLS, CellRows
from curation.diff.model import Difference
from curation.store.files import move_into_place

ROWS = 100_000
"""Rows of a row group, at the most."""


def write_cells(difference: Difference, path: Path) -> None:
    """Write every row and cell that differs, a row each; see :data:`curation.diff.cell_rows.CELLS`.

    Args:
        difference: what was found.
        path: a file; replaced if it is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        with pq.ParquetWriter(temporary, CELLS, compression="zstd") as file:
            for rows in _batches(difference):
                file.write_table(rows, row_group_size=ROWS)
        move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _batches(difference: Difference) -> Iterator[pa.Table]:
    """Rows in the order of tables and columns, so many at a time."""
    waiting: list[pa.Table] = []
    for table in difference.tables:
        for group in table.cells:
            for piece in _pieces(group):
                waiting.append(piece)
                if sum(map(len, waiting)) >= ROWS:
                    yield pa.concat_tables(waiting).combine_chunks()
                    waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _pieces(group: CellRows) -> Iterator[pa.Table]:
    for start in range(0, len(group), ROWS):
        yield group.slice(start, ROWS).to_arrow()
