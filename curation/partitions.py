"""Folders of Parquet files between stages: on this machine, shared with others, or in an object store."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from curation.errors import StoreCorrupted, Unreachable, UsageError
from curation.store.files import move_into_place

ABANDONED_SECONDS = 24 * 3600
"""After so long nobody goes on with a temporary file: a part is read in seconds."""


@dataclass(frozen=True)
class Partition:
    """A Parquet file by its place.

    Attributes:
        folder: an absolute path, or a URL of Arrow's file systems (``s3://bucket/folder?region=...``, and
            ``fsspec+PROTOCOL://...`` for those of fsspec);
            https://arrow.apache.org/docs/python/generated/pyarrow.fs.FileSystem.html
        file: its name there.
    """

    folder: str
    file: str

    @property
    def name(self) -> str:
        """Its name without suffix."""
        return self.file.removesuffix(".parquet")

    def rows(self) -> int | None:
        """How many rows it says to have; ``None`` where there is no such file, or none with a footer.

        Raises:
            Unreachable: the object store does not answer.
        """
        system, path = self._opened
        try:
            with system.open_input_file(path) as file:
                return pq.read_metadata(file).num_rows
        except (FileNotFoundError, pa.ArrowException):
            return None
        except OSError as error:
            if isinstance(system, fs.LocalFileSystem):
                return None
            raise _unreachable(self.folder, error) from error

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns, in the order given.

        Raises:
            StoreCorrupted: the file is damaged or gone.
            Unreachable: the object store does not answer.
        """
        with self._reading() as file:
            return _columns(file, range(file.num_row_groups), columns)

    def read_around(self, rows: np.ndarray, columns: Sequence[str]) -> tuple[pa.Table, np.ndarray]:
        """As :meth:`read`, of the row groups that hold some rows; and the places of these among what was read.

        Raises:
            StoreCorrupted: the file is damaged or gone.
            Unreachable: the object store does not answer.
        """
        with self._reading() as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            starts = np.cumsum([0, *sizes])
            groups = np.searchsorted(starts, rows, side="right") - 1
            read = np.unique(groups)
            begin = np.cumsum([0, *np.diff(starts)[read]])[np.searchsorted(read, groups)]
            return _columns(file, read.tolist(), columns), begin + rows - starts[groups]

    @contextmanager
    def _reading(self) -> Iterator[pq.ParquetFile]:
        system, path = self._opened
        is_local = isinstance(system, fs.LocalFileSystem)
        try:
            with pq.ParquetFile(
                path, filesystem=system, page_checksum_verification=True, pre_buffer=not is_local
            ) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and not is_local:
                raise _unreachable(self.folder, error) from error
            raise StoreCorrupted(
                f"{self.folder}/{self.file}: cannot be read ({error}); remove it, and the next run makes it again"
            ) from error

    def write(self, schema: pa.Schema, pieces: Iterable[pa.Table], compression: str = "lz4") -> None:
        """Write it. Whatever ends that early leaves no file; a kill leaves none but on an object store's side.

        Args:
            schema: names and types of the columns.
            pieces: the rows, a row group or more each.
            compression: of all columns. Measured on T1w records: of typed columns LZ4 takes half the time of zstd, and
                is as small; lines of CSV are half as large with zstd, and are read as fast.

        Raises:
            OSError: the disk is full, or the place cannot be written to.
        """
        system, path = self._opened
        if not isinstance(system, fs.LocalFileSystem):
            if isinstance(system, fs.PyFileSystem):  # of fsspec; object stores have no folders
                system.create_dir(path.rpartition("/")[0], recursive=True)
            self._write(schema, pieces, path, compression)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # A call may run twice at a time, where a cluster takes a worker for lost.
        temporary = Path(path).with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{self.file}")
        self._write(schema, pieces, str(temporary), compression)
        move_into_place(temporary, Path(path))

    def _write(self, schema: pa.Schema, pieces: Iterable[pa.Table], path: str, compression: str) -> None:
        system, _ = self._opened
        writer = pq.ParquetWriter(
            path,
            schema,
            filesystem=system,
            compression=compression,
            use_dictionary=text_columns(schema),
            write_page_checksum=True,
        )
        try:
            with writer:
                for piece in pieces:
                    writer.write_table(piece.cast(schema))
        except BaseException:
            # Closing it has made a file that looks whole.
            with suppress(OSError):
                system.delete_file(path)
            raise

    def remove(self) -> None:
        """Remove it, if it is there."""
        system, path = self._opened
        with suppress(FileNotFoundError):
            system.delete_file(path)

    @property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        system, path = _folder(self.folder)
        return system, f"{path}/{self.file}"


def _columns(file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
    found = file.read_row_groups(
        list(groups), columns=list(columns), use_threads=False
    )  # many are read at a time
    # Parquet knows no whole seconds and gives milliseconds back; and columns in the order of the file.
    fields = [
        f.with_type(pa.timestamp("s", tz="UTC")) if pa.types.is_timestamp(f.type) else f for f in found.schema
    ]
    return found.cast(pa.schema(fields)).select(list(columns))


def text_columns(schema: pa.Schema) -> list[str]:
    """The columns that Parquet's dictionaries make smaller; of numbers hardly any comes twice."""
    return [field.name for field in schema if pa.types.is_string(field.type)]


def partitions(folder: str) -> list[Partition]:
    """The Parquet files of a folder, by name; none where there is no folder.

    Raises:
        UsageError: it is neither a folder nor a URL that can be used.
        Unreachable: the object store does not answer.
    """
    system, path = _folder(folder)
    try:
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    except OSError as error:
        raise _unreachable(folder, error) from error
    names = sorted(info.base_name for info in found if info.base_name.endswith(".parquet"))
    return [Partition(folder, name) for name in names if not name.startswith(".")]


def below(folder: str, name: str) -> str:
    """A folder within another."""
    place, mark, options = folder.partition("?") if "://" in folder else (folder, "", "")
    return f"{place.rstrip('/')}/{name}{mark}{options}"


def remove_abandoned(folder: str) -> None:
    """Remove temporary files that a run left that was killed; of a folder on a disk, where there are some."""
    if "://" in folder:
        return
    for path in Path(folder).glob(".tmp-*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()


def checked_folder(folder: str) -> str:
    """A folder for partitions as it was given, if it can be one.

    Raises:
        UsageError: it is a URL with a user's name or password, which would come into logs.
    """
    if "://" not in folder:
        return str(Path(folder).absolute())
    parts = urlsplit(folder)
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "a URL of partitions without user name and password is expected; they belong in the environment"
        )
    return folder


@lru_cache(maxsize=64)
def _folder(folder: str) -> tuple[fs.FileSystem, str]:
    if "://" not in folder:
        return fs.LocalFileSystem(), folder
    try:
        return fs.FileSystem.from_uri(folder)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UsageError(
            f"{folder}: {error}; expected a folder, or a URL such as s3://bucket/folder"
        ) from None


def _unreachable(folder: str, error: OSError) -> Unreachable:
    return Unreachable(
        f"{folder}: {error}; check that the object store is there and may be used, and run the same command again (a "
        "file that stays unreadable may be removed: the next run makes it again)"
    )
