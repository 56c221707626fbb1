"""Where stages run makes no difference to what comes out, and what ends on the way is told or done again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from dask.delayed import delayed
from distributed import LocalCluster
from moto.server import ThreadedMotoServer

from curation import resource, tables, typed
from curation.curate import curate
from curation.engine import Engine
from curation.errors import ClusterFailed, StoreCorrupted, Unreachable, UsageError
from curation.partitions import Partition, below, partitions
from curation.pseudonyms import Pseudonyms
from curation.store import RecordStore
from curation.typed import Sealed
from schemas.dictionary import Resource
from tests.support.documents import record, store_of
from tests.support.pseudonyms import PSEUDONYMS

PART = 400
"""Documents a part: the corpus then has 10 parts."""


@pytest.fixture(scope="module")
def store(
    documents: dict[Resource, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> RecordStore:
    records = {resource: [record(one) for one in found] for resource, found in documents.items()}
    return store_of(tmp_path_factory.mktemp("engine") / "store", records, PART)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of several chunks, and processes even for a corpus."""
    monkeypatch.setattr(tables, "CHUNK_ROWS", 300)
    monkeypatch.setattr(typed, "WORTH_PROCESSES", 1)


def published(store: RecordStore, out: Path, engine: Engine, **options: Any) -> dict[str, bytes]:
    report = curate(store, out, pseudonyms=PSEUDONYMS, engine=engine, **options)
    return {name: (out / name).read_bytes() for name in report.files}


