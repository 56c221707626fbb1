"""What a release has that is deposited: taken from its tag, measured, compared with what the release says of itself."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

from curation.deposit import annex
from curation.errors import DatasetError, LawBroken, UsageError
from curation.index.keys import LARGEST_POINTER, Key, content_of_file, content_of_link, key_of_file
from curation.publish.commands import git, git_bytes
from curation.release import Version
from curation.release.checksums import read_sha256sums, sha256sums

TABLES = (
    "csv/bold.csv", "csv/T1w.csv", "csv/T2w.csv", "csv/rating.csv",
    "csv/bold_curated.csv", "csv/T1w_curated.csv", "csv/T2w_curated.csv",
)  # fmt: skip
"""The seven tables of the paper (Esteban et al. 2019, "Data Records")."""
DEPOSITED = (
    *TABLES, "README.md", "CHANGES.md", "CITATION.cff", "LICENSE", "SHA256SUMS", "snapshot.json", "datapackage.json",
    "croissant.json", *(f"dictionary/{Path(table).stem}.json" for table in TABLES), "isatab/*",
)  # fmt: skip
"""What is deposited of a release that has it; ``*`` is no folder."""

CHECKSUMS = "SHA256SUMS"
_LINK, _FILES = "120000", ("100644", "100755")
_BLOCK = 1 << 20
# A release adds its version to the others after the night wrote their digests; SHA256SUMS has those.
_OF_THE_NIGHT = ("csv/", "dictionary/")


@dataclass(frozen=True)
class ReleasedFile:
    """A file of a release.

    Attributes:
        path: in the dataset.
        name: at FigShare, without folders.
        object: git's name of the object that holds it, or its link.
        key: git-annex' key, if it is annexed.
        text: content of a file that git holds and that is not long.
    """

    path: str
    name: str
    object: str
    key: Key | None = None
    text: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Release:
    """What a tag has.

    Attributes:
        folder: of the dataset.
        version: the tag.
        commit: that it points to.
        files: to be deposited, by name.
        missing: tables of the paper that it does not have.
    """

    folder: Path
    version: Version
    commit: str
    files: tuple[ReleasedFile, ...]
    missing: tuple[str, ...]

    def text(self, path: str) -> bytes | None:
        """The bytes of a file that git holds; ``None`` where the release has none of that path."""
        found = next((file for file in self.files if file.path == path and file.key is None), None)
        return None if found is None else git_text(self.folder, found)


@dataclass(frozen=True)
class LocalFile:
    """A released file whose content is here, as it was measured.

    Attributes:
        file: what it is.
        size: bytes.
        md5: hexadecimal.
        sha256: hexadecimal.
        content: where git-annex has it; ``None`` if git holds it.
        changed: modification time (ns) when it was measured.
    """

    file: ReleasedFile
    size: int
    md5: str
    sha256: str
    content: Path | None = None
    changed: int = 0

    @property
    def name(self) -> str:
        """At FigShare."""
        return self.file.name


def git_text(folder: Path, file: ReleasedFile) -> bytes:
    """The bytes of a file that git holds."""
    if file.text is not None:
        return file.text
    return git_bytes(folder, "cat-file", "blob", file.object)


def read_release(folder: Path, version: str) -> Release:
    """What the annotated tag ``version`` has.

    Raises:
        UsageError: it is no version, or there is no such release.
        DatasetError: two of its files would have one name, or git failed.
    """
    parsed = Version.parse(version)
    kind, _, commit = git(
        folder, "for-each-ref", "--format=%(objecttype) %(*objecttype):%(*objectname)", f"refs/tags/{version}"
    ).partition(":")
    if not kind:
        raise UsageError(
            f"{folder}: has no tag {version}; `mriqc-snapshot release` makes one, `git fetch --tags` brings one"
        )
    if kind != "tag commit":
        raise UsageError(f"{folder}: {version} is a lightweight tag, a release has an annotated one")
    found = sorted(_entries(folder, commit.strip()), key=lambda file: file.name)
    for one, other in pairwise(found):
        if one.name == other.name:
            raise DatasetError(
                f"{folder}: {one.path} and {other.path} of {version} would both be {one.name} at FigShare, which has "
                "no folders here; rename one of them in the next release"
            )
    paths = {file.path for file in found}
    files = tuple(_without_folders(folder, file, found) for file in found)
    return Release(folder, parsed, commit.strip(), files, tuple(t for t in TABLES if t not in paths))


def _without_folders(folder: Path, file: ReleasedFile, found: Sequence[ReleasedFile]) -> ReleasedFile:
    """A file as it is deposited: ``SHA256SUMS`` has the deposited files by the names that they have there."""
    if file.path != CHECKSUMS:
        return file
    sums = read_sha256sums(git_text(folder, file))
    told = {one.name: sums[one.path] for one in found if one.path in sums}
    return replace(file, text=sha256sums(told))


def _entries(folder: Path, commit: str) -> list[ReleasedFile]:
    """The deposited files of a commit; git is asked twice, however many there are."""
    found = []
    for entry in git(folder, "ls-tree", "-r", "-l", "-z", commit).split("\0"):
        about, _, path = entry.partition("\t")
        if not path or not any(_matches(path, pattern) for pattern in DEPOSITED):
            continue
        mode, kind, name, size = about.split()
        if kind != "blob" or mode not in (_LINK, *_FILES):
            raise DatasetError(
                f"{folder}: {path} of {commit[:10]} is a {kind} of mode {mode}, a file is expected"
            )
        found.append((path, mode, name, int(size)))
    small = annex.blobs(folder, [name for _, _, name, size in found if size <= LARGEST_POINTER])
    files = []
    for path, mode, name, _ in found:
        key = _key(folder, path, mode, small.get(name))
        text = small.get(name) if key is None else None
        files.append(ReleasedFile(path, PurePosixPath(path).name, name, key, text))
    return files


def _matches(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def _key(folder: Path, path: str, mode: str, content: bytes | None) -> Key | None:
    """The key in the content of a link or pointer file; ``None`` of a file in clear, which may be too long for one."""
    if content is None:
        return None
    told = content_of_link(content) if mode == _LINK else content_of_file(content)
    if told is None:
        return None
    key = key_of_file(told.file) if told.file else None
    if key is None:
        raise DatasetError(f"{folder}: {path} is a link or pointer without a git-annex key: {told.reason}")
    return key


def told_md5(file: ReleasedFile) -> str | None:
    """The MD5 that an annexed file's key tells; ``None`` where it tells none."""
    if file.key is None or file.key.backend not in ("MD5", "MD5E"):
        return None
    return file.key.name.partition(".")[0].lower()


