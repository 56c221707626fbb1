"""Versions: commits of a snapshot dataset, or folders of its layout, read in place: nothing is checked out."""

from __future__ import annotations

import difflib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from curation.diff.files import CommitFiles, Files, FolderFiles
from curation.errors import DatasetError, UsageError
from curation.publish.commands import environment, git
from schemas.published import SNAPSHOT_FORMAT

SNAPSHOT = "snapshot.json"
_NEAR = 3


@dataclass(frozen=True)
class Version:
    """One version of the tables.

    Attributes:
        name: as it was asked for.
        commit: of its dataset, 40 hexadecimal digits; ``None`` for a folder.
        folder: the folder, or the dataset.
        snapshot: what its ``snapshot.json`` says.
        files: its files.
    """

    name: str
    commit: str | None
    folder: Path
    snapshot: Mapping[str, Any] = field(repr=False)
    files: Files = field(repr=False)

    @property
    def versions(self) -> dict[str, Any]:
        """What it was made with, as ``snapshot.json`` has it."""
        return dict(self.snapshot.get("versions") or {})

    def identity(self, name: str) -> str | None:
        """The annex key or git's digest of a file, or a folder's file's size and MD5; ``None`` if it is not there."""
        return self.files.identity(name)

    def has(self, name: str) -> bool:
        """Whether the version has a file, whether or not its content is here."""
        return name in self._names

    def is_here(self, name: str) -> bool:
        """Whether the version has a file whose content is on this machine."""
        return self.has(name) and self.files.find(name) is not None

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.files.names())

    def path(self, name: str) -> Path:
        """Where the content of a file is, to be read only.

        Raises:
            DatasetError: the version does not have the file, or its content is not on this machine.
        """
        if not self.has(name):
            raise DatasetError(f"{self.name} has no {name}")
        found = self.files.find(name)
        if found is None:
            raise DatasetError(
                f"{name} of {self.name}: its content is not on this machine; {self.files.ways([name])}"
            )
        return found


def same_content(a: Version, b: Version, name: str) -> bool:
    """Whether a file of two versions has the same bytes; both have it."""
    if a.identity(name) == b.identity(name):
        return True
    if a.commit is not None and b.commit is not None:
        return False
    if a.files.size(name) != b.files.size(name):
        return False
    return a.files.digest(name) == b.files.digest(name)


def open_version(text: str, dataset: Path | None = None) -> Version:
    """Open a version by its name.

    Args:
        text: a tag, branch or commit of ``dataset``, or a folder with the published layout; what begins with ``/``,
            ``./`` or ``../`` is always a folder.
        dataset: a snapshot dataset, bare or not.

    Raises:
        UsageError: there is no such version, or the folder is of another kind.
        DatasetError: git failed, or the version cannot be read.
    """
    if not text.strip():
        raise UsageError(
            "an empty name; versions are tags, commits, branches or folders, such as 2026.11.23 or HEAD"
        )
    explicit = text.startswith(("/", "./", "../", "~")) or text in (".", "..")
    if not explicit and dataset is not None and (commit := _resolve(text, dataset)) is not None:
        return _of_commit(text, commit, dataset)
    folder = Path(text).expanduser()
    if folder.exists():
        return _of_folder(text, folder)
    if explicit or dataset is None:
        where = "" if explicit else ", and no --dataset was given that may have a version of this name"
        raise UsageError(f"{text}: no such folder{where}")
    raise UsageError(
        f"{text}: neither a version of {dataset} nor a folder; {_near(text, version_names(dataset))}"
    )


def is_repository(folder: Path) -> bool:
    """Whether a folder is a git repository, bare or not, and not merely in one."""
    return any((folder / name).exists() for name in (".git", "HEAD"))


def require_dataset(dataset: Path) -> None:
    """Check that a folder is a git repository.

    Raises:
        UsageError: it is none.
    """
    if not dataset.is_dir():
        raise UsageError(f"{dataset}: no such folder; --dataset is that of the snapshot dataset")
    if not is_repository(dataset):
        raise UsageError(f"{dataset}: no dataset (no git repository); `mriqc-snapshot nightly` makes one")


