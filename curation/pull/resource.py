"""Brings one resource of the store up to date with the service, step by step.

The steps are separate so that a flow can run, name and retry each; :func:`curation.pull.pull` runs them in a row.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from curation.errors import LawBroken
from curation.objectid import LOWEST
from curation.pull.client import FilterRefused, WebApi
from curation.pull.crawl import crawl
from curation.pull.walk import OnPage, WalkResult, walk
from curation.pull.windows import Spot, Window, count, newest_id, plan
from curation.store import RecordStore

log = logging.getLogger(__name__)

# The service's clocks tick in whole seconds and its processes need not agree to the second.
CLOCK_SLACK = timedelta(seconds=2)
# Recounts after a pull: each finds what was deleted, or came late, while the one before ran.
MOST_RECOUNTS = 4


@dataclass(frozen=True)
class PullLimits:
    """What a pull may conclude.

    Attributes:
        overlap: how far back from the last night changes are counted again.
        most_deleted: share of a resource's records, and
        least_deleted: number of them, beyond both of which deletions upstream are not believed.
    """

    overlap: timedelta = timedelta(hours=1)
    most_deleted: float = 0.01
    least_deleted: int = 100


@dataclass
class ResourceReport:
    """What a pull did to one resource; JSON-ready with :func:`dataclasses.asdict`.

    Attributes:
        total: documents the service counts up to ``newest_id``.
        live: records the store holds of them.
        new, changed, deleted: records by what happened to them.
        unretrievable: records the service counts but cannot render.
        unsettled: difference between the counts that no walk explained.
        by_page_number: whether the service refused filters, so that pages were crawled by number.
    """

    resource: str
    total: int = 0
    live: int = 0
    listed: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    newest_id: str | None = None
    unretrievable: list[dict[str, Any]] = field(default_factory=list)
    unsettled: int = 0
    by_page_number: bool = False


class ResourcePull:
    """The pull of one resource in one run.

    Args:
        api: an open client.
        store: the record store, locked by the caller.
        resource: its name.
        sequence: number of the run.
        limits: what may be concluded.
        on_page: called with every page that came.
    """

    def __init__(
        self,
        api: WebApi,
        store: RecordStore,
        resource: str,
        sequence: int,
        limits: PullLimits | None = None,
        on_page: OnPage = lambda page: None,
    ) -> None:
        self.api = api
        self.store = store
        self.resource = resource
        self.sequence = sequence
        self.limits = limits or PullLimits()
        self.on_page = on_page
        self.known = store.known(resource)
        self.report = ResourceReport(resource)
        self._cursor = store.cursor(resource)
        self._spots = [Spot(**spot) for spot in self._cursor.get("unretrievable", [])]
        self._missing: set[str] = set()
        self._before = self.known.newest_id
        self._newest_updated = self.known.newest_updated
        self._agreed = False
        self._started = datetime.now(UTC)

    async def begin(self) -> list[Window]:
        """Fix how far this run goes, and plan what it walks.

        Raises:
            ServiceUnavailable: the service does not answer.
        """
        newest, total = await newest_id(self.api, self.resource)
        self._started = self.api.server_time or datetime.now(UTC)
        report = self.report
        report.newest_id = max(filter(None, [newest, self._before]), default=None)
        if "changes_known_until" not in self._cursor:
            # Everything stored from here on is at least as new as this moment. It has to be on disk before the
            # first document is: a killed first pull leaves documents that may change before the next.
            self._cursor = {"changes_known_until": _iso(self._started)}
            self.store.move_cursor(self.resource, self._cursor)
        if report.newest_id is None:
            return []
        self._agreed = newest == self._before and total == self._expected()
        again = [Window(spot.after, spot.through, spot.count, again=True) for spot in self._spots]
        if self._agreed:
            return again
        windows = await self._plan(LOWEST, self._before) if self._before else []
        if self._before != report.newest_id:
            windows += await self._plan(self._before or LOWEST, report.newest_id)
        return windows + again

    def _expected(self) -> int:
        """How many documents the service should count up to ``newest_id``, by what the store knows."""
        live = self.known.count(LOWEST, self.report.newest_id or LOWEST)
        return live + sum(spot.count for spot in self._spots)

    async def _plan(
        self, after: str, through: str, *, updated: dict[str, str] | None = None, thorough: bool = False
    ) -> list[Window]:
        """:func:`plan`, or nothing once the service has refused a filter."""
        if self.report.by_page_number:
            return []
        try:
            return await plan(
                self.api,
                self.resource,
                self.known,
                self._spots,
                after,
                through,
                updated=updated,
                thorough=thorough,
            )
        except FilterRefused as refusal:
            log.warning("%s: %s; falling back to a crawl by page number", self.resource, refusal)
            self.report.by_page_number = True
            return []

    async def walk(self, windows: Sequence[Window]) -> WalkResult:
        """Walk windows, several at once; every window ends, or is sealed as far as it came, before this returns.

        Raises:
            ServiceUnavailable: of the first window that failed.
        """
        together = WalkResult()
        waiting = list(reversed(windows))

        async def work() -> None:
            while waiting:
                window = waiting.pop()
                self._agreed = False
                result = await walk(
                    self.api, self.store, self.known, self.resource, self.sequence, window, self.on_page
                )
                self._note(window, result)
                together.listed += result.listed
                together.new += result.new
                together.changed += result.changed

        workers = [
            asyncio.create_task(work()) for _ in range(min(len(windows), self.api.politeness.connections))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return together

    def _note(self, window: Window, result: WalkResult) -> None:
        report = self.report
        report.listed += result.listed
        report.new += result.new
        report.changed += result.changed
        self._missing.update(result.missing)
        if not window.updated:
            # What was noted inside this window was looked at again just now.
            inside = (s for s in self._spots if window.after <= s.after and s.through <= window.through)
            for spot in list(inside):
                self._spots.remove(spot)
            self._spots += result.spots
        for spot in result.spots:
            log.warning(
                "%s: %d record(s) between %s and %s cannot be retrieved (%s)",
                self.resource, spot.count, spot.after, spot.through, spot.reason,
            )  # fmt: skip

    async def changes(self) -> list[Window]:
        """Windows of the documents updated since the last complete run, among those it had seen.

        The moments around the last run's start are always asked for. The overlap before them, for changes that
        became visible late, is counted, and walked where the service counts otherwise than the store.
        """
        if self._before is None:
            return []
        since = datetime.fromisoformat(self._cursor["changes_known_until"])
        # A service whose `_updated` runs behind its clock is asked from the latest that it ever sent.
        since = min(since, self._newest_updated or since) - CLOCK_SLACK
        windows = await self._plan(LOWEST, self._before, updated={"$gte": _rfc_1123(since)})
        if self.report.by_page_number:
            return []
        early = since - self.limits.overlap
        overlap = {"$gte": _rfc_1123(early), "$lt": _rfc_1123(since)}
        found = await count(self.api, self.resource, {"_updated": overlap, "_id": {"$lte": self._before}})
        if found != self.known.count_updated(early, since, self._before):
            windows += await self._plan(LOWEST, self._before, updated=overlap)
        return windows

    async def settle(self, *, thorough: bool = False) -> None:
        """Walk again where counts differ, until they agree, and record what is gone upstream.

        Args:
            thorough: compare the counts of every window, not of the whole.

        Raises:
            LawBroken: more is gone than :class:`PullLimits` believes.
        """
        report, newest = self.report, self.report.newest_id
        if newest is None:
            return
        await self._bury()
        if thorough:
            await self.walk(await self._plan(LOWEST, newest, thorough=True))
            await self._bury()
        if report.by_page_number:
            missing, report.listed = await crawl(
                self.api, self.store, self.known, self.resource, self.sequence, self.on_page, report
            )
            self._missing.update(missing)
            await self._bury()
        for _ in range(MOST_RECOUNTS):
            report.live = self.known.count(LOWEST, newest)
            report.total = self._expected() if self._agreed else await self._count(newest)
            report.unsettled = report.total - self._expected()
            if report.unsettled == 0 or report.by_page_number:
                break
            await self.walk(await self._plan(LOWEST, newest))
            await self._bury()
        if report.unsettled:
            log.warning(
                "%s: the service counts %d documents more than the store has and could retrieve (%d); "
                "the next run looks again",
                self.resource, report.unsettled, report.live,
            )  # fmt: skip

    async def _count(self, newest: str) -> int:
        if self.report.by_page_number:
            return await count(self.api, self.resource, {})
        return await count(self.api, self.resource, {"_id": {"$lte": newest}})

    async def _bury(self) -> None:
        """Record as deleted what no walk lists and what the service, asked for each, says is not there."""
        missing, self._missing = sorted(self._missing), set()
        if not missing:
            return
        live = self.known.count(LOWEST, self.report.newest_id or LOWEST)
        if self.report.deleted + len(missing) > max(
            self.limits.least_deleted, self.limits.most_deleted * live
        ):
            raise LawBroken(
                f"{self.resource}: the service no longer lists {len(missing)} of {live} records, more than a run "
                "believes. Nothing was recorded as deleted. If they were deleted on purpose, run "
                "`mriqc-snapshot verify --accept-deletions`"
            )
        there = await asyncio.gather(*(self.api.exists(self.resource, record_id) for record_id in missing))
        gone = [record_id for record_id, exists in zip(missing, there, strict=True) if not exists]
        if gone:
            self.store.record_deletions(self.resource, self.sequence, gone, _iso(self._started))
            self.known.bury(gone, self.sequence)
            self.report.deleted += len(gone)

    def finish(self) -> ResourceReport:
        """Move the cursor, last of all, and report."""
        spots = [asdict(spot) for spot in sorted(self._spots, key=lambda spot: spot.after)]
        # A crawl by page number notes positions, which mean nothing to the next run.
        self.report.unretrievable = self.report.unretrievable or spots
        cursor = {
            "changes_known_until": _iso(self._started),
            "newest_id": self.report.newest_id,
            "unretrievable": spots,
        }
        self.store.move_cursor(self.resource, cursor)
        return self.report


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")


def _rfc_1123(time: datetime) -> str:
    return format_datetime(time.astimezone(UTC), usegmt=True)
