"""The crawl by page number, for a service that refuses filters on ``_id``.

Pages by number shift when records come and go, so nothing is believed from one pass: passes are repeated until one
brings nothing new and lists as many documents as the service counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

from curation.errors import ServiceUnavailable
from curation.objectid import HIGHEST, LOWEST
from curation.pull.client import PageFailed, PageMisleads, WebApi
from curation.pull.pages import MAX_RESULTS, Page, check_page
from curation.pull.walk import MOST_BROKEN, OnPage, flush, fresh_records, require_service, sealed
from curation.pull.windows import LARGEST_WINDOW
from curation.store import Known, PartWriter, Record, RecordStore

MOST_PASSES = 5


@dataclass
class CrawlResult:
    """What a crawl brought.

    Attributes:
        total: documents the service counts.
        listed: how many the last pass listed.
        new, changed: records stored, by what happened to them, in all passes.
        missing: live ids of the store that neither of the last two passes listed.
        broken: positions (from 1, in order of ids) of records that cannot be rendered.
    """

    total: int = 0
    listed: int = 0
    new: int = 0
    changed: int = 0
    missing: set[str] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)


async def crawl(
    api: WebApi, store: RecordStore, known: Known, resource: str, sequence: int, on_page: OnPage
) -> CrawlResult:
    """Crawl a resource by page number until a pass is complete.

    Raises:
        ServiceUnavailable: no pass of :data:`MOST_PASSES` was complete, or the service was away.
    """
    result = CrawlResult()
    unseen: set[str] | None = None
    for number in range(1, MOST_PASSES + 1):
        before = result.new + result.changed
        about = {"kind": "crawl", "source": api.source, "window": {"pass": number}}
        sink = _Sink(known, partial(store.writer, resource, sequence, about), result)
        try:
            listed = await _one_pass(api, resource, sink, on_page, result)
        finally:
            await sink.seal()
        missing = set(known.ids("", "g")) - listed
        complete = len(listed) + len(result.broken) == result.total
        if complete and result.new + result.changed == before and unseen is not None:
            result.missing = missing & unseen
            return result
        unseen = missing
    raise ServiceUnavailable(
        f"{api.source}/{resource}: {MOST_PASSES} crawls by page number each found other documents than the service "
        "counts; what came is kept, run the command again"
    )


async def _one_pass(
    api: WebApi, resource: str, sink: _Sink, on_page: OnPage, result: CrawlResult
) -> set[str]:
    """One pass over all pages; the ids listed."""
    listed: set[str] = set()
    result.broken = set()
    result.total = 0
    async for page, position in _pages(api, resource):
        if page is None:
            result.broken.add(position)
            continue
        result.total = page.total
        records = [record for record in page.records if record.id not in listed]
        listed.update(record.id for record in records)
        await sink.take(records)
        on_page(page)
    result.listed = len(listed)
    return listed


class _Sink:
    """Stores what is new or changed, in parts of the size of a window, so that a killed crawl loses little."""

    def __init__(self, known: Known, writer: Callable[[], PartWriter], result: CrawlResult) -> None:
        self._known = known
        self._new_writer = writer
        self._writer = writer()
        self._result = result
        self._taken = 0
        self._flushing: asyncio.Future[None] | None = None

    async def take(self, records: list[Record]) -> None:
        fresh = fresh_records(records, self._known)
        self._result.new += sum(new for _, new in fresh)
        self._result.changed += sum(not new for _, new in fresh)
        self._taken += len(fresh)
        due = self._writer.add(fresh)
        if self._taken >= LARGEST_WINDOW:
            await self.seal()
            self._writer, self._taken, self._flushing = self._new_writer(), 0, None
        elif due:
            self._flushing = await flush(self._writer, self._flushing)

    async def seal(self) -> None:
        await sealed(self._writer, self._known)


async def _pages(api: WebApi, resource: str) -> AsyncIterator[tuple[Page | None, int]]:
    """Every page by number; a page that fails is asked for record by record, and is ``None`` at broken ones.

    The second item is the position (from 1) of the page's first record.
    """
    size, position, in_a_row = MAX_RESULTS, 1, 0
    total: int | None = None
    while total is None or position <= total:
        try:
            page = await _numbered(api, resource, size, (position - 1) // size + 1)
        except PageFailed:
            singles = range(position, position + size)
        else:
            total, in_a_row = page.total, 0
            if page.max_results < size:
                # The service caps pages lower, and what was asked for was not at this position.
                size, position = page.max_results, 1
                continue
            yield page, position
            singles = range(0)
        for single in singles:
            if total is not None and single > total:
                break
            try:
                one = await _numbered(api, resource, 1, single)
            except PageMisleads as lie:
                raise ServiceUnavailable(str(lie)) from None
            except PageFailed as failure:
                in_a_row += 1
                if in_a_row % 5 == 0:
                    await require_service(api, resource, failure)
                if in_a_row >= MOST_BROKEN:
                    raise ServiceUnavailable(
                        f"{failure}; so did the {MOST_BROKEN} records before it"
                    ) from None
                yield None, single
            else:
                total, in_a_row = one.total, 0
                yield one, single
        position += size


async def _numbered(api: WebApi, resource: str, size: int, number: int) -> Page:
    def check(page: Page) -> None:
        check_page(page, LOWEST, HIGHEST, size, number)

    return await api.page(resource, max_results=size, number=number, check=check)
