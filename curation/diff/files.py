"""Files of a version: those of a folder, or of a commit by git's objects and git-annex' keys."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from curation.annexed import Annex
from curation.errors import DatasetError
from curation.publish.commands import environment, git, run

# Keys whose digest is that of the bytes: https://git-annex.branchable.com/backends/
_MD5_KEY = re.compile(r"MD5E?-s(?P<size>\d+)--(?P<md5>[0-9a-f]{32})(?:\..*)?\Z")
_KEY_NAME = re.compile(r"[A-Z0-9_]+(?:-[a-zA-Z]\d+)*--.+\Z")
# Modes of git's trees: https://git-scm.com/docs/git-fast-import (filemodify)
_LINK = "120000"
_POINTER = b"/annex/objects/"
_MOST_POINTER = 32_768
"""Bytes that a pointer file has at the most: https://git-annex.branchable.com/internals/pointer_file/"""
_PIECE = 1 << 20


class Files(Protocol):
    """The files of a version."""

    def names(self) -> list[str]:
        """Paths of all files, sorted."""

    def read(self, name: str) -> bytes:
        """The bytes of a small file, which git holds where it is a commit."""

    def identity(self, name: str) -> str | None:
        """What tells the content from others of its kind; ``None`` if the file is not there."""

    def size(self, name: str) -> int:
        """Bytes of a file that is there."""

    def known_size(self, name: str) -> int | None:
        """Bytes of a file that is there, if they are known without its content."""

    def digest(self, name: str) -> str:
        """MD5 (hex) of a file that is there."""

    def find(self, name: str) -> Path | None:
        """Where the content is; ``None`` if it is not on this machine."""

    def lost(self, names: Collection[str]) -> list[str]:
        """Those of some annexed files whose content nobody has, as far as git-annex knows here."""

    def ways(self, names: Collection[str]) -> str:
        """How to get the content of files, for a message."""


class FolderFiles:
    """Files of a folder.

    Args:
        folder: with the published layout; a dataset's working tree may be one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[str, str] = {}

    def names(self) -> list[str]:
        """Paths of all files, sorted."""
        tops = [self._folder / top for top in ("csv", "parquet", "audit", "dictionary")]
        found = [path for top in tops for path in top.glob("*")]
        found += [path for path in self._folder.glob("*") if not path.is_dir()]
        return sorted(path.relative_to(self._folder).as_posix() for path in found)

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self._folder / name).read_bytes()

    def identity(self, name: str) -> str | None:
        """Its path, which is that of one file."""
        path = self._folder / name
        return str(path.resolve()) if path.exists() else None

    def size(self, name: str) -> int:
        """Bytes; of an annexed file by its key."""
        known = _of_key(self._key(name))
        return known[0] if known else (self._folder / name).stat().st_size

    def known_size(self, name: str) -> int | None:
        """Bytes by the key of an annexed file."""
        known = _of_key(self._key(name))
        return known[0] if known else None

    def digest(self, name: str) -> str:
        """MD5 (hex); that of an annexed file by its key."""
        if name not in self._digests:
            known = _of_key(self._key(name))
            self._digests[name] = known[1] if known else _of_file(self._folder / name)
        return self._digests[name]

    def _key(self, name: str) -> str:
        path = self._folder / name
        return path.readlink().name if path.is_symlink() else ""

    def find(self, name: str) -> Path | None:
        """The file; ``None`` if it is a link to content that is not here."""
        path = self._folder / name
        return path if path.exists() else None

    def lost(self, names: Collection[str]) -> list[str]:
        """None: what is checked out is a version that is kept."""
        return []

    def ways(self, names: Collection[str]) -> str:
        """How to get annexed content."""
        return f"get it with: {shlex.join(['git', '-C', str(self._folder), 'annex', 'get', *names])}"


@dataclass
class CommitFiles:
    """Files of a commit, by git's objects and git-annex' keys.

    Attributes:
        dataset: the repository.
        commit: 40 hexadecimal digits.
        name: of the version, for messages.
    """

    dataset: Path
    commit: str
    name: str
    _found: dict[str, Path | None] = field(default_factory=dict, repr=False)

    @cached_property
    def _entries(self) -> dict[str, tuple[str, str]]:
        """Mode and object of every file."""
        listed = git(self.dataset, "ls-tree", "-r", "-z", "--full-tree", self.commit).split("\0")
        found = {}
        for entry in filter(None, listed):
            about, _, name = entry.partition("\t")
            mode, _, blob = about.split()
            found[name] = (mode, blob)
        return found

    @cached_property
    def _keys(self) -> dict[str, str]:
        """Keys of the annexed files: links to objects, and pointer files of those that are unlocked."""
        asked = {
            name: blob
            for name, (mode, blob) in self._entries.items()
            if mode == _LINK or name.split("/")[0] in ("csv", "parquet", "audit")
        }
        found = {}
        for name, content in _blobs(self.dataset, asked).items():
            line = content.split(b"\n", 1)[0].decode(errors="surrogateescape")
            is_link = self._entries[name][0] == _LINK
            if (is_link or content.startswith(_POINTER)) and _KEY_NAME.match(key := line.rsplit("/", 1)[-1]):
                found[name] = key
        return found

    def names(self) -> list[str]:
        """Paths of all files, sorted."""
        return sorted(self._entries)

    def read(self, name: str) -> bytes:
        """The bytes of a file that git holds."""
        return _blobs(self.dataset, {name: self._entries[name][1]}, whole=True)[name]

    def identity(self, name: str) -> str | None:
        """Its annex key or, where git holds it, git's digest."""
        if name not in self._entries:
            return None
        return self._keys.get(name) or self._entries[name][1]

    def size(self, name: str) -> int:
        """Bytes, by the key where it has them."""
        known = _of_key(self._keys.get(name, ""))
        return known[0] if known else self._here(name).stat().st_size

    def known_size(self, name: str) -> int | None:
        """Bytes by the key of an annexed file."""
        known = _of_key(self._keys.get(name, ""))
        return known[0] if known else None

    def digest(self, name: str) -> str:
        """MD5 (hex), by the key where it has it."""
        known = _of_key(self._keys.get(name, ""))
        return known[1] if known else _of_file(self._here(name))

    def _here(self, name: str) -> Path:
        path = self.find(name)
        if path is None:
            raise DatasetError(
                f"{name} of {self.name}: its content is not on this machine; {self.ways([name])}"
            )
        return path

    def find(self, name: str) -> Path | None:
        """Where its content is in the annex; ``None`` if it is not here, or git holds the file."""
        if not self._found and self._keys:
            self._found = _locations(self.dataset, self._keys)
        return self._found.get(name)

    def lost(self, names: Collection[str]) -> list[str]:
        """Those of some annexed files that no repository has by git-annex' log of locations."""
        places = Annex(self.dataset).places({self._keys[name] for name in names if name in self._keys})
        return [name for name in names if places.get(self._keys.get(name, "")) == set()]

    def ways(self, names: Collection[str]) -> str:
        """How to get annexed content; how to make it, if nobody has it."""
        if self.lost(names):
            return (
                f"it was dropped and nobody has it: mriqc-snapshot rebuild {self.commit[:12]} --dataset "
                f"{shlex.quote(str(self.dataset))} "
                "--store STORE --out FOLDER makes it again, and FOLDER stands for the version then"
            )
        get = ["git", "-C", str(self.dataset), "annex", "get"]
        whole = shlex.join([*get, f"--branch={self.commit[:12]}"])
        if not self._is_checked_out:
            return f"get all of this version with: {whole}"
        return f"get it with: {shlex.join([*get, *names])}, or all of this version with: {whole}"

    @property
    def _is_checked_out(self) -> bool:
        """Whether the files that can be named in the dataset are those of this commit."""
        return (self.dataset / ".git").exists() and git(
            self.dataset, "rev-parse", "HEAD"
        ).strip() == self.commit


