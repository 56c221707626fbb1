"""From the record store to a folder with the published layout: stages 2 to 6 in a row, without a network.

Everything is written to a staging folder beside the files it will replace, checked, and moved into place with
``snapshot.json`` last.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.deduplicate import (
    DUPLICATE,
    FATES,
    KEY_COLUMNS,
    LEDGER_SCHEMA,
    QUARANTINED,
    REPRESENTATIVE,
    Fates,
    decide,
)
from curation.errors import LawBroken
from curation.flatten import flat_schema
from curation.store import Part, RecordStore
from curation.store.files import sync_folder, to_json
from curation.store.parts import file_sha256
from curation.tables import gather, write_table
from curation.typed import WITHHELD, make_typed, read_typed
from schemas import RESOURCES, dictionary_digest, table
from schemas.dictionary import Resource

STAGING = ".mriqc-snapshot-staging"
SNAPSHOT_FORMAT = 1


@dataclass
class CurationReport:
    """What a curation made.

    Attributes:
        snapshot: what ``snapshot.json`` says.
        folder: where the files are.
        files: their names relative to ``folder``, ``snapshot.json`` last.
    """

    snapshot: dict[str, Any]
    folder: Path
    files: list[str] = field(default_factory=list)

    @property
    def newest_record(self) -> str | None:
        """Creation time of the newest record, ISO 8601; ``None`` for an empty store."""
        return self.snapshot["newest_record"]


def curate(
    store: RecordStore, out: Path, *, on_stage: Callable[[str], None] = lambda text: None
) -> CurationReport:
    """Make all tables and ledgers in ``out``; files of the same names are replaced, others are left alone.

    Args:
        store: the record store.
        out: a folder; made if missing.
        on_stage: told what begins.

    Raises:
        StoreCorrupted: a part is not what its manifest says.
        LawBroken: records would be lost; ``out`` is as it was.
    """
    staging = out / STAGING
    report = stage(store, staging, on_stage=on_stage)
    move_files(report.files, staging, out)
    shutil.rmtree(staging)
    return CurationReport(report.snapshot, out, report.files)


def stage(
    store: RecordStore, staging: Path, *, on_stage: Callable[[str], None] = lambda text: None
) -> CurationReport:
    """Make all tables and ledgers in ``staging``, which is emptied first; see :func:`curate`."""
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir(parents=True)
    fates: dict[str, Fates] = {}
    withheld: Counter[str] = Counter()
    for resource in RESOURCES:
        on_stage(f"{resource}: flatten, deduplicate, write")
        fates[resource], found = _curate_resource(store, resource, staging)
        withheld.update({f"{resource}: {rule}": n for rule, n in found.items()})
    on_stage("ledger")
    ledgers = (fates[resource].ledger for resource in RESOURCES)
    rows = write_table(ledgers, LEDGER_SCHEMA, staging / "audit" / "records.csv")
    _require(rows == sum(len(f.ledger) for f in fates.values()), f"the ledger has {rows} rows")
    files = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    snapshot = _snapshot(fates, withheld, staging, files)
    (staging / "snapshot.json").write_bytes(to_json(snapshot))
    return CurationReport(snapshot, staging, [*files, "snapshot.json"])


def move_files(names: Sequence[str], source: Path, target: Path) -> None:
    """Move files from one folder to another of the same file system, in the order given.

    The last of ``names`` speaks of the others: the one that is there is removed first, so that it never speaks of
    files that are half replaced.
    """
    (target / names[-1]).unlink(missing_ok=True)
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, target / name)
    for folder in {(target / name).parent for name in names}:
        sync_folder(folder)


def _curate_resource(store: RecordStore, resource: Resource, staging: Path) -> tuple[Fates, Counter[str]]:
    parts = store.parts(resource)
    paths = make_typed(store, resource, parts)
    checksum = table(resource).checksum.name
    keys = [
        read_typed(path, [*KEY_COLUMNS, checksum]).rename_columns([*KEY_COLUMNS, "md5sum"]) for path in paths
    ]
    fates = decide(resource, keys, [part.sequence for part in parts], store.deletions(resource))
    del keys
    # Counted in the sealed parts themselves, not in what was made of them.
    sealed = _distinct_ids(parts)
    _require(fates.received == sealed, f"{resource}: {sealed} records sealed, {fates.received} typed")
    schema = _unique_schema(resource)
    withheld: Counter[str] = Counter()
    columns = [*_received_names(resource, schema), WITHHELD]
    chunks = (
        _taken_note(chunk, withheld).rename_columns(schema.names)
        for chunk in gather(paths, fates.rows, columns)
    )
    rows = write_table(
        chunks, schema, staging / "csv" / f"{resource}.csv", staging / "parquet" / f"{resource}.parquet"
    )
    representatives = pc.sum(pc.equal(fates.ledger.column("fate"), REPRESENTATIVE)).as_py() or 0
    _require(rows == representatives, f"{resource}.csv has {rows} rows for {representatives} representatives")
    return fates, withheld


def _distinct_ids(parts: Sequence[Part]) -> int:
    chunks = [chunk for part in parts for chunk in part.keys().column("record_id").chunks]
    return pc.count_distinct(pa.chunked_array(chunks, pa.string())).as_py()


def _taken_note(chunk: pa.Table, withheld: Counter[str]) -> pa.Table:
    """Count what was withheld from the rows of ``chunk``; returns it without that column."""
    for rule in pc.value_counts(pc.list_flatten(chunk.column(WITHHELD))).to_pylist():
        withheld[rule["values"]] += rule["counts"]
    return chunk.drop_columns(WITHHELD)


def _unique_schema(resource: Resource) -> pa.Schema:
    """The published columns of a unique table, or of the ratings in the order of 2019."""
    flat = flat_schema(table(resource))
    columns = list(flat)
    checksum = columns.pop(0).with_name("md5sum")
    created = pa.field("created", pa.timestamp("s", tz="UTC"))
    if resource == "rating":
        by_name = {f.name: f for f in columns}
        updated = pa.field("updated", pa.timestamp("s", tz="UTC"))
        ordered = [checksum, by_name["rating"], created, updated]
        ordered += [by_name["name"], by_name["comment"], by_name["extra"]]
    else:
        ordered = [checksum, created, *columns]
    return pa.schema([*ordered, pa.field("record_id", pa.string())])


def _received_names(resource: Resource, schema: pa.Schema) -> list[str]:
    """Names of a unique table's columns in the typed parts."""
    return [table(resource).checksum.name if name == "md5sum" else name for name in schema.names]


