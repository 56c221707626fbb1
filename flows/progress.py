"""Shows how far a pull is: bars on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from curation.pull.pages import Page

log = logging.getLogger("curation.progress")

LOG_SECONDS = 30.0


class PullProgress:
    """Counts records and pages by resource and tells somebody."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._told = self._started
        self._expected: dict[str, int] = {}
        self._records: dict[str, int] = {}
        self._pages = 0

    def expect(self, resource: str, documents: int) -> None:
        """More documents of a resource will be walked."""
        self._expected[resource] = self._expected.get(resource, 0) + documents

    def page(self, resource: str, page: Page) -> None:
        """A page came."""
        self._records[resource] = self._records.get(resource, 0) + len(page.records)
        self._pages += 1
        if time.monotonic() - self._told > LOG_SECONDS:
            self._told = time.monotonic()
            log.info(self.summary())

    def summary(self) -> str:
        """Records, pages, rate and time left, in a sentence."""
        records, expected = sum(self._records.values()), sum(self._expected.values())
        rate = records / max(time.monotonic() - self._started, 1e-9)
        left = max(0, expected - records) / rate if rate else 0
        return (
            f"{records} of about {max(expected, records)} records in {self._pages} pages, "
            f"{rate:.0f} records/s, {left:.0f} s left"
        )


class _Bars(PullProgress):
    def __init__(self, bars: Progress) -> None:
        super().__init__()
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def expect(self, resource: str, documents: int) -> None:
        super().expect(resource, documents)
        if not self._expected[resource]:
            return
        if resource not in self._tasks:
            self._tasks[resource] = self._bars.add_task(resource, total=0, rate="")
        self._bars.update(self._tasks[resource], total=self._expected[resource])

    def page(self, resource: str, page: Page) -> None:
        super().page(resource, page)
        if resource in self._tasks:
            rate = self._records[resource] / max(time.monotonic() - self._started, 1e-9)
            self._bars.update(
                self._tasks[resource],
                completed=self._records[resource],
                rate=f"{self._pages} pages, {rate:.0f}/s",
            )


current: ContextVar[PullProgress] = ContextVar("current")
"""The progress of the pull that runs in this context."""


@contextmanager
def show_progress() -> Iterator[PullProgress]:
    """Bars while the block runs, if standard error is a terminal; log lines otherwise."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        progress = PullProgress()
        token = current.set(progress)
        try:
            yield progress
        finally:
            current.reset(token)
        return
    columns = (
        TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:
        progress = _Bars(bars)
        token = current.set(progress)
        try:
            yield progress
        finally:
            current.reset(token)
