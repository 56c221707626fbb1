"""The whole pipeline on one corpus: import, curation from nothing, a night; and two alternatives on the same files.

Everything measured runs in a process of its own. They take turns, round by round: the speed of a machine that others
use, too, swings by more than what is compared here. The files that are read were written just before, and are in the
kernel's cache for all of them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import alternatives
from benchmarks.alone import Alone, run_alone
from benchmarks.corpus import Files, image_checksums, write_corpus
from benchmarks.matching import DATASETS, make_index, random_checksums
from curation.curate import curate
from curation.dumps import find_dumps, import_dumps
from curation.engine import Engine
from curation.index.index import Index
from curation.pseudonyms import required_pseudonyms
from curation.store import RecordStore
from schemas.dictionary import Resource
from schemas.published import IMAGE_RESOURCES

CHECKSUMS = 1_000_000
"""Checksums of the index of public images."""
PUBLIC = 2
"""Every so many-th image of the corpus is public."""
NIGHT = 100
"""A night brings one record for so many that are there."""
_IMAGES_A_DATASET = 500


@dataclass(frozen=True)
class Work:
    """One kind of work in all rounds.

    Attributes:
        records: that were read or made into tables.
        seconds: median over the rounds, without the start of Python and imports.
        records_a_second: likewise.
        peak_mb: highest resident memory of all its processes in any round, MB.
        rows: of unique tables (or what is likest to them), by resource; empty where none are made.
        rounds: seconds of each round.
    """

    records: int
    seconds: float
    records_a_second: float
    peak_mb: float
    rows: dict[str, int]
    rounds: list[float]


@dataclass(frozen=True)
class Place:
    """Where a corpus, its store and what is made of them are.

    Attributes:
        folder: of all of it.
        files: the corpus.
        records: of the corpus, without the night that follows.
    """

    folder: Path
    files: Files
    records: int

    @property
    def store(self) -> Path:
        """The record store."""
        return self.folder / "store"

    @property
    def index(self) -> Path:
        """The index of public images."""
        return self.folder / "index"

    @property
    def out(self) -> Path:
        """Where tables go."""
        return self.folder / "out"


def measure(
    records: int, rounds: int, checksums: int = CHECKSUMS, keep: Path | None = None
) -> dict[str, Work]:
    """Measure all works in turn, ``rounds`` times.

    Args:
        records: of the corpus.
        rounds: whose medians are told.
        checksums: of the index.
        keep: a folder for what is made; a temporary one without.

    Returns:
        By name: ``import``, ``curate``, ``night``, ``duckdb`` and ``pandas``.

    Raises:
        StepFailedError: one of them failed.
    """
    with TemporaryDirectory() as folder:
        place = prepare(keep or Path(folder), records, checksums)
        found = [_round(place) for _ in range(rounds)]
    few = min(records, alternatives.MOST_PANDAS)
    sizes = {"night": records + records // NIGHT, "pandas": few}
    return {name: summary([one[name] for one in found], sizes.get(name, records)) for name in found[0]}


def prepare(folder: Path, records: int, checksums: int = CHECKSUMS) -> Place:
    """Make a corpus, and an index of ``checksums`` that knows every :data:`PUBLIC`-th of its images."""
    folder.mkdir(parents=True, exist_ok=True)
    files = write_corpus(folder / "corpus", records, later=records // NIGHT)
    place = Place(folder, files, records)
    public, suffixes = [], []
    for resource in IMAGE_RESOURCES:
        found = image_checksums(files.first[resource])[::PUBLIC]
        public += found
        suffixes += [str(resource)] * len(found)
    others = random_checksums(max(0, checksums - len(public)), seed=3)
    suffixes += ["bold"] * len(others)
    every = pa.concat_arrays([pa.array(public, pa.string()), others])
    # Images that are public are all over the index.
    order = np.random.default_rng(4).permutation(len(every))
    datasets = max(1, min(DATASETS, len(every) // _IMAGES_A_DATASET))
    make_index(place.index, every.take(pa.array(order)), [suffixes[one] for one in order], datasets)
    return place


def _round(place: Place) -> dict[str, Alone]:
    """Every work once; the store is a new one, the night is the one after."""
    for old in (place.store, place.out, place.folder / "duckdb", place.folder / "pandas"):
        shutil.rmtree(old, ignore_errors=True)
    corpus = place.folder / "corpus"
    few = min(place.records, alternatives.MOST_PANDAS)
    curation = {"store": place.store, "out": place.out, "index": place.index}
    done = {
        "duckdb": run_alone(alternatives.with_duckdb, corpus=corpus, out=place.folder / "duckdb"),
        "import": import_place(place, place.files.first),
        "curate": run_alone(curate_store, **curation, fresh=True),
    }
    # What fetches and stores new records is measured by itself: the pull, and the import.
    import_place(place, place.files.later)
    done["night"] = run_alone(curate_store, **curation, fresh=False)
    done["pandas"] = run_alone(
        alternatives.with_pandas, corpus=corpus, out=place.folder / "pandas", records=few
    )
    return done


def import_place(place: Place, files: Mapping[Resource, Path]) -> Alone:
    """Import files into the store of ``place``, in a process of its own."""
    return run_alone(import_files, files=[str(path) for path in files.values()], store=place.store)


def import_files(files: Sequence[str], store: str) -> dict[str, Any]:
    """Import files of JSON lines into a store."""
    dumps = find_dumps([Path(file) for file in files], None)
    begun = time.perf_counter()
    record_store = RecordStore(Path(store))
    with record_store.lock():
        report = import_dumps(record_store, dumps)
    seconds = time.perf_counter() - begun
    if report.unread:
        raise RuntimeError(f"{report.unread} places of the corpus could not be read")
    return {"seconds": seconds}


def curate_store(store: str, out: str, index: str | None, *, fresh: bool) -> dict[str, Any]:
    """Curate as the command does, on all processors.

    Args:
        store: the record store.
        out: where tables go.
        index: of public images; ``None`` for none.
        fresh: from nothing: typed columns and tables that are there are removed first.
    """
    record_store = RecordStore(Path(store))
    if fresh:
        for typed in record_store.path.glob("*/typed"):
            shutil.rmtree(typed)
        shutil.rmtree(out, ignore_errors=True)
    begun = time.perf_counter()
    with Engine() as engine, record_store.lock():
        report = curate(
            record_store,
            Path(out),
            pseudonyms=required_pseudonyms(),
            index=Index(Path(index)) if index is not None else None,
            engine=engine,
        )
    seconds = time.perf_counter() - begun
    tables = report.snapshot["tables"]
    return {
        "seconds": seconds,
        "rows": {resource: counts["representatives"] for resource, counts in tables.items()},
    }


def summary(rounds: Sequence[Alone], records: int) -> Work:
    """What the rounds of one work come to."""
    seconds = [one.figures["seconds"] for one in rounds]
    return Work(
        records=records,
        seconds=median(seconds),
        records_a_second=records / median(seconds),
        peak_mb=max(one.peak_mb for one in rounds),
        rows=rounds[0].figures.get("rows", {}),
        rounds=seconds,
    )


def time_ratio(one: Work, other: Work) -> float:
    """How many times as long ``one`` takes as ``other``: median of the rounds, in each of which they took turns."""
    return median(mine / its for mine, its in zip(one.rounds, other.rounds, strict=True))


def rate_ratio(one: Work, other: Work) -> float:
    """How many times as many records a second ``one`` reads as ``other``, likewise."""
    return one.records / other.records / time_ratio(one, other)
