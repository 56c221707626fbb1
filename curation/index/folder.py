"""Folders on this machine: BIDS datasets, whose images are hashed.

A folder may be private. Where it lies on this machine is in no table, log or error but the one that its user gets when
the folder itself cannot be read.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from curation.flatten import canonical_json
from curation.index.bids import DESCRIPTION, Sidecars, digest, merge
from curation.index.claims import EMPTY, IMAGES, clean, entities_json
from curation.index.described import SEVERAL, bare_doi, words
from curation.index.keys import LARGEST_POINTER, OTHER_LINK, Content, content_of_file, content_of_link
from curation.index.model import COPIES, SourceFailed, SourceRead

log = logging.getLogger(__name__)

LEAVES = "symlink leaves the folder"
BROKEN = "broken symlink"
FOLDER_LINK = "symlink to a folder"
NOT_REGULAR = "no regular file"
UNREADABLE = "cannot be read"
CLOSED_FOLDER = "folder cannot be read"
CHANGED = "changed while it was hashed"
NO_SIDECAR = "sidecar: no JSON object"

LARGEST_SIDECAR = 1 << 22
"""Bytes, as for repositories; sidecars have a few thousand."""
_BLOCK = 1 << 20
_FORMAT = 1  # part of the state: another reading of the same folder is another number
_NAMED = 20  # files of one reason that are named; all are counted
_SETTLED = 2_000_000_000  # nanoseconds; FAT, the coarsest, has times of two seconds


def read_folder(
    path: Path,
    *,
    dataset: str | None = None,
    address: str | None = None,
    state: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> SourceRead | None:
    """Hash the NIfTI images of a BIDS folder; what is hidden is passed over, and so are other files.

    A file is hashed again only if its size or time differs from ``state``. An annexed image whose content is not here
    has the MD5 that its git-annex key tells, if it tells one.

    Args:
        path: the folder.
        dataset: its accession; the folder's name if not given.
        address: what the copies have as their source; the folder's name if not given.
        state: of the same folder, read before: sizes, times and MD5 of the images, and a digest of all the rest.
        threads: that hash; as many as there are processors, if not given.

    Returns:
        What was read; ``None`` if images, sidecars and description are as they were. Copies have no URL.

    Raises:
        SourceFailed: the folder cannot be read, has no image, or gave no checksum where there are images to hash.
    """
    scan = _Scan(Path(path).resolve())
    name = clean(scan.root.name) or "folder"
    source, dataset = address or name, dataset or name
    try:
        scan.walk()
    except OSError as error:
        raise SourceFailed(
            f"{path}: cannot be listed ({error.strerror}); expected the folder of a BIDS dataset; check path and disk"
        ) from error
    files, copies = _hash_all(scan, state.get("files", {}) if state else {}, threads)
    if not scan.images and not scan.annexed:
        raise SourceFailed(f"{path}: no .nii or .nii.gz file in it; expected a BIDS dataset; check the path")
    if not copies and scan.unusable[UNREADABLE]:
        raise SourceFailed(f"{path}: none of its images can be read; check rights and disk")
    reader = _Sidecars(scan)
    about, sidecars = reader.describe(), reader.apply(copies)
    rest = [_FORMAT, source, dataset, about, copies, scan.backends, scan.unusable]
    new = {"files": files, "rest": hashlib.sha256(canonical_json(rest).encode()).hexdigest()}
    if state == new:
        return None
    same = {"source": source, "dataset": dataset, "in_newest": True, **about}
    table = pa.Table.from_pylist([same | copy for _, copy in sorted(copies.items())], COPIES)
    return SourceRead(source, dataset, table, sidecars, scan.backends, scan.unusable, new)


@dataclass
class _Scan:
    """What is in a folder.

    Attributes:
        root: the folder, without links in its path.
        images: path below the folder to the file that has its bytes.
        annexed: path to what the git-annex key of an image that is not here tells.
        json: path of JSON files to the file that has its bytes.
        backends: of the images, as in :class:`SourceRead`.
        unusable: reason to number of files.
    """

    root: Path
    images: dict[str, Path] = field(default_factory=dict)
    annexed: dict[str, Content] = field(default_factory=dict)
    json: dict[str, Path] = field(default_factory=dict)
    backends: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)

    def leave_out(self, path: str, reason: str) -> None:
        """Count a file, and name it."""
        self.unusable[reason] += 1
        if self.unusable[reason] <= _NAMED:
            log.warning("%s: %s: %s", self.root.name, ascii(path)[1:-1], reason)

    def walk(self) -> None:
        """Find all images and JSON files.

        Raises:
            OSError: a folder cannot be listed for another reason than its rights, or the root for any.
        """
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                if not folder or not isinstance(error, PermissionError):
                    raise
                self.leave_out(folder, CLOSED_FOLDER)
                continue
            for entry in found:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    self._take(clean(path), entry)

    def _take(self, path: str, entry: os.DirEntry[str]) -> None:
        is_image, is_json = path.endswith(IMAGES), path.endswith(".json")
        if entry.is_symlink():
            self._take_link(path, Path(entry.path), is_image, is_json)
        elif entry.is_file(follow_symlinks=False):
            if is_image or is_json:
                (self.images if is_image else self.json)[path] = Path(entry.path)
        elif is_image:
            self.leave_out(path, NOT_REGULAR)

    def _take_link(self, path: str, link: Path, is_image: bool, is_json: bool) -> None:
        """Follow a link to a file that stays in the folder; a key of git-annex says enough without that."""
        told = content_of_link(os.fsencode(link.readlink()))
        target = os.path.realpath(link)
        inside = Path(target).is_relative_to(self.root)
        # Where a place may not be looked at, these say no; those of Path raise.
        if os.path.isdir(target):  # noqa: PTH112
            self.leave_out(path, FOLDER_LINK if inside else LEAVES)
        elif (is_image or is_json) and inside and os.path.isfile(target):  # noqa: PTH113
            (self.images if is_image else self.json)[path] = Path(target)
        elif is_json:
            self.json[path] = Path(os.devnull)  # is there, and cannot be read
        elif is_image and told.reason != OTHER_LINK:
            self.annexed[path] = told
        elif is_image:
            self.leave_out(path, BROKEN if inside else LEAVES)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a regular file, and make sure when it is read that it is what it was.

    Raises:
        SourceFailed: it was changed meanwhile.
        OSError: it cannot be read, or is a pipe, a device, ...
    """
    # Without blocking: nothing may ever be written to a named pipe.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR)
        yield stream
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceFailed(f"{file}: {CHANGED}; read it again when nothing writes to it")


