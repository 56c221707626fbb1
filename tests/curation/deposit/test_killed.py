"""A client that is killed at every request once, and run again each time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from curation.errors import LockedError
from curation.publish import SnapshotDataset
from curation.publish.commands import git, run
from tests.conftest import REPOSITORY
from tests.curation.deposit.conftest import FEW
from tests.support.deposited import assert_deposited, assert_nothing_sent_twice, only_article
from tests.support.depositing import VERSION, run_deposit
from tests.support.figshare import FigShareServer
from tests.support.released import copied, release

NEXT = "2026.12.01"


class Clients:
    """Deposits in processes that can be killed; they begin without importing anything again."""

    def __init__(self) -> None:
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.support.depositing"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.child: int | None = None

    def run(self, url: str, dataset: Path, version: str) -> int:
        """One deposit with publication; its exit code, -9 if it was killed."""
        asked = {"url": url, "dataset": str(dataset), "version": version, "publish": True}
        assert self._nursery.stdin and self._nursery.stdout
        self._nursery.stdin.write(json.dumps(asked) + "\n")
        self._nursery.stdin.flush()
        self.child = json.loads(self._nursery.stdout.readline())["child"]
        code = json.loads(self._nursery.stdout.readline())["code"]
        self.child = None
        return code

    def kill(self) -> bool:
        """Kill the client whose request is being served; false if it is another one's."""
        if self.child is None:
            return False
        os.kill(self.child, signal.SIGKILL)
        return True

    def kill_group(self) -> None:
        """Kill the client with the commands that it started."""
        assert self.child is not None
        os.killpg(self.child, signal.SIGKILL)

    def close(self) -> str:
        return self._nursery.communicate(timeout=30)[1]


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    found = Clients()
    yield found
    found.close()


@contextmanager
def killing(clients: Clients, when: str) -> Iterator[FigShareServer]:
    """A server that kills its client at every request that it did not kill one at before.

    Questions are killed before they are answered only: after that nothing differs.
    """
    killed: set[tuple[str, str]] = set()

    def hook(_number: int, method: str, path: str, moment: str) -> bool:
        if moment != when or (method, path) in killed or (when == "after" and method == "GET"):
            return False
        killed.add((method, path))
        return clients.kill()

    with FigShareServer(hook=hook) as server:
        yield server


def run_until_done(clients: Clients, server: FigShareServer, dataset: Path, version: str) -> int:
    """Run deposits until one is not killed; returns how many there were."""
    for number in range(1, 200):
        code = clients.run(server.url, dataset, version)
        if code == 0:
            return number
        assert code == -signal.SIGKILL, clients.close()
    raise AssertionError("never done")


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_request(when: str, few: Path, tmp_path: Path, clients: Clients) -> None:
    dataset = copied(few, tmp_path / "dataset")
    with killing(clients, when) as server:
        # Parts that are sent at once die together.
        assert run_until_done(clients, server, dataset, VERSION) > (35 if when == "before" else 15)
        assert_deposited(server, dataset, versions=1)
        assert_nothing_sent_twice(server)
        assert only_article(server).published == 1
        # The next version into the same article, once is enough: files are replaced and removed.
        if when == "before":
            return
        release(dataset, NEXT, {**FEW, "csv/T1w.csv": b"md5sum\n" + b"y" * 1700, "README.md": b"new\n"})
        assert run_until_done(clients, server, dataset, NEXT) > 10
        assert_deposited(server, dataset, NEXT, versions=2)
        assert only_article(server).published == 2
        assert run_deposit(server.url, dataset, NEXT, publish=True).state == "notneeded"
    assert_brought_back(dataset, only_article(server).id)


def test_killed_while_the_doi_comes_back(few: Path, tmp_path: Path, clients: Clients) -> None:
    dataset = copied(few, tmp_path / "dataset")
    random = Random(1)
    kills = [random.uniform(0, 0.8) for _ in range(8)]

    def hook(_number: int, method: str, path: str, moment: str) -> None:
        # The last request of a deposit; what follows is git's.
        if moment == "after" and path.endswith("/versions/1/files") and kills:
            threading.Timer(kills.pop(), clients.kill).start()

    with FigShareServer(hook=hook) as server:
        while kills:
            assert clients.run(server.url, dataset, VERSION) in (0, -signal.SIGKILL)
        time.sleep(1)
        assert run_deposit(server.url, dataset, publish=True).state == "notneeded"
        assert_deposited(server, dataset, versions=1)
    assert_brought_back(dataset, only_article(server).id, versions=1)


