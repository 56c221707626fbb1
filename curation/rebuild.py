"""Makes a published version again, with the code and the records of then, and compares it byte for byte."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from curation.curate import remove_folder
from curation.errors import DatasetError, LockedError, UsageError
from curation.index.index import Index
from curation.pseudonyms import KEY_VARIABLE
from curation.publish import SnapshotDataset
from curation.publish.commands import git, git_bytes, run
from curation.publish.publish import STORE_ID, STORE_RUN
from curation.publish.versions import REWRITTEN, of_night
from curation.store import RecordStore
from curation.store.files import to_json, write_atomically
from curation.store.parts import file_sha256
from schemas.bids import schema_version

# Commits of nights; a user's configuration may read patterns otherwise.
_TOLD = ("--basic-regexp", f"--grep=^{STORE_RUN}: ")


@dataclass(frozen=True)
class Origin:
    """What a version was made from.

    Attributes:
        commit: of the version.
        snapshot: what its ``snapshot.json`` says, without what a release added.
        store: id of the record store.
        run: number of the last run of the store that counts.
    """

    commit: str
    snapshot: dict[str, Any]
    store: str
    run: int


@dataclass(frozen=True)
class RebuildReport:
    """What came out.

    Attributes:
        version: as it was asked for.
        commit: that it is.
        files: how many were compared.
        run: number of the last run of the store that counted.
        difference: the first one, in words; ``None`` if all bytes are those that were published.
        libraries: those whose version is another than then, with both.
    """

    version: str
    commit: str
    files: int
    run: int
    difference: str | None
    libraries: dict[str, tuple[str, str]]


def rebuild(
    version: str,
    dataset: SnapshotDataset,
    store: RecordStore,
    *,
    pseudonyms: str | None,
    index: Index | None = None,
    out: Path | None = None,
    workers: int | None = None,
) -> RebuildReport:
    """Make a version's tables again and compare them with what was published.

    ``report.html`` and ``figures/`` are not among the files that are compared: they speak of versions before, too.

    Args:
        version: a tag or commit of the dataset.
        dataset: that has it.
        store: the record store that it was made from; it may hold much more by now.
        pseudonyms: fingerprint of the key that the environment has.
        index: the index that it was made with; it may have been updated since.
        out: where to leave what was made; it is removed without.
        workers: processes and threads.

    Raises:
        UsageError: there is no such version, it was made before its code was kept, store, index or key are others, or
            ``out`` and the store are one inside the other.
        DatasetError: git failed, or the version's code did.
        LockedError: another run makes a version of this dataset again.
    """
    if out is not None:
        store.require_outside(out)
    origin = find_origin(version, dataset)
    _require_same(version, origin, store, pseudonyms, index)
    with _scratch(dataset) as scratch:
        code = _unpack_code(version, origin.commit, dataset, scratch / "code")
        made = out if out is not None else scratch / "tables"
        request = {
            "store": str(store.path.absolute()),
            "run": origin.run,
            "index": str(index.path.absolute()) if index and origin.snapshot["versions"]["index"] else None,
            "index_digest": origin.snapshot["versions"]["index"],
            "code": origin.snapshot["versions"]["code"],
            "out": str(made.absolute()),
            "scratch": str(scratch),
            "workers": workers,
        }
        write_atomically(scratch / "request.json", to_json(request))
        _run_code(version, code, scratch / "request.json")
        difference = _first_difference(origin, dataset, made)
    return RebuildReport(
        version,
        origin.commit,
        len(origin.snapshot["files"]),
        origin.run,
        difference,
        _other_libraries(origin),
    )


def find_origin(version: str, dataset: SnapshotDataset) -> Origin:
    """What a version was made from.

    Raises:
        UsageError: there is no such version, or it does not say.
    """
    commit = dataset.find(version)
    snapshot = dataset.snapshot(commit)
    # A release stands on the commit of its night, which tells of the store.
    message = git(dataset.path, "log", "-1", *_TOLD, "--format=%B", commit)
    told = dict(line.split(": ", 1) for line in message.splitlines() if line.startswith(f"{STORE_ID}"))
    if not snapshot or STORE_RUN not in told or not dataset.committed("code", commit=commit):
        raise UsageError(
            f"{version}: does not say which code and records made it; versions do since their dataset has code/"
        )
    return Origin(commit, of_night(snapshot), told[STORE_ID], int(told[STORE_RUN]))


def with_origin(commits: Sequence[str], dataset: SnapshotDataset) -> set[str]:
    """Those of some nights' commits that tell what they were made from, so that they can be made again."""
    if not commits:
        return set()
    asked = "".join(f"{commit}:code\n" for commit in commits)
    answers = run(["git", "cat-file", "--batch-check=%(objecttype)"], dataset.path, told=asked).splitlines()
    coded = [commit for commit, kind in zip(commits, answers, strict=True) if kind == "tree"]
    told = "".join(f"{commit}\n" for commit in coded)
    command = ["git", "log", "--no-walk=unsorted", *_TOLD, "--format=%H", "--stdin"]
    return set(run(command, dataset.path, told=told).split()) if coded else set()


