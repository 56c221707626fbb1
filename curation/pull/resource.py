"""Brings one resource of the store up to date with the service, step by step.

The steps are separate so that a flow can run, name and retry each; :func:`curation.pull.pull` runs them in a row.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from curation.errors import LawBroken
from curation.objectid import LOWEST
from curation.pull.client import FilterRefused, WebApi
from curation.pull.crawl import crawl
from curation.pull.walk import OnPage, WalkResult, walk
from curation.pull.windows import Spot, Window, again, count, lacking, newest_id, outside, plan
from curation.store import RecordStore
from curation.together import all_or_first_error

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
        total: documents the service counts, up to the newest id when the run began.
        live: records the store holds of them.
        newest_id: the highest id in the store.
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
        self._through: str | None = None
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
        self._through = max(filter(None, [newest, self._before]), default=None)
        if "changes_known_until" not in self._cursor:
            # Everything stored from here on is at least as new as this moment. It has to be on disk before the
            # first document is: a killed first pull leaves documents that may change before the next.
            self._cursor = {"changes_known_until": _iso(self._started)}
            self.store.move_cursor(self.resource, self._cursor)
        if self._through is None:
            return []
        self._agreed = newest == self._before and total == self._expected()
        if self._agreed:
            return again(self._spots, [])
        if self._too_many(self._live() - total):
            # Hundreds of pages would only say the same; but one page may have lied.
            total = await count(self.api, self.resource, {})
            self._believe(self._live() - total)
        windows = await self._plan(LOWEST, self._before) if self._before else []
        if self._before != self._through:
            windows += await self._plan(self._before or LOWEST, self._through)
        return windows + again(self._spots, windows)

    def _live(self) -> int:
        return self.known.count(LOWEST, self._through or LOWEST)

    def _expected(self) -> int:
        """How many documents the service should count up to the bound of this run, by what the store knows."""
        return self._live() + lacking(self._spots, LOWEST, self._through or LOWEST)

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
            self._fall_back(refusal)
            return []

    def _fall_back(self, refusal: FilterRefused) -> None:
        if not self.report.by_page_number:
            log.warning("%s: %s; falling back to a crawl by page number", self.resource, refusal)
        self.report.by_page_number = True

    async def walk(self, windows: Sequence[Window]) -> WalkResult:
        """Walk windows, several at once; every window ends, or is sealed as far as it came, before this returns.

        Raises:
            ServiceUnavailable: of the first window that failed.
        """
        together = WalkResult()
        # Once filters are refused, a crawl brings what the windows would have.
        waiting = [] if self.report.by_page_number else list(reversed(windows))

        async def work() -> None:
            while waiting:
                window = waiting.pop()
                self._agreed = False
                try:
                    result = await walk(
                        self.api, self.store, self.known, self.resource, self.sequence, window,
                        self.on_page, self._spots,
                    )  # fmt: skip
                except FilterRefused as refusal:
                    self._fall_back(refusal)
                    waiting.clear()
                    return
                self._note(window, result)
                together.listed += result.listed
                together.new += result.new
                together.changed += result.changed

        await all_or_first_error(work() for _ in range(min(len(waiting), self.api.politeness.connections)))
        return together

    def _note(self, window: Window, result: WalkResult) -> None:
        report = self.report
        report.listed += result.listed
        report.new += result.new
        report.changed += result.changed
        self._missing.update(result.missing)
        if not window.updated:
            # What was noted inside this window was looked at again just now. What is left of a range says nothing
            # of numbers: it explains no difference of the counts, which is walked then.
            self._spots = [
                spot
                if (after, through) == (spot.after, spot.through)
                else replace(spot, after=after, through=through, held=spot.count)
                for spot in self._spots
                for after, through in outside(spot.after, spot.through, window)
            ]
        self._spots += result.spots
        for spot in result.spots:
            log.warning(
                "%s: %d record(s) between %s and %s cannot be retrieved (%s)",
                self.resource, spot.count, spot.after, spot.through, spot.reason,
            )  # fmt: skip

    async def changes(self) -> list[Window]:
        """Windows of the documents updated since the last complete run, among those it had seen.

        The moments around the last run's start are always asked for. The overlap before them, for changes that
        became visible late, is counted, and walked as well where the service counts otherwise than the store.
        """
        if self._before is None or self.report.by_page_number:
            return []
        since = datetime.fromisoformat(self._cursor["changes_known_until"])
        # A service whose `_updated` runs behind its clock is asked from the latest that it ever sent.
        since = min(since, self._newest_updated or since) - CLOCK_SLACK
        early = since - self.limits.overlap
        overlap = {"$gte": _rfc_1123(early), "$lt": _rfc_1123(since)}
        try:
            found = await count(self.api, self.resource, {"_updated": overlap, "_id": {"$lte": self._before}})
        except FilterRefused as refusal:
            self._fall_back(refusal)
            return []
        if found != self.known.count_updated(early, since, self._before):
            since = early
        # One filter and one set of windows: no record is in two walks at once.
        return await self._plan(LOWEST, self._before, updated={"$gte": _rfc_1123(since)})

    async def settle(self, *, thorough: bool = False) -> None:
        """Walk again where counts differ, until they agree, and record what is gone upstream.

        Args:
            thorough: compare the counts of every window, not of the whole.

        Raises:
            LawBroken: more is gone than :class:`PullLimits` believes.
        """
        if self._through is None:
            return
        report = self.report
        await self._bury()
        if thorough:
            await self.walk(await self._plan(LOWEST, self._through, thorough=True))
            await self._bury()
        try:
            if not report.by_page_number:
                await self._recount(self._through)
        except FilterRefused as refusal:
            self._fall_back(refusal)
        if report.by_page_number:
            await self._crawl()
        if report.unsettled:
            log.warning(
                "%s: the service counts %d documents more than the store has and could retrieve (%d); "
                "the next run looks again",
                self.resource, report.unsettled, report.live,
            )  # fmt: skip

    async def _recount(self, through: str) -> None:
        """Compare the counts, and walk what differs, until they agree or have differed too often."""
        report = self.report
        for left in reversed(range(MOST_RECOUNTS + 1)):
            where = {"_id": {"$lte": through}}
            report.total = self._expected() if self._agreed else await count(self.api, self.resource, where)
            report.live = self._live()
            report.unsettled = report.total - self._expected()
            if report.unsettled == 0 or left == 0 or report.by_page_number:
                break
            await self.walk(await self._plan(LOWEST, through))
            await self._bury()

    async def _crawl(self) -> None:
        report = self.report
        result = await crawl(self.api, self.store, self.known, self.resource, self.sequence, self.on_page)
        report.listed = result.listed
        report.new += result.new
        report.changed += result.changed
        # Positions mean nothing to the next run; they are told, and not kept with the cursor.
        report.unretrievable = [{"position": position, "count": 1} for position in sorted(result.broken)]
        self._spots = []
        self._through = max(filter(None, [self._through, self.known.newest_id]))
        self._missing.update(result.missing)
        await self._bury()
        report.total, report.live = result.total, self._live()
        report.unsettled = report.total - report.live - len(result.broken)

    async def _bury(self) -> None:
        """Record as deleted what no walk lists and what the service, asked for each, says is not there."""
        missing = sorted(self._missing)
        if not missing:
            return
        self._believe(len(missing))
        there = await all_or_first_error(self.api.exists(self.resource, record_id) for record_id in missing)
        gone = [record_id for record_id, exists in zip(missing, there, strict=True) if not exists]
        if gone:
            self.store.record_deletions(self.resource, self.sequence, gone, _iso(self._started))
            self.known.bury(gone, self.sequence)
            self.report.deleted += len(gone)
        # Last: a step that is tried again asks for them again.
        self._missing.clear()

    def _too_many(self, gone: int) -> bool:
        most = max(self.limits.least_deleted, self.limits.most_deleted * self._live())
        return self.report.deleted + gone > most

    def _believe(self, gone: int) -> None:
        """Refuse deletions upstream that are too many to be meant.

        Raises:
            LawBroken: they are.
        """
        if self._too_many(gone):
            raise LawBroken(
                f"{self.resource}: the service no longer has {gone} of {self._live()} records, more than a run "
                "believes. They were not recorded as deleted. If they were deleted on purpose, run "
                "`mriqc-snapshot verify --accept-deletions`"
            )

    def finish(self) -> ResourceReport:
        """Move the cursor, last of all, and report."""
        spots = [asdict(spot) for spot in sorted(self._spots, key=lambda spot: spot.after)]
        self.report.newest_id = self.known.newest_id
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
