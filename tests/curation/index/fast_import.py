"""Makes git repositories of any shape, fast: a stream for ``git fast-import``."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

LINK, FILE, SUBMODULE = "120000", "100644", "160000"
START = 1_500_000_000  # seconds since 1970, of the first commit; each later one comes a day after

Entry = tuple[str, bytes] | None
"""Mode and content (of a submodule its commit); None removes the path."""


def git(folder: Path, *arguments: str, feed: bytes = b"") -> bytes:
    """Run git, and git-annex, in a folder, with nobody's settings."""
    who = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | who
    env["GIT_CONFIG_GLOBAL"] = os.devnull
    # git-annex of this installation
    env["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), env.get("PATH", "")])
    done = subprocess.run(["git", "-C", str(folder), *arguments], input=feed, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def md5(text: str) -> str:
    """The MD5 (hex) of an image that is called so."""
    return hashlib.md5(text.encode()).hexdigest()


def key(text: str, extension: str = ".nii.gz", backend: str = "MD5E", size: int = 1000) -> str:
    """A git-annex key of an image that is called so."""
    return f"{backend}-s{size}--{md5(text)}{extension}"


def link(name: str, up: str = "../../") -> Entry:
    """A symlink to a key, as git-annex makes it."""
    return LINK, f"{up}.git/annex/objects/aa/bb/{name}/{name}".encode()


def pointer(name: str) -> Entry:
    """A pointer file of a key."""
    return FILE, f"/annex/objects/{name}\n".encode()


class History:
    """Commits to come, and the bare repository that they will be in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = START
        self._stream: list[bytes] = []
        self._marks = 0
        self._tips: dict[str, int] = {}
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main")

    def commit(
        self,
        files: Mapping[str | bytes, Entry],
        *,
        ref: str = "refs/heads/main",
        parents: Sequence[int] | None = None,
        time: int | None = None,
    ) -> int:
        """A commit on a branch; several parents are a merge, whose tree is the first one's with ``files`` changed."""
        self._marks += 1
        self.time += 86_400
        lines = [
            f"commit {ref}\nmark :{self._marks}\ncommitter a <a@b> {time or self.time} +0000\ndata 0\n".encode()
        ]
        before = [self._tips[ref]] if parents is None and ref in self._tips else list(parents or [])
        for place, mark in enumerate(before):
            lines.append(f"{'merge' if place else 'from'} :{mark}\n".encode())
        for path, entry in files.items():
            lines.append(_change(path.encode() if isinstance(path, str) else path, entry))
        self._stream += [*lines, b"\n"]
        self._tips[ref] = self._marks
        return self._marks

    def tag(self, name: str, mark: int, *, annotated: bool = False) -> None:
        if annotated:
            self._stream.append(f"tag {name}\nfrom :{mark}\ntagger a <a@b> {START} +0000\ndata 0\n".encode())
        else:
            self._stream.append(f"reset refs/tags/{name}\nfrom :{mark}\n\n".encode())

    def write(self) -> Path:
        """Make the repository, or add what came since the last time."""
        marks = ["--import-marks-if-exists=marks", "--export-marks=marks"]
        git(self.folder, "fast-import", "--quiet", "--force", *marks, feed=b"".join(self._stream))
        self._stream = []
        return self.folder


def _change(path: bytes, entry: Entry) -> bytes:
    quoted = b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'
    if entry is None:
        return b"D " + quoted + b"\n"
    mode, content = entry
    if mode == SUBMODULE:
        return f"M {mode} ".encode() + content + b" " + quoted + b"\n"
    return f"M {mode} inline ".encode() + quoted + b"\ndata %d\n" % len(content) + content + b"\n"
