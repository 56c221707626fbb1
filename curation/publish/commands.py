"""Runs git and DataLad: exit codes checked, answers parsed, output quoted where something failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from curation.errors import DatasetError

_COMMITTER = "mriqc-snapshot"
_GOOD = {"ok", "notneeded"}


# Variables that make git work on another repository than that of its folder; a hook of one has them set.
# `git rev-parse --local-env-vars` lists them.
_ELSEWHERE = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
}  # fmt: skip
# What a user's configuration must not decide: which files are seen, which are annexed and how, and whether somebody
# has to type a passphrase at night.
_OVERRIDES = {
    "annex.addunlocked": "false",
    "annex.largefiles": "include=csv/* or include=parquet/* or include=audit/*",
    "commit.gpgsign": "false",
    "tag.gpgSign": "false",
    "tag.forceSignAnnotated": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
}


def environment(folder: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command: git-annex of this installation first, an identity where git has none."""
    env = {name: value for name, value in {**os.environ, **(extra or {})}.items() if name not in _ELSEWHERE}
    env["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), env.get("PATH", "")])
    # Answers are parsed; they have to be in English.
    env["LC_ALL"] = "C.UTF-8"
    env["GIT_CONFIG_COUNT"] = str(len(_OVERRIDES))
    for number, (name, value) in enumerate(_OVERRIDES.items()):
        env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = name, value
    for setting, names in {
        "user.name": ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"),
        "user.email": ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"),
    }.items():
        asked = subprocess.run(
            ["git", "config", setting], cwd=folder, env=env, capture_output=True, text=True
        )
        if asked.returncode not in (0, 1):
            raise DatasetError(f"git config {setting}: exit code {asked.returncode}: {asked.stderr.strip()}")
        if asked.returncode == 1:
            value = _COMMITTER if setting == "user.name" else f"{_COMMITTER}@localhost"
            for name in names:
                env.setdefault(name, value)
    return env


def run(
    command: Sequence[str],
    folder: Path,
    *,
    extra: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
    told: str | None = None,
) -> str:
    """Run a command in ``folder`` and return what it printed.

    Args:
        command: program and arguments.
        folder: where it runs.
        extra: variables of its environment.
        keep: file descriptors that stay open in it.
        told: what it reads from standard input; that of this process without.

    Raises:
        DatasetError: it could not be started, or its exit code is not 0.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment(folder, extra),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            pass_fds=keep,
            input=told,
        )
    except OSError as error:
        raise DatasetError(f"{command[0]}: cannot be started ({error}); is git installed?") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise DatasetError(f"{' '.join(command)} in {folder}: exit code {done.returncode}: {said}")
    return done.stdout


def git(folder: Path, *arguments: str, keep: Sequence[int] = ()) -> str:
    """Run git; see :func:`run`."""
    return run(["git", *arguments], folder, keep=keep)


def git_bytes(folder: Path, *arguments: str) -> bytes:
    """Run git, whose answer is no text; see :func:`run`."""
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment(folder), capture_output=True)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-2000:]
        raise DatasetError(f"git {' '.join(arguments)} in {folder}: exit code {done.returncode}: {said}")
    return done.stdout


def datalad(
    folder: Path, *arguments: str, extra: Mapping[str, str] | None = None, keep: Sequence[int] = ()
) -> list[dict]:
    """Run a DataLad command and return its result records.

    Raises:
        DatasetError: its exit code is not 0, or a result is neither ``ok`` nor ``notneeded``.
    """
    program = [sys.executable, "-c", "from datalad.cli.main import main; main()"]
    printed = run([*program, "-f", "json", *arguments], folder, extra=extra, keep=keep)
    results = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    for result in results:
        if result.get("status") not in _GOOD:
            raise DatasetError(
                f"datalad {result.get('action')} of {result.get('path')}: {result.get('status')}, "
                f"{result.get('message') or 'no message'}"
            )
    return results
