"""Curate into a dataset and commit what changed, with the record of how it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from curation.code import copy_code
from curation.curate import stage
from curation.engine import Engine
from curation.errors import LawBroken
from curation.index.index import Index
from curation.pseudonyms import Pseudonyms
from curation.publish.dataset import MADE_ANEW, PUBLISHED, RELEASED, SnapshotDataset
from curation.publish.versions import of_night
from curation.release.snapshot import snapshot_of_night
from curation.report import Before, Changes, changes_since, write_report
from curation.store import RecordStore
from curation.store.files import to_json
from curation.withdrawals import Outcome, Request

# `datalad rerun` fills {store} from datalad.run.substitutions.store: where the private record store is stays out of
# the published history.
COMMAND = "mriqc-snapshot curate --store {store} --out ."
STORE_ID, STORE_RUN = "Record-Store", "Record-Store-Run"
"""Lines of a night's commit message: the store that it was made from, and the last run that brought it something."""


@dataclass(frozen=True)
class PublishReport:
    """What a publication did.

    Attributes:
        commit: the new commit; ``None`` when nothing changed.
        snapshot: what ``snapshot.json`` says now.
        before: what it said before; empty for a first night.
        withdrawals: what became of each request to withdraw records.
        changes: how the tables differ from those of the last release; ``None`` without one, or where its content is
            not here.
    """

    commit: str | None
    snapshot: dict[str, Any]
    before: dict[str, Any]
    withdrawals: list[Outcome] = field(default_factory=list)
    changes: Changes | None = None


def publish(
    store: RecordStore,
    dataset: SnapshotDataset,
    pseudonyms: Pseudonyms,
    index: Index | None = None,
    *,
    withdrawals: Sequence[Request] | None = None,
    accept_coverage: bool = False,
    engine: Engine | None = None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> PublishReport:
    """Make the tables and commit them if they differ from the last commit.

    The dataset is locked and prepared by the caller.

    Args:
        store: the record store.
        dataset: what the tables are committed to.
        pseudonyms: what names of raters and serial numbers become.
        index: of public images; without, nothing is said of who is public.
        withdrawals: requests to withdraw records; without (``None``) those in effect are as the store has them.
        accept_coverage: commit even if much less is covered than by the last commit.
        engine: where the work is done; threads of this process without.
        on_stage: told what begins.

    Raises:
        LawBroken: records would be lost, or a table did not pass the gate; nothing was committed.
        DatasetError: git or DataLad failed.
        UsageError: the dataset and the store, or the engine's partitions, are one inside the other.
    """
    store.require_outside(dataset.path)
    if engine is not None:
        engine.require_outside(dataset.path)
    before = dataset.snapshot()
    if index is not None:
        index.keep()  # before an update can remove what this night reads
    try:
        report = stage(
            store,
            dataset.staging,
            pseudonyms=pseudonyms,
            index=index,
            withdrawals=withdrawals,
            before=before,
            accept_coverage=accept_coverage,
            engine=engine,
            on_stage=on_stage,
        )
    except LawBroken as error:
        dataset.note_failure(str(error))
        raise
    dataset.note_failure(None)
    if of_night(report.snapshot) == of_night(before):
        shutil.rmtree(dataset.staging)
        return PublishReport(None, snapshot_of_night(report.snapshot, before), before, report.withdrawals)
    on_stage("report")
    snapshot = snapshot_of_night(report.snapshot, before)
    page, changes = _write_page(dataset, snapshot, before)
    on_stage("commit")
    dataset.configure("datalad.run.substitutions.store", str(store.path.absolute()))
    (dataset.staging / "snapshot.json").write_bytes(to_json(snapshot))
    code = [f"code/{name}" for name in copy_code(dataset.staging / "code")]
    gone = {*dataset.committed(*MADE_ANEW), *dataset.committed(*RELEASED)}.difference(code, page)
    message = commit_message(snapshot, before, dataset.dataset_id(), store)
    newest = report.newest_record
    date = datetime.fromisoformat(newest) if newest else None
    commit = dataset.commit([*code, *page, *report.files], message, date, sorted(gone))
    return PublishReport(commit, snapshot, before, report.withdrawals, changes)


def _write_page(
    dataset: SnapshotDataset, snapshot: dict[str, Any], before: dict[str, Any]
) -> tuple[list[str], Changes | None]:
    """Write the page of the night, which is not among the files that a rebuild compares: it speaks of versions before.

    Returns:
        Names of its files, and how the tables differ from those of the last release.
    """
    released = before.get("last_release", {}).get("version")
    release, night, changes = None, None, None
    if released in dataset.releases():
        told = dataset.snapshot(released)
        release = Before(released, told, partial(dataset.open, commit=released))
        changes = changes_since(released, dataset.path, dataset.staging)
    if before and "version" not in before:
        night = Before("the night before", before, dataset.open)
    names = write_report(
        dataset.staging, snapshot, release=release, night=night, changes=changes, notice=dataset.notice
    )
    return names, changes


def commit_message(
    snapshot: dict[str, Any], before: dict[str, Any], dataset_id: str, store: RecordStore
) -> str:
    """A commit message with counts, from what it was made, and the record that ``datalad run`` would have written."""
    lines = []
    for resource, counts in snapshot["tables"].items():
        old = before.get("tables", {}).get(resource, {})
        kinds = ", ".join(f"{value} {kind} ({value - old.get(kind, 0):+d})" for kind, value in counts.items())
        lines.append(f"{resource}: {kinds}")
    received = sum(counts["received"] for counts in snapshot["tables"].values())
    earlier = sum(counts["received"] for counts in before.get("tables", {}).values())
    record = {
        "chain": [],
        "cmd": COMMAND,
        "dsid": dataset_id,
        "exit": 0,
        "extra_inputs": [],
        "inputs": [],
        "outputs": list(PUBLISHED),
        "pwd": ".",
    }
    return (
        f"[DATALAD RUNCMD] {received} records received ({received - earlier:+d})\n\n"
        + "\n".join(lines)
        + f"\n\n{STORE_ID}: {store.id}\n{STORE_RUN}: {store.newest_change()}"
        + "\n\n=== Do not change lines below ===\n"
        + json.dumps(record, indent=1, sort_keys=True)
        + "\n^^^ Do not change lines above ^^^\n"
    )
