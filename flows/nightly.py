"""The night: pull, curate, commit, as a Prefect flow.

Tasks are stages and groups of windows. What they do is in :mod:`curation`; here is when, in what order, and what an
operator sees of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

# Set before Prefect is imported, which reads them then. The embedded server tells nobody of its use and may take its
# time to start on a small machine; the library's own log lines belong to the run's log.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "curation")
# At its end the embedded server tells of services that it interrupts; a request that fails is told by the client.
os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")

import httpx
from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import PrefectException, TerminationSignal
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.tasks import Task

from curation.errors import ServiceUnavailable, SnapshotError
from curation.index.index import existing_index
from curation.pseudonyms import required_pseudonyms
from curation.publish import PublishReport, SnapshotDataset, publish
from curation.pull import PullReport, ResourcePull, ResourceReport, pull_run
from curation.pull.pages import Page
from curation.pull.windows import Window
from curation.report import REPORT
from curation.retention import RetentionReport, retain
from curation.siblings import PushReport, push
from curation.store import RecordStore, require_apart
from curation.together import all_or_first_error, in_thread
from curation.withdrawals import given_requests
from flows.progress import PullProgress, current
from flows.settings import Settings
from flows.sharing import NightNotPushed
from flows.views import WITHDRAWAL_COLUMNS, repair_counts, withdrawal_rows

# What the client of Prefect's server raises when it is away.
_PREFECT_AWAY = (httpx.HTTPError, PrefectException)
# How long the embedded server may take to write down how the tasks ended.
RECORD_SECONDS = 15.0
# A task walks so many windows a connection: enough that its own cost is lost in it, few enough to retry.
WINDOWS_A_CONNECTION = 4


@dataclass(frozen=True)
class NightReport:
    """What a night did; what it dropped from the annex is ``None`` where nothing is to be dropped."""

    pulled: PullReport
    published: PublishReport
    pushed: tuple[PushReport, ...] = ()
    retained: RetentionReport | None = None


async def _only_when_away(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task may be tried again: only if the service was away; a defect stays one."""
    return isinstance(await state.aresult(raise_on_failure=False), ServiceUnavailable)


# Arguments are live objects (a client, a store): nothing to hash, nothing to keep.
_stage: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retry_condition_fn": _only_when_away,
}


@task(task_run_name="plan {resource}", **_stage)
async def plan_windows(work: ResourcePull, resource: str) -> list[Window]:
    """Ask the service how far it goes, and find the windows to walk."""
    windows = await work.begin()
    get_run_logger().info("%s: %d window(s) to walk", resource, len(windows))
    return windows


@task(task_run_name="find changes of {resource}", **_stage)
async def find_changes(work: ResourcePull, resource: str) -> list[Window]:
    """Find the windows of documents updated since the last night."""
    windows = await work.changes()
    get_run_logger().info("%s: changed documents in %d window(s)", resource, len(windows))
    return windows


@task(task_run_name="walk {resource}, {name}", **_stage)
async def walk_windows(work: ResourcePull, resource: str, name: str, windows: list[Window]) -> None:
    """Walk a group of windows and seal what they bring."""
    result = await work.walk(windows)
    get_run_logger().info(
        "%s, %s: %d listed, %d new, %d changed", resource, name, result.listed, result.new, result.changed
    )


@task(task_run_name="compare counts of {resource}", **_stage)
async def settle_counts(work: ResourcePull, resource: str) -> ResourceReport:
    """Walk again where counts differ, record deletions, and move the cursor."""
    await work.settle()
    report = work.finish()
    get_run_logger().info(
        "%s: %d records on the service, %d in the store, %d deleted, %d unretrievable",
        resource, report.total, report.live, report.deleted, len(report.unretrievable),
    )  # fmt: skip
    return report


@task(task_run_name="curate and commit", cache_policy=NO_CACHE, persist_result=False)
async def curate_and_commit(
    store: RecordStore, dataset: SnapshotDataset, settings: Settings
) -> PublishReport:
    """Make the tables from the record store and commit them if they changed."""
    logger = get_run_logger()
    # Read here, as arguments of tasks and flows are Prefect's to show.
    key = required_pseudonyms()
    with settings.engine() as engine:
        report = await in_thread(
            partial(
                publish,
                store,
                dataset,
                key,
                existing_index(settings.index),
                withdrawals=given_requests(settings.withdrawals),
                accept_coverage=settings.accept_coverage,
                engine=engine,
                on_stage=logger.info,
            )
        )
    for expectation in report.snapshot["expectations"]:
        logger.warning("%s", expectation)
    logger.info("commit %s", report.commit) if report.commit else logger.info("nothing new, no commit")
    return report