def _of_key(key: str) -> tuple[int, str] | None:
    found = _MD5_KEY.match(key)
    return (int(found["size"]), found["md5"]) if found else None


def _of_file(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _blobs(dataset: Path, blobs: Mapping[str, str], *, whole: bool = False) -> dict[str, bytes]:
    """Contents of git's objects, by the names given; without ``whole`` only of those as small as a pointer file."""
    if not blobs:
        return {}
    small = dict(blobs)
    if not whole:
        asked = _answers(dataset, ["--batch-check=%(objectsize)"], blobs.values()).decode().split()
        sizes = dict(zip(blobs, asked, strict=True))
        small = {name: blob for name, blob in blobs.items() if int(sizes[name]) <= _MOST_POINTER}
    answer, start, found = _answers(dataset, ["--batch"], small.values()), 0, {}
    for name in small:
        end = answer.index(b"\n", start)
        size = int(answer[start:end].split()[2])
        found[name] = answer[end + 1 : end + 1 + size]
        start = end + 1 + size + 1
    return found


def _answers(dataset: Path, options: list[str], blobs: Iterable[str]) -> bytes:
    done = subprocess.run(
        ["git", "cat-file", *options], input="".join(f"{blob}\n" for blob in blobs).encode(),
        cwd=dataset, env=environment(dataset), capture_output=True,
    )  # fmt: skip
    missing = [line for line in done.stdout.split(b"\n") if line.endswith(b" missing")]
    if done.returncode or missing:
        said = (done.stderr or b"; ".join(missing)).decode(errors="replace").strip()
        raise DatasetError(f"git cat-file in {dataset}: exit code {done.returncode}: {said[-500:]}")
    return done.stdout


def _locations(dataset: Path, keys: Mapping[str, str]) -> dict[str, Path | None]:
    """Where git-annex has the content of keys; a line an answer, empty where it has none."""
    done = subprocess.run(
        ["git", "annex", "contentlocation", "--batch"], input="".join(f"{key}\n" for key in keys.values()),
        cwd=dataset, env=environment(dataset), capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stdout.split("\n")[:-1]
    if done.returncode or len(lines) != len(keys):
        raise DatasetError(
            f"git annex contentlocation in {dataset}: exit code {done.returncode}, {len(lines)} answers to {len(keys)} "
            f"questions: {done.stderr.strip()[-500:]}"
        )
    root = Path(run(["git", "rev-parse", "--show-cdup"], dataset).strip() or ".")
    return {
        name: (dataset / root / line).absolute() if line else None
        for name, line in zip(keys, lines, strict=True)
    }
