"""Law 4: kill the night at any moment; the next run needs no hand and converges to the same bytes."""

from __future__ import annotations

import json
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
# A night of this service takes about this long, the start of the interpreter and the first layout included.
NIGHT_SECONDS = 5.0


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


@pytest.mark.parametrize("seed", range(CHAINS))
def test_killed_nights_end_in_the_bytes_of_an_undisturbed_one(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    with FastApi(upstream(random)) as service:
        command = [sys.executable, "-m", "tests.support.night", service.url, "store", "dataset"]
        killed = 0
        while killed < KILLS:
            with (tmp_path / "errors").open("wb") as errors:
                run = subprocess.Popen(command, cwd=tmp_path, env=python_path(), stderr=errors)
                moment = random.uniform(0.3, NIGHT_SECONDS)
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
