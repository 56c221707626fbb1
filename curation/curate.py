"""From the record store to a folder with the published layout: stages 2 to 6 in a row, without a network.

Everything is written to a staging folder beside the files it will replace, checked, and moved into place with
``snapshot.json`` last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from dask.delayed import delayed

from curation.code import source_digest
from curation.describe import describe
from curation.engine import Engine
from curation.gate import Coverage, compare, measure
from curation.index.index import Index
from curation.ledgers import Ledgers
from curation.pseudonyms import Pseudonyms
from curation.repair import rules_digest, summarize
from curation.report import write_report
from curation.resource import Curated, Making, curate_resource
from curation.space import require_space, tables_bytes, told_space
from curation.store import RecordStore
from curation.store.files import sync_folder, to_json
from curation.store.parts import file_sha256
from curation.typed import make_typed
from curation.withdrawals import Outcome, Request, Settled, count_requests, outcomes, settle, tell
from schemas import RESOURCES, dictionary_digest
from schemas.bids import schema_version
from schemas.published import IMAGE_RESOURCES, SNAPSHOT_FORMAT

STAGING = ".mriqc-snapshot-staging"
PREVIOUS = ".mriqc-snapshot-previous.json"
"""What ``snapshot.json`` said before the run that is under way."""


@dataclass
class CurationReport:
    """What a curation made.

    Attributes:
        snapshot: what ``snapshot.json`` says.
        folder: where the files are.
        files: their names relative to ``folder``, ``snapshot.json`` last.
        withdrawals: what became of each request to withdraw records.
    """

    snapshot: dict[str, Any]
    folder: Path
    files: list[str] = field(default_factory=list)
    withdrawals: list[Outcome] = field(default_factory=list)

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
    withdrawals: Sequence[Request] | None = None,
    accept_coverage: bool = False,
    engine: Engine | None = None,
    page: bool = False,
    on_stage: Callable[[str], None] = lambda text: None,
) -> CurationReport:
    """Make all tables and ledgers in ``out``; files of the same names are replaced, others are left alone.

    Args:
        store: the record store.
        out: a folder; made if missing.
        pseudonyms: what names of raters and serial numbers become; without, their columns are empty.
        index: of public images; without, nothing is said of who is public.
        withdrawals: requests to withdraw records; without (``None``) those in effect are as the store has them.
        accept_coverage: replace what is there even by much less.
        engine: where the work is done; threads of this process without.
        page: whether to make ``report.html`` and ``figures/``, too.
        on_stage: told what begins.

    Raises:
        StoreCorrupted: a part is not what its manifest says.
        LawBroken: records would be lost, a table is not what the dictionary says, or much less is covered than by the
            tables that are there; ``out`` is as it was.
        DiskFull: there is no room; ``out`` is as it was.
        UsageError: ``out`` and the store are one inside the other, the engine's partitions are inside ``out``, or its
            workers have other code.
    """
    store.require_outside(out)
    if engine is not None:
        engine.require_outside(out)
    staging = out / STAGING
    there, kept = out / "snapshot.json", out / PREVIOUS
    if there.exists():
        shutil.copyfile(there, kept)
    # A run that was killed while it moved files left only the copy.
    before = json.loads(kept.read_bytes()) if kept.exists() else None
    try:
        report = stage(
            store,
            staging,
            pseudonyms=pseudonyms,
            index=index,
            withdrawals=withdrawals,
            before=before,
            accept_coverage=accept_coverage,
            engine=engine,
            on_stage=on_stage,
        )
        if page:
            on_stage("report")
            report.files[:0] = write_report(staging, report.snapshot)
    except BaseException:
        if there.exists():
            kept.unlink(missing_ok=True)
        raise
    move_files(report.files, staging, out)
    kept.unlink(missing_ok=True)
    shutil.rmtree(staging)
    return CurationReport(report.snapshot, out, report.files, report.withdrawals)


def stage(
    store: RecordStore,
    staging: Path,
    *,
    pseudonyms: Pseudonyms | None = None,
    index: Index | None = None,
    withdrawals: Sequence[Request] | None = None,
    before: Mapping[str, Any] | None = None,
    accept_coverage: bool = False,
    engine: Engine | None = None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> CurationReport:
    """Make all tables and ledgers in ``staging``, which is emptied first; see :func:`curate`.

    Args:
        store: the record store.
        staging: a folder; made if missing.
        pseudonyms: what names of raters and serial numbers become; without, their columns are empty.
        index: of public images; without, nothing is said of who is public.
        withdrawals: requests to withdraw records; without (``None``) those in effect are as the store has them.
        before: what ``snapshot.json`` of the version published last says.
        accept_coverage: publish even if much less is covered than before.
        engine: where the work is done; threads of this process without.
        on_stage: told what begins.

    Raises:
        StoreCorrupted: a part is not what its manifest says.
        LawBroken: records would be lost, a table is not what the dictionary says, or much less is covered than before.
        DiskFull: there is no room; found out before anything is written, where it can be.
    """
    remove_folder(staging)
    staging.mkdir(parents=True)
    needed = tables_bytes([part for resource in RESOURCES for part in store.parts(resource)], before)
    try:
        require_space(staging, needed, "all tables")
        with _engine(engine) as working, told_space(staging, needed, "all tables"):
            return _stage(
                store, staging, pseudonyms, index, withdrawals, before, accept_coverage, working, on_stage
            )
    except BaseException:
        # Tables that nobody will publish, of gigabytes.
        remove_folder(staging)
        raise


def _stage(
    store: RecordStore,
    staging: Path,
    pseudonyms: Pseudonyms | None,
    index: Index | None,
    withdrawals: Sequence[Request] | None,
    before: Mapping[str, Any] | None,
    accept_coverage: bool,
    engine: Engine,
    on_stage: Callable[[str], None],
) -> CurationReport:
    engine.require_same_code()
    typed = {}
    for resource in RESOURCES:
        on_stage(f"{resource}: flatten, validate")
        typed[resource] = make_typed(store, resource, store.parts(resource), pseudonyms, engine=engine)
    engine.end_processes()
    settled = settle(store, typed, withdrawals, index)
    done: dict[str, Curated] = {}
    with Ledgers(staging) as ledgers:
        for resource in RESOURCES:
            on_stage(f"{resource}: deduplicate, match, repair, write")
            making = Making(resource, typed[resource], staging, ledgers, engine, pseudonyms, index, settled)
            images = {name: curated.checksums for name, curated in done.items()}
            done[resource] = curate_resource(making, store, images)
    became = outcomes(
        settled,
        {name: curated.left for name, curated in done.items()},
        {name: curated.stay for name, curated in done.items()},
    )
    tell(settled, became)
    on_stage("check what was made")
    coverage = measure(staging, engine) | ledgers.coverage
    digests = _digests(staging, engine)
    describe(staging, digests)
    names = sorted(_files(staging))
    snapshot = _snapshot(done, settled, coverage, pseudonyms, index, staging, names, digests)
    if before and not accept_coverage:
        compare(snapshot, before, staging)
    (staging / "snapshot.json").write_bytes(to_json(snapshot))
    return CurationReport(snapshot, staging, [*names, "snapshot.json"], became)


def remove_folder(folder: Path) -> None:
    """Remove a folder if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _engine(given: Engine | None) -> Iterator[Engine]:
    """The engine that was given, or one for this run."""
    if given is not None:
        yield given
        return
    with Engine(processes=False) as engine:
        yield engine


