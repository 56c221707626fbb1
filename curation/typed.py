"""Typed columns kept beside the record store, a file a sealed part: a document is flattened once.

The files are keyed by the part's digest and what they were made with, and can be thrown away and made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.engine import Engine
from curation.errors import UsageError
from curation.flatten import ASIDES_TYPE, asides_array, flat_schema, flatten
from curation.objectid import is_object_id
from curation.partitions import Partition, below, partitions, remove_abandoned
from curation.pseudonyms import Pseudonyms
from curation.space import require_space, told_space, typed_bytes
from curation.store import Part, RecordStore
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
    "curation.flatten": ("asides.py", "cells.py", "dates.py", "documents.py", "flatten.py", "usual.py"),
    "schemas": ("dictionary.py", "published.py", "spellings.py", "validation.py"),
}
# Documents validated and written at a time: as many as a walk of the pull brings at the most.
PIECE_ROWS = 5_000
WORTH_PROCESSES = 20_000
"""Documents for which processes are started: importing the library takes each 0.8 s, in which a thread reads some
11,000, measured on T1w records."""


@cache
def flatten_digest() -> str:
    """SHA-256 (hex) of what typed columns are made with: the dictionary and the code that reads documents."""
    digest = hashlib.sha256(dictionary_digest().encode())
    for room, names in _MADE_WITH.items():
        for name in names:
            digest.update((files(room) / name).read_bytes())
    return digest.hexdigest()


def typed_partition(folder: str, part: Part, pseudonyms: Pseudonyms | None) -> Partition:
    """Where the typed columns of ``part`` are."""
    made_with = f"{flatten_digest()[:16]}-{pseudonyms.fingerprint if pseudonyms else 'none'}"
    return Partition(folder, f"{part.manifest['sha256'][:16]}-{made_with}.parquet")


def make_typed(
    store: RecordStore,
    resource: Resource,
    parts: Sequence[Part],
    pseudonyms: Pseudonyms | None = None,
    *,
    engine: Engine,
) -> list[Partition]:
    """Typed columns of ``parts``, made where they are not there yet.

    Args:
        store: the record store, locked by the caller.
        resource: whose parts they are.
        parts: sealed parts.
        pseudonyms: what names of raters and serial numbers become; without, their columns stay empty.
        engine: where documents are read, and typed columns are kept.

    Returns:
        A file a part, in the order of ``parts``: ``KEY_FIELDS``, then the columns of
        :func:`curation.flatten.flat_schema`, a row a document.

    Raises:
        StoreCorrupted: a part is not what its manifest says.
        DiskFull: there is no room for them.
        Unreachable: the object store that they are kept in does not answer.
        UsageError: a cluster keeps them where this machine does not see them.
    """
    folder = str((store.path / resource / "typed").absolute())
    if engine.partitions is not None:
        folder = below(below(engine.partitions, store.id), resource)
    made = [typed_partition(folder, part, pseudonyms) for part in parts]
    there = set(partitions(folder))
    # By place: two parts with the same bytes share their columns.
    todo = {
        to: part
        for part, to in zip(parts, made, strict=True)
        if to not in there or to.rows() != part.manifest["documents"]
    }
    _make(resource, todo, pseudonyms, engine, folder)
    if engine.is_cluster and (unseen := todo.keys() - set(partitions(folder))):
        raise UsageError(
            f"workers have made {len(unseen)} file(s) in {folder}, and this machine sees none of them there; name a "
            "folder that all share, or a URL, with --partitions"
        )
    # Those of another key stay: whoever curates without the night's key does not cost the night its own.
    wanted = {partition.name.rpartition("-")[0] for partition in made}
    for stale in partitions(folder):
        if stale.name.rpartition("-")[0] not in wanted:
            stale.remove()
    remove_abandoned(folder)
    return made


def _make(
    resource: Resource,
    todo: Mapping[Partition, Part],
    pseudonyms: Pseudonyms | None,
    engine: Engine,
    folder: str,
) -> None:
    # Documents go to a cluster with the call: the store is private, and not shared.
    calls = (
        engine.call(_make_one, resource, part, Sealed(part) if engine.is_cluster else None, to, pseudonyms)
        for to, part in todo.items()
    )
    documents = sum(part.manifest["documents"] for part in todo.values())
    run = engine.run_python if documents >= WORTH_PROCESSES else engine.run
    needed, on_disk = typed_bytes(list(todo.values())), "://" not in folder
    if todo and on_disk:
        require_space(Path(folder), needed, "typed columns")
    with told_space(Path(folder), needed, "typed columns") if on_disk else nullcontext():
        for _ in run(calls):
            pass


class Sealed:
    """The bytes of a sealed part on their way to another machine; nothing that is logged has them."""

    def __init__(self, part: Part) -> None:
        self.bytes = part.path.read_bytes()

    def __repr__(self) -> str:
        return f"Sealed({len(self.bytes)} bytes)"


def _make_one(
    resource: Resource, part: Part, sealed: Sealed | None, to: Partition, pseudonyms: Pseudonyms | None
) -> None:
    documents = part.documents(sealed.bytes if sealed else None)
    schema = pa.schema([*KEY_FIELDS, *flat_schema(table(resource))])
    starts = range(0, len(documents), PIECE_ROWS)
    to.write(schema, (_typed(resource, documents.slice(start, PIECE_ROWS), pseudonyms) for start in starts))


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
