"""The night as its users meet it: Prefect flow, embedded Web-API (Eve), DataLad dataset."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import pyarrow.csv
import pytest
from bson import ObjectId

from curation.annexed import Annex
from curation.errors import LockedError
from curation.publish import SnapshotDataset
from curation.publish.commands import git
from curation.siblings import add_sibling, find_sibling, parse_storage
from curation.store import RecordStore
from flows.demo.corpus import make_corpus, second_night
from flows.demo.load import load_documents
from flows.demo.server import DemoServer, database, make_app
from flows.settings import load_settings
from tests.conftest import REPOSITORY
from tests.support.fast_api import FastApi, make_document
from tests.support.night import run_night
from tests.support.truth import kept_out


class Upstream:
    """The embedded Web-API with the demo corpus, counting its requests."""

    def __init__(self) -> None:
        self.app = make_app(token="t")
        self.db = database(self.app)
        self.corpus = make_corpus()
        for resource, documents in self.corpus.documents.items():
            load_documents(self.db, resource, documents)
        self.requests, self._lock = 0, Lock()

    def __call__(self, environ, start_response):
        with self._lock:
            self.requests += 1
        return self.app(environ, start_response)

    def next_day(self) -> tuple[int, int]:
        """Add, change and delete records; returns how many were added and deleted."""
        changes = second_night(self.corpus)
        for resource, ids in changes.deleted.items():
            self.db[resource].delete_many({"_id": {"$in": [ObjectId(i) for i in ids]}})
        for resource, documents in changes.changed.items():
            self.db[resource].delete_many({"_id": {"$in": [ObjectId(d["_id"]) for d in documents]}})
            load_documents(self.db, resource, documents)
        for resource, documents in changes.added.items():
            load_documents(self.db, resource, documents)
        return sum(map(len, changes.added.values())), sum(map(len, changes.deleted.values()))


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def url(upstream: Upstream) -> Iterator[str]:
    with DemoServer(upstream) as server:
        yield server.url


def command(url: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "flows.cli",
        "nightly",
        "--api-url",
        url,
        "--store",
        "store",
        "--dataset",
        "data",
    ]


def nightly(url: str, folder: Path, *more: str, retries: str = "0") -> subprocess.CompletedProcess[str]:
    """The night's command in a process of its own."""
    return subprocess.run(
        [*command(url), *more],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "MRIQC_SNAPSHOT_TASK_RETRIES": retries,
            "MRIQC_SNAPSHOT_TASK_RETRY_DELAY": "0.1",
        },
        capture_output=True,
        text=True,
    )


def test_three_nights(upstream: Upstream, url: str, tmp_path: Path) -> None:
    """First everything, then what changed, then nothing, each by the command and from one another's state."""
    first = nightly(url, tmp_path, "--json")
    assert first.returncode == 0, first.stderr
    tables = json.loads(first.stdout)["tables"]
    for resource, documents in upstream.corpus.documents.items():
        counts = tables[resource]
        assert counts["received"] == len(documents)
        assert {kind: counts[kind] for kind in ("quarantined", "excluded")} == kept_out(
            upstream.corpus, resource
        )
        assert counts["received"] == sum(counts[kind] for kind in counts if kind != "received")
        rows = pyarrow.csv.read_csv(tmp_path / "data" / "csv" / f"{resource}.csv")
        assert rows.num_rows == counts["representatives"]

    added, deleted = upstream.next_day()
    second = nightly(url, tmp_path, "--json")
    assert second.returncode == 0, second.stderr
    after = json.loads(second.stdout)["tables"]
    assert sum(c["received"] for c in after.values()) == sum(c["received"] for c in tables.values()) + added
    assert sum(c["withdrawn"] for c in after.values()) == deleted
    ledger = pyarrow.csv.read_csv(tmp_path / "data" / "audit" / "records.csv").to_pylist()
    served = {
        (resource, str(document["_id"])): document["_etag"]
        for resource in tables
        for document in upstream.db[resource].find({})
    }
    assert {(row["resource"], row["record_id"]): row["etag"] for row in ledger} == served

    before = upstream.requests
    third = nightly(url, tmp_path)
    assert third.returncode == 0, third.stderr
    assert "nothing new, no commit" in third.stderr
    # Four resources: the newest record, what was updated lately (a page of the newest), the overlap's count.
    assert upstream.requests - before <= 20
    assert git(tmp_path / "data", "log", "--format=%s").count("RUNCMD") == 2


