"""Reads ledgers a piece at a time, and only the columns that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.csv as pv

BLOCK, LARGEST_BLOCK = 4 << 20, 1 << 30
"""Bytes that are read at once: usually, and where a single row needs more."""

T = TypeVar("T")


def ledger_batches(path: Path, columns: Sequence[str], *, missing: bool = False) -> Iterator[pa.RecordBatch]:
    """Rows of a ledger, some at a time.

    Args:
        path: a CSV file that this library wrote.
        columns: those that are read, all as texts; an empty field without quotes is null.
        missing: whether columns that the file does not have are null; else they are an error.

    Raises:
        pyarrow.ArrowInvalid: the file is no CSV, or a row of it is larger than any block.
        pyarrow.ArrowKeyError: a column is not there.
    """
    passed = 0
    for size in (BLOCK, LARGEST_BLOCK):
        known = passed
        try:
            with pv.open_csv(path, **_options(columns, size, missing)) as reader:
                for batch in reader:
                    new, known = batch.slice(min(known, batch.num_rows)), max(0, known - batch.num_rows)
                    passed += new.num_rows
                    yield new
            return
        except pa.ArrowInvalid:
            # A row that is larger than a block, for one: again in larger ones, without the rows that went out.
            if size == LARGEST_BLOCK:
                raise


def _options(columns: Sequence[str], size: int, missing: bool) -> dict[str, Any]:
    return {
        "read_options": pv.ReadOptions(block_size=size),
        # What a sender wrote may go over several lines.
        "parse_options": pv.ParseOptions(newlines_in_values=True),
        "convert_options": pv.ConvertOptions(
            include_columns=list(columns),
            include_missing_columns=missing,
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    }


def count_ledger(path: Path, columns: Sequence[str], count: Callable[[Iterable[pa.RecordBatch]], T]) -> T:
    """What a function makes of the rows of a ledger as they pass; see :func:`ledger_batches`."""
    return count(ledger_batches(path, columns))
