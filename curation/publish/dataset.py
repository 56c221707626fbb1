"""The snapshot dataset: laid out, kept clean, committed to."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from filelock import FileLock, Timeout

import curation
from curation.errors import DatasetError, LockedError
from curation.publish.commands import datalad, git
from curation.publish.commits import ANNEXED, Commits
from curation.store.files import to_json, write_atomically

LAYOUT_PROCEDURE = "mriqc_snapshot_layout"
MADE_ANEW = ("code", "figures")
"""Folders in git of which a night leaves nothing that it does not write."""
PUBLISHED = (*ANNEXED, *MADE_ANEW, "datapackage.json", "dictionary", "report.html", "snapshot.json")
"""What a night writes."""
NOTICE = "mriqc-snapshot.notice"
"""Name of a setting of the clone (`git config`): a sentence that every page begins with."""
RELEASED = ("SHA256SUMS", "croissant.json", "isatab")
"""What speaks of a release alone: the next night that commits removes it."""

# Modes of git's trees: https://git-scm.com/docs/git-fast-import (filemodify)
_LINK, _FILE = "120000", "100644"
# How long commands that outlived a killed run are waited for.
ORPHAN_SECONDS = 300.0


class SnapshotDataset(Commits):
    """A DataLad dataset that nights are committed to.

    Args:
        path: its folder; need not exist yet.

    Attributes:
        path: as given, without links in it.
        private: a folder inside ``.git`` for what is not published.
    """

    def __init__(self, path: Path) -> None:
        # One dataset has one lock, however its path is spelt.
        super().__init__(path.resolve())
        self.private = self.path / ".git" / "mriqc-snapshot"
        self._marker = self.private / "in-progress"
        self._busy = self.private / "refs-change"
        self._releasing = self.private / "releasing.json"

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
            self._finish_release(descriptor)
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

    def commit_release(self, version: str, names: Sequence[str], message: str) -> str:
        """Commit a release as :meth:`commit` does, and tag it, annotated as DataLad and ``git describe`` want it.

        Args:
            version: the tag.
            names: files below :attr:`staging`.
            message: of the commit and the tag.

        Returns:
            The commit.

        Raises:
            DatasetError: a command failed; the next :meth:`prepare` puts the dataset right.
        """
        write_atomically(self._releasing, to_json({"version": version, "after": self.find("HEAD")}))
        commit = self.commit(names, message, None)
        with self._writing() as descriptor:
            self._finish_release(descriptor)
        return commit

    def _finish_release(self, descriptor: int) -> None:
        """Tag the commit of a release that was made and has no tag yet; nothing where it was not made."""
        if not self._releasing.exists():
            return
        # Of a command that was killed.
        for lock in (self.path / ".git" / "refs" / "tags").glob("**/*.lock"):
            lock.unlink()
        about = json.loads(self._releasing.read_bytes())
        version = about["version"]
        since = git(self.path, "rev-list", "--reverse", f"{about['after']}..HEAD").split()
        made = next((commit for commit in since if self.snapshot(commit).get("version") == version), None)
        if made is not None and not git(self.path, "tag", "--list", version):
            message = git(self.path, "log", "-1", "--format=%B", made)
            git(
                self.path, "tag", "--annotate", "--cleanup=verbatim", "-m", message, "--", version, made,
                keep=[descriptor],
            )  # fmt: skip
        self._releasing.unlink()

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

    @property
    def notice(self) -> str | None:
        """What every night's page begins with, as the clone's configuration has it under :data:`NOTICE`."""
        return git(self.path, "config", "--local", "--default", "", "--get", NOTICE).strip() or None

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
            expected = _LINK if name.split("/")[0] in ANNEXED else _FILE
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
