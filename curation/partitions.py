"""Folders of Parquet files between stages: on this machine, shared with others, or in an object store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from curation.errors import StoreCorrupted, UsageError
from curation.store.files import move_into_place


@dataclass(frozen=True)
class Partition:
    """A Parquet file by its place.

    Attributes:
        place: an absolute path, or a URL of Arrow's file systems (``s3://bucket/folder/name``, and
            ``fsspec+PROTOCOL://...`` for those of fsspec);
            https://arrow.apache.org/docs/python/generated/pyarrow.fs.FileSystem.html
    """

    place: str

    @property
    def name(self) -> str:
        """Its name without suffix."""
        return self.place.rpartition("/")[2].removesuffix(".parquet")

    def rows(self) -> int | None:
        """How many rows it has; ``None`` where there is no such file, or none that is whole."""
        system, path = _opened(self.place)
        try:
            with system.open_input_file(path) as file:
                return pq.read_metadata(file).num_rows
        except (pa.ArrowException, OSError):
            return None

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns, in the order given.

        Raises:
            StoreCorrupted: the file is damaged or gone.
        """
        system, path = _opened(self.place)
        try:
            found = pq.read_table(
                path,
                columns=list(columns),
                filesystem=system,
                partitioning=None,
                use_threads=False,  # many are read at a time
                page_checksum_verification=True,
            )
        except (pa.ArrowException, OSError) as error:
            raise StoreCorrupted(
                f"{self.place}: cannot be read ({error}); remove it, and the next run makes it again"
            ) from error
        # Parquet knows no whole seconds and gives milliseconds back.
        fields = [
            f.with_type(pa.timestamp("s", tz="UTC")) if pa.types.is_timestamp(f.type) else f
            for f in found.schema
        ]
        return found.cast(pa.schema(fields)).select(list(columns))

    def write(self, schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
        """Write it whole or not at all.

        Raises:
            OSError: the disk is full, or the place cannot be written to.
        """
        system, path = _opened(self.place)
        on_disk = isinstance(system, fs.LocalFileSystem)
        written = str(_temporary(Path(path))) if on_disk else path
        if on_disk:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(
            written,
            schema,
            filesystem=system,
            # Written once and read in pieces: measured on T1w records, half the time of zstd and as small.
            compression="lz4",
            use_dictionary=text_columns(schema),
            write_page_checksum=True,
        ) as writer:
            for piece in pieces:
                writer.write_table(piece.cast(schema))
        if on_disk:
            move_into_place(Path(written), Path(path))

    def remove(self) -> None:
        """Remove it."""
        system, path = _opened(self.place)
        system.delete_file(path)


def text_columns(schema: pa.Schema) -> list[str]:
    """The columns that a dictionary makes smaller; of numbers hardly any come twice."""
    return [field.name for field in schema if pa.types.is_string(field.type)]


def _temporary(path: Path) -> Path:
    return path.with_name(f".tmp-{path.name}")


def partitions(folder: str) -> list[Partition]:
    """The Parquet files of a folder, by name."""
    system, path = _folder(folder)
    found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    names = sorted(info.base_name for info in found if info.base_name.endswith(".parquet"))
    return [Partition(f"{folder}/{name}") for name in names if not name.startswith(".")]


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


def _opened(place: str) -> tuple[fs.FileSystem, str]:
    folder, _, name = place.rpartition("/")
    system, path = _folder(folder)
    return system, f"{path}/{name}"
