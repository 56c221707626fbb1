"""Asks git and git-annex for what a tag has: many questions a process, every answer checked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from curation.errors import DatasetError
from curation.publish.commands import environment, run

WEB = "00000000-0000-0000-0000-000000000001"
"""UUID of git-annex' web remote: https://git-annex.branchable.com/special_remotes/web/."""


def blobs(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The content of small objects that git holds.

    Raises:
        DatasetError: git does not have one.
    """
    command = ["git", "cat-file", "--batch"]
    given = _lines(names).encode()
    done = subprocess.run(command, cwd=folder, env=environment(folder), input=given, capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-2000:]
        raise DatasetError(f"{' '.join(command)} in {folder}: exit code {done.returncode}: {said}")
    rest = done.stdout
    found = {}
    for name in names:
        # Each is "NAME blob SIZE", a line end, the content, a line end (git-cat-file, "BATCH OUTPUT").
        about, _, rest = rest.partition(b"\n")
        fields = about.split()
        if len(fields) != 3 or fields[1] != b"blob":
            raise DatasetError(f"{folder}: git has no file {name}: {about.decode(errors='replace')}")
        size = int(fields[2])
        found[name], rest = rest[:size], rest[size + 1 :]
    return found


def locations(folder: Path, keys: Sequence[str]) -> dict[str, Path | None]:
    """Where the content of keys is on this machine; ``None`` where it is not."""
    if not keys:
        return {}
    printed = run(["git", "annex", "contentlocation", "--batch"], folder, told=_lines(keys))
    lines = printed.split("\n")[:-1]
    if len(lines) != len(keys):
        raise DatasetError(
            f"git annex contentlocation: {len(lines)} answers to {len(keys)} questions in {folder}"
        )
    return {key: folder / line if line else None for key, line in zip(keys, lines, strict=True)}


def web_urls(folder: Path, keys: Sequence[str], keep: Sequence[int] = ()) -> dict[str, set[str]]:
    """The addresses at which git-annex knows the content of keys to be, in its web remote.

    git-annex may merge what it fetched from siblings first, which changes its branch.

    Args:
        folder: of the dataset.
        keys: that are asked for.
        keep: file descriptors that stay open in git-annex.
    """
    if not keys:
        return {}
    printed = run(["git", "annex", "whereis", "--json", "--batch-keys"], folder, told=_lines(keys), keep=keep)
    answers = [json.loads(line) for line in printed.splitlines() if line]
    if len(answers) != len(keys):
        raise DatasetError(f"git annex whereis: {len(answers)} answers to {len(keys)} questions in {folder}")
    found: dict[str, set[str]] = {}
    for answer in answers:
        remotes = [*answer.get("whereis", []), *answer.get("untrusted", [])]
        found[answer["key"]] = {url for one in remotes if one["uuid"] == WEB for url in one.get("urls", [])}
    return found


def register_urls(folder: Path, addresses: Sequence[tuple[str, str]], keep: Sequence[int] = ()) -> int:
    """Tell git-annex of addresses of keys that it does not know of yet; returns how many these were.

    Args:
        folder: of the dataset.
        addresses: keys and addresses without blanks.
        keep: file descriptors that stay open in git-annex.

    Raises:
        DatasetError: git-annex does not know them afterwards.
    """
    keys = sorted({key for key, _ in addresses})
    known = web_urls(folder, keys, keep)
    new = [(key, url) for key, url in addresses if url not in known[key]]
    if not new:
        return 0
    told = _lines(f"{key} {url}" for key, url in new)
    run(["git", "annex", "registerurl", "--batch"], folder, told=told, keep=keep)
    known = web_urls(folder, keys, keep)
    if missing := [(key, url) for key, url in new if url not in known[key]]:
        key, url = missing[0]
        raise DatasetError(f"{folder}: git-annex took {url} for {key}, but does not know it afterwards")
    return len(new)


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)
