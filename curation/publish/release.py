"""Turns the last night into a release: what it says of itself, one commit, an annotated tag."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from curation.diff import compare, open_version, summary_lines
from curation.errors import DatasetError, LawBroken, UsageError
from curation.publish.commands import git
from curation.publish.dataset import SnapshotDataset
from curation.release import (
    ReleaseFacts,
    Version,
    check_version,
    describe_release,
    next_version,
    versions_among,
)
from curation.release.changes import entry_of
from curation.release.citation import read_citation, required_for_deposit
from curation.store.files import write_atomically


@dataclass(frozen=True)
class ReleasePlan:
    """What a release would do.

    Attributes:
        version: of it.
        day: of it.
        night: the commit that it stands on.
        last: the release before it; ``None`` for a first one.
        files: what it writes, by path.
        before: what these files hold now; those that are not there are missing.
        unexplained: changes since the last release for which the ledgers have no cause.
        lacking: what a deposit at FigShare would refuse of ``CITATION.cff``.
    """

    version: Version
    day: date
    night: str
    last: str | None
    files: Mapping[str, bytes]
    before: Mapping[str, bytes]
    unexplained: int
    lacking: list[str]

    @property
    def entry(self) -> str:
        """What ``CHANGES.md`` says of it, in Markdown."""
        return entry_of(self.files["CHANGES.md"].decode(), self.version)


def released_already(dataset: SnapshotDataset, version: str | None) -> str | None:
    """The release that the dataset is at; ``None`` if there is something new to release.

    Args:
        dataset: prepared by the caller.
        version: that is asked for; any without.

    Raises:
        UsageError: no night was committed yet, or another version is asked for of what is released.
    """
    snapshot = dataset.snapshot()
    if not snapshot:
        raise UsageError(f"{dataset.path}: no night was committed yet; `mriqc-snapshot nightly` commits one")
    at: str | None = snapshot.get("version")
    if at is not None and version not in (None, at):
        raise UsageError(f"{version}: nothing is new since {at}, so there is nothing to release")
    return at


def plan_release(
    dataset: SnapshotDataset,
    version: str | None,
    today: date,
    *,
    words: str | None = None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> ReleasePlan:
    """Look what a release of the last night would be; nothing is written.

    Args:
        dataset: locked and prepared by the caller.
        version: its name; that of today without.
        today: of the clock, UTC.
        words: of the maintainer, in Markdown, to stand on top of what is counted.
        on_stage: told what begins.

    Raises:
        UsageError: the version exists, is no version, or the clock runs backwards.
        LawBroken: the last night broke a law or a gate, or the committed one is not what it says.
        DatasetError: the content of the night or of the last release is not here.
    """
    night = dataset.find("HEAD")
    if dataset.failure is not None:
        raise LawBroken(
            f"the last night was not published: {dataset.failure}; release after a night that passed its gates"
        )
    if int(git(dataset.path, "log", "-1", "--format=%ct")) > time.time():
        raise UsageError(f"{night[:10]}: the night to release was committed later than now; set the clock")
    existing = versions_among(dataset.releases())
    if version is None:
        chosen = next_version(today, existing)
    else:
        chosen = Version.parse(version)
        check_version(chosen, today, existing)
    if git(dataset.path, "tag", "--list", str(chosen)):
        raise UsageError(f"{chosen}: there is a tag of this name, which is no release; remove or rename it")
    snapshot = dataset.snapshot()
    on_stage("check the night's files")
    check_night(dataset, snapshot)
    last = str(existing[-1]) if existing else None
    on_stage(f"compare with {last}" if last else "a first release")
    lines, unexplained = _what_changed(dataset, last, snapshot)
    facts = ReleaseFacts(chosen, today, lines, words, dataset.committed())
    on_stage("describe the release")
    files = describe_release(dataset.path, facts)
    if mine := dataset.untracked([*files]):
        raise DatasetError(
            f"{dataset.path / mine[0]}: was never committed, and a release would write it; commit it"
        )
    before = {name: dataset.published(name) for name in files}
    there = {name: content for name, content in before.items() if content is not None}
    lacking = required_for_deposit(read_citation(files["CITATION.cff"].decode()))
    return ReleasePlan(chosen, today, night, last, files, there, unexplained, lacking)


def make_release(dataset: SnapshotDataset, plan: ReleasePlan) -> str:
    """Commit what was planned, and tag it.

    Args:
        dataset: locked and prepared by the caller, at the commit that was planned for.
        plan: what to write.

    Returns:
        The commit.

    Raises:
        DatasetError: a command failed. Whatever was left undone the next run does or takes back.
    """
    if dataset.find("HEAD") != plan.night:
        raise DatasetError(
            f"{dataset.path}: is at another commit than the release was planned for; run again"
        )
    for name, content in plan.files.items():
        write_atomically(dataset.staging / name, content)
    names = sorted(plan.files, key=lambda name: (name == "snapshot.json", name))
    message = f"Release {plan.version}\n\n{plan.entry.strip()}\n"
    return dataset.commit_release(str(plan.version), names, message)


def check_night(dataset: SnapshotDataset, snapshot: Mapping[str, Any]) -> None:
    """Check that a committed night is what it says: every record has a fate, every file its digest.

    Raises:
        LawBroken: it is not.
        DatasetError: the content of a file is not here.
    """
    for name, counts in snapshot["tables"].items():
        fates = sum(count for fate, count in counts.items() if fate != "received")
        if fates != counts["received"]:
            raise LawBroken(
                f"snapshot.json, {name}: {counts['received']} records received, {fates} accounted for"
            )
    for name, facts in snapshot["files"].items():
        opened = dataset.open(name)
        if opened is None:
            raise DatasetError(
                f"{dataset.path / name}: its content is not here; `datalad get {name}` fetches it"
            )
        with opened as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != facts["sha256"]:
            raise LawBroken(
                f"{dataset.path / name}: SHA-256 {found}, snapshot.json says {facts['sha256']}; `git annex fsck` it, "
                "and run a night again"
            )


def _what_changed(
    dataset: SnapshotDataset, last: str | None, snapshot: Mapping[str, Any]
) -> tuple[list[str], int]:
    """Lines for ``CHANGES.md``, and how many changes nothing explains."""
    if last is None:
        counts = snapshot["tables"].items()
        first = [
            f"{name}: {found['received']:,} records, {found['representatives']:,} rows"
            for name, found in counts
        ]
        return ["First release.", *first], 0
    difference = compare(open_version(last, dataset.path), open_version("HEAD", dataset.path))
    return [line.removeprefix("- ") for line in summary_lines(difference)], difference.unexplained
