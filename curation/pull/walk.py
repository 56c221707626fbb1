"""Walks a window of ids page by page and stores what is new or changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from curation.errors import ServiceUnavailable
from curation.pull.client import PageFailed, WebApi
from curation.pull.pages import MAX_RESULTS, BadAnswer, Page
from curation.pull.windows import Spot, Window
from curation.store import Known, Part, PartWriter, Record, RecordStore

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
) -> WalkResult:
    """Walk one window and seal what it brought.

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
    walker = _Walker(api, known.view(window.after, window.through), resource, window, writer, on_page)
    try:
        await walker.run()
    finally:
        part = await asyncio.to_thread(writer.seal)
        if part is not None:
            known.add(part)
    walker.result.part = part
    return walker.result


class _Walker:
    def __init__(
        self, api: WebApi, known: Known, resource: str, window: Window, writer: PartWriter, on_page: OnPage
    ) -> None:
        self._api = api
        self._known = known
        self._resource = resource
        self._window = window
        self._writer = writer
        self._on_page = on_page
        self._cursor = window.after
        self.result = WalkResult()

    async def run(self) -> None:
        size = 1 if self._window.again else MAX_RESULTS
        while True:
            hurried = self._window.again or size not in (1, MAX_RESULTS)
            try:
                page = await self._page(size, attempts=NARROWING_ATTEMPTS if hurried else None)
            except PageFailed as failure:
                if size > 1:
                    size //= 2
                    continue
                if not await self._pass_by(failure):
                    break
                continue
            await self._take(page, self._window.through if _is_last(page) else page.records[-1].id)
            if _is_last(page):
                break
            size = min(MAX_RESULTS, size * 2)

    async def _page(self, size: int, attempts: int | None, number: int = 1) -> Page:
        def check(page: Page) -> None:
            check_window(page, self._cursor, self._window.through, size, number)

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
            await asyncio.to_thread(self._writer.flush)
        self._on_page(page)

    async def _pass_by(self, failure: PageFailed) -> bool:
        """Note the records after the cursor that cannot be rendered and go on behind them.

        Returns whether anything is left to walk.
        """
        for broken in range(1, MOST_BROKEN + 1):
            try:
                # As patient as can be: a sound record that fails by chance here would be taken for a broken one.
                page = await self._page(1, attempts=None, number=broken + 1)
            except PageFailed:
                if broken % 5 == 0:
                    await self._require_service(failure)
                continue
            following = page.records[0].id if page.records else self._window.through
            spot = Spot(self._cursor, following, broken, str(failure))
            self.result.spots.append(spot)
            if not page.records:
                self._cursor = following
                return False
            # The next page starts before the record that was found, and brings it.
            self._cursor = f"{int(following, 16) - 1:024x}"
            return True
        raise ServiceUnavailable(f"{failure}; so did the {MOST_BROKEN} records that follow")

    async def _require_service(self, failure: PageFailed) -> None:
        """Tell broken records from a service that is ill."""
        try:
            await self._api.page(self._resource, sort="-_id", max_results=1, attempts=NARROWING_ATTEMPTS)
        except PageFailed:
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


def check_window(page: Page, cursor: str, through: str, size: int, number: int = 1) -> None:
    """Check that a page is what was asked for: ids ascending within ``(cursor, through]``, as many as announced.

    Raises:
        BadAnswer: it is not.
    """
    if page.max_results < 1 or page.total < 0:
        raise BadAnswer("a page with max_results below 1 or a negative total")
    expected = max(0, min(size, page.max_results, page.total - (number - 1) * size))
    if len(page.records) != expected:
        raise BadAnswer(f"the page has {len(page.records)} documents where its totals promise {expected}")
    previous = cursor
    for record in page.records:
        if not previous < record.id <= through:
            raise BadAnswer("ids out of order or outside the window that was asked for")
        previous = record.id