def _files(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def _digests(folder: Path, engine: Engine) -> dict[str, str]:
    """SHA-256 (hex) of all files that are there, large ones first."""
    names = sorted(_files(folder), key=lambda name: (-(folder / name).stat().st_size, name))
    found = engine.run_here(delayed(file_sha256)(folder / name) for name in names)
    return dict(zip(names, found, strict=True))


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
    settled: Settled,
    coverage: Coverage,
    pseudonyms: Pseudonyms | None,
    index: Index | None,
    staging: Path,
    names: list[str],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    newest = max((curated.newest for curated in done.values() if curated.newest is not None), default=None)
    return {
        "format": SNAPSHOT_FORMAT,
        "newest_record": _moment(newest) if newest is not None else None,
        "tables": {resource: curated.counts for resource, curated in done.items()},
        "withdrawn": {resource: _withdrawn(curated) for resource, curated in done.items()},
        "withdrawal_requests": count_requests(settled),
        "coverage": coverage,
        "readings": {resource: dict(sorted(curated.readings.items())) for resource, curated in done.items()},
        **summarize({name: done[name].tallies for name in IMAGE_RESOURCES}),
        "public": {name: done[name].public for name in IMAGE_RESOURCES} if index is not None else {},
        "agreement": done["rating"].agreement,
        "versions": {
            "mriqc-snapshot": version("mriqc-snapshot"),
            "code": source_digest(),
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
            name: {
                "sha256": digests.get(name) or file_sha256(staging / name),
                "bytes": (staging / name).stat().st_size,
            }
            for name in names
        },
    }


def _withdrawn(curated: Curated) -> dict[str, int]:
    """The withdrawn records of a resource; one that is both counts as deleted upstream."""
    on_request = sum(curated.left.values())
    return {"deleted_upstream": curated.counts["withdrawn"] - on_request, "on_request": on_request}


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
