"""How curation from nothing grows with the number of records: time a record, and peak memory."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.alone import Alone, run_alone
from benchmarks.whole import CHECKSUMS, Place, Work, curate_store, import_place, prepare, summary

SIZES = (250_000, 500_000, 1_000_000)
"""Records of the stores; the largest and its tables take some 10 GB of disk."""


def measure(sizes: Sequence[int], rounds: int, checksums: int = CHECKSUMS) -> dict[int, Work]:
    """Curate stores of several sizes in turn, ``rounds`` times each.

    Args:
        sizes: records of each store.
        rounds: whose medians are told.
        checksums: of the index.

    Raises:
        StepFailedError: one of them failed.
    """
    with TemporaryDirectory() as folder:
        places = [_prepare(Path(folder, str(size)), size, checksums) for size in sizes]
        found: dict[int, list[Alone]] = {size: [] for size in sizes}
        for _ in range(rounds):
            for place in places:
                found[place.records].append(_curate(place))
    return {size: summary(alone, size) for size, alone in found.items()}


def _prepare(folder: Path, records: int, checksums: int) -> Place:
    place = prepare(folder, records, checksums)
    import_place(place, place.files.first)
    shutil.rmtree(folder / "corpus")  # three times as large as the store
    return place


def _curate(place: Place) -> Alone:
    alone = run_alone(curate_store, store=place.store, out=place.out, index=place.index, fresh=True)
    shutil.rmtree(place.out)
    return alone