@pytest.fixture
def held(few: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A dataset in which git stops while it has the lock of a ref whose name is in a file; and that file."""
    dataset, wanted = copied(few, tmp_path / "dataset"), tmp_path / "wanted"
    hook = dataset / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    # It reads lines "OLD NEW REF" (githooks(5)) and says when it waits; without the file it never does.
    hook.write_text(
        f"""#!/bin/sh
test "$1" = prepared && test -e {wanted} && grep -q " $(cat {wanted})$" || exit 0
mv {wanted} {wanted}.held
while test -e {wanted}.held; do sleep 0.05; done
"""
    )
    hook.chmod(0o755)
    yield dataset, wanted
    wanted.with_name("wanted.held").unlink(missing_ok=True)


def kill_while_held(
    clients: Clients, server: FigShareServer, held: tuple[Path, Path], ref: str, kill: Callable[[], object]
) -> None:
    """One deposit that is killed while git has the lock of a ref."""
    dataset, wanted = held
    wanted.write_text(ref)
    with ThreadPoolExecutor(1) as pool:
        code = pool.submit(clients.run, server.url, dataset, VERSION)
        deadline = time.monotonic() + 30
        while not wanted.with_name("wanted.held").exists():
            assert time.monotonic() < deadline and not code.done()
            time.sleep(0.02)
        kill()
        assert code.result() == -signal.SIGKILL


@pytest.mark.parametrize("ref", ["refs/notes/commits", "refs/heads/git-annex"])
def test_locks_of_killed_commands_are_in_nobodys_way(
    ref: str, held: tuple[Path, Path], clients: Clients
) -> None:
    dataset, _ = held
    with FigShareServer() as server:
        kill_while_held(clients, server, held, ref, clients.kill_group)
        assert (dataset / ".git" / f"{ref}.lock").exists()
        assert run_deposit(server.url, dataset, publish=True).state == "notneeded"
        assert_deposited(server, dataset, versions=1)
    assert not (dataset / ".git" / f"{ref}.lock").exists()
    assert_brought_back(dataset, only_article(server).id, versions=1)


@pytest.mark.parametrize("ref", ["refs/notes/commits", "refs/heads/git-annex"])
def test_commands_that_outlive_their_deposit_are_waited_for(
    ref: str, held: tuple[Path, Path], clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, wanted = held
    with FigShareServer() as server:
        kill_while_held(clients, server, held, ref, clients.kill)
        with monkeypatch.context() as patched:
            patched.setattr("curation.publish.dataset.ORPHAN_SECONDS", 0.1)
            with pytest.raises(LockedError, match="of a run that was killed still runs"):
                SnapshotDataset(dataset).prepare()
        wanted.with_name("wanted.held").unlink()
        assert run_deposit(server.url, dataset, publish=True).state == "notneeded"
    assert_brought_back(dataset, only_article(server).id, versions=1)


def assert_brought_back(dataset: Path, article: int, versions: int = 2) -> None:
    """One commit and one note a version, one address a table and version, and nothing left lying about."""
    released = (VERSION, NEXT)[:versions]
    assert git(dataset, "status", "--porcelain") == ""
    for number, version in enumerate(released, 1):
        doi = f"https://doi.org/10.6084/m9.figshare.{article}.v{number}"
        assert git(dataset, "log", "--format=%s").splitlines().count(f"{version} is {doi}") == 1
        note = git(dataset, "show", "-s", "--format=%N", f"{version}^{{commit}}")
        assert note.count(doi) == 1
        assert (dataset / "CHANGES.md").read_text().count(f"## {version}\n\nDOI: {doi}\n") == 1
    for name in ("csv/T1w.csv", "csv/bold.csv"):
        found = json.loads(run(["git", "annex", "whereis", "--json", name], dataset))["whereis"]
        assert [len(one["urls"]) for one in found if one["description"].startswith("web")] == [1]
