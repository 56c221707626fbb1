"""What a git or DataLad repository tells of images: every commit of every ref, read from git's objects.

Nothing is checked out and git-annex is not called. The checksum of an annexed image is in its key, which is in the
target of its link or in its pointer file; images in clear are hashed as they come out of git.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, normpath
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pyarrow as pa

from curation.index.annex_logs import AnnexBranch
from curation.index.bids import entities_of
from curation.index.clones import heads, list_refs, opened
from curation.index.described import Applying, Description, Descriptions
from curation.index.git import Object, Objects, Repository, without_credentials
from curation.index.keys import (
    LARGEST_POINTER,
    OTHER_LINK,
    Content,
    content_of_file,
    content_of_link,
    key_of_file,
    mixed_directory,
)
from curation.index.model import COPIES, SourceFailed, SourceRead

READER = "1"
"""Part of the state: what another version of this module read is read again."""

_LOG = logging.getLogger(__name__)
_IMAGES = (b".nii", b".nii.gz")
_LINK, _SUBMODULE = b"120000", b"160000"
# Refs that have no images, or not ones of the dataset: git-annex' own branch and its copies, what was stashed or noted.
_ANNEX = re.compile(r"refs/(?:heads|remotes/[^/]+)/(?:synced/)?git-annex")
_ASIDE = re.compile(r"refs/(?:stash|notes|annex|replace)\b.*")
_ACCESSION = re.compile(r"ds[0-9]{6,}")
_OBJECT_NAME = re.compile(r"[0-9a-f]{24}")
_GITHUB = re.compile(r"(?:https?://|(?:git\+)?ssh://(?:[^/@]+@)?|git://|[^/@]+@)github\.com[:/]([^/]+/[^/]+)")
_DATALAD = "datasets.datalad.org"


class _Place(NamedTuple):
    """A file of a tree: a path, and whether it is a link, to what."""

    path: bytes
    is_link: bool
    blob: str


class _Version(NamedTuple):
    """A commit, by the name of its tag if it has one."""

    name: str | None
    commit: str
    tree: str
    time: int


@dataclass(slots=True)
class _Image:
    """A checksum at a path.

    Attributes:
        path, md5, size: as in :data:`COPIES`.
        keys: names of files in git-annex' logs that tell where it is, the newest first.
        is_annexed: whether it is in no tree in clear.
        commit: the newest that brought it.
        first, last: numbers of the tagged versions that have it.
        in_newest: as in :data:`COPIES`.
        home: tree of the last version that has it; else of the head; else of ``commit``.
    """

    path: bytes
    md5: str
    size: int | None
    commit: str
    keys: list[str] = field(default_factory=list)
    is_annexed: bool = True
    first: int | None = None
    last: int | None = None
    in_newest: bool = False
    home: str = ""


def read_repository(
    address: str, *, cache: Path, state: Mapping[str, Any] | None = None
) -> SourceRead | None:
    """Read a git or DataLad repository.

    Args:
        address: a folder (bare or not), a bundle, or a URL. A URL's copies have it without user and password.
        cache: a folder where clones of URLs are kept.
        state: what an earlier read returned.

    Returns:
        None if all refs are where ``state`` has them. In ``unusable`` there are, beside images without a checksum,
        sidecars and descriptions that could not be read; their reasons begin with the kind of file.

    Raises:
        SourceFailed: it is no repository, cannot be fetched, is damaged, or has no commits.
    """
    refs = list_refs(address)
    now = {**refs, "reader": READER}
    if state == now:
        return None
    with opened(address, cache, refs) as repository, Objects(repository) as objects:
        return _Reader(address, repository, objects).read(now)


class _Reader:
    """Reads one repository once."""

    def __init__(self, address: str, repository: Repository, objects: Objects) -> None:
        self.address = without_credentials(address).encode("utf-8", "backslashreplace").decode()
        self.repository = repository
        self.objects = objects
        self.backends: Counter[str] = Counter()
        self.unusable: Counter[str] = Counter()
        self.images: dict[tuple[bytes, str], _Image] = {}
        self.places: dict[_Place, _Image] = {}
        # Distinct files, for each is counted once however many trees have it.
        self.counted: set[tuple[str, object]] = set()
        self.descriptions = Descriptions(objects, self._count)

    def read(self, state: Mapping[str, Any]) -> SourceRead:
        aside = {ref: commit for ref, commit in self.repository.refs.items() if _ANNEX.fullmatch(ref)}
        refs = {
            ref: commit
            for ref, commit in self.repository.refs.items()
            if not _ASIDE.fullmatch(ref) and commit not in aside.values()
        }
        if not refs:
            raise SourceFailed(
                f"{self.address}: has no commits but git-annex' own; expected a branch or a tag"
            )
        self._walk(refs.values())
        versions, head = self._versions(refs)
        self._place(versions, head)
        branch = AnnexBranch(self.repository, self.objects, dict.fromkeys(aside.values()))
        branch.read(dict.fromkeys(key for image in self.images.values() for key in image.keys))
        newest = versions[-1] if versions else head
        about = self.descriptions.describe(newest.tree) if newest else Description()
        dataset = accession_of(self.address, about.doi)
        images = sorted(self.images.values(), key=lambda image: (_shown(image.path), image.md5))
        sidecars = self.descriptions.sidecars([(image.path, image.home) for image in images])
        rows = [
            self._row(image, versions, branch, sidecar)
            | {"dataset": dataset, "licence": about.licence, "name": about.name}
            for image, sidecar in zip(images, sidecars, strict=True)
        ]
        texts = {sidecar.digest: sidecar.text for sidecar in sidecars if sidecar}
        table = pa.Table.from_pylist(rows, schema=COPIES)
        return SourceRead(self.address, dataset, table, texts, self.backends, self.unusable, state)

    def _count(self, reason: str, what: object) -> None:
        if (reason, what) not in self.counted:
            self.counted.add((reason, what))
            self.unusable[reason] += 1

    def _walk(self, tips: Iterable[str]) -> None:
        """Find every image that a commit brought, the newest commit first."""
        brought: dict[_Place, str] = {}
        for place, mode, commit in _changes(self.repository, tips):
            if mode == _SUBMODULE:
                self._count("submodule, not a file", place)
            elif place not in brought:
                brought[place] = commit
        contents = {**self._links(brought), **self._files(brought)}
        for place, commit in brought.items():
            content = contents[place.is_link, place.blob]
            self._take(place, content, commit)

    def _links(self, places: Iterable[_Place]) -> dict[tuple[bool, str], Content]:
        blobs = dict.fromkeys(place.blob for place in places if place.is_link)
        found = self.objects.read(blobs, largest=LARGEST_POINTER)
        return {(True, one.id): content_of_link(one.content or b"") for one in found}

    def _files(self, places: Iterable[_Place]) -> dict[tuple[bool, str], Content]:
        blobs = dict.fromkeys(place.blob for place in places if not place.is_link)
        found = self.objects.read(blobs, largest=LARGEST_POINTER, md5=True)
        return {(False, one.id): _content_of_blob(one) for one in found}

    def _take(self, place: _Place, content: Content, commit: str) -> None:
        """Count what a file tells, and note its checksum."""
        if content.backend:
            identity = ("backend", (place.path, content.backend, content.file or place.blob))
            if identity not in self.counted:
                self.counted.add(identity)
                self.backends[content.backend] += 1
        if content.md5 is None:
            reason = content.reason or "no checksum"
            if content.reason == OTHER_LINK and _leaves(place.path, content.file or ""):
                reason = "symlink that leaves the repository"
            self._count(reason, (place.path, content.file or place.blob))
            return
        image = self.images.setdefault(
            (place.path, content.md5), _Image(place.path, content.md5, content.size, commit)
        )
        if image.size is None:
            image.size = content.size
        elif content.size not in (None, image.size):
            self._count(
                "other size for the same checksum and path; the newest is kept", (place.path, content.file)
            )
        self.places[place] = image
        if content.file:
            image.keys.append(content.file)
        else:
            image.is_annexed = False
            # What S3 remotes call files in clear that were exported with the others, in new and old releases.
            image.keys += [f"GIT--{place.blob}", f"SHA1--{place.blob}"]

    def _versions(self, refs: Mapping[str, str]) -> tuple[list[_Version], _Version | None]:
        """Tagged versions, the oldest first, and the head."""
        tags = {
            ref.removeprefix("refs/tags/"): tip for ref, tip in refs.items() if ref.startswith("refs/tags/")
        }
        branches = heads(refs) or [ref for ref in refs if not ref.startswith("refs/tags/")]
        names = [f"{tip}^{{commit}}" for tip in (*tags.values(), *(refs[ref] for ref in branches))]
        found = [one and _version(one) for _, one in self.objects.find(names)]
        versions = []
        for tag, version in zip(tags, found, strict=False):
            if version:
                versions.append(version._replace(name=tag))
            else:
                _LOG.warning("%s: tag %s is of no commit and no version", self.address, tag)
        tips = list(filter(None, found[len(tags) :]))
        head = next(iter(tips), None) if heads(refs) else max(tips, key=_age, default=None)
        return sorted(versions, key=_age), head

    def _place(self, versions: list[_Version], head: _Version | None) -> None:
        """Tell every image in which versions it is, and where its sidecars are looked up."""
        numbers: dict[str, list[int]] = {}
        for number, version in enumerate(versions):
            numbers.setdefault(version.tree, []).append(number)
        newest = versions[-1].tree if versions else head and head.tree
        for tree, found in sorted(numbers.items(), key=lambda item: -item[1][-1]):
            for image in self._images_of(tree):
                image.first = min(found[0], found[0] if image.first is None else image.first)
                image.last = max(found[-1], found[-1] if image.last is None else image.last)
                image.in_newest |= tree == newest
                image.home = image.home or tree
        if head and head.tree not in numbers:
            for image in self._images_of(head.tree):
                image.in_newest |= head.tree == newest
                image.home = image.home or head.tree
        homeless = {image.commit for image in self.images.values() if not image.home}
        homes = {one.id: _version(one).tree for one in self.objects.read(sorted(homeless))}
        for image in self.images.values():
            image.home = image.home or homes[image.commit]

    def _images_of(self, tree: str) -> Iterator[_Image]:
        for mode, blob, path in self.repository.files(tree, _IMAGES):
            if image := self.places.get(_Place(path, mode == _LINK, blob)):
                yield image

    def _row(
        self, image: _Image, versions: list[_Version], branch: AnnexBranch, sidecar: Applying | None
    ) -> dict[str, Any]:
        """The columns of :data:`COPIES` that differ from image to image."""
        path, shown = image.path.decode("utf-8", "surrogateescape"), _shown(image.path)
        entities = entities_of(shown)
        first, last = (None if number is None else versions[number] for number in (image.first, image.last))
        url = branch.url(path, image.keys, in_newest=image.in_newest)
        return {
            "md5": image.md5,
            "size": image.size,
            "source": self.address,
            "path": shown,
            "first_version": first and first.name,
            "last_version": last and last.name,
            "in_newest": image.in_newest,
            "url": url or _hosted(self.address, image, last.commit if last else image.commit),
            "doi": self.descriptions.describe(image.home).doi,
            "entities": json.dumps(entities, sort_keys=True, ensure_ascii=False) if entities else None,
            "sidecar": sidecar and sidecar.digest,
            "sidecar_path": sidecar and sidecar.path,
        }


def _shown(path: bytes) -> str:
    r"""A path as tables can hold it: bytes that are no UTF-8 as ``\xff``."""
    return path.decode("utf-8", "backslashreplace")


def _changes(repository: Repository, tips: Iterable[str]) -> Iterator[tuple[_Place, bytes, str]]:
    """Images that commits brought, with their modes and the commits, from the newest commit to the oldest.

    Of merges only what is in none of their parents (``-c``): the rest is told by the commits that brought it.
    """
    commits = repository.run(
        "rev-list", "--stdin", feed="".join(f"{tip}\n" for tip in dict.fromkeys(tips)).encode()
    )
    command = ["diff-tree", "--stdin", "-r", "-z", "-c", "--root", "--raw", "--no-renames", "--no-abbrev"]
    records = repository.records(*command, feed=commits)
    commit = ""
    for record in records:
        if not record.startswith(b":"):
            commit = record.decode()
            continue
        path = next(records)
        if not path.endswith(_IMAGES):
            continue
        # One colon, mode and id a parent; then those of the commit itself.
        parents = len(record) - len(record.lstrip(b":"))
        words = record[parents:].split(b" ")
        mode, blob = words[parents], words[2 * parents + 1].decode()
        if mode != b"000000":
            yield _Place(path, mode == _LINK, blob), mode, commit


def _content_of_blob(blob: Object) -> Content:
    """What a file of git tells: a pointer file, or an image in clear."""
    pointer = content_of_file(blob.content) if blob.content is not None else None
    if pointer is not None:
        return pointer
    if not blob.size:
        return Content("git", None, 0, reason="empty file")
    return Content("git", blob.md5, blob.size)


def _leaves(path: bytes, target: str) -> bool:
    """Whether a symlink leads out of its repository, by its text."""
    if target.startswith("/"):
        return True
    place = normpath(f"{dirname(path.decode('utf-8', 'surrogateescape'))}/./{target}".lstrip("/"))
    return place == ".." or place.startswith("../")


def _version(commit: Object) -> _Version:
    """A commit, from its text: ``tree <id>``, and ``committer <name> <seconds> <zone>``."""
    content = commit.content or b""
    tree = re.search(rb"^tree ([0-9a-f]+)$", content, re.MULTILINE)
    time = re.search(rb"^committer .*?([0-9]{1,18}) [+-][0-9]+$", content.partition(b"\n\n")[0], re.MULTILINE)
    if tree is None:
        raise SourceFailed(
            f"commit {commit.id} has no tree; the repository is damaged, check it with git fsck"
        )
    return _Version(None, commit.id, tree[1].decode(), int(time[1]) if time else 0)


def _age(version: _Version) -> tuple[int, bool, list[str | tuple[int, str]], str]:
    """Sorts versions from the oldest to the newest: by date, then by the numbers in their names.

    The first versions on OpenNeuro were named by ids of its database (``58002a46cce88d000aa33502``); where one has a
    number too (``00001``), that is its name for readers, and counts as the later.
    """
    name = version.name or ""
    parts: list[str | tuple[int, str]] = []
    for place, part in enumerate(re.split("([0-9]+)", name)):
        digits = part.lstrip("0")
        parts.append((len(digits), digits) if place % 2 else part)
    return (version.time, not _OBJECT_NAME.fullmatch(name), parts, name)


def accession_of(address: str, doi: str | None = None) -> str:
    """The accession of a dataset: from its address, else from its DOI; without one the last part of the address."""
    name = re.split(r"[/:]", address.rstrip("/").removesuffix("/.git"))[-1]
    name = name.removesuffix(".git").removesuffix(".bundle") or address
    if found := _ACCESSION.fullmatch(name) or _ACCESSION.search(doi or ""):
        return found[0]
    return name


def _hosted(address: str, image: _Image, commit: str) -> str | None:
    """Where the host of a repository serves a file of it; None where hosts do not."""
    base = address.rstrip("/").removesuffix("/.git").removesuffix(".git")
    path = quote(image.path)
    if not image.is_annexed and (found := _GITHUB.fullmatch(base)):
        return f"https://raw.githubusercontent.com/{quote(found[1])}/{commit}/{path}"
    if urlsplit(base).hostname != _DATALAD:
        return None
    if not image.is_annexed:
        return f"{base}/{path}" if image.in_newest else None
    key = key_of_file(image.keys[0])
    return (
        f"{base}/.git/annex/objects/{mixed_directory(key)}/{quote(image.keys[0])}/{quote(image.keys[0])}"
        if key
        else None
    )