@task(task_run_name="push to {name}", cache_policy=NO_CACHE, persist_result=False)
async def push_to_sibling(dataset: SnapshotDataset, name: str) -> PushReport:
    """Bring a sibling up to date with all that is committed."""
    report = await in_thread(partial(push, dataset, name, on_step=get_run_logger().info))
    get_run_logger().info("%s: %s, %d files copied", name, report.status, report.keys)
    return report


@task(task_run_name="drop superseded nights", cache_policy=NO_CACHE, persist_result=False)
async def drop_superseded(
    dataset: SnapshotDataset, keep_nights: int, siblings: Sequence[str]
) -> RetentionReport:
    """Drop the content of nights that are neither among the last nor released, here and from siblings."""
    report = await in_thread(partial(retain, dataset, keep_nights, siblings))
    get_run_logger().info("%d files of superseded nights dropped, %d bytes", report.keys, report.bytes)
    return report


@flow(name="nightly", flow_run_name="night of {date}", persist_result=False, validate_parameters=False)
async def nightly_flow(settings: Settings, date: str) -> NightReport:
    """One night: bring in what is new, make the tables, commit them; push them where settings say so.

    Raises:
        UsageError: there is no key for pseudonyms.
        LockedError: another run works on the store or the dataset.
        ServiceUnavailable: the service was away for longer than the retries last; what came is sealed.
        LawBroken: the data broke a law; nothing was published.
        NightNotPushed: the night is committed, but a sibling could not be pushed to.
    """
    store = RecordStore(settings.store)
    dataset = SnapshotDataset(settings.dataset)
    try:
        with ExitStack() as locks:
            locks.enter_context(dataset.lock())
            locks.enter_context(store.lock())
            await in_thread(dataset.prepare)
            pulled = await _pull(settings, store)
            published = await curate_and_commit(store, dataset, settings)
            pushed, failures = await _push(dataset, settings)
            retained = None
            if settings.keep_nights is not None:
                reached = [report.sibling for report in pushed]
                retained = await drop_superseded(dataset, settings.keep_nights, reached)
        await _keep_counts(pulled, published)
        report = NightReport(pulled, published, pushed, retained)
        if failures:
            raise NightNotPushed(
                f"the night is committed in {dataset.path}, but not pushed: {'; '.join(failures)}; the next night, or "
                "`mriqc-snapshot sibling push`, catches up",
                report,
            )
    finally:
        await _let_server_record()
    return report


async def _push(dataset: SnapshotDataset, settings: Settings) -> tuple[tuple[PushReport, ...], list[str]]:
    """Push to the siblings of the settings, one after the other; what failed is told by the second."""
    reports, failures = [], []
    for name in dict.fromkeys(settings.push):
        try:
            reports.append(await push_to_sibling(dataset, name))
        except SnapshotError as error:
            failures.append(str(error))
    return tuple(reports), failures


async def _pull(settings: Settings, store: RecordStore) -> PullReport:
    progress = current.get(None) or PullProgress()
    async with pull_run(settings.api_url, store, settings.politeness) as (api, report):

        async def one(resource: str) -> None:
            def on_page(page: Page) -> None:
                progress.page(resource, page)

            work = ResourcePull(api, store, resource, report.sequence, settings.limits, on_page)
            for step in (plan_windows, find_changes):
                windows = await _retried(step, settings)(work, resource)
                progress.expect(resource, sum(window.expected for window in windows))
                await _walk(work, resource, windows, settings)
            report.resources[resource] = await _retried(settle_counts, settings)(work, resource)

        await all_or_first_error(one(resource) for resource in settings.resources)
    return report


async def _walk(work: ResourcePull, resource: str, windows: Sequence[Window], settings: Settings) -> None:
    size = WINDOWS_A_CONNECTION * settings.connections
    groups = [list(windows[start : start + size]) for start in range(0, len(windows), size)]
    for number, group in enumerate(groups, 1):
        name = f"windows {number} of {len(groups)}"
        await _retried(walk_windows, settings)(work, resource, name, group)


def _retried(step: Task[..., Any], settings: Settings) -> Callable[..., Any]:
    return step.with_options(retries=settings.task_retries, retry_delay_seconds=settings.task_retry_delay)


