"""Rows of tables kept beside the typed columns: what a record alone decides is made once, not every night.

A row is known by its key: where its record's typed columns are, and what the sidecar of its public image says. What
these do not decide (counts over records, names of public copies) is no part of it, and is put beside it every night.
Rows are kept in files of a chunk each, in a folder below the typed columns, and can be thrown away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import Delayed

from curation import tables
from curation.code import code_digest
from curation.engine import Engine
from curation.partitions import Partition, below, partitions, remove_abandoned
from curation.space import kept_bytes, require_space, told_space

KEY, LINE = "_key", "_line"
"""Columns of all kept rows: the key, and the cells that a row's line of CSV begins with."""
_KEY_TYPE = np.dtype([("part", "u8"), ("row", "u4"), ("given", "u8")])
LEAST_USED = 0.5
"""Files of which less is in use are removed, and the rows that are made again: what is kept stays below twice that."""


@dataclass(frozen=True)
class Kept:
    """Where the rows of a table are, in its order.

    Attributes:
        partitions: the files that hold them, or will.
        places: of each row of the table: ``part`` (index into ``partitions``) and ``row``.
        missing: the rows of the table that are not kept yet, ascending.
        todo: the same in chunks, each with the file that is to hold it.
        name: of the table.
    """

    partitions: Sequence[Partition]
    places: pd.DataFrame
    missing: np.ndarray
    todo: Sequence[tuple[np.ndarray, Partition]]
    name: str

    def make(self, calls: Iterable[Delayed], engine: Engine) -> None:
        """Make what is missing.

        Args:
            calls: that write each chunk of ``todo`` to its file, with :func:`write_kept`.
            engine: where they run.

        Raises:
            DiskFull: there is no room for them.
        """
        if not self.todo:
            return
        folder = self.todo[0][1].folder
        needed, what = kept_bytes(len(self.missing)), f"rows that are kept of {self.name}"
        on_disk = "://" not in folder
        if on_disk:
            require_space(Path(folder), needed, what)
        with told_space(Path(folder), needed, what) if on_disk else nullcontext():
            for _ in engine.run(calls):
                pass


def row_keys(typed: Sequence[Partition], rows: pd.DataFrame, given: np.ndarray | None = None) -> pa.Array:
    """Keys of rows, 20 bytes each.

    Args:
        typed: typed columns, a file a part.
        rows: ``part`` (index into ``typed``) and ``row`` of the record of each.
        given: a number (64 bits) for what else a row depends on; nothing without.
    """
    parts = np.array([short_digest(partition.name) for partition in typed], dtype="u8")
    keys = np.zeros(len(rows), _KEY_TYPE)
    keys["part"] = parts[rows["part"].to_numpy()]
    keys["row"] = rows["row"].to_numpy()
    if given is not None:
        keys["given"] = given
    return pa.Array.from_buffers(_arrow_type(), len(rows), [None, pa.py_buffer(keys)])


def short_digest(text: str) -> int:
    """The first 64 bits of the SHA-256 of a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _arrow_type() -> pa.DataType:
    return pa.binary(_KEY_TYPE.itemsize)


def find_rows(typed: Sequence[Partition], name: str, keys: pa.Array) -> Kept:
    """Find the rows of a table that are kept, and say where the others are to go.

    Args:
        typed: typed columns, below which rows are kept.
        name: of the table, and of the folder there.
        keys: of its rows, in their order.

    Raises:
        StoreCorrupted: a file is damaged.
        Unreachable: the object store that they are kept in does not answer.
    """
    if not len(keys):
        nothing = np.array([], dtype="int32")
        return Kept([], pd.DataFrame({"part": nothing, "row": nothing}), nothing, [], name)
    folder = below(typed[0].folder, name)
    made_with = f"{code_digest()[:16]}-{typed[0].name.rpartition('-')[2]}"
    files, found = _used(_of_this_code(folder, made_with), keys)
    missing = np.flatnonzero(found["part"] < 0)
    todo: list[tuple[np.ndarray, Partition]] = []
    for start in range(0, len(missing), tables.CHUNK_ROWS):
        some = missing[start : start + tables.CHUNK_ROWS]
        content = hashlib.sha256(b"".join(keys.take(pa.array(some)).to_pylist())).hexdigest()
        to = Partition(folder, f"{content[:16]}-{made_with}.parquet")
        found["part"][some], found["row"][some] = len(files) + len(todo), np.arange(len(some))
        todo.append((some, to))
    return Kept([*files, *(to for _, to in todo)], pd.DataFrame(found), missing, todo, name)


def _of_this_code(folder: str, made_with: str) -> list[Partition]:
    """The files that are there and of use; those that other code made, which nobody finds again, are removed."""
    code, _, pseudonyms = made_with.partition("-")
    there = []
    for partition in partitions(folder):
        _, its_code, its_pseudonyms = partition.name.split("-")
        if its_code != code:
            partition.remove()
        elif its_pseudonyms == pseudonyms:  # others are of use to whoever has that key
            there.append(partition)
    remove_abandoned(folder)
    return there


def _used(there: Sequence[Partition], keys: pa.Array) -> tuple[list[Partition], dict[str, np.ndarray]]:
    """Files of which enough is in use, the others being removed; and of each key its ``part`` (or -1) and ``row``."""
    kept = [partition.read([KEY]).column(KEY) for partition in there]
    starts = np.cumsum([0, *(len(some) for some in kept)])
    every = pa.chunked_array([chunk for some in kept for chunk in some.chunks], _arrow_type())
    places = pc.index_in(keys, value_set=every).fill_null(-1).to_numpy()
    # Of no file: the last number, which is taken away again.
    part = np.where(places < 0, len(there), np.searchsorted(starts, places, side="right") - 1)
    enough = np.bincount(part, minlength=len(there) + 1)[:-1] >= LEAST_USED * np.diff(starts)
    for number in np.flatnonzero(~enough).tolist():
        there[number].remove()
    numbers = np.append(np.where(enough, np.cumsum(enough) - 1, -1), -1)
    found = {"part": numbers[part].astype("int32"), "row": (places - starts[part]).astype("int32")}
    return [there[number] for number in np.flatnonzero(enough).tolist()], found


def write_kept(to: Partition, rows: pa.Table) -> None:
    """Write rows that are to be kept, with their :data:`KEY`."""
    to.write(rows.schema, tables.halved(rows), compression="zstd")


def lists(rows: pa.Table, places: np.ndarray, count: int) -> pa.ListArray:
    """Rows that belong to ``count`` others as a list each; ``places``, those that they belong to, are ascending."""
    offsets = np.searchsorted(places, np.arange(count + 1)).astype("int32")
    (batch,) = rows.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=rows.schema)]
    return pa.ListArray.from_arrays(pa.array(offsets), batch.to_struct_array())


def unlisted(column: pa.ChunkedArray) -> tuple[pa.Table, np.ndarray]:
    """What :func:`lists` made into a list each, and the places of those that they belong to."""
    found = pc.list_flatten(column).combine_chunks()
    owners = pc.list_parent_indices(column).to_numpy()
    return pa.Table.from_struct_array(found), owners