@pytest.fixture(scope="module")
def expected(store: RecordStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one thread makes."""
    with pytest.MonkeyPatch.context() as patch, Engine(workers=1) as engine:
        patch.setattr(tables, "CHUNK_ROWS", 300)
        return published(store, tmp_path_factory.mktemp("one"), engine)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler and two workers, each a process."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as running:
        yield running


@pytest.mark.parametrize("processes", [True, False])
def test_processes_and_threads_make_the_same_bytes(
    store: RecordStore, expected: dict[str, bytes], tmp_path: Path, processes: bool
) -> None:
    with Engine(workers=3, processes=processes, partitions=str(tmp_path / "typed")) as engine:
        assert published(store, tmp_path / "out", engine) == expected
    assert len(list((tmp_path / "typed").glob("*/*/*.parquet"))) == 10


def test_a_cluster_makes_the_same_bytes(
    store: RecordStore, expected: dict[str, bytes], cluster: LocalCluster, tmp_path: Path
) -> None:
    with Engine(cluster.scheduler_address, partitions=str(tmp_path / "typed")) as engine:
        assert engine.is_cluster and engine.workers == 2
        assert published(store, tmp_path / "out", engine) == expected


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_worker_is_no_matter(
    store: RecordStore, expected: dict[str, bytes], cluster: LocalCluster, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    stage = random.choice(["T1w: flatten", "bold: flatten", "T1w: deduplicate"])
    killed: list[int] = []

    def kill() -> None:
        time.sleep(random.uniform(0, 0.3))
        worker = random.choice([nanny for nanny in cluster.workers.values() if nanny.pid])
        killed.append(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)

    def on_stage(text: str) -> None:
        if text.startswith(stage):
            thread.start()

    thread = threading.Thread(target=kill)
    with Engine(cluster.scheduler_address, partitions=str(tmp_path / "typed")) as engine:
        assert published(store, tmp_path / "out", engine, on_stage=on_stage) == expected
    thread.join()
    assert len(killed) == 1


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of moto's, which pyarrow and workers started from here find by the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    boto3.client("s3").create_bucket(Bucket="partitions")
    yield "s3://partitions/typed"
    server.stop()


def test_partitions_may_be_in_an_object_store(
    store: RecordStore, expected: dict[str, bytes], bucket: str, tmp_path: Path
) -> None:
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Engine(cluster.scheduler_address, partitions=bucket) as engine,
    ):
        assert published(store, tmp_path / "out", engine) == expected
        folder = f"{bucket}/{store.id}/T1w"
        made = partitions(folder)
        assert len(made) == 4
        # Kept: nothing is read from documents again.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(typed, "_make_one", fail)
            assert published(store, tmp_path / "again", engine) == expected
        assert partitions(folder) == made


def test_a_partition_that_is_gone_or_damaged_is_told(tmp_path: Path) -> None:
    partition = Partition(str(tmp_path), "x.parquet")
    assert partition.rows() is None
    with pytest.raises(StoreCorrupted, match="remove it, and the next run makes it again"):
        partition.read(["a"])
    with pytest.raises(UsageError, match="expected a folder, or a URL such as s3://bucket/folder"):
        partitions("gopher://a/b")


def test_no_scheduler_is_told() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curation.engine.CONNECT_SECONDS", 1)
        with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 "):
            Engine("tcp://127.0.0.1:9")


def test_workers_with_other_code_are_refused(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine(cluster.scheduler_address) as engine:
        engine.require_same_code()
        assert list(engine.run([engine.call(number, 7)])) == [7]
        # This machine has changed, which is as good as that they have.
        monkeypatch.setattr("curation.engine.code_digest", lambda: "other")
        with pytest.raises(UsageError, match="has another version of mriqc-snapshot"):
            list(engine.run([engine.call(number, 7)]))
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        Engine(empty.scheduler_address) as engine,
    ):
        with pytest.raises(UsageError, match="the scheduler has no workers"):
            engine.require_same_code()
        monkeypatch.setattr("curation.engine.LOOK_SECONDS", 1)
        monkeypatch.setattr("curation.engine.NO_WORKERS_SECONDS", 2)
        with pytest.raises(ClusterFailed, match="has had no workers for 2 seconds"):
            list(engine.run([delayed(number)(1)]))


def test_workers_that_share_nothing_with_this_machine_are_told(
    store: RecordStore, cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed, "partitions", lambda folder: [])
    with (
        Engine(cluster.scheduler_address, partitions=str(tmp_path / "typed")) as engine,
        pytest.raises(UsageError, match="this machine sees none of them there"),
    ):
        published(store, tmp_path / "out", engine)


def test_stores_share_a_folder_of_partitions(
    store: RecordStore, expected: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "typed" / "T1w").mkdir(parents=True)
    (tmp_path / "typed" / "T1w" / "mine.parquet").write_text("kept")
    one = store_of(tmp_path / "store", {"T1w": [record({"_id": "5" * 24})]})
    with Engine(processes=False, partitions=str(tmp_path / "typed")) as engine:
        curate(one, tmp_path / "one", engine=engine)
        before = sorted(path for path in (tmp_path / "typed").rglob("*.parquet"))
        assert published(store, tmp_path / "out", engine) == expected
        assert all(path.exists() for path in before)


@pytest.mark.parametrize("place", ["{}", "fsspec+file://{}"])
def test_a_partition_that_is_not_finished_leaves_nothing(tmp_path: Path, place: str) -> None:
    folder = place.format(tmp_path / "deep" / "folder")
    schema = pa.schema([("a", pa.int64())])

    def broken() -> Iterator[pa.Table]:
        yield pa.table({"a": [1]}, schema=schema)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Partition(folder, "x.parquet").write(schema, broken())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    Partition(folder, "x.parquet").write(schema, [pa.table({"a": [1]}, schema=schema)])
    assert Partition(folder, "x.parquet").rows() == 1
    assert partitions(folder) == [Partition(folder, "x.parquet")]


def test_an_object_store_that_is_away_is_no_damage(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    folder = "s3://partitions/elsewhere"
    for ask in (
        lambda: partitions(folder),
        Partition(folder, "x").rows,
        lambda: Partition(folder, "x").read(["a"]),
    ):
        with pytest.raises(Unreachable, match="check that the object store is there"):
            ask()
    with pytest.raises(UsageError, match="without user name and password") as told:
        Engine(partitions="s3://key:geheim@bucket/x")
    assert "geheim" not in str(told.value)
    assert below("s3://b/x?region=y", "T1w") == "s3://b/x/T1w?region=y"
    assert below("/a/", "T1w") == "/a/T1w"


def fail_with(sealed: Sealed, pseudonyms: Pseudonyms) -> None:
    raise StoreCorrupted("this part")


def test_logs_of_a_cluster_have_no_document_and_no_key(cluster: LocalCluster, tmp_path: Path) -> None:
    """Dask's workers log a call that failed, with its arguments."""
    one = store_of(tmp_path / "store", {"T1w": [record({"_id": "5" * 24, "name": "Jane Doe of 12 Elm St"})]})
    (part,) = one.parts("T1w")
    with Engine(cluster.scheduler_address) as engine:
        with pytest.raises(StoreCorrupted, match="this part"):
            list(engine.run([engine.call(fail_with, Sealed(part), PSEUDONYMS)]))
        logs = str(engine._client.get_worker_logs()) + str(engine._client.get_scheduler_logs())
    # Older and newer ones show arguments, or some of them.
    logs += repr((Sealed(part), part, PSEUDONYMS))
    assert "Compute Failed" in logs and "Sealed(" in logs
    assert "Jane" not in logs and PSEUDONYMS.key not in logs


class Slow(StoreCorrupted):
    """Ends at the moment of a look."""


class JustDone:
    """A future of a cluster that is done just after a look at it timed out."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome
        self._looks = 0

    def result(self, timeout: float | None = None) -> Any:
        self._looks += 1
        if self._looks == 1 or isinstance(self._outcome, Exception):
            raise TimeoutError if self._looks == 1 else self._outcome
        return self._outcome

    def done(self) -> bool:
        return True


def test_a_call_that_ends_while_it_is_looked_at_is_no_failure() -> None:
    with Engine(workers=1) as engine:
        assert engine._result(JustDone(7)) == 7
        with pytest.raises(Slow):
            engine._result(JustDone(Slow()))


def test_a_comparison_that_fails_ends_the_run(
    store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.resource.compare_repeats", fail)
    with Engine(workers=2, processes=False) as engine, pytest.raises(StoreCorrupted, match="this part"):
        published(store, tmp_path / "out", engine)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("late", [False, True])
def test_a_ledger_that_fails_beside_the_tables_ends_the_run(
    store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Also where the tables are done before it fails."""
    written = threading.Event()
    write_curated = resource._write_curated

    def write(*args: Any) -> None:
        write_curated(*args)
        written.set()

    def fail_now(*_: Any) -> None:
        assert not late or written.wait(60)
        fail()

    monkeypatch.setattr(resource, "_write_curated", write)
    monkeypatch.setattr(resource, "quarantine_ledger", fail_now)
    with Engine(workers=2, processes=False) as engine, pytest.raises(StoreCorrupted, match="this part"):
        published(store, tmp_path / "out", engine)
    assert not list((tmp_path / "out").iterdir())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slowly() -> Iterator[Any]:
    """Calls that come when the pool is broken."""
    yield delayed(die)()
    time.sleep(2)
    yield delayed(number)(1)


def fail(*_: Any) -> None:
    raise StoreCorrupted("this part")


def number(value: int) -> int:
    return value


def test_what_ends_on_the_way_is_told(cluster: LocalCluster) -> None:
    with Engine(workers=2) as engine:
        with pytest.raises(ClusterFailed, match="a process that reads documents ended"):
            list(engine.run_python([delayed(die)()]))
        with pytest.raises(ClusterFailed, match="a process that reads documents ended"):
            list(engine.run_python(slowly()))
        assert list(engine.run_python([delayed(number)(1)])) == [1]
        with pytest.raises(StoreCorrupted, match="this part"):
            list(engine.run([delayed(fail)()]))
    with Engine(cluster.scheduler_address) as engine:
        with pytest.raises(StoreCorrupted, match="this part"):
            list(engine.run([delayed(number)(1), delayed(fail)()]))
        with pytest.raises(ClusterFailed, match="the cluster could not do it: KilledWorker"):
            list(engine.run([delayed(die)()]))


def test_results_are_in_order_and_not_all_at_once() -> None:
    begun: list[int] = []

    def calls() -> Iterator[Any]:
        for value in range(50):
            begun.append(value)
            yield delayed(number)(value)

    with Engine(workers=2) as engine:
        results = engine.run(calls())
        assert next(results) == 0
        assert len(begun) <= 6
        assert list(results) == list(range(1, 50))


def test_processes_end_with_whoever_started_them(tmp_path: Path) -> None:
    """Also if that is killed: `kill -9` of a night leaves nothing that runs."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, time\n"
        "from dask.delayed import delayed\n"
        "from curation.engine import Engine\n"
        "if __name__ == '__main__':\n"
        "    with Engine(workers=2) as engine:\n"
        "        print(next(engine.run_python([delayed(os.getpid)()])), flush=True)\n"
        "        time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        assert Path(f"/proc/{worker}").exists()
        run.kill()
        run.wait()
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists() or " Z " in Path(f"/proc/{worker}/stat").read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"process {worker} goes on")
