"""The snapshot dataset: laid out, kept clean, committed to."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from filelock import FileLock, Timeout

import curation
from curation.errors import DatasetError, LockedError, UsageError
from curation.publish.commands import datalad, git, git_bytes, run
from curation.store.files import to_json, write_atomically

LAYOUT_PROCEDURE = "mriqc_snapshot_layout"
_ANNEXED = ("audit", "csv", "parquet")
MADE_ANEW = ("code", "figures")
"""Folders in git of which a night leaves nothing that it does not write."""
PUBLISHED = (*_ANNEXED, *MADE_ANEW, "datapackage.json", "dictionary", "report.html", "snapshot.json")
"""What a night writes."""
RELEASED = ("SHA256SUMS", "croissant.json", "isatab")
"""What speaks of a release alone: the next night that commits removes it."""
EDITED = ("CHANGES.md", "CITATION.cff", "README.md")
"""What releases write into, and persons may, too."""

# Modes of git's trees: https://git-scm.com/docs/git-fast-import (filemodify)
_LINK, _FILE = "120000", "100644"
# How long commands that outlived a killed run are waited for.
ORPHAN_SECONDS = 300.0


class SnapshotDataset:
    """A DataLad dataset that nights are committed to.

    Args:
        path: its folder; need not exist yet.

    Attributes:
        path: as given, without links in it.
        private: a folder inside ``.git`` for what is not published.
    """

    def __init__(self, path: Path) -> None:
        # One dataset has one lock, however its path is spelt.
        self.path = path.resolve()
        self.private = self.path / ".git" / "mriqc-snapshot"
        self._marker = self.private / "in-progress"
        self._busy = self.private / "refs-change"

    @property
    def staging(self) -> Path:
        """A folder inside ``.git`` where files are made before they move into the dataset."""
        return self.private / "staging"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out; the lock goes with the process that holds it.

        Raises:
            LockedError: another run works on the dataset.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path.parent / f".{self.path.name}.lock", timeout=0):
                yield
        except Timeout as error:
            raise LockedError(
                f"{self.path}: another run works on this dataset; wait until it ends"
            ) from error

    def require_there(self) -> None:
        """Stop where there is no dataset.

        Raises:
            UsageError: the folder is missing, or is something else.
        """
        if not (self.path / ".datalad" / "config").exists():
            raise UsageError(
                f"{self.path}: no snapshot dataset; `mriqc-snapshot nightly` lays one out, --dataset names it"
            )

    def prepare(self) -> None:
        """Lay the dataset out if it is not there, and put right what a killed run left.

        Raises:
            DatasetError: the folder is something else, or a person's changes are in the way.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not (self.path / ".git").exists():
            with self._writing() as descriptor:
                self._create([descriptor])
        if not (self.path / ".datalad" / "config").exists():
            raise DatasetError(
                f"{self.path}: a git repository, but no DataLad dataset; choose another folder"
            )
        self.private.mkdir(exist_ok=True)
        with self._writing() as descriptor:
            self._unlock()
            if self._marker.exists():
                self._reset([descriptor])
            self._tag_release()
        if changes := self._changes():
            raise DatasetError(
                f"{self.path}: {len(changes)} uncommitted change(s) that no run of this program made, the first is "
                f"{changes[0]!r}; commit or discard them"
            )

    def _create(self, keep: Sequence[int]) -> None:
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise DatasetError(f"{self.path}: not empty and not a dataset; choose another folder")
        unfinished = self.path.parent / f".{self.path.name}.creating"
        if unfinished.exists():
            _remove_tree(unfinished)
        # Without a description git-annex publishes this machine's name, its user and the folder.
        datalad(self.path.parent, "create", "-D", "mriqc-snapshot", str(unfinished), keep=keep)
        # Object collection in the background would race with the night's own commands.
        git(unfinished, "config", "gc.auto", "0", keep=keep)
        datalad(
            unfinished, "-c", f"datalad.locations.extra-procedures={_procedures()}", "run-procedure", "-d",
            str(unfinished), LAYOUT_PROCEDURE, keep=keep,
        )  # fmt: skip
        if self.path.exists():
            self.path.rmdir()
        unfinished.rename(self.path)

    def _tag_release(self) -> None:
        """Give a release its tag, if the last commit is one that was killed before it had."""
        version = json.loads(self.published("snapshot.json") or b"{}").get("version")
        if version is not None and version not in self.releases():
            self.tag(version, git(self.path, "log", "-1", "--format=%B"))

    def tag(self, version: str, message: str) -> None:
        """Tag the last commit, annotated as DataLad and `git describe` want it."""
        git(self.path, "tag", "--annotate", "--cleanup=verbatim", "-m", message, "--", version, "HEAD")

    def _changes(self) -> list[str]:
        """Changed files that are tracked, and files where ours belong that are not."""
        entries = git(
            self.path, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"
        ).split("\0")
        return [
            entry[3:] for entry in entries if entry and (not entry.startswith("??") or _is_ours(entry[3:]))
        ]

    def _reset(self, keep: Sequence[int]) -> None:
        """Back to the last commit. Whatever is lost is in the record store and will be made again."""
        remove_git_locks(self.path / ".git")
        git(self.path, "reset", "--hard", "--quiet", keep=keep)
        # Of what may also be a person's only the files that the killed run was about to write.
        written = json.loads(self._marker.read_bytes() or b"[]")
        git(self.path, "clean", "-f", "-d", "-x", "--quiet", "--", *PUBLISHED, *RELEASED, *written, keep=keep)
        self._marker.unlink()

    @contextmanager
    def exclusive(self) -> Iterator[int]:
        """For commands that change refs and annexed content, not the work tree, while the caller holds the lock.

        Yields:
            A file descriptor for the commands to keep, so that a later run waits for those of one that was killed.
        """
        self.private.mkdir(exist_ok=True)
        with self._writing() as descriptor:
            self._unlock()
            write_atomically(self._busy, b"")
            yield descriptor
            self._busy.unlink()

    def _unlock(self) -> None:
        """Remove git's locks if a run was killed in :meth:`exclusive`: nobody holds them any more."""
        if self._busy.exists():
            remove_git_locks(self.path / ".git")
            self._busy.unlink()

    @contextmanager
    def _writing(self) -> Iterator[int]:
        """Hold the lock that commands started by a run hold too, as they may outlive it when it is killed."""
        lock = self.path.parent / f".{self.path.name}.writing.lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        deadline = time.monotonic() + ORPHAN_SECONDS
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise LockedError(
                            f"{self.path}: a command of a run that was killed still runs"
                        ) from None
                    time.sleep(0.1)
            yield descriptor
        finally:
            os.close(descriptor)

    def published(self, name: str, commit: str = "HEAD") -> bytes | None:
        """The bytes of a file in a commit that git itself holds; ``None`` if it is not there."""
        if not self.committed(name, commit=commit):
            return None
        return git_bytes(self.path, "cat-file", "blob", f"{commit}:{name}")

    def committed(self, *below: str, commit: str = "HEAD") -> list[str]:
        """Names of the files in a commit, or of those of some files and folders."""
        names = git(self.path, "ls-tree", "-r", "-z", "--name-only", commit, "--", *below)
        return [name for name in names.split("\0") if name]

    @property
    def failure(self) -> str | None:
        """Why the last night was not published, if its data broke a law or a gate."""
        path = self.private / "failed.txt"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def note_failure(self, reason: str | None) -> None:
        """Remember why a night was not published, or that one is as it should be."""
        path = self.private / "failed.txt"
        if reason is not None:
            write_atomically(path, reason.encode())
        else:
            path.unlink(missing_ok=True)

    def releases(self) -> list[str]:
        """Names of all annotated tags, those of the newest commits last."""
        listed = git(
            self.path,
            "for-each-ref",
            "--sort=creatordate",
            "--format=%(objecttype) %(refname:short)",
            "refs/tags",
        )
        return [line.partition(" ")[2] for line in listed.splitlines() if line.startswith("tag ")]

    def find(self, version: str) -> str:
        """The commit of a version.

        Args:
            version: a tag, a branch or a commit.

        Raises:
            UsageError: there is no such version.
        """
        if not (self.path / ".git").exists():
            raise UsageError(f"{self.path}: no dataset; name its folder with --dataset")
        try:
            return git(
                self.path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{version}^{{commit}}"
            ).strip()
        except DatasetError as error:
            near = get_close_matches(version, self.releases(), 3) or self.releases()[-3:]
            raise UsageError(
                f"{version}: no version of {self.path}; "
                + (f"is one of {', '.join(near)} meant?" if near else "it has no release yet")
            ) from error

    def open(self, name: str, commit: str = "HEAD") -> io.BufferedIOBase | None:
        """A file of a commit, to read; ``None`` if it is annexed and its content is not here.

        Raises:
            DatasetError: there is no such file in the commit, or git-annex failed.
        """
        if name.split("/")[0] not in _ANNEXED:
            return io.BytesIO(git_bytes(self.path, "cat-file", "blob", f"{commit}:{name}"))
        key = self.key(name, commit)
        answer = run(["git", "annex", "contentlocation", "--batch"], self.path, told=f"{key}\n").strip()
        return (self.path / answer).open("rb") if answer else None

    def key(self, name: str, commit: str = "HEAD") -> str:
        """The git-annex key of an annexed file of a commit."""
        return os.fsdecode(git_bytes(self.path, "cat-file", "blob", f"{commit}:{name}")).rpartition("/")[2]

    def fetch(self, name: str, commit: str = "HEAD") -> None:
        """Get the content of an annexed file of a commit from wherever git-annex knows it to be.

        Raises:
            DatasetError: nobody who has it can be reached.
        """
        git(self.path, "annex", "get", "--quiet", f"--key={self.key(name, commit)}")

    def dataset_id(self) -> str:
        """The dataset's DataLad id."""
        return git(self.path, "config", "-f", ".datalad/config", "datalad.dataset.id").strip()

    def configure(self, name: str, value: str) -> None:
        """Set a configuration value of this clone."""
        git(self.path, "config", name, value)

    def untracked(self, names: Sequence[str]) -> list[str]:
        """Those of some files that are there, and were never committed."""
        found = git(self.path, "ls-files", "--others", "-z", "--", *names)
        return [name for name in found.split("\0") if name]

    def commit(
        self, names: Sequence[str], message: str, author_date: datetime | None, removed: Sequence[str] = ()
    ) -> str:
        """Move finished files from the staging folder into the dataset and commit them.

        Args:
            names: files below :attr:`staging`, in the order they move.
            message: the commit message.
            author_date: ``None`` is the moment of the commit; git takes none before 1970, and a later one has no sense.
            removed: committed files that are no more.

        Returns:
            The commit.

        Raises:
            DatasetError: a command failed; the next :meth:`prepare` puts the dataset right.
        """
        write_atomically(self._marker, to_json(list(names)))
        with self._writing() as descriptor:
            for name in names:
                target = self.path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(self.staging / name, target)
            for name in removed:
                (self.path / name).unlink()
            dates = {}
            if author_date is not None:
                seconds = min(max(0, int(author_date.timestamp())), int(time.time()))
                dates["GIT_AUTHOR_DATE"] = f"@{seconds} +0000"
            datalad(
                self.path,
                "save",
                "-d",
                str(self.path),
                "-m",
                message,
                *sorted({name.split("/")[0] for name in [*names, *removed]}),
                extra=dates,
                keep=[descriptor],
            )
            self._check_committed(names)
            self._marker.unlink()
        shutil.rmtree(self.staging)
        return git(self.path, "rev-parse", "HEAD").strip()

    def _check_committed(self, names: Sequence[str]) -> None:
        """Check that every file is in the last commit: tables as annexed links with content, text as such."""
        if changes := self._changes():
            raise DatasetError(f"{self.path}: not all was committed, the first is {changes[0]!r}")
        entries = git(self.path, "ls-tree", "-r", "-z", "HEAD").split("\0")
        modes = {
            name: about.split()[0] for about, _, name in (entry.partition("\t") for entry in entries) if name
        }
        for name in names:
            expected = _LINK if name.split("/")[0] in _ANNEXED else _FILE
            if modes.get(name) != expected:
                raise DatasetError(
                    f"{self.path / name}: in the last commit with mode {modes.get(name)}, expected {expected}; does a "
                    "git or git-annex configuration of this machine ignore or annex it?"
                )
            if not (self.path / name).exists():
                raise DatasetError(f"{self.path / name}: committed, but its content is not in the annex")


def remove_git_locks(git_dir: Path) -> None:
    """Remove the locks of files and refs that killed commands left in a repository's ``.git``."""
    for lock in [*git_dir.glob("*.lock"), *git_dir.glob("refs/**/*.lock"), *git_dir.glob("annex/*.lock")]:
        lock.unlink()


def _is_ours(name: str) -> bool:
    return any(name == ours or name.startswith(f"{ours}/") for ours in PUBLISHED)


def _procedures() -> Path:
    """Where the layout procedure is: in a checkout under ``.datalad``, in an installed package beside the code."""
    checkout = Path(curation.__file__).parent.parent / ".datalad" / "procedures"
    return checkout if checkout.is_dir() else Path(str(files("curation") / "procedures"))


def _remove_tree(path: Path) -> None:
    """Remove a tree whose annexed files git-annex made read-only."""
    for folder in [path, *(p for p in path.rglob("*") if p.is_dir() and not p.is_symlink())]:
        folder.chmod(0o700)
    shutil.rmtree(path)
