"""Two versions compared, with causes, beside what reading both tables from Parquet and joining their keys takes.

The versions are made up: one curated table as wide as the widest, the unique table that it is held against, and the
ledgers that go with them. One row of a hundred of the curated table changes, in every way that a night brings: a new
representative, a record changed upstream, a repaired cell, a new public match. Rows come and go, and spreads move as
the quartiles of the table do.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.alone import Alone, run_alone
from benchmarks.versions import COMPARED, TABLE, write_versions

ROWS_A_RECORD = 6
"""Rows of the table for each record that the benchmark is asked for: 600,000 at 100,000."""


@dataclass(frozen=True)
class Diffing:
    """What was measured, medians.

    Attributes:
        rows: of either table; columns: of the curated one.
        cells: that differ, of both.
        diff_seconds: a comparison, from opened versions to its result, causes included.
        pyarrow_seconds: each table of both versions read, and their keys joined.
        ratio: of the two.
        diff_peak_mb: highest memory of the process that compares; pyarrow_peak_mb: of the one that reads.
        unexplained: cells and rows without a cause; has to be 0.
    """

    rows: int
    columns: int
    cells: int
    diff_seconds: float
    pyarrow_seconds: float
    ratio: float
    diff_peak_mb: float
    pyarrow_peak_mb: float
    unexplained: int


def measure(records: int, rounds: int) -> Diffing:
    """Make two versions, and compare them ``rounds`` times in turn with the alternative.

    Args:
        records: a sixth of the rows of each table.
        rounds: how often.
    """
    folder = Path(tempfile.mkdtemp(prefix="mriqc-snapshot-diff-"))
    try:
        run_alone(write_versions, folder=folder, rows=ROWS_A_RECORD * records)
        turns = [
            (run_alone(compare_versions, folder=folder), run_alone(read_and_join, folder=folder))
            for _ in range(rounds)
        ]
    finally:
        shutil.rmtree(folder)
    ours, theirs = zip(*turns, strict=True)
    one, other = (_median(runs) for runs in (ours, theirs))
    return Diffing(
        ours[0].figures["rows"],
        ours[0].figures["columns"],
        ours[0].figures["cells"],
        one,
        other,
        one / other,
        median(run.peak_mb for run in ours),
        median(run.peak_mb for run in theirs),
        ours[0].figures["unexplained"],
    )


def _median(runs: tuple[Alone, ...]) -> float:
    return median(run.figures["seconds"] for run in runs)


def compare_versions(folder: str) -> dict[str, Any]:
    """Compare the two versions below a folder; returns seconds and what was found."""
    from curation.diff import compare, open_version

    begun = time.perf_counter()
    found = compare(open_version(f"{folder}/a"), open_version(f"{folder}/b"))
    seconds = time.perf_counter() - begun
    (table,) = (one for one in found.tables if one.name == TABLE)
    columns = pq.read_schema(Path(folder, "a", "parquet", f"{TABLE}.parquet"))
    counts = found.counts
    return {
        "seconds": seconds,
        "rows": table.rows[0],
        "columns": len(columns),
        "cells": counts.cells,
        "unexplained": counts.unexplained,
    }


def read_and_join(folder: str) -> dict[str, Any]:
    """Read each table of both versions with all threads, and join their keys alone; returns seconds and common rows."""
    begun, rows = time.perf_counter(), 0
    for name in COMPARED:
        tables = [pq.read_table(Path(folder, side, "parquet", f"{name}.parquet")) for side in ("a", "b")]
        keys = [
            table.select(["md5sum"]).append_column(f"row_{number}", pa.array(np.arange(len(table))))
            for number, table in enumerate(tables)
        ]
        rows = len(keys[0].join(keys[1], "md5sum", join_type="inner"))
        del tables
    return {"seconds": time.perf_counter() - begun, "rows": rows}
