"""A fast in-memory service that answers as the Web-API does, for faults by the thousand and for measuring.

The embedded Web-API (Eve) is what the pull is tested against for truth; this one is for volume and for misbehaving
on purpose. Documents are kept as bytes, sorted by id.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest
from aiohttp import web

from curation.objectid import HIGHEST, LOWEST
from curation.pull import Politeness, PullLimits, ResourceReport, crawl, pull, walk, windows
from curation.store import RecordStore
from schemas.dictionary import Resource
from tests.support.documents import valid

FAULTS = (
    "500", "429", "503", "timeout", "cut", "not-json", "content-type", "order", "total", "short", "disconnect",
)  # fmt: skip


class FastApi:
    """The service; use as a context manager, then ``url``.

    Args:
        documents: resource to documents with ``_id``, ``_updated``, ``_etag``.
        fault: asked with the request's number for the fault to answer with, ``None`` for none.
        broken: ids whose rendering fails for ever.
        refuse_where: answer 400 to any filter.
        now: the service's clock.
        cap: most documents a page.
        retry_after: what 429 and 503 say in ``Retry-After``; ``None`` says nothing.

    Attributes:
        requests: paths asked for, in order.
        agents: every ``User-Agent`` seen.
        at_once: most requests under way at a time.
        delay: seconds every answer takes.
    """

    def __init__(
        self,
        documents: dict[str, list[dict[str, Any]]],
        *,
        fault: Callable[[int], str | None] = lambda number: None,
        broken: set[str] | None = None,
        refuse_where: bool = False,
        before_page: Callable[[int], None] = lambda number: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        cap: int = 50,
        retry_after: str | None = "0",
    ) -> None:
        self._ids: dict[str, list[str]] = {}
        self._documents: dict[str, dict[str, tuple[bytes, int]]] = {}
        for resource in ("T1w", "T2w", "bold", "rating"):
            self._ids[resource], self._documents[resource] = [], {}
            for document in documents.get(resource, []):
                self.put(resource, document)
        self.fault = fault
        self.broken = broken or set()
        self.refuse_where = refuse_where
        self.before_page = before_page
        self.now = now
        self.cap = cap
        self.retry_after = retry_after
        self.requests: list[str] = []
        self.agents: set[str] = set()
        self.at_once = self._under_way = 0
        self.delay = self.largest_delay = 0.0

    def put(self, resource: str, document: dict[str, Any]) -> None:
        """Insert or replace a document."""
        record_id = document["_id"]
        self.put_bytes(resource, record_id, json.dumps(document).encode(), document["_updated"])

    def put_bytes(self, resource: str, record_id: str, document: bytes, updated: str) -> None:
        """Insert or replace a document that is sent as these very bytes."""
        if record_id not in self._documents[resource]:
            bisect.insort(self._ids[resource], record_id)
        self._documents[resource][record_id] = (document, int(parsedate_to_datetime(updated).timestamp()))

    def documents(self, resource: str) -> dict[str, bytes]:
        """Every document by id, as it is sent."""
        return {record_id: document for record_id, (document, _) in self._documents[resource].items()}

    def delete(self, resource: str, record_id: str) -> None:
        """Delete a document."""
        del self._documents[resource][record_id]
        self._ids[resource].remove(record_id)

    def ids(self, resource: str) -> list[str]:
        """All ids, ascending."""
        return list(self._ids[resource])

    async def _list(self, request: web.Request) -> web.StreamResponse:
        number = len(self.requests)
        self.requests.append(str(request.rel_url))
        self.before_page(number)
        resource, query = request.match_info["resource"], request.query
        where = json.loads(query.get("where", "{}"))
        if where and self.refuse_where:
            return web.json_response({"_status": "ERR"}, status=400)
        fault = self.fault(number)
        size = min(self.cap, int(query.get("max_results", "25")))
        ids = self._select(resource, where)
        total = len(ids)
        if query.get("sort") == "-_id":
            ids = ids[::-1]
        skip = (int(query.get("page", "1")) - 1) * size
        ids = ids[skip : skip + size]
        if self.broken.intersection(ids):
            return web.Response(status=500, text="<h1>Internal Server Error</h1>", content_type="text/html")
        return await self._answer(request, resource, ids, total, size, fault)

    def _select(self, resource: str, where: dict[str, Any]) -> list[str]:
        ids, bounds = self._ids[resource], where.get("_id", {})
        low, high = 0, len(ids)
        if "$gt" in bounds:
            low = bisect.bisect_right(ids, bounds["$gt"])
        if "$lte" in bounds:
            high = bisect.bisect_right(ids, bounds["$lte"])
        chosen = ids[low:high] if low or high < len(ids) else ids
        if updated := where.get("_updated"):
            times = {key: int(parsedate_to_datetime(value).timestamp()) for key, value in updated.items()}
            documents = self._documents[resource]
            chosen = [
                i for i in chosen if times.get("$gte", 0) <= documents[i][1] < times.get("$lt", 1 << 62)
            ]
        return chosen

    async def _answer(
        self, request: web.Request, resource: str, ids: list[str], total: int, size: int, fault: str | None
    ) -> web.StreamResponse:
        headers = {"Date": format_datetime(self.now(), usegmt=True)}
        if fault in ("500", "429", "503"):
            if fault != "500" and self.retry_after is not None:
                headers["Retry-After"] = self.retry_after
            return web.Response(status=int(fault), headers=headers)
        if fault == "timeout":
            await asyncio.sleep(self.largest_delay)
        if fault == "disconnect" and request.transport is not None:
            request.transport.close()
        if fault == "order" and len(ids) > 1:
            ids = ids[::-1]
        if fault == "total":
            total += 1 if len(ids) < size else -total
        if fault == "short":
            ids = ids[:-1] if ids else ids
            total = total if ids else total + 1
        documents = self._documents[resource]
        body = b"".join(
            (
                b'{"_items": [',
                b", ".join(documents[i][0] for i in ids),
                b'], "_links": {}, "_meta": {"page": 1, "max_results": %d, "total": %d}}' % (size, total),
            )
        )
        content_type = "text/html" if fault == "content-type" else "application/json"
        if fault == "cut":
            response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body))})
            response.content_type = content_type
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.close()
            return response
        if fault == "not-json":
            body = body[: len(body) // 2]
        return web.Response(body=body, content_type=content_type, headers=headers)

    async def _item(self, request: web.Request) -> web.Response:
        self.requests.append(str(request.rel_url))
        found = self._documents[request.match_info["resource"]].get(request.match_info["id"])
        if found is None:
            return web.json_response({"_status": "ERR", "_error": {"code": 404}}, status=404)
        return web.Response(body=found[0], content_type="application/json")

    @web.middleware
    async def _watch(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.agents.add(request.headers.get("User-Agent", ""))
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            return await handler(request)
        finally:
            self._under_way -= 1

    def __enter__(self) -> Self:
        # The service and its client are two threads of one interpreter and wait for each other all the time.
        self._switching = sys.getswitchinterval()
        sys.setswitchinterval(0.0002)
        self._loop = asyncio.new_event_loop()
        started = threading.Event()

        async def start() -> None:
            app = web.Application(middlewares=[self._watch])
            app.router.add_get("/api/v1/{resource}", self._list)
            app.router.add_get("/api/v1/{resource}/{id}", self._item)
            self._runner = web.AppRunner(app, access_log=None)
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            await site.start()
            port = self._runner.addresses[0][1]
            self.url = f"http://127.0.0.1:{port}/api/v1"
            started.set()

        def serve() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(start())
            self._loop.run_forever()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        sys.setswitchinterval(self._switching)
        self._loop.close()


def random_faults(seed: int, rate: float) -> Callable[[int], str | None]:
    """Faults of every kind at random, the same for the same seed and request number."""

    def fault(number: int) -> str | None:
        random = Random(f"{seed}/{number}")
        return random.choice(FAULTS) if random.random() < rate else None

    return fault


def make_document(
    resource: Resource, number: int, *, second: int = 0, version: int = 0, checksum: int | None = None
) -> dict[str, Any]:
    """A small valid document; ``number`` makes its id, ``second`` its creation time since 2018."""
    created = 1_514_764_800 + second
    stamp = format_datetime(datetime.fromtimestamp(created + version, UTC), usegmt=True)
    md5 = hashlib.md5(
        f"{resource}/{number if checksum is None else checksum}".encode(), usedforsecurity=False
    )
    document: dict[str, Any] = {
        "_id": f"{created:08x}{number:016x}",
        "_created": format_datetime(datetime.fromtimestamp(created, UTC), usegmt=True),
        "_updated": stamp,
        **valid(resource, md5.hexdigest()),
        "_links": {"self": {"title": resource, "href": f"{resource}/{number}"}},
    }
    if resource != "rating":
        document["efc"] = 1 / (number + version + 2)
        document["bids_meta"]["EchoTime"] = 0.03
    document["_etag"] = hashlib.sha1(json.dumps(document).encode(), usedforsecurity=False).hexdigest()
    return document


HASTE = Politeness(
    connections=4,
    per_second=0,
    attempts=3,
    first_wait=0.001,
    longest_wait=0.002,
    timeout=5,
    longest_retry_after=1,
)
"""As fast as the machine goes."""
PATIENCE = replace(HASTE, attempts=14, timeout=0.5)
"""For a service that fails one time in five: fourteen failures in a row do not happen."""


def pull_now(
    api: FastApi, path: Path, politeness: Politeness = HASTE, limits: PullLimits | None = None
) -> ResourceReport:
    """One run that pulls the T1w of ``api`` into the store at ``path``."""
    api.requests.clear()
    report = asyncio.run(
        pull(api.url, RecordStore(path), resources=["T1w"], politeness=politeness, limits=limits)
    )
    return report.resources["T1w"]


def live_documents(path: Path, resource: str = "T1w") -> dict[str, bytes]:
    """The newest version of every live record of a store, read without what the pull knows."""
    store = RecordStore(path)
    newest: dict[str, tuple[int, bytes]] = {}
    for part in store.parts(resource):
        rows = part.documents()
        for record_id, etag, document in zip(
            *(rows.column(name).to_pylist() for name in ("record_id", "etag", "document")), strict=True
        ):
            assert json.loads(document)["_etag"] == etag
            newest[record_id] = (part.sequence, document)
    deletions = store.deletions(resource)
    return {i: document for i, (run, document) in newest.items() if deletions.get(i, -1) < run}


def assert_same(api: FastApi, path: Path) -> None:
    """The live documents of the store are the service's, byte for byte, and what is known of them adds up."""
    assert live_documents(path) == api.documents("T1w")
    known = RecordStore(path).known("T1w")
    assert known.ids(LOWEST, HIGHEST) == api.ids("T1w")
    assert known.count(LOWEST, HIGHEST) == len(api.ids("T1w"))


def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut ranges as if hundreds of documents were millions."""
    monkeypatch.setattr(windows, "SMALLEST_WINDOW", 60)
    monkeypatch.setattr(windows, "LARGEST_WINDOW", 150)
    monkeypatch.setattr(windows, "RECOUNT_WINDOW", 25)
    monkeypatch.setattr(walk, "RECOUNT_WINDOW", 25)
    monkeypatch.setattr(crawl, "LARGEST_WINDOW", 150)


def changed(document: dict[str, Any], second: int, **values: Any) -> dict[str, Any]:
    """A document as it is after an update, ``second`` seconds after the start of 2018."""
    stamp = format_datetime(datetime.fromtimestamp(1_514_764_800 + second, UTC), usegmt=True)
    document = {**document, **values, "_updated": stamp}
    return document | {
        "_etag": hashlib.sha1(json.dumps(document).encode(), usedforsecurity=False).hexdigest()
    }
