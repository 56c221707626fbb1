"""Finds the public copies of checksums, and chooses one of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from packaging.version import InvalidVersion, Version

from curation.index.index import Index, binary_md5s
from curation.index.joined import REPEATED, Joined, suffixes


@dataclass(frozen=True)
class Matches:
    """The public copies of some checksums.

    Attributes:
        copies: every copy of any of them: the columns of the index that tables show, ``number`` (of the dataset in the
            index), ``key`` (the place of its checksum among those that were asked for), and ``chosen``.
        order: of the copies: by key, the chosen copy first, then as the choice ranks them.
    """

    copies: pa.Table
    order: np.ndarray

    def chosen(self, images: int) -> pa.Table:
        """The chosen copy of each of so many images, in their order, and ``n``, how many copies there are."""
        keys = self.copies.column("key").to_numpy()
        places = np.full(images, -1, dtype="int64")
        first = np.flatnonzero(self.copies.column("chosen").to_numpy())
        places[keys[first]] = first
        chosen = self.copies.drop_columns(["key", "chosen"]).take(pa.array(places, mask=places < 0))
        return chosen.append_column("n", pa.array(np.bincount(keys, minlength=images), pa.int64()))


def match_checksums(checksums: pa.ChunkedArray, index: Index) -> Matches:
    """Match distinct checksums (32 hexadecimal digits each, in any case) against an index.

    Of several copies the choice is, in this order: the source that was added first; one that the newest version of its
    dataset still has; the newest version; the lowest accession; the shortest path; the first path.
    """
    joined = Joined(index)
    asked = pc.index_in(joined.md5s(), value_set=binary_md5s(checksums))
    hits = np.flatnonzero(asked.is_valid().to_numpy(zero_copy_only=False))
    place = asked.take(pa.array(hits)).to_numpy().astype("int64")
    found = [_shown(rows) for rows in (joined.no_rows(), *joined.rows(hits))]
    copies = pa.concat_tables(found).unify_dictionaries()
    # Long rows stay where they are; what is sorted is their numbers.
    order = _ranked(copies, place)
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[np.diff(place[order], prepend=-1) != 0]] = True
    return Matches(_with(copies.drop_columns(["rank"]), place, chosen), order)


def _shown(some: pa.Table) -> pa.Table:
    """Some rows, with the BIDS suffix of each in place of all its entities."""
    place = some.schema.get_field_index("entities")
    some = some.set_column(place, "suffix", suffixes(some.column("entities")))
    return some.cast(pa.schema([_held_once(field) for field in some.schema]))


def _held_once(field: pa.Field) -> pa.Field:
    plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    repeated = field.name in (*REPEATED, "suffix")
    return pa.field(field.name, pa.dictionary(pa.int32(), pa.string()) if repeated else plain)


def _with(copies: pa.Table, keys: np.ndarray, chosen: np.ndarray) -> pa.Table:
    return copies.append_column("key", pa.array(keys, pa.int64())).append_column(
        "chosen", pa.array(chosen, pa.bool_())
    )


def _ranked(copies: pa.Table, keys: np.ndarray) -> np.ndarray:
    """The order of copies: by checksum, then by the choice."""
    several = np.flatnonzero(np.bincount(keys)[keys] > 1)
    some = copies.take(pa.array(several))
    frame = pd.DataFrame(
        {
            "key": keys[several],
            "rank": some.column("rank").to_numpy(),
            "old": ~some.column("in_newest").to_numpy(),
            "version": _ages(some.column("last_version").cast(pa.string())),
            "dataset": some.column("dataset").cast(pa.string()).to_pandas().fillna(""),
            "length": pc.binary_length(some.column("path")).to_numpy(),
            "path": some.column("path").to_pandas(),
        }
    )
    places = np.zeros(len(keys), dtype="int64")
    places[several[frame.sort_values(list(frame.columns), kind="stable").index]] = np.arange(len(several))
    return np.lexsort((places, keys))


def _ages(versions: pa.ChunkedArray) -> np.ndarray:
    """A number for each version: the newest has the lowest, none the highest."""
    encoded = versions.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    newest_first = sorted(range(len(texts)), key=lambda place: _version_key(texts[place]), reverse=True)
    ages = np.empty(len(texts) + 1, dtype="int64")
    ages[newest_first] = np.arange(len(texts))
    ages[-1] = len(texts)
    return ages[encoded.indices.fill_null(len(texts)).to_numpy()]


def _version_key(text: str) -> tuple[int, Version, str]:
    try:
        return (1, Version(text), text)
    except InvalidVersion:
        return (0, Version("0"), text)
