"""What a night costs before and beside its work: Prefect, DataLad, and the start of Python.

Nights of the ``nightly`` command against the embedded Web-API, the same nights without Prefect, and a flow of Prefect's
that does nothing, all with nothing new and in turn. The corpus is small: what is measured is what every night pays.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.alone import Alone, StepFailedError, run_alone, run_command
from curation.pseudonyms import required_pseudonyms
from curation.publish import SnapshotDataset, publish
from curation.pull import Politeness, pull
from curation.store import RecordStore


@dataclass(frozen=True)
class Starting:
    """What was measured, seconds, medians over the rounds; of nights with nothing new if nothing else is said.

    Attributes:
        records: that the service has.
        rounds: of this measurement.
        night: the command, from the start of its process to its end.
        without_prefect: the same in a process without Prefect.
        prefect: what Prefect adds, the difference of the two.
        prefect_import: of it, importing Prefect.
        prefect_flow: of it, a flow that does nothing, whose embedded server starts first.
        startup: of ``without_prefect``, the start of Python and imports.
        dataset: of it, looking whether the DataLad dataset is as it was left.
        pull: of it, asking the service.
        curate: of it, making the tables of records whose typed columns are there, and comparing them with those
            published.
        first_dataset: laying out the DataLad dataset, in a first night.
        first_commit: committing all tables, in a first night.
    """

    records: int
    rounds: int
    night: float
    without_prefect: float
    prefect: float
    prefect_import: float
    prefect_flow: float
    startup: float
    dataset: float
    pull: float
    curate: float
    first_dataset: float
    first_commit: float


def measure(rounds: int) -> Starting:
    """Measure nights against the demo corpus.

    Raises:
        StepFailedError: one of them failed, or found something new.
    """
    with TemporaryDirectory() as name, _service() as url:
        folder = Path(name)
        _command_night(url, folder)
        first = _plain_night(url, folder)
        whole, plain, empty = [], [], []
        for _ in range(rounds):
            whole.append(_unchanged(_command_night(url, folder)))
            plain.append(_unchanged(_plain_night(url, folder)))
            empty.append(run_alone(empty_flow, home=folder / "prefect"))
    return Starting(
        records=first.figures["records"],
        rounds=rounds,
        night=median(one.seconds for one in whole),
        without_prefect=median(one.seconds for one in plain),
        prefect=median(one.seconds - other.seconds for one, other in zip(whole, plain, strict=True)),
        prefect_import=median(one.figures["import"] for one in empty),
        prefect_flow=median(one.figures["flow"] for one in empty),
        startup=median(one.seconds - one.figures["work"] for one in plain),
        dataset=median(one.figures["prepare"] for one in plain),
        pull=median(one.figures["pull"] for one in plain),
        curate=median(one.figures["publish"] for one in plain),
        first_dataset=first.figures["prepare"],
        first_commit=first.figures["commit_seconds"],
    )


@contextmanager
def _service() -> Iterator[str]:
    """The embedded Web-API with the demo corpus, in a process of its own."""
    command = [sys.executable, "-m", "flows.cli", "serve-demo", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            said: list[str] = []
            for line in process.stderr or ():
                said.append(line)
                if line.startswith("serving "):
                    break
            else:
                raise StepFailedError(f"the embedded Web-API did not start:\n{''.join(said)}")
            yield said[-1].split()[1]
        finally:
            process.terminate()


def _command_night(url: str, folder: Path) -> Alone:
    command = [
        *(sys.executable, "-m", "flows.cli", "nightly", "--json", "--api-url", url),
        *("--store", str(folder / "store"), "--dataset", str(folder / "dataset")),
    ]
    return run_command(command, environment=_prefect(folder / "prefect"))


def _plain_night(url: str, folder: Path) -> Alone:
    return run_alone(
        night_without_prefect, url=url, store=folder / "plain-store", dataset=folder / "plain-dataset"
    )


def _prefect(home: Path | str) -> dict[str, str]:
    """Prefect with an embedded server and a history of its own, whatever whoever measures has set."""
    return {"PREFECT_HOME": str(home), "PREFECT_API_URL": "", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def _unchanged(night: Alone) -> Alone:
    if night.figures["commit"] is not None:
        raise StepFailedError(f"a night with nothing new made the commit {night.figures['commit']}")
    return night


def night_without_prefect(url: str, store: str, dataset: str) -> dict[str, object]:
    """The stages of a night in their order; returns their seconds."""
    marks = {"begin": time.perf_counter()}
    record_store, snapshot = RecordStore(Path(store)), SnapshotDataset(Path(dataset))

    def mark(what: str) -> None:
        marks[what] = time.perf_counter()

    with snapshot.lock():
        snapshot.prepare()
        mark("prepared")
        pulled = asyncio.run(pull(url, record_store, politeness=Politeness(per_second=0)))
        mark("pulled")
        with record_store.lock():
            report = publish(record_store, snapshot, required_pseudonyms(), on_stage=mark)
        mark("published")
    committing = marks.get("commit", marks["published"])
    return {
        "commit": report.commit,
        "records": sum(one.live for one in pulled.resources.values()),
        "prepare": marks["prepared"] - marks["begin"],
        "pull": marks["pulled"] - marks["prepared"],
        "publish": committing - marks["pulled"],
        "commit_seconds": marks["published"] - committing,
        "work": marks["published"] - marks["begin"],
    }


def empty_flow(home: str) -> dict[str, float]:
    """Seconds of importing Prefect, and of a first flow that does nothing."""
    os.environ.update(_prefect(home))
    begun = time.perf_counter()
    from prefect import flow

    imported = time.perf_counter()

    @flow
    def nothing() -> None:
        """Do nothing."""

    nothing()
    return {"import": imported - begun, "flow": time.perf_counter() - imported}
