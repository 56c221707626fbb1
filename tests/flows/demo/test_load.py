"""Documents loaded into the embedded Web-API come out of it as they went in."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UsageError
from flows.demo.load import BATCH, EPOCH, etag_of, load_documents, load_file
from flows.demo.server import DemoServer, database, make_app
from tests.support.web_client import ask

REAL = Path(__file__).parents[3].parent / "shared" / "real"
ID = "599f4c0b265d200008a1d8a7"
SECRET = "someone@example.org"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[DemoServer, Any]]:
    app = make_app(token="t")
    with DemoServer(app) as running:
        yield running, database(app)


@pytest.fixture
def db() -> Any:
    return database(make_app(token="t"))


def everything(url: str, resource: str) -> dict[str, dict[str, Any]]:
    """All records of a resource by id, walked as a client walks them."""
    found: dict[str, dict[str, Any]] = {}
    last = "0" * 24
    while items := ask(f"{url}/{resource}", sort="_id", max_results=50, where={"_id": {"$gt": last}}).json[
        "_items"
    ]:
        found |= {item["_id"]: item for item in items}
        last = items[-1]["_id"]
    return found


def exact(value: Any) -> str:
    """Tells 3 from 3.0 and 0.0 from -0.0, and NaN equals itself."""
    return json.dumps(value, sort_keys=True)


def write(path: Path, *lines: Any) -> Path:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return path


numbers = st.floats() | st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
keys = texts | st.sampled_from(["global.const", "$ref", "a.b.c", "", "_id", "Infinity"])
values = st.recursive(
    numbers | texts | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(metric=numbers, nested=st.dictionaries(keys, values, max_size=4), undeclared=values)
def test_values_survive(
    server: tuple[DemoServer, Any], metric: float, nested: dict[str, Any], undeclared: Any
) -> None:
    running, db = server
    db["bold"].drop()
    sent = {"snr": metric, "bids_meta": nested, "undeclared": undeclared}
    load_documents(db, "bold", [sent])
    shown = ask(f"{running.url}/bold").json["_items"][0]
    assert exact({key: shown[key] for key in sent}) == exact(sent)


@pytest.mark.parametrize(
    "token", ["NaN", "Infinity", "-Infinity", "-0.0", "3", "3.0", "9007199254740993", "5e-324"]
)
def test_numbers_of_a_file_survive(server: tuple[DemoServer, Any], tmp_path: Path, token: str) -> None:
    running, db = server
    db["T1w"].drop()
    load_file(db, write(tmp_path / "T1w.jsonl", f'{{"cjv": {token}, "bids_meta": {{"x": [{token}]}}}}'))
    text = ask(f"{running.url}/T1w").text
    assert f'"cjv": {token},' in text
    assert f'"x": [{token}]' in text


@pytest.mark.parametrize("resource", ["T1w", "T2w", "bold"])
def test_real_records_come_back_whole(server: tuple[DemoServer, Any], resource: str) -> None:
    path = REAL / "webapi" / f"{resource}.jsonl.gz"
    if not path.exists():
        pytest.skip("the real records are not here")
    running, db = server
    db[resource].drop()
    sent = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert load_file(db, path) == {resource: len(sent)}
    assert {key: exact(value) for key, value in everything(running.url, resource).items()} == {
        document["_id"]: exact(document) for document in sent
    }


def test_real_outputs_come_back_whole(server: tuple[DemoServer, Any]) -> None:
    paths = sorted((REAL / "mriqc").glob("*.jsonl.gz"))[:3]
    if not paths:
        pytest.skip("the real outputs are not here")
    running, db = server
    sent: dict[str, list[str]] = {"T1w": [], "bold": []}
    for resource in sent:
        db[resource].drop()
    for path in paths:
        lines = [json.loads(line)["record"] for line in gzip.decompress(path.read_bytes()).splitlines()]
        for record in lines:
            sent[record["bids_meta"]["modality"]].append(exact(record))
        assert sum(load_file(db, path).values()) == len(lines)
    for resource, expected in sent.items():
        got = everything(running.url, resource).values()
        plain = [{key: item[key] for key in item if not key.startswith("_")} for item in got]
        assert sorted(map(exact, plain)) == sorted(expected)


def test_service_documents_keep_what_they_have(db: Any) -> None:
    document = {
        "_id": ID,
        "_created": "Thu, 24 Aug 2017 21:58:35 GMT",
        "_updated": "2019-02-22T04:55:19+01:00",
        "_etag": "a27b600e03288e7c55b7f509973c1260f13bac92",
        "_links": {"self": {}},
        "snr": 1.5,
    }
    before = exact(document)
    assert load_documents(db, "bold", [document]) == 1
    assert exact(document) == before
    assert db["bold"].find_one() == {
        "_id": ObjectId(ID),
        "_created": datetime(2017, 8, 24, 21, 58, 35, tzinfo=UTC),
        "_updated": datetime(2019, 2, 22, 3, 55, 19, tzinfo=UTC),
        "_etag": "a27b600e03288e7c55b7f509973c1260f13bac92",
        "snr": 1.5,
    }


@pytest.mark.parametrize(
    "date",
    [
        "Thu, 24 Aug 2017 21:58:35 GMT",
        "2017-08-24T21:58:35Z",
        "2017-08-24T23:58:35+02:00",
        "2017-08-24 21:58:35",
        datetime(2017, 8, 24, 21, 58, 35),
        datetime(2017, 8, 24, 21, 58, 35, tzinfo=UTC),
    ],
)
def test_dates(db: Any, date: Any) -> None:
    load_documents(db, "bold", [{"_created": date}])
    stored = db["bold"].find_one()
    assert stored["_created"] == stored["_updated"] == datetime(2017, 8, 24, 21, 58, 35, tzinfo=UTC)
    assert stored["_id"].generation_time == stored["_created"]


def test_what_is_missing_comes_from_content_and_line(tmp_path: Path) -> None:
    def load(*names: str) -> list[dict[str, Any]]:
        db = database(make_app(token="t"))
        for name in names:
            load_file(db, tmp_path / name)
        return list(db["bold"].find(sort=[("_id", 1)]))

    same = {"snr": math.nan, "bids_meta": {"modality": "bold"}}
    write(tmp_path / "a.jsonl", same, same, {"_id": ID} | same)
    write(tmp_path / "b.jsonl", same, {"snr": 1} | same)
    both = load("a.jsonl", "b.jsonl")
    assert exact([str(d) for d in both]) == exact([str(d) for d in load("b.jsonl", "a.jsonl")])
    assert len({d["_id"] for d in both}) == len({d["_etag"] for d in both}) == 5
    made = [d for d in both if str(d["_id"]) != ID]
    assert [d["_created"] for d in made] == [EPOCH + timedelta(seconds=n) for n in (1, 1, 2, 2)]
    assert all(d["_id"].generation_time == d["_created"] == d["_updated"] for d in both)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    assert str(load("elsewhere/a.jsonl.gz")) == str(load("a.jsonl"))


def test_an_etag_changes_with_the_record() -> None:
    document = {"_id": ID, "_updated": EPOCH, "snr": 3}
    assert etag_of(document) == etag_of(dict(reversed(document.items())) | {"_etag": "x", "_links": {}})
    changed = [{"snr": 3.0}, {"_updated": EPOCH + timedelta(seconds=1)}, {"_id": "0" * 24}, {"snr": math.nan}]
    assert len({etag_of(document | change) for change in [{}, *changed]}) == 5


LINES = [{"bids_meta": {"modality": "T1w"}, "cjv": n} for n in range(3)]
PLAIN = "\n".join(json.dumps(line) for line in LINES).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", PLAIN),
        ("x.jsonl", PLAIN + b"\r\n\r\n  \n"),
        ("x.jsonl.gz", gzip.compress(PLAIN)),
        ("x.jsonl.gz", gzip.compress(PLAIN[:100]) + gzip.compress(PLAIN[100:])),
        ("x.jsonl.zst", zstandard.compress(PLAIN)),
        ("x.jsonl.zst", zstandard.compress(PLAIN[:100]) + zstandard.compress(PLAIN[100:] + b"\n")),
        (
            "x.json",
            b'{"path": "a/b.json", "record": ' + PLAIN.replace(b"\n", b'}\n{"path": "c", "record": ') + b"}",
        ),
    ],
    ids=["plain", "blank lines", "gz", "gz of two members", "zst", "zst of two frames", "outputs"],
)
def test_forms_of_a_file(db: Any, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert load_file(db, str(tmp_path / name)) == {"T1w": 3}
    assert sorted(d["cjv"] for d in db["T1w"].find()) == [0, 1, 2]
    assert all("record" not in d for d in db["T1w"].find())


@pytest.mark.parametrize(
    ("name", "resource", "expected"),
    [
        ("bold.jsonl", None, {"bold": 1, "T2w": 1}),
        ("mriqc_api.rating.json", None, {"rating": 1, "T2w": 1}),
        ("bold.jsonl", "T1w", {"T1w": 2}),
    ],
)
def test_the_resource(db: Any, tmp_path: Path, name: str, resource: str | None, expected: Any) -> None:
    path = write(tmp_path / name, {"rating": "1"}, {"bids_meta": {"modality": "T2w"}})
    assert load_file(db, path, resource) == expected
    assert {key: db[key].count_documents({}) for key in expected} == expected


def test_more_than_a_batch(db: Any, tmp_path: Path) -> None:
    count = 2 * BATCH + 7
    assert load_file(db, write(tmp_path / "bold.jsonl", *({"snr": n} for n in range(count)))) == {
        "bold": count
    }
    assert db["bold"].count_documents({}) == count
    assert len(db["bold"].distinct("_created")) == count


GOOD = {"name": SECRET}
BAD = [
    ('{"a": "' + SECRET, r"not JSON at column \d+"),
    ('{"a": +Infinity}', "not JSON"),
    ('"' + SECRET + '"', "found a JSON string, expected an object"),
    ("[1]", "found a JSON array"),
    ("null", "found a JSON null"),
    ('{"path": "x", "record": 1}', "found a JSON number"),
    ("[" * 100_000, "nested too deep"),
    ('{"a": ' + "9" * 5_000 + "}", "more digits"),
    ('{"a": 9223372036854775808}', "64 bits"),
    ('{"a": "\\ud800"}', "surrogate"),
    ('{"bids_meta": {"a\\u0000b": 1}}', "null character"),
    ('{"$set": {"a": 1}}', "begins with '\\$'"),
    ({"_id": "0" * 23}, "_id, expected 24 lower-case hex digits"),
    ({"_id": {"$oid": ID}}, "found a JSON object as _id"),
    ({"_id": None}, "found a JSON null as _id"),
    ({"_created": SECRET}, "found a JSON string as _created, expected a date"),
    ({"_updated": 1503611915}, "found a JSON number as _updated"),
    ({"_id": ID}, "is there already"),
    ({"a": "b" * 2**24}, "more than MongoDB's"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_lines_are_named_and_not_quoted(db: Any, tmp_path: Path, line: Any, message: str) -> None:
    path = write(tmp_path / "rating.jsonl", GOOD | {"_id": ID}, "", line, GOOD)
    with pytest.raises(UsageError, match=message) as raised:
        load_file(db, path)
    assert f"{path}, line 3: " in str(raised.value)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None or SECRET not in str(raised.value.__cause__)


def test_bad_bytes_and_no_resource(db: Any, tmp_path: Path) -> None:
    path = tmp_path / "rating.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "\xff"}\n')
    with pytest.raises(UsageError, match="line 2: not UTF-8 at byte 8"):
        load_file(db, path)
    with pytest.raises(UsageError, match=r"line 1: cannot tell the resource; expected bids_meta\.modality"):
        load_file(db, write(tmp_path / "some.jsonl", GOOD))
    with pytest.raises(UsageError, match="found resource 'BOLD', expected one of"):
        load_file(db, path, "BOLD")
    with pytest.raises(UsageError, match="expected one of"):
        load_documents(db, "BOLD", [])
    with pytest.raises(UsageError, match="document 2 for bold: "):
        load_documents(db, "bold", [{}, {"_id": "x"}])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bold.jsonl.gz", gzip.compress(PLAIN)[:-9]),
        ("bold.jsonl.gz", PLAIN),
        ("bold.jsonl.gz", gzip.compress(PLAIN)[:12] + b"\xff" * 20),
        ("bold.jsonl.zst", zstandard.compress(PLAIN + b"\n")[:-3]),
        ("bold.jsonl.zst", PLAIN),
        ("missing.jsonl", None),
    ],
    ids=["gz cut off", "no gz", "gz damaged", "zst cut off", "no zst", "missing"],
)
def test_damaged_files(db: Any, tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=r"after line \d+: cannot be read: (damaged|No such file)"):
        load_file(db, tmp_path / name)
