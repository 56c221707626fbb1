"""The embedded Web-API, asked over HTTP as any client would."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import mongomock
import pytest
from bson import ObjectId

from curation.errors import ServiceUnavailable, UsageError
from flows.demo import server as server_module
from flows.demo.load import load_documents
from flows.demo.server import DemoServer, database, make_app
from schemas.webapi import cerberus_schema
from tests.support.web_client import Answer, ask

TOKEN = "token-of-the-tests"
START = datetime(2017, 8, 24, 21, 58, 35, tzinfo=UTC)
MD5 = "16945b52cd4e4a5f8b362485498909ff"


def object_id(number: int) -> str:
    """Ids as of several server processes: their order inside a second is not that of insertion."""
    second = int(START.timestamp()) + number // 3
    return f"{second:08x}{(number * 7919) % 65536:04x}{number:012x}"


def post(url: str, body: Any, token: str | None = TOKEN) -> Answer:
    return ask(url, "POST", body, {} if token is None else {"Authorization": token})


def valid(resource: str) -> dict[str, Any]:
    """The least that ``resource`` takes."""

    def fill(schema: dict[str, Any]) -> dict[str, Any]:
        filled: dict[str, Any] = {}
        for key, rule in schema.items():
            kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
            if not rule["required"]:
                continue
            if kinds == ["dict"]:
                filled[key] = fill(rule["schema"])
            else:
                filled[key] = {"string": "a", "boolean": True, "integer": 34.0}.get(kinds[0], 1.5)
        return filled

    return fill(cerberus_schema(resource))


@pytest.fixture(scope="module")
def api() -> Iterator[DemoServer]:
    app = make_app(token=TOKEN)
    database(app)["bold"].insert_many(
        {
            "_id": ObjectId(object_id(n)),
            "_created": START + timedelta(seconds=n // 3),
            "_updated": START + timedelta(days=n),
            "_etag": f"{n:040x}",
            "snr": float(n),
            "undeclared": [n, {"x": None}],
            "bids_meta": {"modality": "bold", "global.const": {"$odd": n}},
            "provenance": {"md5sum": f"{n % 4:032x}"},
        }
        for n in reversed(range(120))
    )
    load_documents(
        database(app),
        "rating",
        [{"md5sum": MD5, "rating": rating, "name": "a"} for rating in ("1.0", "4.0", "1.0")]
        + [{"md5sum": "0" * 32, "rating": "2.0", "name": "b"}],
    )
    with DemoServer(app) as server:
        yield server


@pytest.mark.parametrize(("asked", "got"), [(None, 25), (7, 7), (50, 50), (51, 50), (1000, 50)])
def test_a_page_has_25_items_unless_asked_and_never_more_than_50(
    api: DemoServer, asked: int | None, got: int
) -> None:
    query = {} if asked is None else {"max_results": asked}
    page = ask(f"{api.url}/bold", **query).json
    assert len(page["_items"]) == page["_meta"]["max_results"] == got
    assert page["_meta"]["total"] == 120
    assert page["_links"].keys() >= {"self", "parent", "next", "last"}


def test_pages_by_number_hold_every_record_once(api: DemoServer) -> None:
    items = [i for n in (1, 2, 3, 4) for i in ask(f"{api.url}/bold", max_results=50, page=n).json["_items"]]
    assert sorted(item["_id"] for item in items) == sorted(object_id(n) for n in range(120))


@pytest.mark.parametrize("also", [{}, {"provenance.md5sum": {"$exists": True}}], ids=["index", "scan"])
def test_walking_by_id_gives_every_record_once_in_order(api: DemoServer, also: dict[str, Any]) -> None:
    seen, last = [], "0" * 24
    while True:
        where = {"_id": {"$gt": last}} | also
        page = ask(f"{api.url}/bold", max_results=50, sort="_id", where=where).json
        assert page["_meta"]["total"] == 120 - len(seen)
        seen += [item["_id"] for item in page["_items"]]
        if len(page["_items"]) < 50:
            break
        last = seen[-1]
    assert seen == sorted(object_id(n) for n in range(120))


@pytest.mark.parametrize("lower", ["$gt", "$gte"])
@pytest.mark.parametrize("upper", ["$lt", "$lte"])
def test_bounds_on_ids_are_open_or_closed_as_asked(api: DemoServer, lower: str, upper: str) -> None:
    ids = sorted(object_id(n) for n in range(120))
    where = {"_id": {lower: ids[10], upper: ids[20]}}
    found = [i["_id"] for i in ask(f"{api.url}/bold", where=where, sort="-_id").json["_items"]]
    assert found[::-1] == ids[10 + (lower == "$gt") : 20 + (upper == "$lte")]
    skipped = ask(f"{api.url}/bold", where=where, sort="_id", max_results=4, page=2).json["_items"]
    assert [item["_id"] for item in skipped] == found[::-1][4:8]


def test_dates_in_where_are_rfc_1123_and_compared_as_dates(api: DemoServer) -> None:
    # As text, "Fri, 01 Sep 2017" would come before "Thu, 24 Aug 2017".
    where = {"_updated": {"$gte": "Fri, 01 Sep 2017 21:58:35 GMT", "$lt": "Tue, 05 Sep 2017 21:58:35 GMT"}}
    items = ask(f"{api.url}/bold", where=where, sort="-_updated").json["_items"]
    assert [item["snr"] for item in items] == [11, 10, 9, 8]
    assert items[-1]["_updated"] == "Fri, 01 Sep 2017 21:58:35 GMT"


def test_where_reaches_into_documents(api: DemoServer) -> None:
    page = ask(f"{api.url}/bold", where={"provenance.md5sum": f"{3:032x}"}).json
    assert page["_meta"]["total"] == 30


@pytest.mark.parametrize(
    "where",
    [
        {"$where": "1"},
        {"bids_meta.modality": {"$regex": "b.*"}},
        {"$or": [{"$where": "1"}]},
        {"_id": {"$unheard": 1}},
        "{broken",
    ],
)
def test_refused_queries(api: DemoServer, where: Any) -> None:
    answer = ask(f"{api.url}/bold", where=where)
    assert (answer.status, answer.json["_error"]["code"]) == (400, 400)


def test_an_item_is_served_whole(api: DemoServer) -> None:
    answer = ask(f"{api.url}/bold/{object_id(5)}")
    assert answer.status == 200
    assert answer.json == {
        "_id": object_id(5),
        "_created": "Thu, 24 Aug 2017 21:58:36 GMT",
        "_updated": "Tue, 29 Aug 2017 21:58:35 GMT",
        "_etag": f"{5:040x}",
        "snr": 5.0,
        "undeclared": [5, {"x": None}],
        "bids_meta": {"modality": "bold", "global.const": {"$odd": 5}},
        "provenance": {"md5sum": f"{1:032x}"},
        "_links": answer.json["_links"],
    }
    assert answer.json["_links"]["self"] == {"title": "bold", "href": f"bold/{object_id(5)}"}


def test_a_projection_keeps_what_identifies_a_record(api: DemoServer) -> None:
    item = ask(f"{api.url}/bold", projection={"snr": 1}, sort="_id", max_results=1).json["_items"][0]
    assert item.keys() == {"_id", "_created", "_updated", "_etag", "_links", "snr"}
    assert item["_etag"] == f"{int(item['snr']):040x}"


@pytest.mark.parametrize("path", ["/bold/" + "e" * 24, "/bold/short", "/nothing", "/BOLD"])
def test_what_is_not_there(api: DemoServer, path: str) -> None:
    answer = ask(api.url + path)
    assert (answer.status, answer.json["_error"]["code"]) == (404, 404)


@pytest.mark.parametrize("accept", ["application/xml", "text/html", "*/*", "image/png"])
@pytest.mark.parametrize("path", ["/bold?max_results=1", "/nothing", ""])
def test_json_whatever_is_accepted(api: DemoServer, path: str, accept: str) -> None:
    answer = ask(api.url + path, headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    assert isinstance(answer.json, dict)


@pytest.mark.parametrize("path", ["/bold", "/bold/" + object_id(1), "/rating"])
def test_head_needs_authorization(api: DemoServer, path: str) -> None:
    assert ask(api.url + path, "HEAD").status == 401
    assert ask(api.url + path, "HEAD", headers={"Authorization": TOKEN}).status == 200


def test_options_is_public_and_shows_the_methods(api: DemoServer) -> None:
    methods = {
        path: ask(api.url + path, "OPTIONS") for path in ("/T1w", "/bold/" + object_id(1), "/rating_counts")
    }
    allowed = {path: set(answer.headers["Allow"].split(", ")) for path, answer in methods.items()}
    assert [answer.status for answer in methods.values()] == [200] * 3
    assert allowed["/T1w"] == {"GET", "HEAD", "OPTIONS", "POST"}
    assert "POST" not in allowed["/bold/" + object_id(1)] | allowed["/rating_counts"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_records_are_not_changed_through_the_api(api: DemoServer, method: str) -> None:
    for path in ("/bold", "/bold/" + object_id(1)):
        assert ask(api.url + path, method, {}, {"Authorization": TOKEN}).status == 405


def test_ratings_are_counted(api: DemoServer) -> None:
    page = ask(f"{api.url}/rating_counts", aggregate={"$value": MD5}).json
    assert page["_items"] == [{"_id": "1.0", "count": 2}, {"_id": "4.0", "count": 1}]
    assert ask(f"{api.url}/rating_counts", aggregate={"$value": "f" * 32}).json["_items"] == []


@pytest.mark.parametrize("resource", ["bold", "T1w", "T2w", "rating"])
def test_a_valid_record_is_stored(resource: str, fresh: DemoServer) -> None:
    sent = valid(resource)
    if resource != "rating":
        sent["bids_meta"]["NeverDeclared"] = {"a": [1, "b"]}
    before = datetime.now(UTC).replace(microsecond=0)
    answer = post(f"{fresh.url}/{resource}", sent)
    assert answer.status == 201, answer.text
    told = answer.json
    assert told["_status"] == "OK"
    assert told["_created"] == told["_updated"]
    stored = ask(f"{fresh.url}/{resource}/{told['_id']}").json
    assert {key: stored[key] for key in sent} == sent
    assert stored["_etag"] == told["_etag"]
    assert ObjectId(told["_id"]).generation_time >= before - timedelta(seconds=1)


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", "token"])
def test_no_token_no_post(fresh: DemoServer, token: str | None) -> None:
    assert post(f"{fresh.url}/rating", valid("rating"), token).status == 401
    assert ask(f"{fresh.url}/rating").json["_meta"]["total"] == 0


@pytest.mark.parametrize("token", [TOKEN, f"Bearer {TOKEN}", f"Token {TOKEN}"])
def test_forms_of_the_token(fresh: DemoServer, token: str) -> None:
    assert post(f"{fresh.url}/rating", valid("rating"), token).status == 201


@pytest.mark.parametrize(
    "change",
    [
        {"never_declared": 1},
        {"provenance": {"md5sum": "a"}},
        {"snr": "loud"},
        {"bids_meta": None},
    ],
)
def test_a_record_that_fails_the_schema(fresh: DemoServer, change: dict[str, Any]) -> None:
    answer = post(f"{fresh.url}/bold", valid("bold") | change)
    assert answer.status == 422
    assert answer.json["_status"] == "ERR"
    assert set(answer.json["_issues"]) & set(change)
    assert ask(f"{fresh.url}/bold").json["_meta"]["total"] == 0


def test_numbers_are_written_as_they_are_stored(fresh: DemoServer, fresh_db: Any) -> None:
    numbers = {
        "a": float("nan"),
        "b": float("inf"),
        "c": -float("inf"),
        "d": -0.0,
        "e": 2**53 + 1,
        "f": 3,
        "g": 3.0,
    }
    load_documents(fresh_db, "bold", [{"bids_meta": numbers}])
    text = ask(f"{fresh.url}/bold").text
    numbers_shown = text[text.index('"bids_meta": {') + 14 :].split("}")[0]
    assert numbers_shown == (
        '"a": NaN, "b": Infinity, "c": -Infinity, "d": -0.0, "e": 9007199254740993, "f": 3, "g": 3.0'
    )


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_token_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        make_app(token=token)


def test_a_mongodb_that_cannot_be_used_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="mongodb://") as wrong:
        make_app(token=TOKEN, mongo_uri="http://user:hunter2@localhost")
    assert "hunter2" not in str(wrong.value)
    monkeypatch.setattr(server_module, "MONGO_WAIT", 50)
    with pytest.raises(ServiceUnavailable, match="does not answer") as absent:
        make_app(token=TOKEN, mongo_uri="mongodb://user:hunter2@127.0.0.1:9/x")
    assert "hunter2" not in str(absent.value)


def test_a_mongodb_is_used_where_its_uri_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[Any] = []

    def client(*args: Any, **options: Any) -> Any:
        clients.append(mongomock.MongoClient(*args, **options))
        return clients[-1]

    monkeypatch.setattr("pymongo.MongoClient", client)
    monkeypatch.setattr("eve.io.mongo.flask_pymongo.MongoClient", client)
    app = make_app(token=TOKEN, mongo_uri="mongodb://db.example.org:27018/records")
    load_documents(database(app), "bold", [{"snr": float("nan"), "undeclared": 1}])
    assert clients[-1].address == ("db.example.org", 27018)
    assert clients[-1]["records"]["bold"].count_documents({}) == 1
    with DemoServer(app) as server:
        item = ask(f"{server.url}/bold").json["_items"][0]
    assert (str(item["snr"]), item["undeclared"]) == ("nan", 1)
