"""Fixtures of deposits, and a server of Prefect's that nights share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.released_fixtures import dataset, released, server

__all__ = ["dataset", "released", "server"]

START_SECONDS = 120


@pytest.fixture(scope="session")
def _prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server as an operator has it, beside nights and not in them; its address."""
    folder = tmp_path_factory.mktemp("prefect-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("prefect")), "server", "start", "--port", str(port)]
    with (folder / "said").open("wb") as said:
        run = subprocess.Popen(
            command, env=os.environ | {"PREFECT_HOME": str(folder)}, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}/api"
        deadline = time.monotonic() + START_SECONDS
        while not _is_healthy(url):
            assert run.poll() is None and time.monotonic() < deadline, (folder / "said").read_text()
            time.sleep(0.2)
        yield url
    finally:
        run.terminate()
        run.wait()


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def prefect_server(_prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Nights that a test starts use the shared server, and need not start one of their own."""
    monkeypatch.setenv("PREFECT_API_URL", _prefect_server)
    return _prefect_server