def measure(release: Release, files: Sequence[ReleasedFile] | None = None) -> list[LocalFile]:
    """Read files of a release once, and compare them with what the release says of them.

    Args:
        release: whose files they are.
        files: some of them; all without.

    Raises:
        DatasetError: content is not here.
        LawBroken: content is not what the key, ``SHA256SUMS`` or ``snapshot.json`` say.
        UsageError: a file is empty, or ``SHA256SUMS`` cannot be read.
    """
    files = release.files if files is None else files
    keys = [str(file.key) for file in files if file.key is not None]
    where = annex.locations(release.folder, keys)
    if absent := [file.path for file in files if file.key and where[str(file.key)] is None]:
        raise DatasetError(
            f"{release.folder}: the content of {len(absent)} file(s) of {release.version} is not here; say: "
            f"datalad get {' '.join(absent)} (or, if newer ones replaced them: git annex get "
            f"--branch={release.version})"
        )
    measured = [_measured(release, file, where[str(file.key)] if file.key else None) for file in files]
    if empty := [one.file.path for one in measured if not one.size]:
        # Nothing says what the service does with files of no bytes: they have no part to upload.
        raise UsageError(
            f"{release.folder}: {', '.join(empty)} of {release.version}: FigShare takes no empty files"
        )
    _compare(release, measured)
    return measured