def version_names(dataset: Path) -> list[str]:
    """Tags and branches of a dataset, the newest first; git-annex' own are left out."""
    names = git(
        dataset, "for-each-ref", "--sort=-creatordate", "--format=%(refname:short)", "refs/tags", "refs/heads"
    )
    return [name for name in names.split() if name != "git-annex" and not name.startswith("synced/")]


def _near(text: str, names: list[str]) -> str:
    near = difflib.get_close_matches(text, [*names, "HEAD"], n=_NEAR, cutoff=0.5)
    if near:
        return f"near are {', '.join(near)}"
    return f"there are {', '.join(names[:_NEAR])}" if names else "it has none"


def _resolve(text: str, dataset: Path) -> str | None:
    """The commit of a name; ``None`` if git knows none."""
    require_dataset(dataset)
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}"],
        cwd=dataset, env=environment(dataset), capture_output=True, text=True,
    )  # fmt: skip
    # 1: there is none; 128: the text cannot be a name, or is an object of another kind, or git refuses the repository.
    if done.returncode == 128:
        git(dataset, "rev-parse", "--git-dir")
    if done.returncode in (1, 128):
        return None
    if done.returncode:
        raise DatasetError(f"git rev-parse in {dataset}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip().splitlines()[-1]


def _of_commit(name: str, commit: str, dataset: Path) -> Version:
    files = CommitFiles(dataset, commit, name)
    if SNAPSHOT not in files.names():
        raise UsageError(
            f"{name}: a commit of {dataset} without {SNAPSHOT}, from before its first night; name a later one"
        )
    return Version(name, commit, dataset, _snapshot(files.read(SNAPSHOT), name), files)


def _of_folder(name: str, folder: Path) -> Version:
    if not folder.is_dir():
        raise UsageError(
            f"{name}: a file; versions are compared whole: give the folder that has {SNAPSHOT}, csv/ and audit/"
        )
    if not (folder / SNAPSHOT).is_file():
        above = folder.resolve().parent
        hint = f"; do you mean {above}?" if (above / SNAPSHOT).is_file() else ""
        if (folder / "store.json").is_file():
            hint = "; it is a record store, of which `mriqc-snapshot curate` makes tables"
        elif is_repository(folder):
            hint = "; it is a git repository: give it as --dataset, and its tags or commits as versions"
        raise UsageError(
            f"{name}: a folder of another kind: it has no {SNAPSHOT}, as `curate --out` writes it{hint}"
        )
    files = FolderFiles(folder)
    return Version(name, None, folder, _snapshot(files.read(SNAPSHOT), name), files)


def _snapshot(content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise UsageError(f"{name}: its {SNAPSHOT} cannot be read ({error})") from error
    if not isinstance(found, dict) or not isinstance(found.get("tables"), dict):
        raise UsageError(
            f"{name}: its {SNAPSHOT} is of another program: it has no counts of tables under `tables`"
        )
    maps = ("versions", "repairs", "rules", "public")
    whole = all(isinstance(found.get(name) or {}, dict) for name in maps)
    counts = [*found["tables"].values(), *(found.get("repairs") or {}).values()] if whole else []
    if not whole or not all(isinstance(one, dict) for one in counts):
        raise UsageError(f"{name}: its {SNAPSHOT} is damaged: tables, {', '.join(maps)} have to be objects")
    if not _is_list_of_files(found.get("files") or {}):
        raise UsageError(
            f"{name}: its {SNAPSHOT} is damaged: `files` is no list of files with `sha256` and `bytes`"
        )
    if (form := found.get("format")) is not None and not (type(form) is int and form <= SNAPSHOT_FORMAT):
        raise UsageError(
            f"{name}: its {SNAPSHOT} has format {form!r}, this version of mriqc-snapshot reads those up to "
            f"{SNAPSHOT_FORMAT}; a newer one reads it"
        )
    return found


def _is_list_of_files(files: object) -> bool:
    return isinstance(files, dict) and all(
        isinstance(said, dict) and isinstance(said.get("sha256"), str) and isinstance(said.get("bytes"), int)
        for said in files.values()
    )
