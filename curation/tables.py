"""Tables chunk by chunk: rows gathered from typed partitions, encoded as CSV, and streamed into files in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from curation.partitions import Partition, text_columns

CHUNK_ROWS = 10_000
"""Rows of a table that are put together at a time; also those of a row group."""
PIECE_BYTES = 1 << 29
LARGE_BYTES = 1 << 26
"""From here on texts get offsets of 64 bits: with others they may be more than 2 GB, as 200 of MongoDB's largest
documents are."""
CSV_ROWS = 2_000


@dataclass(frozen=True)
class Rows:
    """Some rows of typed partitions, in an order.

    Attributes:
        partitions: those that hold them.
        part: of each row, which of ``partitions``.
        row: of each row, its place there.
    """

    partitions: tuple[Partition, ...]
    part: np.ndarray
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of the rows, in the order given."""
        pieces, places = [], []
        for number, partition in enumerate(self.partitions):
            which = np.flatnonzero(self.part == number)
            found, rows = partition.read_around(self.row[which], columns)
            if found.nbytes > LARGE_BYTES:
                found = _with_large_texts(found)
            pieces.append(found.take(pa.array(rows)))
            places.append(which)
        large = any(piece.schema != pieces[0].schema for piece in pieces)
        if large or sum(piece.nbytes for piece in pieces) > LARGE_BYTES:
            pieces = [_with_large_texts(piece) for piece in pieces]
        found, order = pa.concat_tables(pieces), np.concatenate(places)
        if (np.diff(order) > 0).all():  # usual: parts are in the order of time, as tables are
            return found
        return found.take(pa.array(np.argsort(order, kind="stable")))


def rows_of(typed: Sequence[Partition], rows: pd.DataFrame, at_once: int = 0) -> Iterator[Rows]:
    """Rows of typed partitions, some at a time.

    Args:
        typed: typed columns, a file a part.
        rows: the rows wanted: ``part`` (index into ``typed``) and ``row``.
        at_once: how many; :data:`CHUNK_ROWS` without.
    """
    at_once = at_once or CHUNK_ROWS
    for start in range(0, len(rows), at_once):
        some = rows.iloc[start : start + at_once]
        numbers, part = np.unique(some["part"].to_numpy(), return_inverse=True)
        yield Rows(tuple(typed[number] for number in numbers), part, some["row"].to_numpy())