def _measured(release: Release, file: ReleasedFile, content: Path | None) -> LocalFile:
    if content is None:
        return LocalFile(file, *_digests(BytesIO(git_text(release.folder, file))))
    with content.open("rb") as stream:
        changed = os.fstat(stream.fileno()).st_mtime_ns
        size, md5, sha256 = _digests(stream)
    told = told_md5(file)
    wrong = told is not None and md5 != told
    if wrong or (file.key and file.key.size not in (None, size)):
        raise LawBroken(
            f"{release.folder / file.path}: {size} bytes with MD5 {md5}, but its key is {file.key}; the annex is "
            "damaged: git annex fsck"
        )
    return LocalFile(file, size, md5, sha256, content, changed)


def _digests(stream: IO[bytes]) -> tuple[int, str, str]:
    size, md5, sha256 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha256()
    while block := stream.read(_BLOCK):
        size += len(block)
        md5.update(block)
        sha256.update(block)
    return size, md5.hexdigest(), sha256.hexdigest()


def _compare(release: Release, measured: Sequence[LocalFile]) -> None:
    """Compare with ``SHA256SUMS`` and ``snapshot.json``, which must be of this version."""
    snapshot = _snapshot(release)
    if (told := snapshot.get("version", str(release.version))) != str(release.version):
        raise LawBroken(f"{release.folder}: snapshot.json of the tag {release.version} is of version {told}")
    files = snapshot.get("files", {})
    night = {path: said["sha256"] for path, said in files.items() if path.startswith(_OF_THE_NIGHT)}
    listed = read_sha256sums(release.text(CHECKSUMS) or b"")
    told = {one.file.path: listed[one.name] for one in measured if one.name in listed}
    for source, sums in ((CHECKSUMS, told), ("snapshot.json", night)):
        for one in measured:
            if (said := sums.get(one.file.path, one.sha256)) != one.sha256:
                raise LawBroken(
                    f"{release.folder / one.file.path}: SHA-256 {one.sha256}, but {source} of {release.version} says "
                    f"{said}; nothing was deposited"
                )


def _snapshot(release: Release) -> dict:
    try:
        return json.loads(release.text("snapshot.json") or b"{}")
    except ValueError as error:
        raise DatasetError(
            f"{release.folder}: snapshot.json of {release.version} is no JSON: {error}"
        ) from None


class Content:
    """The bytes of a local file, read anywhere, by several threads at once."""

    def __init__(self, descriptor: int | None, whole: bytes = b"") -> None:
        self._descriptor, self._whole = descriptor, whole

    def chunks(self, start: int, length: int) -> Iterator[bytes]:
        """``length`` bytes from ``start``, in pieces that fit into memory."""
        end = start + length
        while start < end:
            size = min(_BLOCK, end - start)
            if self._descriptor is None:
                piece = self._whole[start : start + size]
            else:
                piece = os.pread(self._descriptor, size, start)
            if not piece:
                raise DatasetError("a file became shorter while it was uploaded; run the command again")
            start += len(piece)
            yield piece


@contextmanager
def opened(release: Release, local: LocalFile) -> Iterator[Content]:
    """A file's content, still the one that was measured.

    What git holds are texts: one of them is in memory at a time.

    Raises:
        DatasetError: it changed.
    """
    if local.content is None:
        yield Content(None, git_text(release.folder, local.file))
        return
    with local.content.open("rb") as stream:
        about = os.fstat(stream.fileno())
        if (about.st_size, about.st_mtime_ns) != (local.size, local.changed):
            raise DatasetError(f"{local.content}: changed since it was measured; run the command again")
        yield Content(stream.fileno())
