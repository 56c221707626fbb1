"""Writes finished tables: CSV and Parquet, a chunk of rows at a time, in an order fixed beforehand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from curation.typed import read_typed

CHUNK_ROWS = 20_000
# Typed parts kept in memory while a table is put together: about 150 columns of 8 bytes a row.
CACHED_ROWS = 100_000
_ISO_8601 = "%Y-%m-%dT%H:%M:%SZ"


def gather(paths: Sequence[Path], rows: pd.DataFrame, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Rows of typed parts, in the order given, in chunks of :data:`CHUNK_ROWS`.

    Args:
        paths: typed columns, a file a part.
        rows: the rows wanted: ``part`` (index into ``paths``) and ``row``.
        columns: the columns wanted, in order.
    """
    cache: OrderedDict[int, pa.Table] = OrderedDict()

    def part(number: int) -> pa.Table:
        if number not in cache:
            cache[number] = read_typed(paths[number], columns)
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


def write_table(
    chunks: Iterator[pa.Table], schema: pa.Schema, csv_path: Path, parquet_path: Path | None = None
) -> int:
    """Write chunks of one table as CSV and, if asked, as Parquet; returns how many rows there are.

    CSV: UTF-8, LF, times in ISO 8601, floats in the shortest form that reads back to the same double, missing
    values as empty fields (an empty text is ``""``).
    """
    csv_path.parent.mkdir(parents=True, exist_ok=True)
    as_text = _text_schema(schema)
    total = 0
    parquet = None
    if parquet_path is not None:
        parquet_path.parent.mkdir(parents=True, exist_ok=True)
        parquet = pq.ParquetWriter(parquet_path, schema, compression="zstd")
    try:
        with pa_csv.CSVWriter(csv_path, as_text) as csv:
            for chunk in chunks:
                csv.write_table(_with_text_times(chunk).cast(as_text))
                if parquet is not None:
                    parquet.write_table(chunk.cast(schema), row_group_size=CHUNK_ROWS)
                total += len(chunk)
    finally:
        if parquet is not None:
            parquet.close()
    return total


def _text_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_type(pa.string()) if pa.types.is_timestamp(f.type) else f for f in schema])


def _with_text_times(table: pa.Table) -> pa.Table:
    for index, kind in enumerate(table.schema):
        if pa.types.is_timestamp(kind.type):
            text = pc.strftime(table.column(index), format=_ISO_8601)
            table = table.set_column(index, pa.field(kind.name, pa.string()), text)
    return table