class _Hashed(NamedTuple):
    size: int
    mtime_ns: int  # 0 of a file that has to be hashed again
    md5: str


def _hash(file: Path) -> _Hashed | Content:
    """Hash a file, or tell what its key tells if it is a pointer file.

    Raises:
        SourceFailed: it was changed meanwhile.
        OSError: it cannot be read.
    """
    with opened(file) as stream:
        about = os.fstat(stream.fileno())
        md5 = hashlib.md5(usedforsecurity=False)
        first = stream.read(_BLOCK)
        told = content_of_file(first) if len(first) <= LARGEST_POINTER else None
        while first:
            md5.update(first)
            first = stream.read(_BLOCK)
        # Times may be coarser than two writes are apart: what is as fresh as this is hashed again the next time.
        settled = about.st_mtime_ns < time.time_ns() - _SETTLED
    return told or _Hashed(about.st_size, about.st_mtime_ns if settled else 0, md5.hexdigest())


def _try_to_hash(file: Path) -> _Hashed | Content | str:
    """As :func:`_hash`, once more if the file was changed meanwhile; or why not."""
    for _ in range(2):
        try:
            return _hash(file)
        except SourceFailed:
            continue
        except OSError:
            return UNREADABLE
    return CHANGED


def _known(scan: _Scan, known: Mapping[str, str]) -> dict[str, _Hashed | Content | str]:
    """The images that are as they were when they were hashed the last time."""
    found: dict[str, _Hashed | Content | str] = {}
    for path in known.keys() & scan.images.keys():
        with suppress(OSError):  # hashing it fails as well, and is counted
            now = scan.images[path].stat()
            if known[path][:-32] == f"{now.st_size} {now.st_mtime_ns} ":
                found[path] = _Hashed(now.st_size, now.st_mtime_ns, known[path][-32:])
    return found


