"""Finds the public copies of checksums, and chooses one of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from packaging.version import InvalidVersion, Version

from curation.index.index import Index

_SHOWN = (
    *("source", "dataset", "path", "first_version", "last_version", "in_newest", "url", "doi"),
    *("entities", "sidecar", "sidecar_path"),
)


@dataclass(frozen=True)
class Matches:
    """The public copies of some checksums.

    Attributes:
        copies: every copy of any of them: the columns of the index that tables show, ``key`` (the place of its checksum
            among those that were asked for), and ``chosen``; ordered by key, the chosen copy first, then as the choice
            ranks them.
    """

    copies: pa.Table

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
    places = pc.index_in(_digests(index.copies(["md5"]).column("md5")), value_set=_digests(checksums))
    hits = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
    keys = places.take(pa.array(hits)).to_numpy().astype("int64")
    found = index.copies(list(_SHOWN)).take(pa.array(hits))
    ranked = _ranked(found, keys)
    found, keys = found.take(pa.array(ranked)), keys[ranked]
    chosen = np.diff(keys, prepend=-1) != 0
    return Matches(_with(found.drop_columns(["rank"]), keys, chosen))


def _with(copies: pa.Table, keys: np.ndarray, chosen: np.ndarray) -> pa.Table:
    return copies.append_column("key", pa.array(keys, pa.int64())).append_column(
        "chosen", pa.array(chosen, pa.bool_())
    )


def _ranked(copies: pa.Table, keys: np.ndarray) -> np.ndarray:
    """The order of copies: by checksum, then by the choice."""
    frame = pd.DataFrame(
        {
            "key": keys,
            "rank": copies.column("rank").to_numpy(),
            "old": ~copies.column("in_newest").to_numpy(),
            "version": _ages(copies.column("last_version")),
            "dataset": copies.column("dataset").to_pandas().fillna(""),
            "length": pc.binary_length(copies.column("path")).to_numpy(),
            "path": copies.column("path").to_pandas(),
        }
    )
    return frame.sort_values(list(frame.columns), kind="stable").index.to_numpy()


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


def _digests(checksums: pa.ChunkedArray) -> pa.Array:
    """MD5s as 16 bytes each: half the memory of their digits."""
    texts = pc.utf8_lower(checksums).combine_chunks()
    texts = pa.concat_arrays(texts.chunks) if isinstance(texts, pa.ChunkedArray) else texts
    start, end = 32 * texts.offset, 32 * (texts.offset + len(texts))
    digits = bytes(memoryview(texts.buffers()[2])[start:end]) if len(texts) else b""
    return pa.Array.from_buffers(
        pa.binary(16), len(texts), [None, pa.py_buffer(bytes.fromhex(digits.decode("ascii")))]
    )
