"""What commits of a snapshot dataset have, read in place: nothing is checked out."""

from __future__ import annotations

import io
import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from curation.errors import DatasetError, UsageError
from curation.index.keys import content_of_file, key_of_file
from curation.publish.commands import git, git_bytes, run

ANNEXED = ("audit", "csv", "parquet")
"""Folders whose files are annexed; all others are in git."""


class Commits:
    """A dataset whose commits are read.

    Args:
        path: its folder.

    Attributes:
        path: as given.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def require_there(self) -> None:
        """Stop where there is no dataset.

        Raises:
            UsageError: the folder is missing, or is something else.
        """
        if not (self.path / ".datalad" / "config").exists():
            raise UsageError(
                f"{self.path}: no snapshot dataset; `mriqc-snapshot nightly` lays one out, --dataset names it"
            )

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
        git(self.path, "rev-parse", "--git-dir")  # fails where git does not work here at all
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
        if name.split("/")[0] not in ANNEXED:
            return io.BytesIO(git_bytes(self.path, "cat-file", "blob", f"{commit}:{name}"))
        key = self.key(name, commit)
        answer = run(["git", "annex", "contentlocation", "--batch"], self.path, told=f"{key}\n").strip()
        return (self.path / answer).open("rb") if answer else None

    def key(self, name: str, commit: str = "HEAD") -> str:
        """The git-annex key of an annexed file of a commit: of its link, or of the pointer of an unlocked one.

        Raises:
            DatasetError: there is no such file in the commit, or it is not annexed.
        """
        # Both begin with the path of the key's content, or end with it, in one line.
        told = content_of_file(git_bytes(self.path, "cat-file", "blob", f"{commit}:{name}"))
        key = key_of_file(told.file) if told is not None and told.file is not None else None
        if key is None:
            raise DatasetError(
                f"{name} of {commit}: is not annexed; expected a link to a key, or a pointer file"
            )
        return str(key)

    def fetch(self, name: str, commit: str = "HEAD") -> None:
        """Get the content of an annexed file of a commit from wherever git-annex knows it to be.

        Raises:
            DatasetError: nobody who has it can be reached.
        """
        git(self.path, "annex", "get", "--quiet", f"--key={self.key(name, commit)}")

    def dataset_id(self) -> str:
        """The dataset's DataLad id."""
        return git(self.path, "config", "-f", ".datalad/config", "datalad.dataset.id").strip()

    def snapshot(self, commit: str = "HEAD") -> dict[str, Any]:
        """What ``snapshot.json`` of a commit says; empty where there is none."""
        return json.loads(self.published("snapshot.json", commit) or b"{}")

    def published(self, name: str, commit: str = "HEAD") -> bytes | None:
        """The bytes of a file in a commit that git itself holds; ``None`` if it is not there."""
        if not self.committed(name, commit=commit):
            return None
        return git_bytes(self.path, "cat-file", "blob", f"{commit}:{name}")

    def committed(self, *below: str, commit: str = "HEAD") -> list[str]:
        """Names of the files in a commit, or of those of some files and folders."""
        names = git(self.path, "ls-tree", "-r", "-z", "--name-only", commit, "--", *below)
        return [name for name in names.split("\0") if name]
