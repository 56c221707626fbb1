"""Walks a window of ids page by page and stores what is new or changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from curation.errors import ServiceUnavailable
from curation.pull.client import PageFailed, PageMisleads, WebApi
from curation.pull.pages import MAX_RESULTS, Page, check_page
from curation.pull.windows import RECOUNT_WINDOW, Spot, Window, count
from curation.store import Known, Part, PartWriter, Record, RecordStore
from curation.together import begin_flush, in_thread

# Records in a row that cannot be rendered before the service is taken to be ill.
MOST_BROKEN = 200
# Tries of a page that is being narrowed; the last, of a single record, is tried as often as any page.
NARROWING_ATTEMPTS = 2


@dataclass
class WalkResult:
    """What one walk brought.

    Attributes:
        listed: documents the service listed.
        new: documents whose id the store did not have.
        changed: documents stored beside an older version.
        missing: live ids of the store that the service did not list.
        spots: records that could not be retrieved.
        part: the sealed part; ``None`` where nothing was new or changed.
    """

    listed: int = 0
    new: int = 0
    changed: int = 0
    missing: list[str] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)
    part: Part | None = None


OnPage = Callable[[Page], None]


async def walk(
    api: WebApi,
    store: RecordStore,
    known: Known,
    resource: str,
    sequence: int,
    window: Window,
    on_page: OnPage = lambda page: None,
    noted: Sequence[Spot] = (),
) -> WalkResult:
    """Walk one window and seal what it brought; ``noted`` are the records known to be broken.

    Whatever ends the walk early, the documents that came are sealed first: the next run counts them as known.

    Raises:
        FilterRefused: the service refuses the filter.
        ServiceUnavailable: the service was away, or ill beyond single records.
    """
    about = {
        "kind": "updated" if window.updated else "window",
        "source": api.source,
        "window": {"after": window.after, "through": window.through, "updated": window.updated},
    }
    writer = store.writer(resource, sequence, about)
    walker = _Walker(api, known.view(window.after, window.through), resource, window, writer, on_page, noted)
    try:
        await walker.run()
    finally:
        walker.result.part = await sealed(writer, known)
    return walker.result


async def flush(writer: PartWriter, before: asyncio.Future[None] | None) -> asyncio.Future[None]:
    """Begin to write what came, once the flush ``before`` is done; fetching goes on meanwhile.

    Raises:
        OSError: of the flush before.
    """
    writer.pack()
    if before is not None:
        # Not cancelled with the task: sealing comes after it in any case.
        await asyncio.shield(before)
    return begin_flush(writer.flush)


async def sealed(writer: PartWriter, known: Known) -> Part | None:
    """Seal what a writer took and make it known, also when the task is being cancelled."""
    writer.pack()
    try:
        return await in_thread(writer.seal)
    finally:
        if writer.part is not None:
            known.add(writer.part)


class _Walker:
    def __init__(
        self,
        api: WebApi,
        known: Known,
        resource: str,
        window: Window,
        writer: PartWriter,
        on_page: OnPage,
        noted: Sequence[Spot],
    ) -> None:
        self._api = api
        self._known = known
        self._resource = resource
        self._window = window
        self._writer = writer
        self._on_page = on_page
        self._noted = noted
        self._cursor = window.after
        self._flushing: asyncio.Future[None] | None = None
        self.result = WalkResult()

    async def run(self) -> None:
        size = 1 if self._window.again else MAX_RESULTS
        while True:
            hurried = self._window.again or size not in (1, MAX_RESULTS)
            try:
                page = await self._page(size, attempts=NARROWING_ATTEMPTS if hurried else None)
            except PageFailed as failure:
                if size == MAX_RESULTS:
                    await require_service(self._api, self._resource, failure)
                if size > 1:
                    size //= 2
                    continue
                if isinstance(failure, PageMisleads):
                    raise ServiceUnavailable(str(failure)) from None
                if not await self._pass_by(failure):
                    break
                continue
            await self._take(page, self._window.through if _is_last(page) else page.records[-1].id)
            if _is_last(page):
                break
            size = min(MAX_RESULTS, size * 2)

    async def _page(self, size: int, attempts: int | None, number: int = 1) -> Page:
        def check(page: Page) -> None:
            check_page(page, self._cursor, self._window.through, size, number)

        where = self._window.where(self._cursor)
        return await self._api.page(
            self._resource, where=where, max_results=size, number=number, check=check, attempts=attempts
        )

    async def _take(self, page: Page, end: str) -> None:
        """Store what is new or changed of a page that lists all of ``(cursor, end]``."""
        ids = [record.id for record in page.records]
        fresh = fresh_records(page.records, self._known)
        if not self._window.updated:
            listed = set(ids)
            gone = (i for i in self._known.ids(self._cursor, end) if i not in listed)
            self.result.missing += gone
        self._cursor = end
        self.result.listed += len(ids)
        self.result.new += sum(new for _, new in fresh)
        self.result.changed += sum(not new for _, new in fresh)
        if self._writer.add(fresh):
            self._flushing = await flush(self._writer, self._flushing)
        self._on_page(page)

    async def _pass_by(self, failure: PageFailed) -> bool:
        """Note the records after the cursor that cannot be rendered and go on behind them.

        Returns whether anything is left to walk.
        """
        for broken in range(1, MOST_BROKEN + 1):
            try:
                # As patient as can be: a sound record that fails by chance here would be taken for a broken one.
                page = await self._page(1, attempts=None, number=broken + 1)
            except PageMisleads as lie:
                raise ServiceUnavailable(str(lie)) from None
            except PageFailed:
                if broken % 5 == 0:
                    await require_service(self._api, self._resource, failure)
                continue
            if page.records:
                # The next page starts before the record that was found, and brings it.
                following, end = page.records[0].id, f"{int(page.records[0].id, 16) - 1:024x}"
            else:
                following = end = self._window.through
            if self._window.updated:
                await self._pin(self._cursor, end, broken, str(failure))
            else:
                # Those that the store has may be among the broken, or be gone.
                there = self._known.ids(self._cursor, end)
                self.result.missing += there
                held = min(broken, len(there))
                self.result.spots.append(Spot(self._cursor, following, broken, str(failure), held))
            self._cursor = end
            return bool(page.records)
        raise ServiceUnavailable(f"{failure}; nor could the {MOST_BROKEN} records that follow be had")

    async def _pin(self, low: str, high: str, broken: int, reason: str) -> None:
        """Note changed records that broke: between two changed ones lie many more, so the range is narrowed."""
        if self._known.count(low, high) > RECOUNT_WINDOW and int(high, 16) - int(low, 16) > 1:
            middle = f"{(int(low, 16) + int(high, 16)) // 2:024x}"
            below = await self._count_changed(low, middle)
            for after, through, number in ((low, middle, below), (middle, high, broken - below)):
                if number > 0:
                    await self._pin(after, through, number, reason)
            return
        for spot in self._noted:
            after, through = max(low, spot.after), min(high, spot.through)
            if after < through:
                broken -= await self._count_changed(after, through)
        if broken > 0:
            self.result.spots.append(Spot(low, high, broken, reason, held=broken))

    async def _count_changed(self, after: str, through: str) -> int:
        where = Window(after, through, 0, self._window.updated).where(after)
        return await count(self._api, self._resource, where, blindly=True)


async def require_service(api: WebApi, resource: str, failure: PageFailed) -> None:
    """Tell broken records from a service that is ill.

    Raises:
        ServiceUnavailable: it does not even count its documents.
    """
    try:
        await count(api, resource, {})
    except ServiceUnavailable:
        raise ServiceUnavailable(f"{failure}; no other page can be had either") from None


def fresh_records(records: Sequence[Record], known: Known) -> list[tuple[Record, bool]]:
    """Those of ``records`` that the store does not have as they are, each with whether its id is new to it."""
    etags = known.etags([record.id for record in records])
    return [
        (record, record.id not in etags)
        for record in records
        # Without an etag a change cannot be told; the document is kept again.
        if not record.etag or etags.get(record.id) != record.etag
    ]


def _is_last(page: Page) -> bool:
    return page.total <= len(page.records)
