"""Retention: content of superseded nights leaves the annex, so that nights between releases do not fill the disk.

What goes can be made again from the record store (``rebuild``); what cannot, stays. It is dropped by git-annex, whose
location log says so then; a run that was killed dropped some of it, and the next drops the rest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from curation.annexed import Annex
from curation.errors import DatasetError
from curation.index.keys import parse_key
from curation.publish import SnapshotDataset
from curation.publish.commands import git
from curation.rebuild import with_origin
from curation.siblings import find_sibling
from curation.siblings.storage import require_credentials

TABLES = ("audit", "csv", "parquet")
"""Folders with annexed files of nights."""


@dataclass(frozen=True)
class RetentionReport:
    """What was dropped, or would be.

    Attributes:
        nights: nights whose content stays, the newest first.
        keys: how many keys' content went from here.
        bytes: their size.
        kept: how many keys' content stays for nights, releases, and branches.
        not_rebuildable: how many superseded nights keep their content because they cannot be made again.
        siblings: how many keys' content went from the storage of each sibling.
    """

    nights: list[str]
    keys: int
    bytes: int
    kept: int
    not_rebuildable: int = 0
    siblings: dict[str, int] = field(default_factory=dict)


def retain(
    dataset: SnapshotDataset, keep_nights: int, siblings: Sequence[str] = (), *, dry_run: bool = False
) -> RetentionReport:
    """Drop the content of tables and ledgers of superseded nights.

    Kept is what the last commit, the last nights, any tag, any other branch, a sibling's branch, a worktree, or the
    index has, and what nights have that do not tell what they were made from. Only files that the newest
    ``snapshot.json`` names are looked at in the branch's history: whatever else is annexed stays.

    The dataset is locked by the caller.

    Args:
        dataset: it exists.
        keep_nights: commits of the branch that changed a table or ledger whose content stays, 1 or more.
        siblings: whose storages lose it, too; their git-annex branch says so after the next push.
        dry_run: drop nothing.

    Raises:
        UsageError: there is no such sibling, or credentials are missing.
        DatasetError: git or git-annex failed.
    """
    path = dataset.path
    found = [find_sibling(dataset, name) for name in siblings]
    for sibling in found:
        require_credentials(sibling.type)
    nights = git(
        path, "log", "--first-parent", f"--max-count={keep_nights}", "--format=%H", "HEAD", "--", *TABLES
    ).split()
    with dataset.exclusive() as descriptor:
        annex = Annex(path, (descriptor,))
        files = json.loads(dataset.published("snapshot.json") or b"{}").get("files", {})
        staying = {git(path, "rev-parse", "HEAD").strip(), *nights, *_tips(dataset)}
        kept = set(annex.keys(staying)) | annex.keys_of_index()
        lasting = _not_rebuildable(dataset, files)
        kept |= set(annex.keys(lasting))
        history = annex.keys_of_history("HEAD", *TABLES)
        superseded = {key for key, name in history.items() if name in files} - kept
        here = annex.here(superseded)
        stored = {one.name: annex.logged(one.uuid, superseded) for one in found}
        if not dry_run:
            annex.drop(here)
            if left := annex.here(here):
                raise DatasetError(
                    f"{path}: {len(left)} keys were dropped and are still here, one is {min(left)}"
                )
            for one in found:
                annex.drop(stored[one.name], one.storage)
    gone = {name: len(keys) for name, keys in stored.items()}
    return RetentionReport(nights, len(here), _size(here), len(kept), len(set(lasting) - staying), gone)


def _not_rebuildable(dataset: SnapshotDataset, files: Collection[str]) -> list[str]:
    """Commits that changed tables or ledgers and do not tell what these were made from."""
    names = [name for name in files if name.split("/")[0] in TABLES]
    if not names:
        return []
    changed = git(dataset.path, "log", "--full-history", "--format=%H", "HEAD", "--", *names).split()
    told = with_origin(changed, dataset)
    return [commit for commit in changed if commit not in told]


def _size(keys: Collection[str]) -> int:
    """Bytes of the content of keys, as these tell."""
    return sum((key.size or 0) for key in map(parse_key, keys) if key is not None)


def _tips(dataset: SnapshotDataset) -> list[str]:
    """Tags, branches of this clone and of siblings as they were seen last, and what worktrees have checked out."""
    commit = "%(objecttype) %(objectname)"
    form = f"%(if)%(*objectname)%(then){commit.replace('(', '(*')}%(else){commit}%(end) %(refname)"
    places = ("refs/heads", "refs/tags", "refs/remotes")
    refs = [
        line.split(" ", 2)
        for line in git(dataset.path, "for-each-ref", f"--format={form}", *places).splitlines()
    ]
    tips = {name for kind, name, ref in refs if kind == "commit" and not ref.endswith("/git-annex")}
    worktrees = git(dataset.path, "worktree", "list", "--porcelain").splitlines()
    heads = {line.split()[1] for line in worktrees if line.startswith("HEAD ")}
    return sorted(tips | {head for head in heads if set(head) != {"0"}})
