"""A hint at one acquisition under several checksums."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

ACQUISITION_KEY = (
    *(f"bids_meta_{name}" for name in ("subject_id", "session_id", "run_id", "task_id", "acq_id")),
    *("size_x", "size_y", "size_z", "size_t", "spacing_x", "spacing_y", "spacing_z", "spacing_tr"),
)
"""Columns that images of one acquisition share (those that a table has)."""


def count_similar(images: pa.Table) -> pa.Array:
    """How many other rows have the same values in all columns of ``images``, a missing value being like another."""
    if not len(images):
        return pa.array([], pa.int64())
    frame = pd.DataFrame({name: images.column(name).to_pandas() for name in images.column_names})
    sizes = frame.groupby(list(frame.columns), dropna=False, sort=False).transform("size")
    return pa.array(sizes.to_numpy() - 1, pa.int64())