def _with_large_texts(table: pa.Table) -> pa.Table:
    """Texts with 64-bit offsets."""
    fields = [f.with_type(pa.large_string()) if pa.types.is_string(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


@dataclass(frozen=True)
class Encoded:
    """Rows of a table as they are written: for Parquet in pieces, and as lines of CSV."""

    pieces: list[pa.Table]
    lines: list[memoryview]
    rows: int


@dataclass(frozen=True)
class Begun:
    """What lines of CSV begin with.

    Attributes:
        cells: of each row, its first cells as they stand in CSV, each with its comma; of :func:`first_cells`.
        columns: how many cells these are.
    """

    cells: pa.ChunkedArray
    columns: int

    def slice(self, start: int, count: int) -> Begun:
        """Of some of the rows."""
        return Begun(self.cells.slice(start, count), self.columns)


def encode(
    table: pa.Table, schema: pa.Schema, *, begun: Begun | None = None, parquet: bool = True
) -> Encoded:
    """Encode rows of a table.

    Args:
        table: the rows.
        schema: names and types of the columns.
        begun: what their lines of CSV begin with, if that was made before.
        parquet: whether they are written as Parquet, too.

    CSV: UTF-8, LF, times in ISO 8601, floats in the shortest form that reads back to the same double and as a float
    (``1.0``: a column's type does not depend on its values), missing values as empty fields, texts in quotes (an
    empty one is ``""``).
    """
    pieces, lines, done = [], [], 0
    for piece in halved(table):
        for start in range(0, len(piece), CSV_ROWS):
            known = begun.slice(done + start, CSV_ROWS) if begun is not None else None
            lines.append(csv_lines(piece.slice(start, CSV_ROWS), known))
        done += len(piece)
        if parquet:
            # One run of memory a column: the pages then do not depend on where rows came from.
            pieces.append(piece.cast(schema).combine_chunks())
    return Encoded(pieces, lines, len(table))


class TableWriter:
    """Writes encoded rows of one table as CSV and, if asked, as Parquet; a context manager.

    Attributes:
        rows: how many were written.
    """

    def __init__(self, schema: pa.Schema, csv: Path, parquet: Path | None = None) -> None:
        self.rows = 0
        with ExitStack() as files:
            self._open(files, schema, csv, parquet)
            self._files = files.pop_all()

    def _open(self, files: ExitStack, schema: pa.Schema, csv: Path, parquet: Path | None) -> None:
        csv.parent.mkdir(parents=True, exist_ok=True)
        self._csv = files.enter_context(csv.open("wb"))
        self._csv.write((",".join(f'"{name}"' for name in schema.names) + "\n").encode())
        self._parquet = None
        if parquet is not None:
            parquet.parent.mkdir(parents=True, exist_ok=True)
            self._parquet = files.enter_context(
                pq.ParquetWriter(
                    parquet,
                    schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=text_columns(schema),
                )
            )

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def write(self, encoded: Encoded) -> None:
        """Write some rows after those written before."""
        self._csv.writelines(encoded.lines)
        if self._parquet is not None:
            for piece in encoded.pieces:
                self._parquet.write_table(piece, row_group_size=CHUNK_ROWS)
        self.rows += encoded.rows


def halved(chunk: pa.Table) -> Iterator[pa.Table]:
    """Pieces whose texts fit into 2 GB, quotes and all; where they are cut depends on nothing but what rows hold."""
    if len(chunk) <= 1 or _content_bytes(chunk) <= PIECE_BYTES:
        yield chunk
    else:
        yield from halved(chunk.slice(0, len(chunk) // 2))
        yield from halved(chunk.slice(len(chunk) // 2))


def _content_bytes(rows: pa.Table) -> int:
    """Bytes of the texts, and eight for every cell."""
    texts = [
        column
        for column in rows.columns
        if pa.types.is_large_unicode(column.type) or pa.types.is_string(column.type)
    ]
    lengths = (pc.sum(pc.binary_length(column)).as_py() or 0 for column in texts)
    return sum(lengths) + 8 * len(rows) * rows.num_columns


def first_cells(table: pa.Table) -> pa.ChunkedArray:
    """The cells of each row as they stand in CSV, each with its comma: what a line begins with."""
    pieces = [
        _joined([_cells(column, ",") for column in rows.columns])
        for rows in table.combine_chunks().to_batches(max_chunksize=CSV_ROWS)
    ]
    return pa.chunked_array(pieces, pa.large_string())


def csv_lines(table: pa.Table, begun: Begun | None = None) -> memoryview:
    """The rows of a table as lines of CSV; what these begin with may be known.

    Arrow's own writer has ``1`` for ``1.0`` and ``-0`` for ``-0.0``, which readers that guess types take for integers,
    and takes twice as long for a double as orjson; other tables are written by it, in a third of the
    time (rows of texts and times, 500,000 on one core).
    """
    if not len(table):
        return memoryview(b"")
    if begun is None and not any(pa.types.is_floating(kind) for kind in table.schema.types):
        return _lines_without_doubles(table)
    (rows,) = table.combine_chunks().to_batches()
    *columns, last = rows.columns[begun.columns if begun is not None else 0 :]
    cells = [_cells(column, ",") for column in columns]
    if begun is not None:
        cells.insert(0, begun.cells.combine_chunks())
    lines = pc.binary_join_element_wise(_joined(cells), pc.fill_null(_cells(last, "\n"), "\n"), _text(""))
    size = pc.sum(pc.binary_length(lines)).as_py()
    return memoryview(lines.buffers()[2])[:size]


def _lines_without_doubles(table: pa.Table) -> memoryview:
    columns = [moments(one) if pa.types.is_timestamp(one.type) else one for one in table.columns]
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(
        pa.table(columns, names=table.column_names),
        sink,
        pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"),
    )
    return memoryview(sink.getvalue())


def _joined(cells: list[pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(
        *cells, _text(""), _text(""), null_handling="replace", null_replacement=","
    )


def _cells(column: pa.Array, end: str) -> pa.Array:
    """The fields of a column as they stand in CSV, each with what follows it; nulls stay nulls."""
    kind = column.type
    if pa.types.is_floating(kind):
        return _doubles(column, end)
    if column.null_count == len(column):
        return pa.nulls(len(column), pa.large_string())
    quote = '"'
    if pa.types.is_timestamp(kind):
        text = moments(column)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pc.replace_substring(column.cast(pa.large_string()), '"', '""')
    else:
        text, quote = column.cast(pa.large_string()), ""
    return pc.binary_join_element_wise(_text(quote), text, _text(quote + end), _text(""))


def moments(column: pa.Array) -> pa.Array:
    """Times as CSV has them: ISO 8601, whole seconds; a fifteenth of what ``strftime`` takes (500,000 on one core)."""
    # Without its zone, which is UTC: Arrow would look it up in a database that small machines lack.
    text = column.cast(pa.timestamp("s")).cast(pa.large_string())
    # "2026-11-29 15:04:05"; counted from the end, as years may have more digits.
    return pc.binary_join_element_wise(pc.binary_replace_slice(text, -9, -8, "T"), _text("Z"), _text(""))


def _doubles(column: pa.Array, end: str) -> pa.Array:
    """Doubles in the shortest form that reads back to the same double: all at once, cut at the commas between them."""
    values = column.drop_null().to_numpy(zero_copy_only=False)
    text = bytearray(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY))
    if len(values):
        text[-1:] = b","
    codes = np.frombuffer(text, dtype="uint8")
    offsets = np.ones(len(values) + 1, dtype="int64")  # after the bracket
    offsets[1:] = np.flatnonzero(codes == ord(",")) + 1
    if end != ",":
        codes[offsets[1:] - 1] = ord(end)
    found = pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(text))
    finite = np.isfinite(values)
    if not finite.all():  # orjson has null for them
        texts = [f"{value}{end}" for value in values[~finite].tolist()]
        found = pc.replace_with_mask(found, pa.array(~finite), pa.array(texts, pa.large_string()))
    if not column.null_count:
        return found
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    return found.take(pa.array(np.cumsum(valid) - 1, mask=~valid))


def _text(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