def _require_same(
    version: str, origin: Origin, store: RecordStore, pseudonyms: str | None, index: Index | None
) -> None:
    if store.id != origin.store:
        raise UsageError(
            f"{store.path}: is the record store {store.id}, {version} was made from {origin.store}; name that one with "
            "--store"
        )
    if store.newest_change() < origin.run:
        raise UsageError(
            f"{store.path}: ends with run {store.newest_change()}, {version} was made from runs up to {origin.run}; "
            "restore a newer copy"
        )
    versions = origin.snapshot["versions"]
    if pseudonyms != versions["pseudonyms"]:
        raise UsageError(
            f"{version} was made with the key for pseudonyms whose fingerprint is {versions['pseudonyms']}, found "
            f"{pseudonyms or 'none'}; set {KEY_VARIABLE} to that key"
        )
    if versions["index"] is not None:
        if index is None:
            raise UsageError(f"{version} was made with an index of public images; name it with --index")
        index.at(versions["index"])


@contextmanager
def _scratch(dataset: SnapshotDataset) -> Iterator[Path]:
    """A folder in the dataset's private one, which is on a disk that has room for tables."""
    folder = dataset.private / "rebuild"
    folder.parent.mkdir(exist_ok=True)
    try:
        with FileLock(folder.with_suffix(".lock"), timeout=0):
            remove_folder(folder)  # of a run that was killed
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder)
    except Timeout as error:
        raise LockedError(f"{dataset.path}: another rebuild is under way; wait until it ends") from error


def _unpack_code(version: str, commit: str, dataset: SnapshotDataset, folder: Path) -> Path:
    packed = git_bytes(dataset.path, "archive", "--format=tar", f"{commit}:code")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    if not (folder / "curation" / "again.py").exists():
        raise UsageError(f"{version}: its code/ has no curation/again.py, which makes tables again")
    return folder


def _run_code(version: str, code: Path, request: Path) -> None:
    """Run a version's code, which tells on standard error what went wrong."""
    environment = {**os.environ, "PYTHONPATH": str(code)}
    done = subprocess.run(
        [sys.executable, "-m", "curation.again", str(request)],
        cwd=code,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise DatasetError(
            f"{version}: its code ended with exit code {done.returncode}: {done.stderr.strip()[-2000:]}"
        )


def _first_difference(origin: Origin, dataset: SnapshotDataset, made: Path) -> str | None:
    """The first difference in words: of files in the order of their names, then of what ``snapshot.json`` says."""
    new = json.loads((made / "snapshot.json").read_bytes())
    for name, counts in origin.snapshot["tables"].items():
        if (now := new["tables"][name]["received"]) != counts["received"]:
            return (
                f"what was received: {counts['received']} records of {name} then, {now} in this store up to the same "
                "run; is a part of it missing? Restore it from a backup"
            )
    for name, facts in sorted(origin.snapshot["files"].items()):
        path = made / name
        if not path.exists():
            return f"{name}: is not made any more"
        if file_sha256(path) != facts["sha256"]:
            return _describe_difference(name, path, dataset.open(name, origin.commit))
    if more := sorted(new["files"].keys() - {*origin.snapshot["files"], REWRITTEN}):
        return f"{more[0]}: was not made then"
    then, now = (one | {"versions": None} for one in (origin.snapshot, of_night(new)))
    differing = [key for key in sorted({**now, **then}) if now.get(key) != then.get(key)]
    return f"snapshot.json: {differing[0]} is another" if differing else None


def _describe_difference(name: str, path: Path, published: io.BufferedIOBase | None) -> str:
    if published is None:
        return f"{name}: other bytes (the published ones are not here to compare; `datalad get` fetches them)"
    if path.suffix == ".parquet":
        return f"{name}: other bytes"
    with path.open("rb") as made, published as then:
        for number, (old, new) in enumerate(_lines(then, made), 1):
            if old != new:
                return f"{name}, line {number}: published {_shown(old)}, made now {_shown(new)}"
    return f"{name}: what git-annex has is not what was published; `git annex fsck` checks it"


def _lines(then: io.BufferedIOBase, made: io.BufferedIOBase) -> Iterator[tuple[bytes, bytes]]:
    """Lines of both, an empty one after the end of either."""
    while True:
        old, new = then.readline(), made.readline()
        if not old and not new:
            return
        yield old, new


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace").rstrip("\n")
    return repr(text if len(text) <= 200 else f"{text[:200]}...")


def _other_libraries(origin: Origin) -> dict[str, tuple[str, str]]:
    now = {"numpy": np.__version__, "pyarrow": pa.__version__, "bids": schema_version()}
    then = {name: origin.snapshot["versions"][name] for name in now}
    return {name: (then[name], now[name]) for name in now if then[name] != now[name]}
