"""A whole pull without a scheduler: every resource, then the run's manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from curation.pull.client import Politeness, WebApi
from curation.pull.pages import Page
from curation.pull.resource import PullLimits, ResourcePull, ResourceReport
from curation.pull.together import all_or_first_error
from curation.store import RecordStore
from schemas import RESOURCES


@dataclass
class PullReport:
    """What a run's pull did."""

    sequence: int
    resources: dict[str, ResourceReport] = field(default_factory=dict)
    traffic: dict[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """Records that are new, changed or gone."""
        return sum(r.new + r.changed + r.deleted for r in self.resources.values())


def run_manifest(report: PullReport, source: str, started: datetime) -> dict[str, Any]:
    """What ``runs/N.json`` says of a pull that came to its end."""
    return {
        "outcome": "complete",
        "sequence": report.sequence,
        "source": source,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "resources": {name: asdict(resource) for name, resource in report.resources.items()},
        "traffic": report.traffic,
    }


def record_failure(
    store: RecordStore, report: PullReport, api: WebApi, started: datetime, error: BaseException
) -> None:
    """Write the manifest of a run that did not come to its end; what it brought is sealed all the same."""
    report.traffic = asdict(api.traffic)
    manifest = run_manifest(report, api.source, started)
    store.record_run(report.sequence, manifest | {"outcome": type(error).__name__, "reason": str(error)})


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
    """One run over all resources at once, from its number to its manifest."""
    started = datetime.now(UTC)
    report = PullReport(store.next_sequence())
    async with WebApi(url, politeness or Politeness()) as api:

        async def one(resource: str) -> None:
            work = ResourcePull(
                api, store, resource, report.sequence, limits, lambda page: on_page(resource, page)
            )
            await steps(work)
            report.resources[resource] = work.finish()

        try:
            await all_or_first_error([one(resource) for resource in resources])
        except BaseException as error:
            record_failure(store, report, api, started, error)
            raise
        report.traffic = asdict(api.traffic)
        store.record_run(report.sequence, run_manifest(report, api.source, started))
    return report
