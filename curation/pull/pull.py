"""A whole pull without a scheduler: every resource, then the run's manifest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from curation.pull.client import Politeness, WebApi
from curation.pull.pages import Page
from curation.pull.resource import PullLimits, ResourcePull, ResourceReport
from curation.store import RecordStore
from curation.together import all_or_first_error
from schemas import RESOURCES


@dataclass
class PullReport:
    """What a run's pull did."""

    sequence: int
    resources: dict[str, ResourceReport] = field(default_factory=dict)
    traffic: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def pull_run(
    url: str, store: RecordStore, politeness: Politeness
) -> AsyncIterator[tuple[WebApi, PullReport]]:
    """A run, from its number to its manifest ``runs/N.json``, which tells how it ended.

    Args:
        url: base address of the Web-API.
        store: the record store, locked by the caller.
        politeness: how the service is asked.

    Yields:
        An open client, and the report to fill in.
    """
    started = datetime.now(UTC)
    report = PullReport(store.next_sequence())
    outcome = {"outcome": "complete"}
    async with WebApi(url, politeness) as api:
        try:
            yield api, report
        except BaseException as error:
            outcome = {"outcome": type(error).__name__, "reason": str(error)}
            raise
        finally:
            report.traffic = asdict(api.traffic)
            manifest = {
                **asdict(report),
                **outcome,
                "source": api.source,
                "started": started.isoformat(timespec="seconds"),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            store.record_run(report.sequence, manifest)


async def pull(
    url: str,
    store: RecordStore,
    *,
    resources: Sequence[str] = RESOURCES,
    politeness: Politeness | None = None,
    limits: PullLimits | None = None,
    on_page: Callable[[str, Page], None] = lambda resource, page: None,
    on_plan: Callable[[str, int], None] = lambda resource, expected: None,
) -> PullReport:
    """Bring the store up to date with the service at ``url``.

    Args:
        url: base address of the Web-API.
        store: a record store; locked here for the time of the pull.
        resources: which to pull.
        politeness: how the service is asked.
        limits: what may be concluded from its answers.
        on_page: called with the resource and every page that came.
        on_plan: called with the resource and how many documents its walks expect.

    Raises:
        LockedError: another run works on the store.
        ServiceUnavailable: the service did not answer; what came is sealed.
        LawBroken: the service lists far less than the store has.
    """

    async def steps(work: ResourcePull) -> None:
        for step in (work.begin, work.changes):
            windows = await step()
            on_plan(work.resource, sum(window.expected for window in windows))
            await work.walk(windows)
        await work.settle()

    with store.lock():
        return await _run(url, store, steps, resources, politeness, limits, on_page)


async def verify(
    url: str,
    store: RecordStore,
    *,
    resources: Sequence[str] = RESOURCES,
    politeness: Politeness | None = None,
    limits: PullLimits | None = None,
    on_page: Callable[[str, Page], None] = lambda resource, page: None,
) -> PullReport:
    """Check every part's digest, then compare counts with the service window by window.

    What differs is walked: missing records are stored, deleted ones recorded. Arguments and errors are those of
    :func:`pull`.

    Raises:
        StoreCorrupted: a part is not what its manifest says.
    """

    async def steps(work: ResourcePull) -> None:
        for step in (work.begin, work.changes):
            await work.walk(await step())
        await work.settle(thorough=True)

    with store.lock():
        for resource in resources:
            for part in store.parts(resource):
                part.check()
        return await _run(url, store, steps, resources, politeness, limits, on_page)


async def _run(
    url: str,
    store: RecordStore,
    steps: Callable[[ResourcePull], Awaitable[None]],
    resources: Sequence[str],
    politeness: Politeness | None,
    limits: PullLimits | None,
    on_page: Callable[[str, Page], None],
) -> PullReport:
    """One run over all resources at once."""
    async with pull_run(url, store, politeness or Politeness()) as (api, report):

        async def one(resource: str) -> None:
            work = ResourcePull(
                api, store, resource, report.sequence, limits, lambda page: on_page(resource, page)
            )
            await steps(work)
            report.resources[resource] = work.finish()

        await all_or_first_error(one(resource) for resource in resources)
    return report
