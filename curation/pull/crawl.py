"""The crawl by page number, for a service that refuses filters on ``_id``.

Pages by number shift when records come and go, so nothing is believed from one pass: passes are repeated until one
brings nothing new and lists as many documents as the service counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from curation.errors import ServiceUnavailable
from curation.pull.client import PageFailed, WebApi
from curation.pull.pages import MAX_RESULTS, Page
from curation.pull.walk import OnPage, fresh_records
from curation.store import Known, RecordStore

if TYPE_CHECKING:
    from curation.pull.resource import ResourceReport

MOST_PASSES = 5


async def crawl(
    api: WebApi,
    store: RecordStore,
    known: Known,
    resource: str,
    sequence: int,
    on_page: OnPage,
    report: ResourceReport,
) -> tuple[set[str], int]:
    """Crawl a resource by page number until a pass is complete.

    Returns:
        The live ids that neither of the last two passes listed, and how many documents the last pass listed.

    Raises:
        ServiceUnavailable: no pass of :data:`MOST_PASSES` was complete.
    """
    unseen: set[str] | None = None
    for number in range(1, MOST_PASSES + 1):
        listed, fresh, complete = await _one_pass(
            api, store, known, resource, sequence, number, on_page, report
        )
        missing = set(known.ids("", "g")) - listed
        if fresh == 0 and complete and unseen is not None:
            return missing & unseen, len(listed)
        unseen = missing
    raise ServiceUnavailable(
        f"{api.source}/{resource}: {MOST_PASSES} crawls by page number each found other documents than the service "
        "counts; what came is kept, run the command again"
    )


async def _one_pass(
    api: WebApi,
    store: RecordStore,
    known: Known,
    resource: str,
    sequence: int,
    number: int,
    on_page: OnPage,
    report: ResourceReport,
) -> tuple[set[str], int, bool]:
    """One pass over all pages.

    Returns:
        The ids listed, how many of them were new or changed, and whether they are as many as the service counts.
    """
    about = {"kind": "crawl", "source": api.source, "window": {"pass": number}}
    writer = store.writer(resource, sequence, about)
    listed: set[str] = set()
    fresh_total = broken = total = 0
    report.unretrievable = []
    try:
        async for page, position in _pages(api, resource):
            if page is None:
                broken += 1
                report.unretrievable.append({"position": position, "count": 1})
                continue
            total = page.total
            records = [record for record in page.records if record.id not in listed]
            fresh = fresh_records(records, known)
            listed.update(record.id for record in records)
            report.new += sum(new for _, new in fresh)
            report.changed += sum(not new for _, new in fresh)
            fresh_total += len(fresh)
            if writer.add(fresh):
                await asyncio.to_thread(writer.flush)
            on_page(page)
    finally:
        part = await asyncio.to_thread(writer.seal)
        if part is not None:
            known.add(part)
    return listed, fresh_total, len(listed) + broken == total


async def _pages(api: WebApi, resource: str) -> AsyncIterator[tuple[Page | None, int]]:
    """Every page by number; a page that fails is asked for record by record, and is ``None`` at broken ones.

    The second item is the position (from 1) of the page's first record.
    """
    position, total = 1, 1
    while position <= total:
        try:
            page = await api.page(resource, number=(position - 1) // MAX_RESULTS + 1)
        except PageFailed:
            for single in range(position, min(position + MAX_RESULTS, max(total, position) + 1)):
                try:
                    one = await api.page(resource, max_results=1, number=single)
                except PageFailed:
                    yield None, single
                    continue
                total = one.total
                yield one, single
        else:
            total = page.total
            yield page, position
        position += MAX_RESULTS
