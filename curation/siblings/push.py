"""Pushing: content first, then all refs at once, so that what a sibling's refs show is there.

A sibling may be public: only what nights and releases make is pushed, no branch, tag or note of a person's own. Nothing
is forced. A push that was killed is finished by the next: content is asked for where it should be, and refs
change together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from curation.annexed import UNATTENDED, Annex
from curation.errors import SiblingFailed
from curation.index.keys import parse_key
from curation.publish import SnapshotDataset
from curation.publish.commands import git, run
from curation.publish.dataset import remove_git_locks
from curation.release import versions_among
from curation.siblings.siblings import Sibling, current_branch, find_sibling, local_path
from curation.siblings.storage import require_credentials
from curation.store.files import write_atomically

_LOCATIONS = "refs/heads/git-annex"
_NOTES = "refs/notes/commits"
"""Where deposits write DOIs to."""
_TAGS = "refs/tags/"


@dataclass(frozen=True)
class PushReport:
    """What a push did.

    Attributes:
        sibling: its name.
        status: ``ok``, or ``notneeded`` if the sibling had everything.
        keys: files whose content was copied.
        bytes: their size.
        refs: of :func:`push`, those that are new there.
    """

    sibling: str
    status: str
    keys: int
    bytes: int
    refs: list[str]


def push(
    dataset: SnapshotDataset,
    name: str,
    *,
    check: bool = False,
    on_step: Callable[[str], None] = lambda text: None,
) -> PushReport:
    """Bring a sibling up to date: content of the newest night and of releases, then refs.

    These are the branch that is checked out, git-annex's, annotated tags named as versions, and the notes on commits.
    The dataset is locked by the caller. Only what is committed is looked at.

    Args:
        dataset: it exists.
        name: of the sibling.
        check: ask the storage for the content of releases that were pushed before, too, and copy what it lost.
        on_step: told what begins.

    Raises:
        UsageError: there is no such sibling, or credentials are missing.
        SiblingFailed: the sibling has what this dataset has not, or lacks something after the push.
        DatasetError: git or git-annex failed.
    """
    sibling = find_sibling(dataset, name)
    require_credentials(sibling.type)
    begun = dataset.private / f"pushing-{name}"
    with dataset.exclusive() as descriptor:
        bare = local_path(sibling.repository)
        if begun.exists() and bare is not None:
            remove_git_locks(bare)
        write_atomically(begun, b"")
        theirs, ours = _their_refs(dataset, sibling), _our_refs(dataset)
        _require_fast_forward(dataset, sibling, ours, theirs)
        if _LOCATIONS in theirs:
            refspec = f"+{_LOCATIONS}:refs/remotes/{name}/git-annex"
            run(
                ["git", "fetch", "--quiet", "--no-tags", name, refspec],
                dataset.path, extra=UNATTENDED, keep=[descriptor],
            )  # fmt: skip
        on_step(f"{name}: content")
        known = {} if check else theirs
        annex = Annex(dataset.path, (descriptor,))
        copied = _push_content(annex, sibling, f"refs/heads/{current_branch(dataset)}", ours, known)
        ours = _our_refs(dataset)
        new = [ref for ref, commit in ours.items() if theirs.get(ref) != commit]
        if new:
            on_step(f"{name}: branch and releases")
            command = ["git", "push", "--quiet", "--atomic", name, *(f"{ref}:{ref}" for ref in new)]
            run(command, dataset.path, extra=UNATTENDED, keep=[descriptor])
            theirs = _their_refs(dataset, sibling)
            if missed := [ref for ref, commit in ours.items() if theirs.get(ref) != commit]:
                raise SiblingFailed(
                    f"{name}: {missed[0]} of {sibling.repository} is not as it was pushed; does somebody else push "
                    "there? Push again"
                )
        begun.unlink()
    size = sum((key.size or 0) for key in map(parse_key, copied) if key is not None)
    return PushReport(name, "ok" if new or copied else "notneeded", len(copied), size, new)


def _push_content(
    annex: Annex, sibling: Sibling, branch: str, ours: Mapping[str, str], known: Mapping[str, str]
) -> set[str]:
    """Copy content that the storage lacks, and see that it is there.

    Args:
        annex: of the dataset.
        sibling: whose storage it is.
        branch: whose newest commit's content has to be there.
        ours: refs of the dataset.
        known: refs of the sibling whose content was there when they were pushed.

    Returns:
        Keys that were copied.
    """
    tags = [ref for ref, tag in ours.items() if ref.startswith(_TAGS) and known.get(ref) != tag]
    needed = annex.keys([branch, *tags])
    here = annex.here(needed)
    stored = annex.stored(sibling.storage, needed)
    whole = stored & annex.logged(sibling.uuid, needed)
    if absent := sorted(set(needed) - whole - set(here)):
        raise SiblingFailed(
            f"{sibling.name}: the content of {len(absent)} file(s) of the newest night or of a release is neither "
            f"there nor here, the first is {needed[absent[0]]}; `datalad get` it, then push again"
        )
    lacking = set(here) - whole
    annex.copy(sibling.storage, lacking)
    if lost := lacking - annex.stored(sibling.storage, lacking):
        raise SiblingFailed(
            f"{sibling.name}: {len(lost)} file(s) were copied to its storage and are not there, the first is "
            f"{needed[min(lost)]}; look after {sibling.place}"
        )
    return lacking


def _our_refs(dataset: SnapshotDataset) -> dict[str, str]:
    """What is pushed, to what it points to: the current branch, git-annex's, releases, and notes."""
    releases = [f"{_TAGS}{version}" for version in versions_among(dataset.releases())]
    places = [f"refs/heads/{current_branch(dataset)}", _LOCATIONS, _NOTES, *releases]
    listed = git(dataset.path, "for-each-ref", "--format=%(objectname) %(refname)", *places)
    return dict(line.split(" ", 1)[::-1] for line in listed.splitlines())


def _their_refs(dataset: SnapshotDataset, sibling: Sibling) -> dict[str, str]:
    """The same of the sibling, asked itself."""
    listed = run(["git", "ls-remote", "--quiet", sibling.name], dataset.path, extra=UNATTENDED)
    pairs = (line.split("\t", 1)[::-1] for line in listed.splitlines())
    return {ref: name for ref, name in pairs if ref.startswith("refs/") and not ref.endswith("^{}")}


def _require_fast_forward(
    dataset: SnapshotDataset, sibling: Sibling, ours: Mapping[str, str], theirs: Mapping[str, str]
) -> None:
    """Stop where a push would take something away; the git-annex branch apart, which is merged."""
    where = f"{sibling.name}: {sibling.repository}"
    branch = f"refs/heads/{current_branch(dataset)}"
    if theirs and branch not in theirs:
        raise SiblingFailed(
            f"{where} has refs, but no branch {branch.removeprefix('refs/heads/')}: it is not empty, and no sibling of "
            "this dataset; choose another repository"
        )
    for ref, theirs_at in theirs.items():
        ours_at = ours.get(ref)
        if ours_at in (None, theirs_at) or ref == _LOCATIONS:
            continue
        if ref.startswith(_TAGS):
            raise SiblingFailed(
                f"{where} has another tag {ref.removeprefix(_TAGS)} than this dataset; releases do not change: "
                "find out which is right, and delete the other"
            )
        if theirs_at not in git(dataset.path, "rev-list", str(ours_at)).split():
            raise SiblingFailed(
                f"{where} has commits on {ref} that this dataset has not ({theirs_at[:10]}): somebody else pushed; "
                f"`git fetch {sibling.name}` and look, nothing is overwritten"
            )
