"""The index of public images, and matching: reading a history, an update with nothing new, millions of checksums."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.memory import own_peak
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
        peak_mb: peak resident memory of a process that matches, MB.
    """

    read: float
    update: float
    records: int
    checksums: int
    match: float
    peak_mb: float


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
        make_index(Path(folder, "known"), random_checksums(checksums, seed=1))
        # In a process of its own: the making of the index takes memory, too.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            match, memory = pool.submit(_match, Path(folder, "known"), records, checksums, rounds).result()
    return Figures(read, update, records, checksums, match, memory)


def _match(folder: Path, records: int, checksums: int, rounds: int) -> tuple[float, float]:
    asked, index = pa.chunked_array([_asked(records, checksums)]), Index(folder)
    match = statistics.median(_timed(lambda: match_checksums(asked, index)) for _ in range(rounds))
    return match, own_peak()


def _asked(records: int, checksums: int) -> pa.Array:
    """Checksums to match, half of them those of the index."""
    known = random_checksums(checksums, seed=1).slice(0, records // 2)
    return pa.concat_arrays([known, random_checksums(records - records // 2, seed=2)])


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


def make_index(
    folder: Path, checksums: pa.Array, suffixes: Sequence[str] | None = None, datasets: int = DATASETS
) -> None:
    """An index of images that have these checksums.

    Args:
        folder: where it goes.
        checksums: of the images, in the order of their datasets.
        suffixes: BIDS suffix of each (``T1w``, ``bold``); all are bold without.
        datasets: that share the images equally.
    """
    suffixes = suffixes if suffixes is not None else ["bold"] * len(checksums)
    index = Index(folder)
    size = -(-len(checksums) // datasets)
    for number in range(datasets):
        some = slice(number * size, (number + 1) * size)
        names = suffixes[some]
        if not names:
            break
        sidecar = _sidecar(number)
        digest = hashlib.sha256(sidecar.encode()).hexdigest()
        copies = [_copy(number, place, name, digest) for place, name in enumerate(names)]
        rows = pa.Table.from_pylist(copies, schema=COPIES)
        rows = rows.set_column(0, COPIES.field("md5"), checksums[some])
        index.sources.append(Source(f"x{number}", "manifest"))
        index.put(SourceRead(f"x{number}", f"ds{number:06}", rows, {digest: sidecar}))
    index.save()


def _sidecar(dataset: int) -> str:
    """What the images of a dataset share, and no other dataset has: parameters that records of the corpus lack."""
    return json.dumps({"NumberShots": 1 + dataset, "PatientPosition": "HFS"}, separators=(",", ":"))


def _copy(dataset: int, place: int, suffix: str, sidecar: str) -> dict[str, object]:
    """A row as long as those of real datasets."""
    subject, run = divmod(place, 20)
    name = f"ds{dataset:06}"
    path = f"sub-{subject:04}/ses-01/func/sub-{subject:04}_ses-01_task-resting_run-{run:02}_{suffix}.nii.gz"
    key = f"{dataset:08x}{place:08x}"
    return {
        "md5": "", "size": 10_000_000 + place, "dataset": name,
        "source": f"https://github.com/OpenNeuroDatasets/{name}",
        "path": path, "first_version": "1.0.0", "last_version": "1.0.2", "in_newest": True,
        "url": f"https://s3.amazonaws.com/openneuro.org/{name}/{path}?versionId={key}{key}", "licence": "CC0",
        "name": "Some dataset", "doi": f"10.18112/openneuro.{name}.v1.0.2", "sidecar": sidecar,
        "entities": f'{{"datatype": "func", "extension": ".nii.gz", "run": "{run:02}", "session": "01", "subject": '
                    f'"{subject:04}", "suffix": "{suffix}", "task": "resting"}}',
        "sidecar_path": f"task-resting_{suffix}.json",
    }  # fmt: skip


def random_checksums(number: int, *, seed: int) -> pa.Array:
    """So many checksums, of 32 hexadecimal digits each."""
    digits = np.random.default_rng(seed).bytes(16 * number).hex()
    offsets = np.arange(0, 32 * number + 1, 32, dtype="int32")
    return pa.Array.from_buffers(
        pa.string(), number, [None, pa.py_buffer(offsets), pa.py_buffer(digits.encode())]
    )
