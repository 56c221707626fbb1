"""Reads ledgers a piece at a time, and only the columns that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.csv as pv

BLOCK, LARGEST_BLOCK = 4 << 20, 1 << 30
"""Bytes that are read at once: usually, and where a single row needs more."""

T = TypeVar("T")


def count_ledger(path: Path, columns: Sequence[str], count: Callable[[Iterable[pa.RecordBatch]], T]) -> T:
    """Count rows of a ledger as they pass.

    Args:
        path: a CSV file that this library wrote.
        columns: those that are read, all as texts; an empty field without quotes is null.
        count: makes something of the rows; called again from the beginning where a row is larger than a block.
    """
    for size in (BLOCK, LARGEST_BLOCK):
        try:
            with pv.open_csv(
                path,
                read_options=pv.ReadOptions(block_size=size),
                # What a sender wrote may go over several lines.
                parse_options=pv.ParseOptions(newlines_in_values=True),
                convert_options=pv.ConvertOptions(
                    include_columns=list(columns),
                    column_types=dict.fromkeys(columns, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            ) as reader:
                return count(reader)
        except pa.ArrowInvalid:
            if size == LARGEST_BLOCK:
                raise
    raise AssertionError("not reached")
