"""A service in a process of its own that answers as the Web-API does, as fast as Python can render its pages.

Its documents are those of the demo corpus, over and over under ids of their own. Nothing is looked up in a database:
a page costs what the standard library takes to render fifty documents as JSON, as the service's own code does.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import json
import sys
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

CAP = 50
"""Most documents a page, as the service has it."""
FIRST_SECOND = 1_496_707_200
"""2017-06-06, when the database started."""


def make_ids(records: int, seed: int) -> list[str]:
    """The ids of the service's documents, ascending."""
    rng, second = Random(seed), FIRST_SECOND
    ids = []
    for _ in range(records):
        second += rng.randrange(1, 60)
        ids.append(f"{second:08x}{rng.getrandbits(64):016x}")
    return ids


class Collection:
    """Documents of one resource under ``ids``, rendered when they are asked for."""

    def __init__(self, resource: str, ids: list[str], seed: int) -> None:
        # Imported here: whoever measures needs the ids without what the corpus is made with.
        from flows.demo.corpus import make_corpus

        self._templates = make_corpus(seed).documents[resource]
        self.ids = ids

    def render(self, row: int) -> dict[str, Any]:
        """The document at a position in the order of ids."""
        record_id = self.ids[row]
        sent = format_datetime(datetime.fromtimestamp(int(record_id[:8], 16), UTC), usegmt=True)
        return {
            **self._templates[row % len(self._templates)],
            "_id": record_id,
            "_created": sent,
            "_updated": sent,
            "_etag": hashlib.sha1(record_id.encode(), usedforsecurity=False).hexdigest(),
        }

    def page(self, query: dict[str, list[str]]) -> bytes:
        """The body of an answer; nothing is ever updated, so a filter on ``_updated`` finds nothing."""
        where = json.loads(query.get("where", ["{}"])[0])
        size, number = min(CAP, int(query["max_results"][0])), int(query.get("page", ["1"])[0])
        bounds = where.get("_id", {})
        low = bisect.bisect_right(self.ids, bounds.get("$gt", ""))
        high = 0 if "_updated" in where else bisect.bisect_right(self.ids, bounds.get("$lte", "g"))
        rows = range(low, high)
        if query["sort"] == ["-_id"]:
            rows = rows[::-1]
        items = [self.render(row) for row in rows[(number - 1) * size : number * size]]
        meta = {"page": number, "max_results": size, "total": len(rows)}
        return json.dumps({"_items": items, "_links": {}, "_meta": meta}).encode()


class _Connection(asyncio.Protocol):
    """As much of HTTP as the pull's client speaks: GET without a body, on a connection that stays open."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, self._received = self._received.split(b"\r\n\r\n", 1)
            body = self._collection.page(parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query))
            date = format_datetime(datetime.now(UTC), usegmt=True)
            self._transport.write(
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: {date}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
            )
            self._transport.write(body)


async def _serve(resource: str, records: int, seed: int) -> None:
    collection = Collection(resource, make_ids(records, seed), seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(collection), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with whoever started it, who holds the other end of standard input.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
