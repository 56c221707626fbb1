"""Typed columns kept beside the record store, a file a sealed part: a document is flattened once.

The files are keyed by the part's digest and what they were made with, and can be thrown away and made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import dask
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dask.delayed import delayed

from curation.errors import StoreCorrupted
from curation.flatten import ASIDES_TYPE, asides_array, flat_schema, flatten
from curation.objectid import is_object_id
from curation.pseudonyms import Pseudonyms
from curation.store import Part, RecordStore
from curation.store.files import move_into_place
from curation.validate import FAULTS_TYPE, broken_rules, faults_array
from schemas import dictionary_digest, table
from schemas.dictionary import Resource

FAULTS, WITHHELD, READINGS, ASIDES = "_faults", "_withheld", "_readings", "_asides"
"""Columns for this library only: the rules a record breaks, what was withheld from it, what was read otherwise, and
what was received for cells that hold it otherwise or not at all."""
FINITE, METADATA = "_finite", "_metadata"
"""Likewise: whether no IQM is NaN or infinite, and how many acquisition parameters there are."""

KEY_FIELDS = [
    pa.field("record_id", pa.string()),
    pa.field("etag", pa.string()),
    pa.field("created", pa.timestamp("s", tz="UTC")),
    pa.field("updated", pa.timestamp("s", tz="UTC")),
    pa.field(FAULTS, FAULTS_TYPE),
    pa.field(WITHHELD, pa.list_(pa.string())),
    pa.field(READINGS, pa.list_(pa.string())),
    pa.field(ASIDES, ASIDES_TYPE),
    pa.field(FINITE, pa.bool_()),
    pa.field(METADATA, pa.int32()),
]
_MADE_WITH = {
    "curation": (
        "free_text.py",
        "objectid.py",
        "personal.py",
        "personal_keys.py",
        "pseudonyms.py",
        "typed.py",
        "validate.py",
    ),
    "curation.flatten": ("asides.py", "cells.py", "dates.py", "documents.py", "flatten.py"),
    "schemas": ("dictionary.py", "published.py", "spellings.py", "validation.py"),
}
# Documents validated and written at a time: as many as a walk of the pull brings at the most.
PIECE_ROWS = 5_000


@cache
def flatten_digest() -> str:
    """SHA-256 (hex) of what typed columns are made with: the dictionary and the code that reads documents."""
    digest = hashlib.sha256(dictionary_digest().encode())
    for room, names in _MADE_WITH.items():
        for name in names:
            digest.update((files(room) / name).read_bytes())
    return digest.hexdigest()


def typed_path(store: RecordStore, resource: Resource, part: Part, pseudonyms: Pseudonyms | None) -> Path:
    """Where the typed columns of ``part`` are."""
    made_with = f"{flatten_digest()[:16]}-{pseudonyms.fingerprint if pseudonyms else 'none'}"
    return store.path / resource / "typed" / f"{part.manifest['sha256'][:16]}-{made_with}.parquet"


def make_typed(
    store: RecordStore, resource: Resource, parts: Sequence[Part], pseudonyms: Pseudonyms | None = None
) -> list[Path]:
    """Typed columns of ``parts``, made where they are not there yet; on Dask's scheduler.

    Args:
        store: the record store.
        resource: whose parts they are.
        parts: sealed parts.
        pseudonyms: what names of raters and serial numbers become; without, their columns stay empty.

    Returns:
        A file a part, in the order of ``parts``: ``KEY_FIELDS``, then the columns of
        :func:`curation.flatten.flat_schema`, a row a document.

    Raises:
        StoreCorrupted: a part is not what its manifest says.
    """
    paths = [typed_path(store, resource, part, pseudonyms) for part in parts]
    # By path: two parts with the same bytes share their columns.
    todo = {path: part for part, path in zip(parts, paths, strict=True) if not _is_made(path, part)}
    if todo:
        next(iter(todo)).parent.mkdir(parents=True, exist_ok=True)
        dask.compute(*(delayed(_make_one)(resource, part, path, pseudonyms) for path, part in todo.items()))
    # Those of another key stay: whoever curates without the night's key does not cost the night its own.
    wanted = {path.stem.rpartition("-")[0] for path in paths}
    for stale in paths[0].parent.glob("*.parquet") if paths else ():
        if stale.stem.rpartition("-")[0] not in wanted:
            stale.unlink()
    return paths


def _is_made(path: Path, part: Part) -> bool:
    """Whether the file is there and whole; one that is not is made again."""
    try:
        return pq.read_metadata(path).num_rows == part.manifest["documents"]
    except (pa.ArrowException, OSError):
        return False


def _make_one(resource: Resource, part: Part, path: Path, pseudonyms: Pseudonyms | None) -> None:
    documents = part.documents()
    schema = pa.schema([*KEY_FIELDS, *flat_schema(table(resource))])
    temporary = path.with_name(f".tmp-{path.name}")
    with pq.ParquetWriter(
        temporary, schema, compression="zstd", compression_level=1, write_page_checksum=True
    ) as writer:
        for start in range(0, len(documents), PIECE_ROWS):
            piece = documents.slice(start, PIECE_ROWS)
            writer.write_table(_typed(resource, piece, pseudonyms).cast(schema))
    move_into_place(temporary, path)


def _typed(resource: Resource, documents: pa.Table, pseudonyms: Pseudonyms | None) -> pa.Table:
    texts = documents.column("document").to_pylist()
    made = flatten(table(resource), texts, pseudonyms)
    ids = documents.column("record_id").to_pylist()
    created, updated = zip(*made.moments, strict=True)
    keys: dict[str, pa.Array | pa.ChunkedArray] = {
        "record_id": documents.column("record_id"),
        "etag": documents.column("etag"),
        # Where the service does not say, the time in the id.
        "created": pc.coalesce(documents.column("created"), _times(created), _times(map(_born, ids))),
        "updated": pc.coalesce(documents.column("updated"), _times(updated)),
        FAULTS: faults_array(broken_rules(resource, ids, made)),
        WITHHELD: pa.array(made.withheld, pa.list_(pa.string())),
        READINGS: pa.array(made.readings, pa.list_(pa.string())),
        ASIDES: asides_array(made.asides),
        FINITE: _all_finite(made.table, [column.name for column in table(resource).iqms]),
        METADATA: _filled(made.table, [name for name in made.table.column_names if _is_metadata(name)]),
    }
    columns = [*keys.values(), *made.table.columns]
    return pa.table(columns, schema=pa.schema([*KEY_FIELDS, *made.table.schema]))


def _born(record_id: str) -> int | None:
    return int(record_id[:8], 16) if is_object_id(record_id) else None


def _times(seconds: Iterable[int | None]) -> pa.Array:
    return pa.array(seconds, pa.int64()).cast(pa.timestamp("s", tz="UTC"))


def _is_metadata(name: str) -> bool:
    return name.startswith("bids_meta_") and name != "bids_meta_extra"


def _all_finite(columns: pa.Table, names: Sequence[str]) -> pa.Array:
    """Per row, whether none of the columns holds NaN or infinity; a missing value is neither."""
    finite = np.ones(len(columns), dtype=bool)
    for name in names:
        found = pc.is_finite(columns.column(name).cast(pa.float64())).fill_null(True)
        finite &= found.combine_chunks().to_numpy(zero_copy_only=False)
    return pa.array(finite)


def _filled(columns: pa.Table, names: Sequence[str]) -> pa.Array:
    """Per row, how many of the columns hold a value."""
    filled = np.zeros(len(columns), dtype="int32")
    for name in names:
        filled += columns.column(name).is_valid().combine_chunks().to_numpy(zero_copy_only=False)
    return pa.array(filled)


def read_typed(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read typed columns, in the order given.

    Raises:
        StoreCorrupted: the file is damaged.
    """
    try:
        found = pq.read_table(path, columns=list(columns), partitioning=None, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise StoreCorrupted(
            f"{path}: cannot be read ({error}); remove it, and the next run makes it again"
        ) from error
    # Parquet knows no whole seconds and gives milliseconds back.
    fields = [
        f.with_type(pa.timestamp("s", tz="UTC")) if pa.types.is_timestamp(f.type) else f for f in found.schema
    ]
    return found.cast(pa.schema(fields)).select(list(columns))
