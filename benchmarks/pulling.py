"""The pull, beside a bare client of the same library that fetches the same documents and discards them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from benchmarks.memory import own_peak
from benchmarks.service import CAP, make_ids
from curation.pull import Politeness, pull
from curation.store import RecordStore

CONNECTIONS = 8
RESOURCE = "T1w"


@dataclass(frozen=True)
class Pulling:
    """What was measured, medians over the rounds.

    Attributes:
        records, rounds: of this measurement.
        bare: records a second of the client that discards.
        pull: records a second of the whole pull, from the first count to the cursor.
        ratio: of ``pull`` to ``bare`` within a round, whose two runs follow each other.
        cpu_ms: processor time of the pulling process for fifty records, milliseconds.
        peak_mb: peak resident memory of the process that pulls, MB.
    """

    records: int
    rounds: int
    bare: float
    pull: float
    ratio: float
    cpu_ms: float
    peak_mb: float


def measure(records: int, rounds: int, seed: int = 2019) -> Pulling:
    """Pull ``records`` documents ``rounds`` times from a service in a process of its own."""
    ids = make_ids(records, seed)
    bare, whole, cpu = [], [], []
    with _service(records, seed) as url:
        for _ in range(rounds):
            bare.append(_seconds(_discard(url, ids)))
            before = time.process_time()
            with TemporaryDirectory() as folder:
                whole.append(_seconds(_pull(url, Path(folder) / "store", records)))
            cpu.append(time.process_time() - before)
    return Pulling(
        records=records,
        rounds=rounds,
        bare=records / median(bare),
        pull=records / median(whole),
        ratio=median(b / w for b, w in zip(bare, whole, strict=True)),
        cpu_ms=median(cpu) / records * CAP * 1000,
        peak_mb=own_peak(),
    )


@contextmanager
def _service(records: int, seed: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.service", RESOURCE, str(records), str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        # It ends when its input does, which leaving this block closes.
        port = process.stdout.readline() if process.stdout else ""
        if not port.strip().isdigit():
            raise RuntimeError(f"the service did not start (exit code {process.wait()})")
        yield f"http://127.0.0.1:{int(port)}/api/v1"


async def _pull(url: str, path: Path, records: int) -> None:
    store = RecordStore(path)
    polite = Politeness(connections=CONNECTIONS, per_second=0)
    report = await pull(url, store, resources=[RESOURCE], politeness=polite)
    if report.resources[RESOURCE].live != records:
        raise RuntimeError(f"{report.resources[RESOURCE].live} of {records} records were pulled")


async def _discard(url: str, ids: list[str]) -> None:
    wheres = [
        json.dumps({"_id": {"$gt": after}}, separators=(",", ":")) for after in ["", *ids[CAP - 1 :: CAP]]
    ]
    waiting = [
        f"{url}/{RESOURCE}?sort=_id&max_results={CAP}&where={quote(where, safe='')}" for where in wheres
    ]

    async def work(session: aiohttp.ClientSession) -> None:
        while waiting:
            async with session.get(URL(waiting.pop(), encoded=True)) as response:
                response.raise_for_status()
                await response.read()

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=1 << 20) as session:
        await asyncio.gather(*(work(session) for _ in range(CONNECTIONS)))


def _seconds(work: Coroutine[Any, Any, None]) -> float:
    begun = time.perf_counter()
    asyncio.run(work)
    return time.perf_counter() - begun
