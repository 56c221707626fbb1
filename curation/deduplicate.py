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

from curation.flatten import CHECKSUM_MALFORMED
from curation.typed import FAULT
from schemas.dictionary import Resource

REPRESENTATIVE = "representative"
DUPLICATE = "duplicate"
QUARANTINED = "quarantined"
FATES = (REPRESENTATIVE, DUPLICATE, QUARANTINED)

CHECKSUM_MISSING = "checksum missing"
KEY_COLUMNS = ("record_id", "etag", "created", "updated", FAULT)
"""What :func:`decide` needs of a typed part, beside the checksum."""

_CHECKSUM = r"\A[0-9a-fA-F]{32}\z"

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
        ledger: a row a record that is not deleted, ordered by creation time (unknown ones last), then id
            (``LEDGER_SCHEMA``).
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
        keys: per part, in the order they were sealed: ``KEY_COLUMNS`` and ``md5sum``.
        sequences: per part, the number of the run that sealed it.
        deletions: id to the number of the run that found it deleted.

    Versions of a record that a deletion buried do not count. Of the others the newest does: the latest ``updated``,
    then that of the latest run, then that of its last part (of two changes within a second the service shows the last).
    The representative of a checksum is its earliest record, as in the tables of 2019.
    """
    versions = _versions(keys, sequences)
    received = versions["record_id"].nunique()
    buried = versions["record_id"].map(deletions).astype("float64") >= versions["sequence"]
    withdrawn = received - versions.loc[~buried, "record_id"].nunique()
    alive = _newest(versions[~buried]).sort_values(
        ["created", "record_id"], kind="stable", ignore_index=True, na_position="last"
    )
    reason = _faults(alive[FAULT], alive["md5sum"])
    sound = reason.isna()
    if resource == "rating":
        representative = alive["record_id"].where(sound)
    else:
        checksum = alive["md5sum"].where(sound).str.lower()
        representative = alive["record_id"].where(sound).groupby(checksum).transform("first")
    own = (representative == alive["record_id"]).fillna(False).astype(bool)
    fate = np.select([~sound, own], [QUARANTINED, REPRESENTATIVE], DUPLICATE)
    ledger = pa.table(
        [
            _texts(alive["record_id"]),
            pa.array([resource] * len(alive), pa.string()),
            _times(alive["created"]),
            _times(alive["updated"]),
            _etags(keys, alive),
            # What is no checksum may be anything, also personal: it is not repeated.
            _texts(alive["md5sum"].where(sound)),
            pa.array(fate.tolist(), pa.string()),
            _texts(reason),
            _texts(representative),
        ],
        schema=LEDGER_SCHEMA,
    )
    rows = alive.loc[fate == REPRESENTATIVE, ["part", "row"]].reset_index(drop=True)
    return Fates(ledger, rows, received, withdrawn)


def _versions(keys: Sequence[pa.Table], sequences: Sequence[int]) -> pd.DataFrame:
    """One row a stored version; times in whole seconds since 1970."""
    frames = []
    for number, (table, sequence) in enumerate(zip(keys, sequences, strict=True)):
        frame = pd.DataFrame(
            {
                "record_id": table.column("record_id").to_pandas(),
                "created": table.column("created").cast(pa.int64()).to_pandas(types_mapper=_nullable),
                "updated": table.column("updated").cast(pa.int64()).to_pandas(types_mapper=_nullable),
                FAULT: table.column(FAULT).to_pandas(),
                "md5sum": table.column("md5sum").to_pandas(),
                "part": np.full(len(table), number, dtype="int32"),
                "row": np.arange(len(table), dtype="int32"),
                "sequence": sequence,
            }
        )
        frames.append(frame.astype({name: "str" for name in ("record_id", FAULT, "md5sum")}))
    if not frames:
        empty = {name: pd.Series(dtype="str") for name in ("record_id", FAULT, "md5sum")}
        empty |= {name: pd.Series(dtype="Int64") for name in ("created", "updated")}
        return pd.DataFrame(empty | {name: pd.Series(dtype="int64") for name in ("part", "row", "sequence")})
    return pd.concat(frames, ignore_index=True)


def _nullable(kind: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    return pd.Int64Dtype() if pa.types.is_int64(kind) else None


def _newest(versions: pd.DataFrame) -> pd.DataFrame:
    several = versions["record_id"].duplicated(keep=False)
    # Parts of a run are numbered as they were begun, so that of two versions of one second the later one is taken.
    order = ["updated", "sequence", "part", "row"]
    chosen = versions[several].sort_values(order, kind="stable", na_position="first")
    return pd.concat([versions[~several], chosen.drop_duplicates("record_id", keep="last")])


def _faults(faults: pd.Series, checksums: pd.Series) -> pd.Series:
    """Why a record is quarantined; missing where it is sound."""
    sound = pc.match_substring_regex(_texts(checksums), _CHECKSUM)
    malformed = ~sound.fill_null(False).to_numpy(zero_copy_only=False)
    reasons = np.select(
        [faults.notna(), checksums.isna(), malformed],
        [faults.to_numpy(object, na_value=""), CHECKSUM_MISSING, CHECKSUM_MALFORMED],
        "",
    )
    found = pd.Series(reasons, index=faults.index, dtype="str")
    return found.where(found != "")


def _etags(keys: Sequence[pa.Table], records: pd.DataFrame) -> pa.Array:
    """The etags of records, in their order: long texts that nothing above needs."""
    if not keys:
        return pa.array([], pa.string())
    starts = np.concatenate([[0], np.cumsum([len(table) for table in keys])[:-1]])
    places = starts[records["part"].to_numpy()] + records["row"].to_numpy()
    etags = pa.chunked_array([chunk for table in keys for chunk in table.column("etag").chunks], pa.string())
    return etags.take(pa.array(places, pa.int64()))


def _texts(values: pd.Series) -> pa.Array:
    return pa.array(values, pa.string(), from_pandas=True)


def _times(seconds: pd.Series) -> pa.Array:
    return pa.array(seconds.astype("Int64"), pa.int64()).cast(pa.timestamp("s", tz="UTC"))
