"""Typed columns kept beside the record store, a file a sealed part: a document is flattened once.

The files are keyed by the part's digest and what they were made with, and can be thrown away and made again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import dask
import pyarrow as pa
import pyarrow.parquet as pq
from dask.delayed import delayed

from curation.flatten import flatten
from curation.store import Part, RecordStore
from curation.store.files import move_into_place
from schemas import dictionary_digest, table
from schemas.dictionary import Resource

KEY_FIELDS = ["record_id", "etag", "created", "updated"]
_COUNTS = b"mriqc_snapshot_counts"


@cache
def flatten_digest() -> str:
    """SHA-256 (hex) of what typed columns are made with: the dictionary and the code that reads documents."""
    digest = hashlib.sha256(dictionary_digest().encode())
    for module in ("flatten.py", "personal.py", "typed.py"):
        digest.update((files("curation") / module).read_bytes())
    return digest.hexdigest()


def typed_path(store: RecordStore, resource: Resource, part: Part) -> Path:
    """Where the typed columns of ``part`` are."""
    return store.path / resource / "typed" / f"{part.manifest['sha256'][:16]}-{flatten_digest()[:16]}.parquet"


def make_typed(store: RecordStore, resource: Resource, parts: Sequence[Part]) -> list[Path]:
    """Typed columns of ``parts``, made where they are not there yet; on Dask's scheduler.

    Returns:
        A file a part, in the order of ``parts``: ``KEY_FIELDS``, then the columns of
        :func:`curation.flatten.flat_schema`, a row a document.

    Raises:
        StoreCorrupted: a part is not what its manifest says.
    """
    paths = [typed_path(store, resource, part) for part in parts]
    todo = [(part, path) for part, path in zip(parts, paths, strict=True) if not path.exists()]
    if todo:
        todo[0][1].parent.mkdir(parents=True, exist_ok=True)
        dask.compute(*(delayed(_make_one)(resource, part, path) for part, path in todo))
    wanted = {path.name for path in paths}
    for stale in paths[0].parent.glob("*.parquet") if paths else ():
        if stale.name not in wanted:
            stale.unlink()
    return paths


def _make_one(resource: Resource, part: Part, path: Path) -> None:
    documents = part.documents()
    flattened = flatten(table(resource), documents.column("document").to_pylist())
    columns = documents.select(KEY_FIELDS)
    for name in flattened.table.column_names:
        columns = columns.append_column(flattened.table.field(name), flattened.table.column(name))
    counts = {"misfits": flattened.misfits, "scrubbed": flattened.scrubbed}
    columns = columns.replace_schema_metadata({_COUNTS: json.dumps(counts, sort_keys=True).encode()})
    temporary = path.with_name(f".tmp-{path.name}")
    pq.write_table(columns, temporary, compression="zstd", compression_level=1)
    move_into_place(temporary, path)


def read_typed(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read typed columns, all or some, in the order given."""
    found = pq.read_table(path, columns=list(columns) if columns else None)
    # Parquet knows no whole seconds and gives milliseconds back.
    fields = [
        f.with_type(pa.timestamp("s", tz="UTC")) if pa.types.is_timestamp(f.type) else f for f in found.schema
    ]
    found = found.cast(pa.schema(fields))
    return found.select(list(columns)) if columns else found


def read_counts(path: Path) -> tuple[Counter[str], Counter[str]]:
    """Misfits and scrubbed values of a part (see :class:`curation.flatten.Flattened`)."""
    counts = json.loads(pq.read_schema(path).metadata[_COUNTS])
    return Counter(counts["misfits"]), Counter(counts["scrubbed"])
