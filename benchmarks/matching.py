"""The index of public images, and matching: reading a history, an update with nothing new, millions of checksums."""

from __future__ import annotations

import hashlib
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.index.index import Index, Source
from curation.index.model import COPIES, SourceRead
from curation.index.repository import read_repository
from curation.index.sources import add_sources, update_sources
from curation.match.checksums import match_checksums

FILES, COMMITS, REPOSITORIES = 3_000, 40, 1_500
DATASETS = 1_500
"""As many as the index of matching has, of equal sizes."""


@dataclass(frozen=True)
class Figures:
    """What was measured, seconds if nothing else is said.

    Attributes:
        read: a repository of :data:`FILES` annexed images with its whole history of :data:`COMMITS` commits.
        update: :data:`REPOSITORIES` local repositories with nothing new.
        records: checksums that were matched; checksums: those of the index, a quarter more.
        match: matching them; half of them are public.
        memory: peak of the process while matching, in megabytes.
    """

    read: float
    update: float
    records: int
    checksums: int
    match: float
    memory: float


def measure(records: int, rounds: int) -> Figures:
    """Measure with so many records to match."""
    with tempfile.TemporaryDirectory() as folder:
        large = _repository(Path(folder, "ds000001.git"), FILES, COMMITS)
        read = statistics.median(
            _timed(lambda: read_repository(str(large), cache=Path(folder))) for _ in range(rounds)
        )
        index = Index(Path(folder, "index"))
        small = [_repository(Path(folder, f"ds1{number:05}.git"), 2, 1) for number in range(REPOSITORIES)]
        add_sources(index, [str(path) for path in small])
        update = statistics.median(_timed(lambda: update_sources(index)) for _ in range(rounds))
        checksums = records * 5 // 4
        asked, known = _index(Path(folder, "known"), records, checksums)
        match = statistics.median(_timed(lambda: match_checksums(asked, known)) for _ in range(rounds))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Figures(read, update, records, checksums, match, memory)


def _timed(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


def _repository(path: Path, files: int, commits: int) -> Path:
    """A bare repository with annexed images, changed a few at a time."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        cwd=path,
        input=b"".join(_stream(files, commits)),
        env=environment,
        check=True,
    )
    return path


def _stream(files: int, commits: int) -> Iterator[bytes]:
    for commit in range(commits):
        yield b"commit refs/heads/main\ncommitter x <x@localhost> %d +0000\ndata 1\nx\n" % (
            1_500_000_000 + commit
        )
        for number in range(files) if commit == 0 else range(commit, files, commits):
            digest = hashlib.md5(f"{number} {commit}".encode()).hexdigest()
            key = f"MD5E-s1000--{digest}.nii.gz"
            target = f"../../.git/annex/objects/aa/bb/{key}/{key}".encode()
            name = f"sub-{number:04}/anat/sub-{number:04}_T1w.nii.gz".encode()
            yield b"M 120000 inline %s\ndata %d\n%s\n" % (name, len(target), target)
        yield b"reset refs/tags/%d.0.0\nfrom refs/heads/main\n\n" % commit


def _index(folder: Path, records: int, checksums: int) -> tuple[pa.ChunkedArray, Index]:
    """Checksums to match, and an index that has half of them."""
    known = _checksums(checksums, seed=1)
    asked = pa.concat_arrays([known.slice(0, records // 2), _checksums(records - records // 2, seed=2)])
    index = Index(folder)
    size = -(-checksums // DATASETS)
    for number in range(DATASETS):
        some = known.slice(number * size, size)
        about = {
            "source": "x",
            "path": "sub-01/anat/sub-01_T1w.nii.gz",
            "in_newest": True,
            "last_version": "1.0.0",
        }
        columns = {"md5": some} | {name: pa.array([value] * len(some)) for name, value in about.items()}
        rows = [columns.get(field.name, pa.nulls(len(some), field.type)) for field in COPIES]
        index.sources.append(Source(f"x{number}", "manifest"))
        index.put(SourceRead(f"x{number}", f"ds{number:06}", pa.table(rows, schema=COPIES)))
    index.save()
    return pa.chunked_array([asked]), index


def _checksums(number: int, *, seed: int) -> pa.Array:
    digits = np.random.default_rng(seed).bytes(16 * number).hex()
    offsets = np.arange(0, 32 * number + 1, 32, dtype="int32")
    return pa.Array.from_buffers(
        pa.string(), number, [None, pa.py_buffer(offsets), pa.py_buffer(digits.encode())]
    )
