"""Chance that repeats itself: random streams, digests and ObjectIds made from a seed and names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np


def stream(seed: int, *labels: object) -> np.random.Generator:
    """An independent random stream for ``seed`` and what it is used for.

    A stream a purpose: adding one draw somewhere does not change the rest of the corpus.
    """
    digest = hashlib.sha256("/".join(map(str, (seed, *labels))).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def sha256(label: str) -> str:
    """Hex digest that MRIQC's client sends in place of a subject's or session's label."""
    return hashlib.sha256(label.encode()).hexdigest()


def checksum(seed: int, *labels: object) -> str:
    """An invented image checksum: 32 lower-case hex digits."""
    return sha256("/".join(map(str, (seed, "image", *labels))))[:32]


def etag(document: dict[str, Any]) -> str:
    """SHA-1 hex of the canonical JSON of ``document`` without keys that begin with an underscore."""
    content = {key: value for key, value in document.items() if not key.startswith("_")}
    return hashlib.sha1(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def signif(value: float, digits: int = 10) -> float:
    """``value`` to ``digits`` significant digits, so that last bits of linear algebra do not show."""
    return float(f"{value:.{digits}g}")


def pick(rng: np.random.Generator, items: Iterable[Any]) -> Any:
    """One of ``items``, evenly."""
    choices = list(items)
    return choices[int(rng.integers(len(choices)))]


class ObjectIds:
    """Mints ObjectIds as several server processes do: 4 bytes second, 5 bytes process, 3 bytes counter.

    Inside one second the ids of different processes are not in the order of insertion.
    https://www.mongodb.com/docs/manual/reference/bson-types/#objectid
    """

    def __init__(self, seed: int, name: str, processes: int = 4) -> None:
        self._rng = stream(seed, "object-ids", name)
        self._processes = [self._rng.bytes(5).hex() for _ in range(processes)]
        self._counters = [int(self._rng.integers(1 << 24)) for _ in range(processes)]

    def mint(self, when: datetime) -> str:
        """The id of a document inserted at ``when`` (whole seconds, UTC) by one of the processes."""
        process = int(self._rng.integers(len(self._processes)))
        self._counters[process] = (self._counters[process] + 1) % (1 << 24)
        return f"{int(when.timestamp()):08x}{self._processes[process]}{self._counters[process]:06x}"
