"""The database in memory: what the API gives out while it is changed underneath, and how fast."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import mongomock
import pytest
from bson import ObjectId

from flows.demo.load import load_documents
from flows.demo.memory import MemoryDatabase
from flows.demo.server import DemoServer, database, make_app
from tests.support.web_client import ask

TOKEN = "t"


def object_id(number: int) -> str:
    return f"{number + 1:024x}"


def test_changes_to_the_database_are_seen_at_once(fresh: DemoServer, fresh_db: Any) -> None:
    def ids() -> list[str]:
        return [item["_id"] for item in ask(f"{fresh.url}/T1w", sort="_id").json["_items"]]

    load_documents(fresh_db, "T1w", [{"_id": object_id(n)} for n in (3, 1)])
    assert ids() == sorted([object_id(1), object_id(3)])
    fresh_db["T1w"].update_one({"_id": ObjectId(object_id(1))}, {"$set": {"_etag": "x"}})
    assert ask(f"{fresh.url}/T1w/{object_id(1)}").json["_etag"] == "x"
    fresh_db["T1w"].delete_one({"_id": ObjectId(object_id(3))})
    load_documents(fresh_db, "T1w", [{"_id": object_id(0)}])
    assert ids() == sorted([object_id(0), object_id(1)])
    fresh_db["T1w"].drop()
    assert ids() == []
    load_documents(fresh_db, "T1w", [{"_id": object_id(2)}])
    assert ids() == [object_id(2)]
    fresh_db.drop_collection("T1w")
    assert ids() == []


def test_what_is_read_from_the_database_is_a_copy(fresh_db: Any) -> None:
    load_documents(fresh_db, "T1w", [{"_id": object_id(1), "bids_meta": {"a": [1]}}])
    fresh_db["T1w"].find_one()["bids_meta"]["a"].append(2)
    fresh_db["T1w"].find().sort("_id", -1).limit(1)[0]["bids_meta"]["a"].append(2)
    assert fresh_db["T1w"].find_one({"_id": ObjectId(object_id(1))})["bids_meta"] == {"a": [1]}


def test_servers_do_not_share_documents() -> None:
    one, two = make_app(token=TOKEN), make_app(token=TOKEN)
    load_documents(database(one), "T1w", [{}])
    assert database(two)["T1w"].count_documents({}) == 0


def test_eight_clients_while_the_database_changes(fresh: DemoServer, fresh_db: Any) -> None:
    load_documents(fresh_db, "bold", [{"_id": object_id(n), "snr": n} for n in range(400)])
    over = threading.Event()

    def change() -> None:
        number = 400
        while not over.is_set():
            load_documents(fresh_db, "bold", [{"_id": object_id(number), "snr": number}])
            fresh_db["bold"].update_many({"snr": {"$lt": 20}}, {"$set": {f"key{number}": number}})
            fresh_db["bold"].delete_one({"_id": ObjectId(object_id(number))})
            number += 1

    def walk(_: int) -> set[str]:
        seen: set[str] = set()
        last = "0" * 24
        while True:
            answer = ask(f"{fresh.url}/bold", sort="_id", max_results=50, where={"_id": {"$gt": last}})
            assert answer.status == 200, answer.text
            items = [item["_id"] for item in answer.json["_items"]]
            assert items == sorted(items)
            if not items:
                return seen
            seen.update(items)
            last = items[-1]

    writer = threading.Thread(target=change)
    writer.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            walks = list(pool.map(walk, range(8)))
    finally:
        over.set()
        writer.join()
    assert all(seen >= {object_id(n) for n in range(400)} for seen in walks)


def test_a_document_is_never_read_half_changed(fresh_db: Any) -> None:
    load_documents(fresh_db, "bold", [{"a": 0, "b": 0, "snr": n} for n in range(50)])
    bold = fresh_db["bold"]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # seconds; makes the threads alternate within one document

    def change(number: int) -> None:
        bold.update_many({}, {"$set": {"a": number, f"key{number}": number, "b": number}})

    def read(_: int) -> bool:
        documents = [*bold.find(limit=50), *bold.find({"a": {"$gte": 0}}, sort=[("snr", 1)])]
        return all(document["a"] == document["b"] for document in documents)

    try:
        with ThreadPoolExecutor(4) as pool:
            changes = pool.map(change, range(1, 40))
            whole = list(pool.map(read, range(40)))
            list(changes)
    finally:
        sys.setswitchinterval(before)
    assert all(whole)


SORTS: list[list[tuple[str, int]]] = [
    [("_id", 1)],
    [("_id", -1)],
    [("_updated", 1), ("_id", 1)],  # by _updated alone there are ties, and MongoDB promises no order for them
    [("_updated", -1), ("_id", 1)],
    [("snr", 1), ("_id", -1)],
    [("bids_meta.x", -1), ("_id", 1)],
    [("absent", 1), ("_id", 1)],
]
FILTERS: list[dict[str, Any]] = [
    {},
    {"_id": {"$gt": ObjectId(object_id(7)), "$lte": ObjectId(object_id(30))}},
    {"_id": {"$lt": ObjectId(object_id(3)), "$gt": ObjectId(object_id(30))}},
    {"_id": ObjectId(object_id(11))},
    {"_id": {"$in": [ObjectId(object_id(4)), ObjectId(object_id(2))]}},
    {"_id": {"$ne": ObjectId(object_id(4))}},
    {"_updated": {"$gte": datetime(2026, 1, 3)}},
    {"bids_meta.x": 1},
]


@pytest.mark.parametrize("sort", SORTS, ids=str)
@pytest.mark.parametrize("query", FILTERS, ids=str)
def test_queries_are_answered_as_mongomock_answers_them(
    query: dict[str, Any], sort: list[tuple[str, int]]
) -> None:
    """The index and the shortcuts must not show."""
    plain = mongomock.MongoClient(tz_aware=True)["x"]["bold"]
    ours = MemoryDatabase("x")["bold"]
    documents = [
        {
            "_id": ObjectId(object_id(n * 17 % 40)),
            "_updated": datetime(2026, 1, 1 + n % 5, tzinfo=UTC),
            "snr": [n % 3, None, "a", 1.5][n % 4],
            "bids_meta": {"x": n % 2},
        }
        for n in range(40)
    ]
    for collection in (plain, ours):
        collection.insert_many(documents)
    for skip, limit in ((0, 0), (0, 5), (3, 5), (38, 5), (50, 5)):
        asked = {"sort": sort, "skip": skip, "limit": limit}
        assert list(ours.find(query, **asked)) == list(plain.find(query, **asked))
        fields = {"_id": 1, "snr": 1}
        assert list(ours.find(query, fields, **asked)) == list(plain.find(query, fields, **asked))
    assert ours.count_documents(query) == plain.count_documents(query)
    assert ours.find_one(query, sort=sort) == plain.find_one(query, sort=sort)
