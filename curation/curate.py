"""From the record store to a folder with the published layout: stages 2 to 6 in a row, without a network.

Everything is written to a staging folder beside the files it will replace, checked, and moved into place with
``snapshot.json`` last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.deduplicate import Decision, Fate
from curation.describe import describe
from curation.gate import Coverage, compare, measure
from curation.index.index import Index
from curation.pseudonyms import Pseudonyms
from curation.repair import rules_digest, summarize
from curation.resource import Curated, curate_resource, require
from curation.store import RecordStore
from curation.store.files import sync_folder, to_json
from curation.store.parts import file_sha256
from curation.tables import write_table
from schemas import RESOURCES, dictionary_digest
from schemas.bids import schema_version
from schemas.published import IMAGE_RESOURCES, LEDGERS, published_table

STAGING = ".mriqc-snapshot-staging"
PREVIOUS = ".mriqc-snapshot-previous.json"
"""What ``snapshot.json`` said before the run that is under way."""
SNAPSHOT_FORMAT = 3


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
    pseudonyms: Pseudonyms | None = None,
    index: Index | None = None,
    accept_coverage: bool = False,
    on_stage: Callable[[str], None] = lambda text: None,
) -> CurationReport:
    """Make all tables and ledgers in ``out``; files of the same names are replaced, others are left alone.

    Args:
        store: the record store.
        out: a folder; made if missing.
        pseudonyms: what names of raters and serial numbers become; without, their columns are empty.
        index: of public images; without, nothing is said of who is public.
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
    report = stage(
        store,
        staging,
        pseudonyms=pseudonyms,
        index=index,
        before=before,
        accept_coverage=accept_coverage,
        on_stage=on_stage,
    )
    move_files(report.files, staging, out)
    kept.unlink(missing_ok=True)
    shutil.rmtree(staging)
    return CurationReport(report.snapshot, out, report.files)


def stage(
    store: RecordStore,
    staging: Path,
    *,
    pseudonyms: Pseudonyms | None = None,
    index: Index | None = None,
    before: Mapping[str, Any] | None = None,
    accept_coverage: bool = False,
    on_stage: Callable[[str], None] = lambda text: None,
) -> CurationReport:
    """Make all tables and ledgers in ``staging``, which is emptied first; see :func:`curate`.

    Args:
        store: the record store.
        staging: a folder; made if missing.
        pseudonyms: what names of raters and serial numbers become; without, their columns are empty.
        index: of public images; without, nothing is said of who is public.
        before: what ``snapshot.json`` of the version published last says.
        accept_coverage: publish even if much less is covered than before.
        on_stage: told what begins.
    """
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir(parents=True)
    done: dict[str, Curated] = {}
    for resource in RESOURCES:
        on_stage(f"{resource}: flatten, validate, deduplicate, repair, write")
        images = {name: curated.checksums for name, curated in done.items()}
        done[resource] = curate_resource(store, resource, staging, pseudonyms, index, images)
    on_stage("ledgers")
    ledgers = {name: pa.concat_tables(curated.ledgers[name] for curated in done.values()) for name in LEDGERS}
    for name, ledger in ledgers.items():
        published = published_table(name)
        rows = write_table(iter([ledger]), published.arrow_schema, staging / published.path)
        require(rows == len(ledger), f"{published.path} has {rows} rows of {len(ledger)}")
    on_stage("check what was made")
    coverage = measure(staging, ledgers)
    describe(staging)
    files = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    snapshot = _snapshot(done, coverage, pseudonyms, index, staging, files)
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


def _snapshot(
    done: Mapping[str, Curated],
    coverage: Coverage,
    pseudonyms: Pseudonyms | None,
    index: Index | None,
    staging: Path,
    files: list[str],
) -> dict[str, Any]:
    times = (pc.max(curated.ledgers["records"].column("created")).as_py() for curated in done.values())
    newest = max((time for time in times if time is not None), default=None)
    return {
        "format": SNAPSHOT_FORMAT,
        "newest_record": newest.isoformat().replace("+00:00", "Z") if newest else None,
        "tables": {resource: _counts(resource, curated.decision) for resource, curated in done.items()},
        "coverage": coverage,
        "readings": {resource: dict(sorted(curated.readings.items())) for resource, curated in done.items()},
        **summarize({name: done[name].tallies for name in IMAGE_RESOURCES}),
        "public": {name: done[name].public for name in IMAGE_RESOURCES} if index is not None else {},
        "agreement": done["rating"].agreement,
        "versions": {
            "mriqc-snapshot": version("mriqc-snapshot"),
            "dictionary": dictionary_digest(),
            "rules": rules_digest(),
            "index": index.digest if index is not None else None,
            # Tells two keys apart, and says nothing of them.
            "pseudonyms": pseudonyms.fingerprint if pseudonyms else None,
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
    require(
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