def night_markdown(pulled: PullReport, published: PublishReport) -> str:
    """The night's counts, for an operator."""
    lines = [
        f"## {'Commit ' + published.commit[:10] if published.commit else 'Nothing new, no commit'}",
        "",
        "| | on the service | new | changed | deleted | representatives | duplicates | quarantined "
        "| excluded | withdrawn | unretrievable |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for resource, counts in published.snapshot["tables"].items():
        pull = pulled.resources.get(resource, ResourceReport(resource))
        lines.append(
            f"| {resource} | {pull.total} | {pull.new} | {pull.changed} | {pull.deleted} | {counts['representatives']} "
            f"| {counts['duplicates']} | {counts['quarantined']} | {counts['excluded']} | {counts['withdrawn']} "
            f"| {len(pull.unretrievable)} |"
        )
    lines += _found_markdown(published.snapshot)
    if published.withdrawals:
        heads = " | ".join(WITHDRAWAL_COLUMNS)
        lines += ["", f"| {heads} |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in withdrawal_rows(published.withdrawals)]
    lines += _changed_markdown(published)
    traffic = pulled.traffic
    lines += ["", f"{traffic['requests']} requests, {traffic['retries']} retries, {traffic['bytes']} bytes"]
    return "\n".join(lines) + "\n"


def _found_markdown(snapshot: dict[str, Any]) -> list[str]:
    """What was repaired, who is public, how raters agree: as far as there is something to say."""
    lines: list[str] = []
    if repairs := repair_counts(snapshot):
        lines += ["", "| repair | cells | left empty |", "|---|---:|---:|"]
        lines += [f"| {name} | {repaired} | {undecided} |" for name, repaired, undecided in repairs]
    if public := snapshot["public"]:
        lines += ["", "| images | | public |", "|---|---:|---:|"]
        lines += [f"| {name} | {counts['images']} | {counts['public']} |" for name, counts in public.items()]
    if snapshot["agreement"].get("images"):
        lines += [
            "",
            "| raters of an image | images | same label | neighbouring | further |",
            "|---:|---:|---:|---:|---:|",
        ]
        kinds = ("raters", "images", "same_label", "neighbouring_labels", "further")
        rows = snapshot["agreement"]["by_raters"]
        lines += [f"| {' | '.join(str(row[kind]) for kind in kinds)} |" for row in rows]
    return [*lines, "", *(f"- {expectation}" for expectation in snapshot["expectations"])]


def _changed_markdown(published: PublishReport) -> list[str]:
    """What changed since the last release, and where all of it can be looked at."""
    lines: list[str] = []
    if changes := published.changes:
        release = published.snapshot["last_release"]["version"]
        lines += ["", f"Since release {release}: **{changes.verdict}**", ""]
        lines += [f"- {line}" for line in changes.lines]
    if published.commit:
        lines += ["", f"Figures and examples: `{REPORT}` of commit {published.commit[:10]}"]
    return lines


def nightly(settings: Settings) -> NightReport:
    """Run one night to its end; see :func:`nightly_flow` for what it raises.

    Raises:
        UsageError: the dataset and the store are one inside the other.
    """
    # Before Prefect's server starts, which takes its time, and before anything is laid out.
    require_apart(settings.store, settings.dataset)
    required_pseudonyms()
    existing_index(settings.index)
    given_requests(settings.withdrawals)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_without_trace)
    if not PREFECT_API_URL.value():
        # Prefect's server, which takes a second to import: an operator's own may be elsewhere.
        from flows.embedded import watch_embedded_server

        watch_embedded_server()
    try:
        return asyncio.run(nightly_flow(settings, datetime.now(UTC).date().isoformat()))
    except TerminationSignal:
        # Prefect's own word for SIGTERM; to the command line it is as Ctrl-C.
        raise KeyboardInterrupt from None


def _without_trace(record: logging.LogRecord) -> bool:
    """An error that was foreseen says what to do in its message; where it was raised helps nobody."""
    if record.exc_info and isinstance(record.exc_info[1], SnapshotError):
        record.exc_info = None
    return True


async def _keep_counts(pulled: PullReport, published: PublishReport) -> None:
    """Keep the night's counts as an artifact; a night that is committed does not fail for want of it."""
    try:
        await acreate_markdown_artifact(
            key="night", markdown=night_markdown(pulled, published), description="Counts of the night"
        )
    except _PREFECT_AWAY as error:
        get_run_logger().error("Prefect's server did not take the artifact (%s)", type(error).__name__)


async def _let_server_record() -> None:
    """Wait until Prefect's server has written down how every task ended.

    It does so behind the requests, and the embedded one is stopped with this process.
    """
    run = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(str(flow_run.id))]))
    deadline = time.monotonic() + RECORD_SECONDS
    try:
        async with get_client() as client:
            while time.monotonic() < deadline:
                tasks = await client.read_task_runs(flow_run_filter=run)
                if all(task_run.state is not None and task_run.state.is_final() for task_run in tasks):
                    return
                await asyncio.sleep(0.2)
    except _PREFECT_AWAY as error:
        # How the night ended is told by the night, not by who keeps its history.
        get_run_logger().error("Prefect's server does not answer (%s)", type(error).__name__)
