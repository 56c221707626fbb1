"""Which ranges of ids have to be walked: those where the service's count and the store's differ.

One rule serves a first pull, the next night, a pull that was killed and a recount: a range whose counts agree is
done; one that is small enough is walked; any other is cut and its pieces counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from curation.errors import ServiceUnavailable
from curation.objectid import HIGHEST, LOWEST, cut
from curation.pull.client import PageFailed, PageMisleads, WebApi
from curation.pull.pages import Page, check_page
from curation.store import Known
from curation.together import all_or_first_error

# Documents a walk should bring: large enough to compress well and to keep counting cheap, small enough that a
# killed run loses little and that several connections have work.
LARGEST_WINDOW = 5000
SMALLEST_WINDOW = 500
# A range that is mostly known is narrowed further before it is walked: to five pages.
RECOUNT_WINDOW = 250
PIECES = 8
# A page number behind the last document of any resource.
FAR_BEHIND = 100_000_000


@dataclass(frozen=True)
class Window:
    """A range of ids ``(after, through]`` to walk.

    Attributes:
        expected: documents the service counted there.
        updated: bounds on ``_updated`` as a MongoDB query, where only changed documents are asked for.
        again: whether this is a range in which records could not be retrieved before; asked less patiently.
    """

    after: str
    through: str
    expected: int
    updated: dict[str, str] | None = None
    again: bool = False

    def where(self, cursor: str) -> dict[str, Any]:
        """The filter for what follows ``cursor`` in this window."""
        query: dict[str, Any] = {"_id": {"$gt": cursor, "$lte": self.through}}
        if self.updated:
            query["_updated"] = self.updated
        return query


@dataclass(frozen=True)
class Spot:
    """Records with ids in ``(after, through]`` that the service counts but cannot render.

    Attributes:
        count: how many.
        reason: what the last of them was answered with.
        held: how many of them the store has, from before they broke.
    """

    after: str
    through: str
    count: int
    reason: str
    held: int = 0

    def inside(self, after: str, through: str) -> bool:
        """Whether the range lies within ``(after, through]``."""
        return after <= self.after and self.through <= through

    def beside(self, after: str, through: str) -> bool:
        """Whether the range has nothing in common with ``(after, through]``."""
        return self.through <= after or through <= self.after


async def count(api: WebApi, resource: str, where: dict[str, Any], *, blindly: bool = False) -> int:
    """How many documents the service says match ``where``; ``blindly``, if the first is known to be broken.

    Raises:
        ServiceUnavailable: no page of the matching documents can be had.
    """
    failure: PageFailed | None = None
    # A total comes with a page of documents, so a broken first document is passed by; a page behind the last
    # document holds none, whatever is broken.
    for number in (FAR_BEHIND,) if blindly else (1, 2, FAR_BEHIND):
        try:
            return (await _single(api, resource, where, "_id", number)).total
        except PageMisleads as error:
            raise ServiceUnavailable(str(error)) from None
        except PageFailed as error:
            failure = error
    raise ServiceUnavailable(str(failure))


async def _single(api: WebApi, resource: str, where: dict[str, Any], sort: str, number: int = 1) -> Page:
    """The document at a position of what matches ``where``, alone on its page."""
    bounds = where.get("_id", {})
    low, high = bounds.get("$gt", LOWEST), bounds.get("$lte", HIGHEST)

    def check(page: Page) -> None:
        check_page(page, low, high, 1, number)

    return await api.page(resource, where=where, sort=sort, max_results=1, number=number, check=check)


async def plan(
    api: WebApi,
    resource: str,
    known: Known,
    spots: Sequence[Spot],
    after: str,
    through: str,
    *,
    updated: dict[str, str] | None = None,
    thorough: bool = False,
) -> list[Window]:
    """Windows of ``(after, through]`` that have to be walked, ascending.

    With ``updated``, the documents it selects are cut into windows and the store's counts play no part. With
    ``thorough``, counts have to agree window by window: a deletion and a late arrival far apart are both seen.
    """

    async def examine(low: str, high: str, largest: int | None) -> list[Window]:
        found = await count(api, resource, Window(low, high, 0, updated).where(low))
        here = 0 if updated else known.count(low, high)
        agree = found == here + lacking(spots, low, high)
        if agree and (not thorough or found <= LARGEST_WINDOW):
            return []
        # Fixed by the first count: the windows of one plan are of one size.
        size = largest or min(LARGEST_WINDOW, max(SMALLEST_WINDOW, found // (4 * api.politeness.connections)))
        limit = size if here * 2 <= found else RECOUNT_WINDOW
        if (not agree and max(found, here) <= limit) or int(high, 16) - int(low, 16) <= 1:
            return [Window(low, high, found, updated)]
        pieces = await _pieces(api, resource, known, low, high, found, here, size, updated)
        results = await all_or_first_error([examine(a, b, size) for a, b in pieces])
        return [window for windows in results for window in windows]

    return await examine(after, through, None)


async def _pieces(
    api: WebApi,
    resource: str,
    known: Known,
    low: str,
    high: str,
    found: int,
    here: int,
    size: int,
    updated: dict[str, str] | None,
) -> list[tuple[str, str]]:
    if here * 2 > found:
        bounds = [low, *known.landmarks(low, high, PIECES), high]
        if len(bounds) > 2:
            return list(pairwise(bounds))
    # Ids crowd in time: the part of the range before the first and after the last document is cut off first.
    where = Window(low, high, 0, updated).where(low)
    first, last = await all_or_first_error([_edge(api, resource, where, sort) for sort in ("_id", "-_id")])
    inner_low = max(low, f"{int(first, 16) - 1:024x}") if first else low
    inner_high = min(high, last) if last else high
    if inner_low >= inner_high:
        inner_low, inner_high = low, high
    inner = cut(inner_low, inner_high, max(2, -(-found // size)))
    if here == 0:
        return inner
    # Known documents outside the service's first and last may have been deleted: their ranges are kept.
    return [piece for piece in [(low, inner_low), *inner, (inner_high, high)] if piece[0] < piece[1]]


async def _edge(api: WebApi, resource: str, where: dict[str, Any], sort: str) -> str | None:
    """The first id in ``sort`` order; ``None`` where it cannot be had."""
    try:
        page = await _single(api, resource, where, sort)
    except PageFailed:
        return None
    return page.records[0].id if page.records else None


async def newest_id(api: WebApi, resource: str) -> tuple[str | None, int]:
    """The highest id of the service now (``None`` for an empty resource) and how many documents it counts.

    Where the newest records cannot be rendered, the bound is above any id: what else is there is not left out.

    Raises:
        ServiceUnavailable: the service does not answer.
    """
    try:
        page = await _single(api, resource, {}, "-_id")
    except PageFailed:
        return HIGHEST, await count(api, resource, {})
    return (page.records[0].id if page.records else None), page.total


def lacking(spots: Sequence[Spot], after: str, through: str) -> int:
    """How many documents of ``(after, through]`` the service counts that the store cannot have."""
    return sum(spot.count - spot.held for spot in spots if spot.inside(after, through))


def again(spots: Sequence[Spot], planned: Sequence[Window]) -> list[Window]:
    """Windows of the records that could not be retrieved, without what is in a planned window anyhow.

    They have nothing in common: two walks of one range at once would both find the same records new.
    """
    ranges: list[list[str]] = []
    for spot in sorted(spots, key=lambda spot: spot.after):
        if ranges and spot.after < ranges[-1][1]:
            ranges[-1][1] = max(ranges[-1][1], spot.through)
        else:
            ranges.append([spot.after, spot.through])
    pieces = [(after, through) for after, through in ranges]
    for window in planned:
        pieces = [left for a, t in pieces for left in outside(a, t, window)]
    return [
        Window(a, t, sum(spot.count for spot in spots if not spot.beside(a, t)), again=True)
        for a, t in pieces
    ]


def outside(after: str, through: str, window: Window) -> list[tuple[str, str]]:
    """What of the range ``(after, through]`` is not in a window."""
    low, high = max(after, window.after), min(through, window.through)
    if low >= high:
        return [(after, through)]
    return [(a, t) for a, t in ((after, low), (high, through)) if a < t]
