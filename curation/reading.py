"""Reads published tables for researchers: of a version, with the types that its dictionary gives."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from curation.errors import DatasetError, UsageError
from schemas.dictionary import ARROW_TYPES
from schemas.published import TABLES, published_table

_TIME = ARROW_TYPES["time"]

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from curation.publish.commits import Commits


def read_table(
    name: str, version: str | None = None, dataset: str | os.PathLike[str] = ".", *, fetch: bool = True
) -> pd.DataFrame:
    """Read a published table.

    Args:
        name: of the table, such as ``T1w_curated``, ``rating`` or ``records`` (a ledger).
        version: a release (``2026.11.23``), a commit, or any other name that git knows; what is there without.
        dataset: the DataLad dataset or a clone of it, or a folder with files of a version, also as they come from
            FigShare (all in one folder, ``T1w.json`` beside ``T1w.csv`` or not).
        fetch: whether content that is not here yet is fetched, as ``datalad get`` does.

    Returns:
        The table, its rows and columns in the order of the file. Numbers are ``float64``; integers ``Int64`` and truth
        values ``boolean``, which can be missing; times are UTC; all else, ids as well, is ``str``.

    Raises:
        UsageError: there is no such table or version, or the folder is of another kind.
        DatasetError: the content is not here and cannot be fetched.
    """
    place = _place(Path(dataset), version)
    parquet, csv, dictionary = f"parquet/{name}.parquet", f"csv/{name}.csv", f"dictionary/{name}.json"
    csv = csv if place.has(csv) else f"audit/{name}.csv"
    described = place.text(dictionary)
    if not any(map(place.has, (parquet, csv))) or (described is None and name not in TABLES):
        raise UsageError(
            f"{place.name}: no table {name!r}; is one of these meant: {', '.join(place.tables(name))}?"
        )
    if (stream := place.open(parquet)) is not None:
        with stream:
            return _from_parquet(stream)
    stream = place.open(csv)
    if stream is None and fetch:
        place.fetch(csv)
        stream = place.open(csv)
    if stream is None:
        raise DatasetError(f"{csv} of {place.name}: its content is not here; `datalad get {csv}` fetches it")
    with stream:
        return _from_csv(stream, _types(name, described))


class _Place(Protocol):
    """Where the files of a version are."""

    name: str

    def has(self, path: str) -> bool: ...
    def text(self, path: str) -> bytes | None: ...
    def open(self, path: str) -> io.BufferedIOBase | None: ...
    def fetch(self, path: str) -> None: ...
    def tables(self, near: str) -> list[str]: ...


def _place(path: Path, version: str | None) -> _Place:
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; expected a snapshot dataset, or a folder with its files")
    if (path / ".git").exists():
        from curation.publish.commits import Commits

        dataset = Commits(path)
        return _InDataset(version or "HEAD", dataset, dataset.find(version or "HEAD"))
    place = _InFolder(str(path), path)
    snapshot = json.loads(place.text("snapshot.json") or b"{}")
    if version is not None and snapshot.get("version") != version:
        raise UsageError(
            f"{path}: has {snapshot.get('version') or 'no release'}, not {version}; name the dataset, or the folder of "
            "that version"
        )
    return place


@dataclass
class _InDataset:
    """A commit of a dataset, whose working tree is left alone."""

    name: str
    dataset: Commits
    commit: str

    def has(self, path: str) -> bool:
        return bool(self.dataset.committed(path, commit=self.commit))

    def text(self, path: str) -> bytes | None:
        return self.dataset.published(path, self.commit)

    def open(self, path: str) -> io.BufferedIOBase | None:
        return self.dataset.open(path, self.commit) if self.has(path) else None

    def fetch(self, path: str) -> None:
        self.dataset.fetch(path, self.commit)

    def tables(self, near: str) -> list[str]:
        return _near(near, self.dataset.committed("dictionary", commit=self.commit))


@dataclass
class _InFolder:
    """A folder with the layout of the dataset, or with all files beside each other."""

    name: str
    folder: Path

    def _find(self, path: str) -> Path | None:
        places = (self.folder / path, self.folder / Path(path).name)
        return next((place for place in places if place.is_file()), None)

    def has(self, path: str) -> bool:
        return self._find(path) is not None

    def text(self, path: str) -> bytes | None:
        found = self._find(path)
        return found.read_bytes() if found else None

    def open(self, path: str) -> io.BufferedIOBase | None:
        found = self._find(path)
        return found.open("rb") if found else None

    def fetch(self, path: str) -> None:
        raise DatasetError(f"{self.folder}: has no {path}; copy or download it there")

    def tables(self, near: str) -> list[str]:
        found = [
            *self.folder.glob("dictionary/*.json"),
            *self.folder.glob("csv/*.csv"),
            *self.folder.glob("*.csv"),
        ]
        return _near(near, [path.name for path in found])


def _near(name: str, files: list[str]) -> list[str]:
    names = sorted({Path(file).stem for file in files})
    return get_close_matches(name, names, 3) or names or ["none"]


def _from_parquet(stream: io.BufferedIOBase) -> pd.DataFrame:
    import pyarrow.parquet as pq

    return _to_pandas(pq.read_table(stream))


def _types(name: str, described: bytes | None) -> dict[str, pa.DataType]:
    """Types of a table's columns: by its own dictionary, or, where that was not downloaded, by the one of today."""
    if described is None:
        return {column.name: ARROW_TYPES[column.type] for column in published_table(name).columns}
    columns: Mapping[str, Any] = json.loads(described)
    return {column: ARROW_TYPES[about["Type"]] for column, about in columns.items()}


def _from_csv(stream: io.BufferedIOBase, types: Mapping[str, pa.DataType]) -> pd.DataFrame:
    from pyarrow import csv

    table = csv.read_csv(
        stream,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict(types),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return _to_pandas(table)


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    # Parquet knows no whole seconds and gives milliseconds back.
    fields = [f.with_type(_TIME) if pa.types.is_timestamp(f.type) else f for f in table.schema]
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return table.cast(pa.schema(fields)).to_pandas(types_mapper=nullable.get)
