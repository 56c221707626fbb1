"""The fate of every record, and which record represents an image in which table.

Works on key columns only; a row is found again by its part's number and its place in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curation.deduplicate.ranking import rank_versions
from curation.typed import FAULTS, FINITE, METADATA
from curation.validate import excluding_rules
from schemas.dictionary import Resource


class Fate(StrEnum):
    """What becomes of a record; the names are those of the ledger."""

    REPRESENTATIVE = "representative"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    EXCLUDED = "excluded"


_FATES = tuple(Fate)

KEY_COLUMNS = ("record_id", "etag", "created", "updated", FAULTS)
"""What :func:`decide` needs of a typed part, beside the checksum (as ``md5sum``)."""
RUN_COLUMNS = ("provenance_version", "provenance_settings_fd_thres", "provenance_settings_hmc_fsl")
"""What makes two runs of MRIQC the same, beside the image: version and settings."""
IMAGE_KEY_COLUMNS = (*KEY_COLUMNS, FINITE, METADATA, *RUN_COLUMNS)
"""``KEY_COLUMNS`` of images: also what the ranking needs."""


@dataclass(frozen=True)
class Decision:
    """What became of the records of one resource.

    Attributes:
        records: a row a record that is not deleted, ordered by creation time (unknown ones last), then id:
            ``record_id``, ``created`` and ``updated`` (seconds since 1970), ``md5sum`` (where it is one), ``part`` and
            ``row``, ``fate``, ``group`` (a number an image, -1 where unsound), ``head`` (the place of the
            representative, -1 where there is none); and of images ``best`` and ``behind`` (the place of the curated
            representative, and in what a record is behind it), ``version`` and ``run`` (a number a version of MRIQC,
            and one for image, version and settings).
        etags: of these records.
        faults: the rules that each breaks, where it breaks any: place to rows of ``FAULTS``.
        received: distinct records ever stored.
        withdrawn: those of them that were deleted upstream, or left on request; they are in no ledger.
        left: those that left on request, by checksum (in lower case).
    """

    records: pd.DataFrame
    etags: pa.Array
    faults: dict[int, list[dict[str, Any]]]
    received: int
    withdrawn: int
    left: dict[str, int]

    @property
    def unique(self) -> pd.DataFrame:
        """``part`` and ``row`` of the representatives, in the order of the table."""
        return self._rows(self.records["fate"] == Fate.REPRESENTATIVE)

    @property
    def curated(self) -> pd.DataFrame:
        """``part``, ``row`` and ``group`` of the curated representatives, in the order of the table."""
        return self._rows(self.records["best"] == self.records.index)

    def _rows(self, which: pd.Series) -> pd.DataFrame:
        return self.records.loc[which, ["part", "row", "group"]].reset_index(drop=True)


def decide(
    resource: Resource,
    keys: Sequence[pa.Table],
    sequences: Sequence[int],
    deletions: Mapping[str, int],
    leaving: Mapping[str, int],
) -> Decision:
    """Decide the fate of every record of a resource.

    Args:
        resource: its name; every rating is its own representative.
        keys: per part, in the order they were sealed: ``KEY_COLUMNS`` (of images ``IMAGE_KEY_COLUMNS``) and
            ``md5sum``.
        sequences: per part, the number of the run that sealed it.
        deletions: id to the number of the run that found it deleted.
        leaving: checksum (in lower case) of images that are withdrawn on request, to the second since 1970 from which
            on records of it leave.

    Versions of a record that a deletion buried do not count. Of the others the newest does: the latest ``updated``,
    then that of the latest run, then that of its last part (of two changes within a second the service shows the last).
    The representative of a checksum is its earliest record, as in the tables of 2019; that of the curated table is the
    best by :func:`_rank`. Both are chosen among what is neither deleted nor withdrawn.
    """
    records, received, deleted = _alive(keys, sequences, deletions)
    taken, faults = _add_checksums(records, keys)
    left: dict[str, int] = {}
    if leaving:
        leaves = _leaves(records, leaving)
        left = {
            str(text): int(n) for text, n in records.loc[leaves, "md5sum"].str.lower().value_counts().items()
        }
        records = records[~leaves].reset_index(drop=True)
        taken = _Picked(keys, records)
        faults = _faults(taken)
    _decide_fates(resource, records, faults)
    if resource != "rating":
        _rank(records, taken)
    etags = taken.column("etag").combine_chunks()
    withdrawn = deleted + sum(left.values())
    return Decision(records.drop(columns=["sequence"]), etags, faults, received, withdrawn, left)


def live_records(
    keys: Sequence[pa.Table], sequences: Sequence[int], deletions: Mapping[str, int]
) -> pd.DataFrame:
    """``record_id``, ``created`` and ``md5sum`` of the records that are not deleted, as :func:`decide` sees them.

    Args:
        keys: as for :func:`decide`; ``KEY_COLUMNS`` are enough.
        sequences: likewise.
        deletions: likewise.
    """
    records, _, _ = _alive(keys, sequences, deletions)
    _add_checksums(records, keys)
    return records[["record_id", "created", "md5sum"]]


def _alive(
    keys: Sequence[pa.Table], sequences: Sequence[int], deletions: Mapping[str, int]
) -> tuple[pd.DataFrame, int, int]:
    """The newest version of every record that is not deleted, in order; and how many were received and deleted."""
    versions = _versions(keys, sequences)
    received, deleted = versions["record_id"].nunique(), 0
    if deletions:
        buried = versions["record_id"].map(deletions).astype("float64") >= versions["sequence"]
        versions = versions[~buried]
        deleted = received - versions["record_id"].nunique()
    return _in_order(_newest(versions)), received, deleted


def _add_checksums(
    records: pd.DataFrame, keys: Sequence[pa.Table]
) -> tuple[_Picked, dict[int, list[dict[str, Any]]]]:
    """Add ``md5sum``; returns the key columns of the records, and the rules that each breaks."""
    taken = _Picked(keys, records)
    faults = _faults(taken)
    records["md5sum"] = _checksums(taken, faults)
    return taken, faults


def _leaves(records: pd.DataFrame, leaving: Mapping[str, int]) -> pd.Series:
    """Which records leave on request; one whose creation time is unknown stays."""
    since = records["md5sum"].str.lower().map(leaving).astype("Int64")
    return (records["created"].astype("Int64") >= since).fillna(False).astype(bool)


def _versions(keys: Sequence[pa.Table], sequences: Sequence[int]) -> pd.DataFrame:
    """One row a stored version; times in whole seconds since 1970."""
    frames = [
        pd.DataFrame(
            {
                "record_id": table.column("record_id").to_pandas().astype("str"),
                "created": table.column("created").cast(pa.int64()).to_pandas(types_mapper=_nullable),
                "updated": table.column("updated").cast(pa.int64()).to_pandas(types_mapper=_nullable),
                "part": np.full(len(table), number, dtype="int32"),
                "row": np.arange(len(table), dtype="int32"),
                "sequence": sequence,
            }
        )
        for number, (table, sequence) in enumerate(zip(keys, sequences, strict=True))
    ]
    if not frames:
        empty = {"record_id": pd.Series(dtype="str")}
        empty |= {name: pd.Series(dtype="Int64") for name in ("created", "updated")}
        return pd.DataFrame(empty | {name: pd.Series(dtype="int64") for name in ("part", "row", "sequence")})
    return pd.concat(frames, ignore_index=True)


def _nullable(kind: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    return pd.Int64Dtype() if pa.types.is_int64(kind) else None


def _newest(versions: pd.DataFrame) -> pd.DataFrame:
    several = versions["record_id"].duplicated(keep=False)
    if not several.any():
        return versions
    # Parts of a run are numbered as they were begun, so that of two versions of one second the later one is taken.
    order = ["updated", "sequence", "part", "row"]
    chosen = versions[several].sort_values(order, kind="stable", na_position="first")
    return pd.concat([versions[~several], chosen.drop_duplicates("record_id", keep="last")])


def _in_order(records: pd.DataFrame) -> pd.DataFrame:
    """By creation time (unknown ones last), then id."""
    keys = pa.table({name: pa.array(records[name], from_pandas=True) for name in ("created", "record_id")})
    order = pc.sort_indices(keys, [("created", "ascending"), ("record_id", "ascending")])
    return records.take(order.to_numpy()).reset_index(drop=True)


class _Picked:
    """Key columns of some records, in their order."""

    def __init__(self, keys: Sequence[pa.Table], records: pd.DataFrame) -> None:
        starts = np.cumsum([0, *(len(table) for table in keys)])
        self._keys = keys
        self._places = pa.array(starts[records["part"].to_numpy()] + records["row"].to_numpy(), pa.int64())

    def column(self, name: str) -> pa.ChunkedArray:
        if not self._keys:
            return pa.chunked_array([], pa.string())
        return pa.chunked_array([c for table in self._keys for c in table.column(name).chunks]).take(
            self._places
        )

    def texts(self, name: str) -> pd.Series:
        return self.column(name).to_pandas().astype("str")


def _faults(taken: _Picked) -> dict[int, list[dict[str, Any]]]:
    column = taken.column(FAULTS)
    broken = np.flatnonzero(column.is_valid().to_numpy()) if len(column) else np.array([], dtype=int)
    return dict(zip(broken.tolist(), column.take(pa.array(broken)).to_pylist(), strict=True))


def _checksums(taken: _Picked, faults: Mapping[int, list[dict[str, Any]]]) -> pd.Series:
    """The checksums that are such: another text may be anything, also personal, and is not repeated."""
    checksums = taken.texts("md5sum")
    whole = {
        place for place, found in faults.items() if any(f["column"] in (None, *_CHECKSUMS) for f in found)
    }
    return checksums.mask(checksums.index.isin(whole))


_CHECKSUMS = ("md5sum", "provenance_md5sum")


def _decide_fates(
    resource: Resource, records: pd.DataFrame, faults: Mapping[int, list[dict[str, Any]]]
) -> None:
    """Add ``group``, ``head`` and ``fate``."""
    sound = ~records.index.isin(faults)
    names = records["record_id"] if resource == "rating" else records["md5sum"].str.lower()
    group, _ = pd.factorize(names.where(sound))
    records["group"] = group
    # In this order the first of a group is its earliest.
    heads = pd.Series(records.index, index=records.index).where(sound).groupby(group).transform("first")
    records["head"] = heads.where(sound, -1).fillna(-1).astype("int64")
    excluding = excluding_rules()
    excluded = {place for place, found in faults.items() if all(f["rule"] in excluding for f in found)}
    codes = np.select(
        [records.index.isin(excluded), ~sound, records["head"] == records.index],
        [_FATES.index(fate) for fate in (Fate.EXCLUDED, Fate.QUARANTINED, Fate.REPRESENTATIVE)],
        _FATES.index(Fate.DUPLICATE),
    )
    records["fate"] = pd.Categorical.from_codes(codes, [str(fate) for fate in _FATES])


def _rank(records: pd.DataFrame, taken: _Picked) -> None:
    """Add ``best``, ``behind`` and ``run``.

    The best record of an image is one whose IQMs are all finite before others, then of the newest MRIQC release, then
    with the most acquisition parameters, then the latest, then the one with the highest id.
    """
    runs = pd.DataFrame({name: taken.column(name).to_pandas() for name in RUN_COLUMNS}, index=records.index)
    merits = pd.DataFrame(
        {
            "an IQM is not finite": taken.column(FINITE).to_pandas().astype("int64"),
            "older MRIQC version": rank_versions(runs["provenance_version"]),
            "fewer acquisition parameters": taken.column(METADATA).to_pandas().astype("int64"),
            "earlier": records["created"].fillna(-1).astype("int64"),
            # Records of one second are in the order of their ids.
            "lower id": records.index,
        },
        index=records.index,
    )
    merits.insert(0, "group", records["group"])
    best = merits.sort_values(list(merits.columns), kind="stable").drop_duplicates("group", keep="last")
    places = pd.Series(best.index, index=best["group"])
    sound = records["group"] >= 0
    records["best"] = records["group"].map(places).where(sound, -1).astype("int64")
    merits = merits.drop(columns="group")
    theirs = merits.take(records["best"].where(sound, records.index).to_numpy())
    differs = merits.to_numpy() != theirs.to_numpy()
    first = np.full(len(records), -1)
    if len(differs):
        first = np.where(differs.any(axis=1), differs.argmax(axis=1), -1)
    records["behind"] = pd.Categorical.from_codes(first, list(merits.columns))
    keys = [records["group"], *(runs[name] for name in RUN_COLUMNS)]
    records["version"] = pd.factorize(runs["provenance_version"])[0]
    records["run"] = records.groupby(keys, dropna=False, sort=False).ngroup().where(sound, -1)