def test_operator_finds_stages_logs_and_counts_in_prefect(
    url: str, prefect_server: str, tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.nightly import nightly as run_night

    settings = load_settings(api_url=url, store=tmp_path / "store", dataset=tmp_path / "data", task_retries=0)
    # Prefect has read the environment when it was imported.
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        run_night(settings)
        with get_client(sync_client=True) as client:
            # Nights of other tests are told there, too.
            flow_run = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
            of_night = FlowRunFilter(id={"any_": [flow_run.id]})
            tasks = {run.name: run.state_name for run in client.read_task_runs(flow_run_filter=of_night)}
            (artifact,) = client.read_artifacts(flow_run_filter=of_night)
    assert flow_run.name.startswith("night of 20") and flow_run.state_name == "Completed"
    assert (
        tasks["plan bold"] == tasks["walk bold, windows 1 of 1"] == tasks["curate and commit"] == "Completed"
    )
    assert artifact.key == "night" and "| bold | " in str(artifact.data)
    assert "| withdrawn |" in str(artifact.data) and "`report.html` of commit" in str(artifact.data)


@pytest.mark.usefixtures("prefect_server")
def test_second_run_on_a_dataset_exits_3(url: str, tmp_path: Path) -> None:
    with SnapshotDataset(tmp_path / "data").lock():
        done = nightly(url, tmp_path)
    assert done.returncode == 3, done.stderr
    assert "another run works on this dataset" in done.stderr


@pytest.mark.usefixtures("prefect_server")
def test_service_that_is_away_exits_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRIQC_SNAPSHOT_ATTEMPTS", "1")
    done = nightly("http://127.0.0.1:9/api/v1", tmp_path)
    assert done.returncode == 4, done.stderr
    assert "cannot connect" in done.stderr


@pytest.mark.usefixtures("prefect_server")
def test_stage_is_run_again_when_the_service_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRIQC_SNAPSHOT_ATTEMPTS", "1")
    documents = [make_document("T1w", i, second=i * 1000) for i in range(300)]
    away = range(7, 9)
    with FastApi({"T1w": documents}, fault=lambda number: "503" if number in away else None) as api:
        done = nightly(api.url, tmp_path, "--json", retries="2")
    assert done.returncode == 0, done.stderr
    assert "Retry 1/2" in done.stderr, done.stderr
    assert json.loads(done.stdout)["tables"]["T1w"]["received"] == 300


@pytest.mark.usefixtures("prefect_server")
def test_night_is_committed_while_a_sibling_is_away_and_the_next_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Superseded content goes from here all the same."""
    monkeypatch.setenv("MRIQC_SNAPSHOT_PUSH", '["public"]')
    monkeypatch.setenv("MRIQC_SNAPSHOT_KEEP_NIGHTS", "1")
    dataset = SnapshotDataset(tmp_path / "data")
    bare, unmounted = tmp_path / "public.git", tmp_path / "unmounted.git"
    with FastApi({"T1w": [make_document("T1w", i) for i in range(5)]}) as api:
        run_night(api.url, tmp_path / "store", dataset.path)
        old = dataset.key("csv/T1w.csv")
        with dataset.lock():
            add_sibling(dataset, "public", parse_storage(f"directory:{tmp_path / 'content'}"), str(bare))
        bare.rename(unmounted)
        api.put("T1w", make_document("T1w", 5))
        away = nightly(api.url, tmp_path)
        assert away.returncode == 1, away.stderr
        assert "the night is committed in" in away.stderr and "public.git" in away.stderr
        assert "Traceback" not in away.stderr
        # What the night did is told all the same.
        assert re.search(r"^commit [0-9a-f]{10} in ", away.stderr, re.M) and "T1w" in away.stdout
        assert pyarrow.csv.read_csv(dataset.path / "csv" / "T1w.csv").num_rows == 6
        assert not Annex(dataset.path).here([old])
        unmounted.rename(bare)
        back = nightly(api.url, tmp_path)
        assert back.returncode == 0, back.stderr
        assert "nothing new, no commit" in back.stderr
        assert re.search(
            r"^public: \d+ file\(s\), [\d,]+ bytes copied; pushed git-annex, ", back.stderr, re.M
        )
        assert re.search(r"^superseded nights: 0 file\(s\), 0 bytes dropped; \d+ stay", back.stderr, re.M)
        told = json.loads(nightly(api.url, tmp_path, "--json").stdout)
        assert [(one["sibling"], one["status"]) for one in told["pushed"]] == [("public", "notneeded")]
        assert (told["retained"]["keys"], told["retained"]["siblings"]) == (0, {"public": 0})
    assert git(bare, "rev-parse", "HEAD") == git(dataset.path, "rev-parse", "HEAD")
    keys = Annex(dataset.path).keys(["HEAD"])
    assert Annex(dataset.path).stored(find_sibling(dataset, "public").storage, keys) == set(keys)


@pytest.mark.usefixtures("prefect_server")
def test_foreseen_errors_are_told_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.doc").touch()
    done = nightly("http://127.0.0.1:9/api/v1", tmp_path)
    assert done.returncode == 1
    assert "not empty and not a dataset" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("moment", ["while it starts", "while it serves"])
def test_embedded_server_ends_with_a_killed_night(moment: str, url: str, tmp_path: Path) -> None:
    run = subprocess.Popen(
        command(url),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = ""
        while (found := re.search(r"server on http://127\.0\.0\.1:(\d+)", said)) is None:
            assert run.poll() is None, said
            said += run.stderr.readline()
        port = int(found[1])
        if moment == "while it serves":
            wait_for(lambda: listens(port))
        else:
            wait_for(lambda: servers(port))
    finally:
        run.kill()
        run.wait()
        run.stderr.close()
    wait_for(lambda: not servers(port))
    assert not listens(port)


@pytest.mark.usefixtures("prefect_server")
def test_locks_are_held_until_an_interrupted_publication_has_ended(url: str, tmp_path: Path) -> None:
    dataset = SnapshotDataset(tmp_path / "data")
    run = subprocess.Popen(
        command(url),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = ""
        while "T1w: flatten" not in said:
            assert run.poll() is None, said
            said += run.stderr.readline()
        run.terminate()

        def unlocked() -> bool:
            try:
                with dataset.lock(), RecordStore(tmp_path / "store").lock():
                    return True
            except LockedError:
                return False

        wait_for(unlocked)
        # A thread cannot be stopped: whoever gets the locks must find its work done.
        assert "RUNCMD" in git(dataset.path, "log", "-1", "--format=%s")
        assert git(dataset.path, "status", "--porcelain") == ""
        said += run.communicate(timeout=60)[1]
        assert run.returncode == 130, said
    finally:
        run.kill()
        run.wait()
        run.stderr.close()


def servers(port: int) -> list[int]:
    """Processes of an embedded server on a port."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout
    pattern = rf"^\s*(\d+) .*uvicorn.*--port {port}\b"
    return [int(pid) for pid in re.findall(pattern, listed, re.MULTILINE)]


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
