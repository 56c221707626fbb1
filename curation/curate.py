"""From the record store to a folder with the published layout: stages 2 to 6 in a row, without a network.

Everything is written to a staging folder beside the files it will replace, checked, and moved into place with
``snapshot.json`` last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.curated import curated_rows
from curation.deduplicate import (
    IMAGE_KEY_COLUMNS,
    KEY_COLUMNS,
    Decision,
    Fate,
    compare_repeats,
    decide,
    make_ledgers,
)
from curation.describe import describe
from curation.errors import LawBroken
from curation.gate import Coverage, compare, measure
from curation.store import Part, RecordStore
from curation.store.files import sync_folder, to_json
from curation.store.parts import file_sha256
from curation.tables import gather, write_table
from curation.typed import READINGS, WITHHELD, make_typed, read_typed
from schemas import RESOURCES, dictionary_digest, table
from schemas.bids import schema_version
from schemas.dictionary import Resource
from schemas.published import IMAGE_RESOURCES, PublishedTable, published_table, received_name

STAGING = ".mriqc-snapshot-staging"
PREVIOUS = ".mriqc-snapshot-previous.json"
"""What ``snapshot.json`` said before the run that is under way."""
SNAPSHOT_FORMAT = 2


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
    store: RecordStore,
    out: Path,
    *,
    accept_coverage: bool = False,
    on_stage: Callable[[str], None] = lambda text: None,
) -> CurationReport:
    """Make all tables and ledgers in ``out``; files of the same names are replaced, others are left alone.

    Args:
        store: the record store.
        out: a folder; made if missing.
        accept_coverage: replace what is there even by much less.
        on_stage: told what begins.

    Raises:
        StoreCorrupted: a part is not what its manifest says.
        LawBroken: records would be lost, a table is not what the dictionary says, or much less is covered than by the
            tables that are there; ``out`` is as it was.
    """
    staging = out / STAGING
    there, kept = out / "snapshot.json", out / PREVIOUS
    if there.exists():
        shutil.copyfile(there, kept)
    # A run that was killed while it moved files left only the copy.
    before = json.loads(kept.read_bytes()) if kept.exists() else None
    report = stage(store, staging, before=before, accept_coverage=accept_coverage, on_stage=on_stage)
    move_files(report.files, staging, out)
    kept.unlink(missing_ok=True)
    shutil.rmtree(staging)
    return CurationReport(report.snapshot, out, report.files)


def stage(
    store: RecordStore,
    staging: Path,
    *,
    before: Mapping[str, Any] | None = None,
    accept_coverage: bool = False,
    on_stage: Callable[[str], None] = lambda text: None,
) -> CurationReport:
    """Make all tables and ledgers in ``staging``, which is emptied first; see :func:`curate`.

    Args:
        store: the record store.
        staging: a folder; made if missing.
        before: what ``snapshot.json`` of the version published last says.
        accept_coverage: publish even if much less is covered than before.
        on_stage: told what begins.
    """
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir(parents=True)
    done: dict[str, _Curated] = {}
    for resource in RESOURCES:
        on_stage(f"{resource}: flatten, validate, deduplicate, write")
        done[resource] = _curate_resource(store, resource, staging)
    on_stage("ledgers")
    ledgers = {
        "records": pa.concat_tables(curated.ledger for curated in done.values()),
        "quarantine": pa.concat_tables(curated.quarantine for curated in done.values()),
    }
    for name, ledger in ledgers.items():
        published = published_table(name)
        rows = write_table(iter([ledger]), published.arrow_schema, staging / published.path)
        _require(rows == len(ledger), f"{published.path} has {rows} rows of {len(ledger)}")
    on_stage("check what was made")
    coverage = measure(staging, ledgers)
    describe(staging)
    files = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    snapshot = _snapshot(done, coverage, staging, files)
    if before and not accept_coverage:
        compare(snapshot, before, staging, ledgers["quarantine"])
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


@dataclass(frozen=True)
class _Curated:
    """What became of one resource."""

    decision: Decision
    ledger: pa.Table
    quarantine: pa.Table
    withheld: Counter[str]
    readings: Counter[str]


def _curate_resource(store: RecordStore, resource: Resource, staging: Path) -> _Curated:
    parts = store.parts(resource)
    paths = make_typed(store, resource, parts)
    decision = _decide(resource, paths, parts, store.deletions(resource))
    # Counted in the sealed parts themselves, not in what was made of them.
    sealed = _distinct_ids(parts)
    _require(decision.received == sealed, f"{resource}: {sealed} records sealed, {decision.received} typed")
    published = published_table(resource)
    notes: dict[str, Counter[str]] = {WITHHELD: Counter(), READINGS: Counter()}
    columns = [*(received_name(resource, column) for column in published.columns), *notes]
    chunks = (
        _taken_notes(chunk, notes).rename_columns(published.names)
        for chunk in gather(paths, decision.unique, columns)
    )
    _write(published, chunks, staging, expected=len(decision.unique))
    repeats = None
    if resource in IMAGE_RESOURCES:
        repeats = compare_repeats(paths, decision, [column.name for column in table(resource).iqms])
        curated = published_table(f"{resource}_curated")
        rows = curated_rows(resource, curated, paths, decision, repeats)
        _write(curated, rows, staging, expected=len(decision.unique))
    ledger, quarantine = make_ledgers(resource, decision, repeats)
    return _Curated(decision, ledger, quarantine, notes[WITHHELD], notes[READINGS])


def _decide(
    resource: Resource, paths: Sequence[Path], parts: Sequence[Part], deletions: Mapping[str, int]
) -> Decision:
    checksum = table(resource).checksum.name
    names = [*(IMAGE_KEY_COLUMNS if resource in IMAGE_RESOURCES else KEY_COLUMNS), checksum]
    renamed = ["md5sum" if name == checksum else name for name in names]
    keys = [read_typed(path, names).rename_columns(renamed) for path in paths]
    return decide(resource, keys, [part.sequence for part in parts], deletions)


def _write(published: PublishedTable, chunks: Iterator[pa.Table], staging: Path, *, expected: int) -> None:
    parquet = staging / "parquet" / f"{published.name}.parquet"
    rows = write_table(chunks, published.arrow_schema, staging / published.path, parquet)
    _require(rows == expected, f"{published.path} has {rows} rows for {expected} representatives")


def _distinct_ids(parts: Sequence[Part]) -> int:
    chunks = [chunk for part in parts for chunk in part.keys().column("record_id").chunks]
    return pc.count_distinct(pa.chunked_array(chunks, pa.string())).as_py()


def _taken_notes(chunk: pa.Table, notes: dict[str, Counter[str]]) -> pa.Table:
    """Count what was noted of the rows of ``chunk``; returns it without those columns."""
    for name, counter in notes.items():
        for note in pc.value_counts(pc.list_flatten(chunk.column(name))).to_pylist():
            counter[note["values"]] += note["counts"]
    return chunk.drop_columns(list(notes))


def _snapshot(
    done: Mapping[str, _Curated], coverage: Coverage, staging: Path, files: list[str]
) -> dict[str, Any]:
    times = (pc.max(curated.ledger.column("created")).as_py() for curated in done.values())
    newest = max((time for time in times if time is not None), default=None)
    return {
        "format": SNAPSHOT_FORMAT,
        "newest_record": newest.isoformat().replace("+00:00", "Z") if newest else None,
        "tables": {resource: _counts(resource, curated.decision) for resource, curated in done.items()},
        "coverage": coverage,
        "withheld": {resource: dict(sorted(curated.withheld.items())) for resource, curated in done.items()},
        "readings": {resource: dict(sorted(curated.readings.items())) for resource, curated in done.items()},
        "versions": {
            "mriqc-snapshot": version("mriqc-snapshot"),
            "dictionary": dictionary_digest(),
            "bids": schema_version(),  # whose descriptions dictionary/ has
            "numpy": np.__version__,  # interquartile ranges are its own
            "pyarrow": pa.__version__,  # the bytes of Parquet files are its own
        },
        "files": {
            name: {"sha256": file_sha256(staging / name), "bytes": (staging / name).stat().st_size}
            for name in files
        },
    }


def _counts(resource: str, decision: Decision) -> dict[str, int]:
    """Records by fate; law 1: every record received is in exactly one of them."""
    found = decision.records["fate"].value_counts()
    counts = {str(fate): int(found.get(fate, 0)) for fate in Fate}
    accounted = sum(counts.values()) + decision.withdrawn
    _require(
        accounted == decision.received and found.sum() == len(decision.records),
        f"{resource}: {decision.received} records received, {accounted} accounted for",
    )
    return {
        "received": decision.received,
        "representatives": counts[Fate.REPRESENTATIVE],
        "duplicates": counts[Fate.DUPLICATE],
        "quarantined": counts[Fate.QUARANTINED],
        "excluded": counts[Fate.EXCLUDED],
        "withdrawn": decision.withdrawn,
    }


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise LawBroken(
            f"nothing is lost (law 1): {found}. Nothing was published; please report this as a defect"
        )
