"""Annexed content: which keys commits have, where their content is, and moving it; each answer of git-annex checked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import DatasetError
from curation.index.git import Objects, Repository
from curation.index.keys import LARGEST_POINTER, content_of_file, key_of_file
from curation.publish.commands import environment, run

UNATTENDED = {
    "GIT_TERMINAL_PROMPT": "0",
    # git's own names for: less than so many bytes a second for so many seconds end a transfer over HTTP.
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "60",
}
"""Variables with which git asks nobody for a password, and does not wait for a server for ever."""


@dataclass(frozen=True)
class Annex:
    """git-annex in a dataset.

    Attributes:
        path: the dataset's folder.
        keep: file descriptors that stay open in commands which change something.
    """

    path: Path
    keep: tuple[int, ...] = ()

    def keys(self, commits: Iterable[str], *below: str) -> dict[str, str]:
        """Keys that trees of commits have: links, and pointer files of unlocked ones.

        Args:
            commits: names of commits or tags.
            below: only in these folders.

        Returns:
            Key to a path of it.
        """
        told = "".join(f"{commit}\n" for commit in commits)
        return self._keys(["--no-walk", "--stdin"], below, told) if told else {}

    def keys_of_history(self, commit: str, *below: str) -> dict[str, str]:
        """The same of a commit and all that it came from."""
        return self._keys(["--full-history", commit], below)

    def keys_of_index(self) -> set[str]:
        """Keys of what is staged for the next commit."""
        listed = run(["git", "ls-files", "--stage", "-z"], self.path).split("\0")
        return {key for key, _ in self._read(entry.split()[1] for entry in listed if entry)}

    def _keys(self, which: Sequence[str], below: Sequence[str], told: str | None = None) -> dict[str, str]:
        """One pass over trees; blobs that are too large for a pointer are not listed."""
        command = ["git", "rev-list", "--objects", f"--filter=blob:limit={LARGEST_POINTER + 1}", *which]
        # A name ends with its line: those of annexed files of this program have no line ends.
        listed = run([*command, "--", *below], self.path, told=told).splitlines()
        paths = dict(name for line in listed if (name := line.partition(" ")[::2])[1])
        return {key: paths[blob] for key, blob in self._read(paths)}

    def _read(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Keys in blobs, with the blobs."""
        with Objects(Repository(str(self.path), self.path / ".git")) as objects:
            for found in objects.read(names, largest=LARGEST_POINTER):
                if found.type != "blob" or found.content is None:
                    continue
                told = content_of_file(found.content)
                key = key_of_file(told.file) if told is not None and told.file is not None else None
                if key is not None:
                    yield str(key), found.id

    def here(self, keys: Collection[str]) -> dict[str, Path]:
        """Keys whose content is in this clone, with its file."""
        answers = self._asked(["contentlocation", "--batch"], keys)
        return {key: self.path / answer for key, answer in answers if answer}

    def stored(self, storage: str, keys: Collection[str]) -> set[str]:
        """Keys that a special remote has, asked itself.

        Raises:
            DatasetError: it does not answer, or with something else.
        """
        answers = list(self._asked(["checkpresentkey", "--batch", storage], keys))
        if odd := [answer for _, answer in answers if answer not in ("0", "1")]:
            raise DatasetError(
                f"{self.path}: git annex checkpresentkey answered {odd[0]!r} of {storage}, expected 0 or 1"
            )
        return {key for key, answer in answers if answer == "1"}

    def logged(self, uuid: str, keys: Collection[str]) -> set[str]:
        """Keys that a repository has by the location log, of this clone and of all it has fetched."""
        return {key for key, places in self.places(keys).items() if uuid in places}

    def places(self, keys: Collection[str]) -> dict[str, set[str]]:
        """Keys with the repositories that have them by the location log, the same; none of a key that is nowhere."""
        return {
            answer["key"]: {place["uuid"] for place in [*answer["whereis"], *answer["untrusted"]]}
            for answer in self._batch(["whereis"], keys, failing=True)
        }

    def copy(self, storage: str, keys: Collection[str]) -> None:
        """Copy content to a special remote, and log it.

        Raises:
            DatasetError: of a key it failed, or its content is not here.
        """
        done = {answer["key"] for answer in self._batch(["copy", "--to", storage], keys)}
        if missed := set(keys) - done:
            raise DatasetError(
                f"{self.path}: {min(missed)} was not copied to {storage}, and git-annex does not say why; is its "
                "content still here?"
            )

    def drop(self, keys: Collection[str], storage: str | None = None) -> None:
        """Drop content, whether or not anybody else has it, from here or from a special remote.

        Raises:
            DatasetError: of a key it failed.
        """
        list(self._batch(["drop", "--force", *(["--from", storage] if storage else [])], keys))

    def _asked(self, command: Sequence[str], keys: Collection[str]) -> Iterator[tuple[str, str]]:
        """A line of answer for each key."""
        if not keys:
            return
        told = "".join(f"{key}\n" for key in keys)
        answers = run(
            ["git", "annex", *command], self.path, extra=UNATTENDED, keep=self.keep, told=told
        ).splitlines()
        if len(answers) != len(keys):
            raise DatasetError(
                f"{self.path}: git annex {command[0]} gave {len(answers)} answers to {len(keys)} questions"
            )
        yield from zip(keys, answers, strict=True)

    def _batch(
        self, command: Sequence[str], keys: Collection[str], *, failing: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Answers of a command on keys; those that need nothing done have none.

        Args:
            command: of git-annex.
            keys: what it works on.
            failing: whether an answer may tell of no success.

        Raises:
            DatasetError: it failed altogether, or of a key and ``failing`` is not set.
        """
        if not keys:
            return
        options = ["--batch-keys", "--json", "--json-error-messages"]
        done = subprocess.run(
            ["git", "annex", *command, *options],
            cwd=self.path,
            env=environment(self.path, UNATTENDED),
            input="".join(f"{key}\n" for key in keys),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            pass_fds=self.keep,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        failed = [answer for answer in answers if not answer["success"]]
        told = f"{self.path}: git annex {' '.join(command)}"
        if failed and not failing:
            reasons = " ".join(failed[0]["error-messages"]) or failed[0].get("note") or "no reason given"
            raise DatasetError(
                f"{told}: {len(failed)} of {len(keys)} keys failed, the first is {failed[0]['key']}: {reasons}"
            )
        # Exit code 1 with a failed answer is of that answer.
        if done.returncode not in ((0, 1) if failed else (0,)):
            raise DatasetError(f"{told}: exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
        yield from answers
