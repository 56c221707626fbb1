"""Curate into a dataset and commit what changed, with the record of how it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from curation.curate import stage
from curation.engine import Engine
from curation.index.index import Index
from curation.pseudonyms import Pseudonyms
from curation.publish.dataset import PUBLISHED, SnapshotDataset
from curation.store import RecordStore
from curation.withdrawals import Outcome, Request

# `datalad rerun` fills {store} from datalad.run.substitutions.store: where the private record store is stays out of
# the published history.
COMMAND = "mriqc-snapshot curate --store {store} --out ."


@dataclass(frozen=True)
class PublishReport:
    """What a publication did.

    Attributes:
        commit: the new commit; ``None`` when nothing changed.
        snapshot: what ``snapshot.json`` says now.
        before: what it said before; empty for a first night.
        withdrawals: what became of each request to withdraw records.
    """

    commit: str | None
    snapshot: dict[str, Any]
    before: dict[str, Any]
    withdrawals: list[Outcome] = field(default_factory=list)


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
    """
    if engine is not None:
        engine.require_outside(dataset.path)
    published = dataset.published("snapshot.json")
    before = json.loads(published) if published else {}
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
    text = (dataset.staging / "snapshot.json").read_bytes()
    if text == published:
        shutil.rmtree(dataset.staging)
        return PublishReport(None, report.snapshot, report.snapshot, report.withdrawals)
    on_stage("commit")
    dataset.configure("datalad.run.substitutions.store", str(store.path.absolute()))
    message = commit_message(report.snapshot, before, dataset.dataset_id())
    newest = report.newest_record
    commit = dataset.commit(report.files, message, datetime.fromisoformat(newest) if newest else None)
    return PublishReport(commit, report.snapshot, before, report.withdrawals)


def commit_message(snapshot: dict[str, Any], before: dict[str, Any], dataset_id: str) -> str:
    """A commit message with counts, and the record that ``datalad run`` would have written."""
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
        + "\n\n=== Do not change lines below ===\n"
        + json.dumps(record, indent=1, sort_keys=True)
        + "\n^^^ Do not change lines above ^^^\n"
    )
