"""Reads tables and ledgers of a version column by column: from Parquet, else from CSV by way of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from curation.diff.version import Version, same_content
from curation.errors import UsageError
from curation.ledger_reading import ledger_batches
from schemas.dictionary import ARROW_TYPES
from schemas.published import CURATED_TABLES, UNIQUE_TABLES, published_table

COMPARED: tuple[str, ...] = (*UNIQUE_TABLES, *CURATED_TABLES)
"""Tables that are compared row by row."""
LEDGERS_READ = ("records", "repairs", "matches", "disagreements")
_CSV_BLOCK = 32 << 20
_FEW_TEXTS = 8
"""Bytes that a cell takes in a file, at the most, where a column has few texts, which are then read as a dictionary."""
TEXT_BYTES = 40
"""Bytes that a text is taken to have at the least: files hold equal ones once, memory each."""
_SAID = 200
"""Characters that are shown of what Arrow says of a damaged ledger."""
_LARGEST_TEXTS = 1 << 30
"""Bytes from which texts get offsets of 64 bits: 2 GB is the most that others reach."""
_PACKAGE = "datapackage.json"
# https://specs.frictionlessdata.io/table-schema/#types-and-formats
_FRICTIONLESS = {
    "number": ARROW_TYPES["number"],
    "integer": ARROW_TYPES["integer"],
    "boolean": ARROW_TYPES["boolean"],
    "datetime": ARROW_TYPES["time"],
    "string": ARROW_TYPES["text"],
}


def table_key(name: str) -> str:
    """The column whose values identify the rows of a table."""
    return published_table(name).key[0]


def kind(data: pa.DataType) -> str:
    """The dictionary's word for a type: ``number``, ``integer``, ``text``, ``boolean`` or ``time``."""
    if pa.types.is_floating(data):
        return "number"
    if pa.types.is_integer(data):
        return "integer"
    if pa.types.is_boolean(data):
        return "boolean"
    if pa.types.is_timestamp(data):
        return "time"
    return "text"


