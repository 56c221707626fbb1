"""Law 4: kill an import at any place; the same command again needs no hand and ends in the same records."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from curation.objectid import HIGHEST, LOWEST
from curation.store import RecordStore
from tests.support.dumps import bson_of, compressed, database_document, lines_of, stored, versions

COUNT = 900
# Kills itself right before or after the n-th rename, which is what makes anything in the store count, or right before
# the n-th document: `python -c DRIVER place n ARGUMENTS`.
DRIVER = """
import os, signal, sys
from curation.dumps import sink
from curation.store import files
from flows import cli

sink.PART_DOCUMENTS, sink._BATCH_DOCUMENTS = 100, 40
place, left = sys.argv[1], int(sys.argv[2])
rename, add = os.replace, sink.Sink.add

def count():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def replace(*arguments):
    if place == "before":
        count()
    rename(*arguments)
    if place == "after":
        count()

def take(self, record):
    if place == "document":
        count()
    add(self, record)

files.os.replace, sink.Sink.add = replace, take
sys.argv = ["mriqc-snapshot", *sys.argv[3:]]
cli.main()
"""


def run(folder: Path, place: str, number: int, *files: str) -> int:
    command = [sys.executable, "-c", DRIVER, place, str(number), "import", *files, "--store", "store"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True).returncode


@pytest.mark.parametrize("seed", range(2))
def test_killed_imports_end_in_the_records_of_an_undisturbed_one(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    documents = [database_document(n, second=n * 60) for n in range(COUNT)]
    changed = [database_document(n, second=n * 60, age=10**6) for n in range(0, COUNT, 7)]
    random.shuffle(documents)
    (tmp_path / "T1w.bson.gz").write_bytes(compressed(bson_of(documents), ".gz"))
    (tmp_path / "newer.T1w.json").write_bytes(lines_of(changed))
    files = ("T1w.bson.gz", "newer.T1w.json")
    (tmp_path / "quiet").mkdir()
    for name in files:
        (tmp_path / "quiet" / name).write_bytes((tmp_path / name).read_bytes())
    assert run(tmp_path / "quiet", "never", 0, *files) == 0
    killed = 0
    while killed < 3:
        place = random.choice(["before", "after", "document"])
        number = random.randint(1, COUNT if place == "document" else 12)
        code = run(tmp_path, place, number, *files)
        # Once nothing is left to store, there may be fewer renames than that.
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
    assert run(tmp_path, "never", 0, *files) == 0
    store, quiet = tmp_path / "store", tmp_path / "quiet" / "store"
    assert stored(store) == stored(quiet) and versions(store) == versions(quiet) == COUNT + len(changed)
    known, cursor = RecordStore(store).known("T1w"), RecordStore(store).cursor("T1w")
    assert known.count(LOWEST, HIGHEST) == len(known.ids(LOWEST, HIGHEST)) == COUNT
    assert cursor == RecordStore(quiet).cursor("T1w") and "newest_id" in cursor
    for part in RecordStore(store).parts("T1w"):
        part.check()
