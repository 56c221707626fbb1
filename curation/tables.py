"""Writes finished tables: CSV and Parquet, a chunk of rows at a time, in an order fixed beforehand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.typed import read_typed

CHUNK_ROWS = 20_000
# Typed parts kept in memory while a table is put together: about 150 columns of 8 bytes a row.
CACHED_ROWS = 100_000
PIECE_BYTES = 1 << 29
CSV_ROWS = 4_000
_ISO_8601 = "%Y-%m-%dT%H:%M:%SZ"


def gather(paths: Sequence[Path], rows: pd.DataFrame, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Rows of typed parts, in the order given, in chunks of :data:`CHUNK_ROWS`.

    Args:
        paths: typed columns, a file a part.
        rows: the rows wanted: ``part`` (index into ``paths``) and ``row``.
        columns: the columns wanted, in order.
    """
    cache: OrderedDict[int, pa.Table] = OrderedDict()
    if not len(rows):
        return

    def part(number: int) -> pa.Table:
        if number not in cache:
            cache[number] = _with_large_texts(read_typed(paths[number], columns))
        cache.move_to_end(number)
        while len(cache) > 1 and sum(len(table) for table in cache.values()) > CACHED_ROWS:
            cache.popitem(last=False)
        return cache[number]

    for start in range(0, len(rows), CHUNK_ROWS):
        wanted = rows.iloc[start : start + CHUNK_ROWS].reset_index(drop=True)
        pieces, places = [], []
        for number, group in wanted.groupby("part", sort=True):
            pieces.append(part(int(number)).take(pa.array(group["row"].to_numpy())))
            places += group.index.to_list()
        back = pd.Series(range(len(places)), index=places).sort_index()
        yield pa.concat_tables(pieces).take(pa.array(back.to_numpy()))


def _with_large_texts(table: pa.Table) -> pa.Table:
    """Texts with 64-bit offsets: picking rows cannot overflow 2 GB, which 200 of MongoDB's largest documents do."""
    fields = [f.with_type(pa.large_string()) if pa.types.is_string(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


def write_table(
    chunks: Iterator[pa.Table], schema: pa.Schema, csv_path: Path, parquet_path: Path | None = None
) -> int:
    """Write chunks of one table as CSV and, if asked, as Parquet; returns how many rows there are.

    CSV: UTF-8, LF, times in ISO 8601, floats in the shortest form that reads back to the same double and as a float
    (``1.0``: a column's type does not depend on its values), missing values as empty fields, texts in quotes (an
    empty one is ``""``).
    """
    total = 0
    with ExitStack() as files:
        csv_path.parent.mkdir(parents=True, exist_ok=True)
        csv = files.enter_context(csv_path.open("wb"))
        csv.write((",".join(f'"{name}"' for name in schema.names) + "\n").encode())
        parquet = None
        if parquet_path is not None:
            parquet_path.parent.mkdir(parents=True, exist_ok=True)
            parquet = files.enter_context(pq.ParquetWriter(parquet_path, schema, compression="zstd"))
        for chunk in chunks:
            for piece in _halved(chunk):
                for start in range(0, len(piece), CSV_ROWS):
                    csv.write(csv_lines(piece.slice(start, CSV_ROWS)))
                if parquet is not None:
                    # One run of memory a column: the pages then do not depend on where rows came from.
                    parquet.write_table(piece.cast(schema).combine_chunks(), row_group_size=CHUNK_ROWS)
            total += len(chunk)
    return total


def _halved(chunk: pa.Table) -> Iterator[pa.Table]:
    """Pieces whose texts fit into 2 GB, quotes and all."""
    if chunk.nbytes <= PIECE_BYTES or len(chunk) == 1:
        yield chunk
    else:
        yield from _halved(chunk.slice(0, len(chunk) // 2))
        yield from _halved(chunk.slice(len(chunk) // 2))


def csv_lines(table: pa.Table) -> memoryview:
    """The rows of a table as lines of CSV.

    Arrow's own writer has ``1`` for ``1.0`` and ``-0`` for ``-0.0``, which readers that guess types take for integers.
    """
    if not len(table):
        return memoryview(b"")
    cells = [_cells(column) for column in table.columns]
    lines = pc.binary_join_element_wise(*cells, _text(","), null_handling="replace", null_replacement="")
    lines = pc.binary_join_element_wise(lines, _text(""), _text("\n")).combine_chunks()
    size = pc.sum(pc.binary_length(lines)).as_py()
    return memoryview(lines.buffers()[2])[:size]


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The fields of a column as they stand in CSV; nulls stay nulls."""
    kind = column.type
    if pa.types.is_floating(kind):
        text = column.cast(pa.large_string())
        if not pc.any(pc.equal(column, pc.trunc(column))).as_py():
            return text
        whole = pc.invert(pc.match_substring_regex(text, "[.einf]"))
        return pc.if_else(whole, pc.binary_join_element_wise(text, _text(".0"), _text("")), text)
    if pa.types.is_timestamp(kind):
        # Without its zone, which is UTC: Arrow would look it up in a database that small machines lack.
        text = pc.strftime(column.cast(pa.timestamp("s")), format=_ISO_8601).cast(pa.large_string())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pc.replace_substring(column.cast(pa.large_string()), '"', '""')
    else:
        return column.cast(pa.large_string())
    return pc.binary_join_element_wise(_text('"'), text, _text('"'), _text(""))


def _text(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
