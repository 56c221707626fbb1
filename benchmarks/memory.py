"""Peak memory: of a process with all that it starts, and of this process alone."""

from __future__ import annotations

import re
import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

INTERVAL = 0.05
"""Seconds between two looks at how much memory there is."""
_LOOKS_A_SEARCH = 5
_MEGA = 1_000_000


class PeakMemory:
    """Watches a process and all its descendants while its block runs.

    Their resident sets are summed, every :data:`INTERVAL` seconds. Pages that processes share (of libraries and files)
    count once for each of them: the sum says more than is in use, never less. Proportional sets would not, but to tell
    them the kernel walks all pages. Descendants are searched for at every fifth look, as that reads all of ``/proc``;
    one that lives for less than a quarter of a second may be missed.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        # Imported here: processes that are measured import what is beside this class, and need not hold psutil.
        import psutil

        self.bytes = 0
        self._gone = psutil.Error
        self._processes = [psutil.Process(pid)]
        self._looks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    @property
    def megabytes(self) -> float:
        """The peak so far, MB (a million bytes each)."""
        return self.bytes / _MEGA

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self._look()
            if self._ended.wait(INTERVAL):
                return

    def _look(self) -> None:
        first = self._processes[0]
        if self._looks % _LOOKS_A_SEARCH == 0:
            with suppress(self._gone):
                self._processes = [first, *first.children(recursive=True)]
        self._looks += 1
        total = 0
        for process in self._processes:
            with suppress(self._gone):
                total += process.memory_info().rss
        self.bytes = max(self.bytes, total)


def own_peak() -> float:
    """Peak resident memory of this process alone so far, MB.

    On Linux what the kernel says of its memory, as ``ru_maxrss`` survives ``exec``: it also holds the peak of the
    process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) * 1024 / _MEGA
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (peak if sys.platform == "darwin" else peak * 1024) / _MEGA