def _hash_all(
    scan: _Scan, known: Mapping[str, str], threads: int | None
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Hash what is not known; returns what to remember of files, and path to what a copy has of its own."""
    told: dict[str, _Hashed | Content | str] = {**scan.annexed, **_known(scan, known)}
    todo = [path for path in scan.images if path not in told]
    pool = ThreadPoolExecutor(threads or os.cpu_count() or 1)
    try:
        told.update(zip(todo, pool.map(_try_to_hash, (scan.images[path] for path in todo)), strict=True))
    finally:  # an interruption does not wait for all that is not begun
        pool.shutdown(cancel_futures=True)
    files, copies = {}, {}
    for path, one in sorted(told.items()):
        if isinstance(one, str):
            scan.leave_out(path, one)
            continue
        backend, reason = "md5", EMPTY if one.size == 0 else None
        if isinstance(one, _Hashed):
            files[path] = f"{one.size} {one.mtime_ns} {one.md5}"
        else:
            backend, reason = one.backend or "no key", one.reason
        scan.backends[backend] += 1
        if one.md5 is None or reason:
            scan.leave_out(path, reason or "no checksum")
        else:
            copies[path] = {"path": path, "md5": one.md5, "size": one.size, "entities": entities_json(path)}
    return files, copies


class _Sidecars:
    """Reads the sidecars of a folder."""

    def __init__(self, scan: _Scan) -> None:
        self._scan = scan
        self._texts: dict[str, bytes | None] = {}

    def text(self, path: str) -> bytes | None:
        """Content of a JSON file; ``None``, and counted once, if it is no object or cannot be read."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> bytes | None:
        try:
            with opened(self._scan.json[path]) as stream:
                text = stream.read(LARGEST_SIDECAR + 1)
        except (OSError, SourceFailed):
            self._scan.leave_out(path, f"sidecar: {UNREADABLE}")
            return None
        if len(text) > LARGEST_SIDECAR or merge([(path, text)])[1]:
            self._scan.leave_out(path, NO_SIDECAR)
            return None
        return text

    def apply(self, copies: Mapping[str, dict[str, Any]]) -> dict[str, str]:
        """Tell copies the metadata that applies to them; returns digests to metadata.

        Of what applies, a file that cannot be read may override any key of a farther one: only what is nearer counts.
        """
        files = Sidecars({path: path for path in self._scan.json})
        metadata = {}
        for path, copy in copies.items():
            texts: list[tuple[str, bytes]] = []
            for sidecar, _ in reversed(files.applying(path)):
                text = self.text(sidecar)
                if text is None:
                    break
                texts.insert(0, (sidecar, text))
            if texts:
                key, told = digest(merge(texts)[0])
                metadata[key] = told
                copy |= {"sidecar": key, "sidecar_path": SEVERAL.join(path for path, _ in reversed(texts))}
        return dict(sorted(metadata.items()))

    def describe(self) -> dict[str, str | None]:
        """Name, licence and DOI of the dataset."""
        text = self.text(DESCRIPTION) if DESCRIPTION in self._scan.json else None
        told = merge([(DESCRIPTION, text)])[0] if text else {}
        name, licence, doi = (words(told.get(key)) for key in ("Name", "License", "DatasetDOI"))
        return {"name": name, "licence": licence, "doi": bare_doi(doi)}
