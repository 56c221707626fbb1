"""Stage 4, deduplicate: every record ends as representative, duplicate of one, or quarantined.

Works on key columns only; a row is found again by its part's number and its place in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.dictionary import Resource

REPRESENTATIVE = "representative"
DUPLICATE = "duplicate"
QUARANTINED = "quarantined"
FATES = (REPRESENTATIVE, DUPLICATE, QUARANTINED)

_CHECKSUM = r"^[0-9a-fA-F]{32}$"

LEDGER_SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("resource", pa.string()),
        ("created", pa.timestamp("s", tz="UTC")),
        ("updated", pa.timestamp("s", tz="UTC")),
        ("etag", pa.string()),
        ("md5sum", pa.string()),
        ("fate", pa.string()),
        ("reason", pa.string()),
        ("representative", pa.string()),
    ]
)


@dataclass(frozen=True)
class Fates:
    """What became of the records of one resource.

    Attributes:
        ledger: a row a record that is not deleted, ordered by creation time, then id (``LEDGER_SCHEMA``).
        rows: part number and row of the representatives, in that order (two int64 columns, ``part`` and ``row``).
        received: distinct records ever stored.
        withdrawn: those of them that were deleted upstream; they are in no ledger.
    """

    ledger: pa.Table
    rows: pd.DataFrame
    received: int
    withdrawn: int


def decide(
    resource: Resource, keys: Sequence[pa.Table], sequences: Sequence[int], deletions: Mapping[str, int]
) -> Fates:
    """Decide the fate of every record of a resource.

    Args:
        resource: its name; every rating is its own representative.
        keys: per part, in the order they were sealed: ``record_id``, ``etag``, ``created``, ``updated``, ``md5sum``.
        sequences: per part, the number of the run that sealed it.
        deletions: id to the number of the run that found it deleted.

    The newest stored version of a record counts: of the latest run, then the latest ``updated``, then the last
    sealed. The representative of a checksum is its earliest record, as in the tables of 2019.
    """
    versions = _versions(keys, sequences)
    received = versions["record_id"].nunique()
    versions = versions.sort_values(
        ["sequence", "updated", "part", "row"], kind="stable", na_position="first"
    )
    records = versions.drop_duplicates("record_id", keep="last")
    deleted_by = records["record_id"].map(deletions).astype("float64").fillna(-1)
    alive = records[deleted_by < records["sequence"]]
    alive = alive.sort_values(["created", "record_id"], kind="stable", ignore_index=True)
    reason = _faults(alive["md5sum"])
    sound = reason == ""
    checksum = alive["md5sum"].where(sound).str.lower()
    if resource == "rating":
        representative = alive["record_id"].where(sound)
    else:
        representative = alive["record_id"].where(sound).groupby(checksum).transform("first")
    own = representative == alive["record_id"]
    fate = np.select([~sound, own], [QUARANTINED, REPRESENTATIVE], DUPLICATE)
    ledger = pa.table(
        [
            pa.array(alive["record_id"], pa.string()),
            pa.array([resource] * len(alive), pa.string()),
            pa.array(alive["created"].astype("int64"), pa.int64()).cast(pa.timestamp("s", tz="UTC")),
            pa.array(alive["updated"].astype("Int64"), pa.int64()).cast(pa.timestamp("s", tz="UTC")),
            pa.array(alive["etag"], pa.string()),
            # What is no checksum may be anything, also personal: it is not repeated.
            pa.array(alive["md5sum"].where(sound), pa.string(), from_pandas=True),
            pa.array(fate, pa.string()),
            pa.array(reason.where(reason != ""), pa.string(), from_pandas=True),
            pa.array(representative, pa.string(), from_pandas=True),
        ],
        schema=LEDGER_SCHEMA,
    )
    rows = alive.loc[fate == REPRESENTATIVE, ["part", "row"]].reset_index(drop=True)
    return Fates(ledger, rows, received, received - len(alive))


def _versions(keys: Sequence[pa.Table], sequences: Sequence[int]) -> pd.DataFrame:
    """One row a stored version, times in whole seconds since 1970; a missing creation time is that of the id."""
    frames = []
    for number, (table, sequence) in enumerate(zip(keys, sequences, strict=True)):
        ids = table.column("record_id")
        frame = pd.DataFrame(
            {
                "record_id": ids.to_numpy(),
                "etag": table.column("etag").to_numpy(),
                "created": _creation_seconds(table.column("created"), ids),
                "updated": table.column("updated").cast(pa.int64()).to_pandas().astype("Int64"),
                "md5sum": table.column("md5sum").to_numpy(),
                "part": number,
                "row": np.arange(len(table)),
                "sequence": sequence,
            }
        )
        frames.append(frame)
    if not frames:
        names = ["record_id", "etag", "created", "updated", "md5sum", "part", "row", "sequence"]
        return pd.DataFrame({name: pd.Series(dtype="object") for name in names})
    return pd.concat(frames, ignore_index=True)


def _creation_seconds(created: pa.ChunkedArray, ids: pa.ChunkedArray) -> np.ndarray:
    seconds = created.cast(pa.int64())
    if seconds.null_count:
        is_object_id = pc.match_substring_regex(ids, "^[0-9a-f]{24}$")
        from_ids = [
            int(i[:8], 16) if ok else 0
            for i, ok in zip(ids.to_pylist(), is_object_id.to_pylist(), strict=True)
        ]
        seconds = pc.coalesce(seconds, pa.chunked_array([pa.array(from_ids, pa.int64())]))
    return seconds.to_numpy()


def _faults(checksums: pd.Series) -> pd.Series:
    """Why a record is quarantined, by its checksum; empty where it is sound."""
    missing = checksums.isna()
    malformed = ~missing & ~checksums.astype("str").str.match(_CHECKSUM)
    return pd.Series(
        np.select([missing, malformed], ["checksum missing", "checksum malformed"], ""), index=checksums.index
    )