class TableFile:
    """One table of one version, read in place.

    Args:
        path: a Parquet file.

    Attributes:
        types: of its columns; kinds: the same in the dictionary's words.
        rows: how many it has.
        interquartile_ranges: of columns, where somebody asked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.interquartile_ranges: dict[str, float] = {}
        try:
            with pq.ParquetFile(path) as file:
                self._metadata = file.metadata
                schema = file.schema_arrow
        except pa.ArrowInvalid as error:
            raise UsageError(f"{path}: no Parquet file that can be read ({error})") from error
        self.types = {field.name: field.type for field in schema}
        self.kinds = {name: kind(data) for name, data in self.types.items()}
        self.rows: int = self._metadata.num_rows
        self._bytes = dict(zip(self.kinds, _column_bytes(self._metadata), strict=True))
        texts = [name for name, word in self.kinds.items() if word == "text"]
        self._few = frozenset(name for name in texts if self._bytes[name] <= _FEW_TEXTS * self.rows)

    @property
    def table(self) -> TableFile:
        """The whole table."""
        return self

    def memory(self, name: str) -> int:
        """Bytes that a column takes in memory, about."""
        if self.kinds[name] != "text":
            return 8 * self.rows
        return 4 * self.rows if name in self._few else max(TEXT_BYTES * self.rows, self._bytes[name])

    def read(self, names: Sequence[str]) -> pa.Table:
        """Columns of all rows; those of few texts as dictionaries."""
        few = [name for name in names if name in self._few]
        with pq.ParquetFile(self._path, metadata=self._metadata, read_dictionary=few) as file:
            return file.read(list(names), use_threads=False)

    def find(self, column: str, value: str) -> int | None:
        """The first row that holds a text in a column; ``None`` if none does."""
        if column not in self.kinds:
            return None
        place = pc.index(self.read([column]).column(column).cast(pa.string()), value).as_py()
        return None if place < 0 else place


def _column_bytes(metadata: pq.FileMetaData) -> list[int]:
    """Bytes of every column as they are in the file, uncompressed."""
    sizes = [0] * metadata.num_columns
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(metadata.num_columns):
            sizes[place] += group.column(place).total_uncompressed_size
    return sizes


class OneRow(TableFile):
    """A table of which only one row is looked at, or none.

    Args:
        file: the table.
        row: which; ``None`` for none.
    """

    def __init__(self, file: TableFile, row: int | None) -> None:
        self._path, self._metadata = file._path, file._metadata
        self.types, self.kinds = file.types, file.kinds
        self._table = file
        self.rows = 0 if row is None else 1
        self._row = row

    @property
    def table(self) -> TableFile:
        """The whole table."""
        return self._table

    def memory(self, name: str) -> int:
        """Next to nothing."""
        return 0

    def read(self, names: Sequence[str]) -> pa.Table:
        """Columns of the row."""
        row = self._row or 0
        with pq.ParquetFile(self._path, metadata=self._metadata) as file:
            for number in range(self._metadata.num_row_groups):
                count = self._metadata.row_group(number).num_rows
                if row < count:
                    return file.read_row_group(number, list(names), use_threads=False).slice(row, self.rows)
                row -= count
            return file.read(list(names)).slice(0, 0)


def same_table(a: Version, b: Version, name: str) -> bool:
    """Whether both versions have a table with the same bytes, in every form that both have."""
    forms = [form for form in table_forms(name) if a.has(form) and b.has(form)]
    if not forms:
        return not has_table(a, name) and not has_table(b, name)
    return all(same_content(a, b, form) for form in forms)


def has_table(version: Version, name: str) -> bool:
    """Whether a version has a table."""
    return any(version.has(form) for form in table_forms(name))


def open_pair(a: Version, b: Version, name: str, scratch: Path) -> tuple[TableFile, TableFile]:
    """A table of two versions, in the form in which they differ; Parquet, if that does not decide.

    Args:
        a: a version that has the table.
        b: another.
        name: of the table.
        scratch: an empty folder for what is made of CSV.

    Raises:
        DatasetError: its content is not on this machine.
    """
    csv_only = not any(
        a.has(form) and b.has(form) and not same_content(a, b, form)
        for form in table_forms(name)
        if form.startswith("parquet/")
    )
    both = [
        open_table(version, name, scratch / side, csv_only=csv_only) for version, side in ((a, "a"), (b, "b"))
    ]
    return both[0], both[1]


def open_table(version: Version, name: str, scratch: Path, *, csv_only: bool = False) -> TableFile:
    """A table of a version: its Parquet file or, where that is not here, one made of the CSV file.

    Raises:
        DatasetError: its content is not on this machine.
    """
    parquet, text = table_forms(name)
    if version.is_here(parquet) and not (csv_only and version.is_here(text)):
        return TableFile(version.path(parquet))
    if not version.is_here(text):
        return TableFile(version.path(parquet if version.has(parquet) else text))
    return TableFile(_from_csv(version, name, scratch))


def table_forms(name: str) -> tuple[str, str]:
    """The files of a table: Parquet and CSV."""
    return f"parquet/{name}.parquet", f"csv/{name}.csv"


def _from_csv(version: Version, name: str, scratch: Path) -> Path:
    scratch.mkdir(parents=True, exist_ok=True)
    path, target = version.path(f"csv/{name}.csv"), scratch / f"{name}.parquet"
    types = _types(version, name)
    try:
        with (
            csv.open_csv(path, **_options(types)) as batches,
            pq.ParquetWriter(target, batches.schema) as file,
        ):
            for batch in batches:
                file.write_batch(batch)
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"csv/{name}.csv of {version.name} is not as its {_PACKAGE} says: {error}"
        ) from error
    return target


def _types(version: Version, name: str) -> dict[str, pa.DataType]:
    """Types of a table's columns as the version itself declares them; of one that does not, today's."""
    if version.has(_PACKAGE):
        for resource in json.loads(version.files.read(_PACKAGE)).get("resources", []):
            if resource.get("path") == f"csv/{name}.csv":
                fields = resource["schema"]["fields"]
                return {one["name"]: _FRICTIONLESS.get(one["type"], pa.string()) for one in fields}
    return {field.name: field.type for field in published_table(name).arrow_schema}


def _options(types: dict[str, pa.DataType]) -> dict[str, object]:
    return {
        "read_options": csv.ReadOptions(block_size=_CSV_BLOCK),
        "parse_options": csv.ParseOptions(newlines_in_values=True),
        "convert_options": csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    }


def ledger(version: Version, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Columns of a ledger as texts, some rows at a time; those that it does not have are empty.

    Raises:
        DatasetError: its content is not on this machine.
    """
    path = f"audit/{name}.csv"
    if not version.has(path):
        return
    try:
        for batch in ledger_batches(version.path(path), columns, missing=True):
            yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        # It quotes what it read, which may be anything.
        said = str(error).encode("unicode_escape").decode()[:_SAID]
        raise UsageError(f"{path} of {version.name} is no table: {said}") from error


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; texts that are too many for 32 bits get wider offsets."""
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    if pa.types.is_string(column.type) and column.nbytes > _LARGEST_TEXTS:
        column = column.cast(pa.large_string())
    found = column.combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found


def places_in(values: pa.Array, among: pa.Array) -> np.ndarray:
    """Of each value, its place in another array; -1 where it is not there, or empty."""
    found = pc.index_in(values, value_set=among, skip_nulls=True)
    return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype("int64")


def those_in(values: pa.ChunkedArray, wanted: pa.Array | Collection[str]) -> pa.ChunkedArray:
    """Which values are among others."""
    among = wanted if isinstance(wanted, pa.Array) else pa.array(sorted(wanted), pa.string())
    return pc.is_in(values, value_set=among, skip_nulls=True)


def missing_content(version: Version, tables: Sequence[str]) -> list[str]:
    """Files that a comparison needs and whose content is not on this machine: ledgers, and tables in no form here."""
    needed = [f"audit/{name}.csv" for name in LEDGERS_READ]
    found = [name for name in needed if version.has(name) and not version.is_here(name)]
    for table in tables:
        forms = [form for form in table_forms(table) if version.has(form)]
        if forms and not any(version.is_here(form) for form in forms):
            found.append(forms[0])
    return found
