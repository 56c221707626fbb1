"""All copies of an index in one file, beside it: to read thousands of small files takes three times as long.

It is made when it is first asked for, is known by the datasets' files that it was made of, and may be thrown away.
Copies of one modality stand together: who asks for images of one reads little of the others.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.errors import StoreCorrupted
from curation.index.index import KEPT_SECONDS, Index, binary_md5s
from curation.index.model import COPIES
from curation.partitions import remove_abandoned
from curation.store.files import move_into_place
from schemas.published import IMAGE_RESOURCES

COLUMNS = (
    *("source", "dataset", "path", "first_version", "last_version", "in_newest", "url", "doi"),
    *("entities", "sidecar", "sidecar_path"),
)
"""Those that are joined, beside the checksum."""
# One value for many rows: held once.
REPEATED = ("source", "dataset", "first_version", "last_version", "doi", "sidecar_path")
ROWS = 50_000
"""Rows of a row group."""
_FORM = "2, by modality"
# In the entities of a copy, which are JSON with sorted keys.
_SUFFIX = r'"suffix": "(?P<suffix>[^"]*)"'
_MAY_NOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
_SCHEMA = pa.schema(
    [
        pa.field("md5", pa.binary(16), nullable=False),
        *(COPIES.field(name) for name in COLUMNS),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
    ]
)


class Joined:
    """The copies of an index, modality after modality, and of one dataset after dataset.

    Args:
        index: read, and joined if that was not done before.

    Raises:
        StoreCorrupted: a file of the index is damaged.
    """

    def __init__(self, index: Index) -> None:
        told = "\n".join([_FORM, *(f"{dataset.file} {rank}" for dataset, rank in index.ranked())])
        name = hashlib.sha256(told.encode()).hexdigest()[:32]
        self._path = index.path / "joined" / f"{name}.parquet"
        self._content: pa.Buffer | None = None
        if self._path.exists():
            with suppress(OSError):  # somebody else's index
                os.utime(self._path)  # in use: not to be removed by who reads another state
        else:
            self._content = _joined(index)
            _keep(self._path, self._content)

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        source = self._path if self._content is None else pa.BufferReader(self._content)
        try:
            with pq.ParquetFile(
                source, read_dictionary=list(REPEATED), page_checksum_verification=True
            ) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise StoreCorrupted(
                f"{self._path}: cannot be read ({error}); remove it, and the next run makes it again"
            ) from error

    def md5s(self) -> pa.Array:
        """The checksums of all copies, 16 bytes each."""
        with self._opened() as file:
            found = file.read(columns=["md5"], use_threads=False).column("md5")
        return pa.concat_arrays([pa.array([], found.type), *found.chunks])

    def rows(self, places: np.ndarray) -> Iterator[pa.Table]:
        """Copies by their places (ascending) among all, some at a time.

        They have :data:`COLUMNS`, ``number`` (of the dataset in the index) and ``rank`` (the place of its source in the
        order of their adding).
        """
        with self._opened() as file:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                some = places[np.searchsorted(places, start) : np.searchsorted(places, end)]
                if len(some):
                    found = file.read_row_group(group, [*COLUMNS, "number", "rank"], use_threads=False)
                    yield found.take(pa.array(some - start))
                start = end

    @staticmethod
    def no_rows() -> pa.Table:
        """As :meth:`rows`, of no place."""
        return _SCHEMA.remove(0).empty_table()


def suffixes(entities: pa.ChunkedArray) -> pa.ChunkedArray:
    """The BIDS suffix of each copy, by its entities; missing where there is none."""
    return pc.struct_field(pc.extract_regex(entities.cast(pa.string()), _SUFFIX), "suffix")


def _joined(index: Index) -> pa.Buffer:
    """The file: some megabytes for a million copies, most of what stands in it standing there often."""
    stream = pa.BufferOutputStream()
    with pq.ParquetWriter(
        stream, _SCHEMA, compression="zstd", use_dictionary=list(REPEATED), write_page_checksum=True
    ) as writer:
        waiting: dict[str | None, list[pa.Table]] = {name: [] for name in (*IMAGE_RESOURCES, None)}
        for number, (_, rank) in enumerate(index.ranked()):
            (rows,) = index.rows([number], ["md5", *COLUMNS])
            columns = [binary_md5s(rows.column("md5")), *(rows.column(name) for name in COLUMNS)]
            columns += [pa.array(np.full(len(rows), value, dtype="int32")) for value in (number, rank)]
            for name, some in _by_modality(pa.table(columns, schema=_SCHEMA)):
                waiting[name].append(some)
                if sum(map(len, waiting[name])) >= ROWS:
                    writer.write_table(pa.concat_tables(waiting[name]))
                    waiting[name] = []
        for left in waiting.values():
            writer.write_table(pa.concat_tables([_SCHEMA.empty_table(), *left]))
    return stream.getvalue()


def _by_modality(rows: pa.Table) -> Iterator[tuple[str | None, pa.Table]]:
    """The rows of each resource of images, and those of no such."""
    found = suffixes(rows.column("entities"))
    for name in IMAGE_RESOURCES:
        yield name, rows.filter(pc.fill_null(pc.equal(found, str(name)), False))
    others = pc.invert(pc.is_in(found, pa.array(map(str, IMAGE_RESOURCES), pa.string())))
    yield None, rows.filter(others)


def _keep(path: Path, content: pa.Buffer) -> None:
    """Keep the file for later runs, and remove those of other states of the index, which nobody uses any more."""
    # Two curations may make it at a time.
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(exist_ok=True)
        temporary.write_bytes(content)
        move_into_place(temporary, path)
    except OSError as error:
        if error.errno not in _MAY_NOT_WRITE:
            raise
        with suppress(OSError):
            temporary.unlink()
        return  # somebody else's index, or no room: it is made again the next time
    remove_abandoned(str(path.parent))
    for other in path.parent.glob("*.parquet"):
        if other != path and time.time() - other.stat().st_mtime > KEPT_SECONDS:
            other.unlink(missing_ok=True)
