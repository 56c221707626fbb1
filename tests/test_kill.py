"""Law 4: kill the night at any moment; the next run needs no hand and converges to the same bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from curation.publish.commands import git
from tests.support.fast_api import FastApi, make_document
from tests.support.night import run_night

KILLS = 10
CHAINS = 5  # with KILLS: fifty random moments
DOCUMENTS = 240
# Nights of this service take about so long, the start of the interpreter included: the first, which lays the dataset
# out, and those after it.
FIRST_SECONDS, LATER_SECONDS = 5.0, 2.5


def upstream(random: Random) -> dict[str, list[dict]]:
    """Documents of two resources, a third of them repeats."""
    return {
        resource: [
            make_document(resource, n, second=n * 977, checksum=random.randrange(DOCUMENTS * 2 // 3))
            for n in range(DOCUMENTS)
        ]
        for resource in ("T1w", "bold")
    }


def disturb(service: FastApi, random: Random, step: int) -> None:
    """One insert, one update, one deletion."""
    now = int(time.time()) - 1_514_764_800
    service.put("T1w", make_document("T1w", 10_000 + step, second=now))
    changed = random.randrange(DOCUMENTS)
    ids = service.ids("bold")
    if make_document("bold", changed, second=changed * 977)["_id"] in ids:
        age = now - changed * 977
        service.put(
            "bold", make_document("bold", changed, second=changed * 977, version=age, checksum=changed)
        )
    service.delete("bold", random.choice(ids))


def published(dataset: Path) -> dict[str, bytes]:
    """Every file of a dataset's last commit below csv, parquet and audit."""
    files = git(dataset, "ls-files", "csv", "parquet", "audit").split()
    return {name: (dataset / name).read_bytes() for name in files}


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store and dataset after a night that nobody disturbed."""
    folder = tmp_path_factory.mktemp("first")
    with FastApi(upstream(Random(CHAINS))) as service:
        run_night(service.url, folder / "store", folder / "dataset")
    return folder


@pytest.mark.parametrize("seed", range(CHAINS))
def test_killed_nights_end_in_the_bytes_of_an_undisturbed_one(
    seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Two chains begin with nothing, the others after a first night."""
    random, from_nothing = Random(seed), seed < 2
    if not from_nothing:
        for name in ("store", "dataset"):
            made = request.getfixturevalue("first_night") / name
            shutil.copytree(made, tmp_path / name, symlinks=True)
    seconds = FIRST_SECONDS if from_nothing else LATER_SECONDS
    with FastApi(upstream(random if from_nothing else Random(CHAINS))) as service:
        command = [sys.executable, "-m", "tests.support.night", service.url, "store", "dataset"]
        killed = 0
        while killed < KILLS:
            with (tmp_path / "errors").open("wb") as errors:
                run = subprocess.Popen(command, cwd=tmp_path, env=python_path(), stderr=errors)
                moment = random.uniform(0.3, seconds)
                try:
                    code = run.wait(moment)
                except subprocess.TimeoutExpired:
                    run.kill()
                    run.wait()
                    killed += 1
                else:
                    assert code == 0, (tmp_path / "errors").read_text()
            disturb(service, random, killed)
        run_night(service.url, tmp_path / "store", tmp_path / "dataset")
        report = run_night(service.url, tmp_path / "store", tmp_path / "dataset")
        assert report.commit is None
        run_night(service.url, tmp_path / "quiet-store", tmp_path / "quiet-dataset")
        received = sum(len(service.ids(resource)) for resource in ("T1w", "bold"))
    assert published(tmp_path / "dataset") == published(tmp_path / "quiet-dataset")
    tables = json.loads((tmp_path / "dataset" / "snapshot.json").read_bytes())["tables"].values()
    assert sum(t["received"] - t["withdrawn"] for t in tables) == received
    assert git(tmp_path / "dataset", "status", "--porcelain") == ""


def python_path() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
