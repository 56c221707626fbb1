"""What a publication brings back into the dataset: its DOI, a note on the tag's commit, and where files can be fetched.

Every step looks first whether it was done, so that all of them can be taken again at any time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from curation.deposit import annex
from curation.deposit.files import Release, told_md5
from curation.deposit.journal import Publication
from curation.deposit.models import RemoteFile, UnexpectedAnswer
from curation.publish import SnapshotDataset
from curation.publish.commands import git
from curation.release import Version, describe_deposit
from curation.release.changes import TITLE, dois
from curation.release.describe import CHANGES, CHECKSUMS, CITATION, SNAPSHOT
from curation.release.texts import article_and_version, doi_of_all_versions
from curation.store.files import write_atomically

NOTES = "refs/notes/commits"
_RESOLVER = "https://doi.org/"


@dataclass(frozen=True)
class BroughtBack:
    """What changed in the dataset.

    Attributes:
        commit: with the DOI; ``None`` if it was there.
        urls: addresses that git-annex did not know.
        left: files that do not speak of this version (any more) and were left alone.
    """

    commit: str | None
    urls: int
    left: tuple[str, ...]


def bring_back(
    dataset: SnapshotDataset, release: Release, published: Publication, files: Sequence[RemoteFile]
) -> BroughtBack:
    """Write down in the dataset that a version is public; the dataset is locked by the caller.

    Args:
        dataset: that has the tag.
        release: what was published.
        published: its DOI.
        files: of the public version.

    Raises:
        DatasetError: the dataset has changes that nobody committed, or git failed; run it again.
        UsageError: the branch knows nothing of this version, or has another DOI of it.
    """
    dataset.prepare()
    addresses = _addresses(release, files)
    with dataset.exclusive() as descriptor:
        urls = annex.register_urls(dataset.path, addresses, keep=[descriptor])
        _note(release, published, descriptor)
    commit, left = _commit_doi(dataset, release, published)
    return BroughtBack(commit, urls, left)


def publications(dataset: SnapshotDataset) -> dict[Version, Publication]:
    """Versions that the dataset's last commit says to be public; for clones without the journals.

    Raises:
        UsageError: ``CHANGES.md`` is not what releases write.
    """
    told = dois((dataset.published(CHANGES) or TITLE.encode()).decode())
    numbers = {version: article_and_version(doi) for version, doi in told.items()}
    return {version: Publication(*of, told[version]) for version, of in numbers.items() if of is not None}


def _addresses(release: Release, files: Sequence[RemoteFile]) -> list[tuple[str, str]]:
    """Keys and public addresses of the annexed files."""
    by_name = {file.name: file for file in files}
    found = []
    for file in release.files:
        if file.key is None:
            continue
        remote = by_name.get(file.name)
        told = told_md5(file)
        if remote is None or (told is not None and (remote.computed_md5 or "").lower() != told):
            raise UnexpectedAnswer(f"{file.name} of the public version is not the released {file.path}")
        url = remote.download_url or ""
        parts = urlsplit(url)
        # An address with a query may have somebody's token in it.
        if parts.scheme not in ("http", "https") or parts.query or re.search(r"\s", url):
            raise UnexpectedAnswer(
                f"{file.name}: its public address at {parts.hostname or 'nowhere'} is none that can be published"
            )
        found.append((str(file.key), url))
    return found


def _note(release: Release, published: Publication, descriptor: int) -> None:
    """Note the DOI on the tag's commit, once, below what others noted; git keeps the descriptor."""
    line = f"FigShare: {_RESOLVER}{published.doi} (all versions: {_RESOLVER}{doi_of_all_versions(published.doi)})"
    show = ("show", "-s", "--format=%N", f"--notes={NOTES}", release.commit)
    if line in git(release.folder, *show).splitlines():
        return
    git(release.folder, "notes", f"--ref={NOTES}", "append", "-m", line, release.commit, keep=[descriptor])


def _commit_doi(
    dataset: SnapshotDataset, release: Release, published: Publication
) -> tuple[str | None, tuple[str, ...]]:
    """One commit with the DOI in the files that speak of this version."""
    found = {name: dataset.published(name) for name in (CHANGES, CITATION, SNAPSHOT, CHECKSUMS)}
    texts = {name: text for name, text in found.items() if text is not None}
    changed = describe_deposit(texts, release.version, published.doi)
    # They speak of a newer release.
    left = [n for n in (CITATION, SNAPSHOT) if published.doi.encode() not in changed.get(n, texts[n])]
    if not changed:
        return None, tuple(left)
    message = f"{release.version} is {_RESOLVER}{published.doi}\n\nPublished at FigShare; see the note on its commit."
    for name, text in changed.items():
        write_atomically(dataset.staging / name, text)
    return dataset.commit([*changed], message, None), tuple(left)