def _snapshot(
    fates: dict[str, Fates], withheld: Counter[str], staging: Path, files: list[str]
) -> dict[str, Any]:
    tables = {resource: _counts(resource, fate) for resource, fate in fates.items()}
    newest = max(
        (time for f in fates.values() if (time := pc.max(f.ledger.column("created")).as_py()) is not None),
        default=None,
    )
    return {
        "format": SNAPSHOT_FORMAT,
        "newest_record": newest.isoformat().replace("+00:00", "Z") if newest else None,
        "tables": tables,
        "withheld": dict(sorted(withheld.items())),
        "versions": {
            "mriqc-snapshot": version("mriqc-snapshot"),
            "dictionary": dictionary_digest(),
            "pyarrow": pa.__version__,  # the bytes of Parquet files are its own
        },
        "files": {
            name: {"sha256": file_sha256(staging / name), "bytes": (staging / name).stat().st_size}
            for name in files
        },
    }


def _counts(resource: str, fates: Fates) -> dict[str, int]:
    """Records by fate; law 1: every record received is in exactly one of them."""
    found = {
        item["values"]: item["counts"] for item in pc.value_counts(fates.ledger.column("fate")).to_pylist()
    }
    counts = {fate: found.get(fate, 0) for fate in FATES}
    accounted = counts[REPRESENTATIVE] + counts[DUPLICATE] + counts[QUARANTINED] + fates.withdrawn
    _require(
        accounted == fates.received and sum(found.values()) == len(fates.ledger),
        f"{resource}: {fates.received} records received, {accounted} accounted for",
    )
    return {
        "received": fates.received,
        "representatives": counts[REPRESENTATIVE],
        "duplicates": counts[DUPLICATE],
        "quarantined": counts[QUARANTINED],
        "withdrawn": fates.withdrawn,
    }


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise LawBroken(
            f"nothing is lost (law 1): {found}. Nothing was published; please report this as a defect"
        )
