"""Retention: content of superseded nights leaves the annex, so that nights between releases do not fill the disk.

What goes can be made again from the record store (``rebuild``). It is dropped by git-annex, whose location log then says
so; a run that was killed dropped some of it, and the next drops the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from curation.annexed import Annex
from curation.errors import DatasetError
from curation.index.keys import parse_key
from curation.publish import SnapshotDataset
from curation.publish.commands import git

TABLES = ("audit", "csv", "parquet")
"""Folders with annexed files of nights."""


@dataclass(frozen=True)
class RetentionReport:
    """What was dropped, or would be.

    Attributes:
        nights: nights whose content stays, the newest first.
        keys: how many keys' content went.
        bytes: their size.
        kept: how many keys' content stays for nights, releases, and branches.
    """

    nights: list[str]
    keys: int
    bytes: int
    kept: int


def retain(dataset: SnapshotDataset, keep_nights: int, *, dry_run: bool = False) -> RetentionReport:
    """Drop the content of tables and ledgers of superseded nights.

    Kept is what the last commit, the last nights, any tag, any other branch, a worktree, or the index has. Only files
    that the newest ``snapshot.json`` names are looked at in the branch's history: whatever else is annexed stays.

    The dataset is locked by the caller.

    Args:
        dataset: it exists.
        keep_nights: commits of the branch that changed a table or ledger whose content stays, 1 or more.
        dry_run: drop nothing.

    Raises:
        DatasetError: git or git-annex failed.
    """
    path = dataset.path
    nights = git(
        path, "log", "--first-parent", f"--max-count={keep_nights}", "--format=%H", "HEAD", "--", *TABLES
    ).split()
    with dataset.exclusive() as descriptor:
        annex = Annex(path, (descriptor,))
        kept = set(annex.keys(["HEAD", *nights, *_tips(dataset)])) | annex.keys_of_index()
        files = json.loads(dataset.published("snapshot.json") or b"{}").get("files", {})
        superseded = {key for key, name in annex.keys_of_history("HEAD", *TABLES).items() if name in files}
        here = annex.here(superseded - kept)
        size = sum((key.size or 0) for key in map(parse_key, here) if key is not None)
        if not dry_run:
            annex.drop(here)
            if left := annex.here(here):
                raise DatasetError(
                    f"{path}: {len(left)} keys were dropped and are still here, one is {min(left)}"
                )
    return RetentionReport(nights, len(here), size, len(kept))


def _tips(dataset: SnapshotDataset) -> list[str]:
    """Tags, other branches of this clone, and what worktrees have checked out."""
    commit = "%(objecttype) %(objectname)"
    form = f"%(if)%(*objectname)%(then){commit.replace('(', '(*')}%(else){commit}%(end) %(refname)"
    listed = git(dataset.path, "for-each-ref", f"--format={form}", "refs/heads", "refs/tags").splitlines()
    refs = [line.split(" ", 2) for line in listed]
    tips = [name for kind, name, ref in refs if kind == "commit" and ref != "refs/heads/git-annex"]
    worktrees = git(dataset.path, "worktree", "list", "--porcelain").splitlines()
    heads = {line.split()[1] for line in worktrees if line.startswith("HEAD ")}
    return [*tips, *(head for head in heads if set(head) != {"0"})]
