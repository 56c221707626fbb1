"""A night without Prefect, in a process that a test can kill: ``python -m tests.support.night URL STORE DATASET``.

The stages and their order are those of ``flows/nightly.py``.
"""

import asyncio
import sys
from pathlib import Path

from curation.publish import PublishReport, SnapshotDataset, publish
from curation.pull import Politeness, pull
from curation.store import RecordStore
from tests.support.pseudonyms import PSEUDONYMS

# As fast as the machine goes; a retry waits a hundredth of a second at most.
HASTE = Politeness(connections=4, per_second=0, first_wait=0.01, longest_wait=0.01, timeout=5.0)


def run_night(url: str, store_path: Path, dataset_path: Path) -> PublishReport:
    """Pull, make the tables, commit."""
    store, dataset = RecordStore(store_path), SnapshotDataset(dataset_path)
    with dataset.lock():
        dataset.prepare()
        asyncio.run(pull(url, store, politeness=HASTE))
        with store.lock():
            return publish(store, dataset, PSEUDONYMS)


if __name__ == "__main__":
    run_night(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
