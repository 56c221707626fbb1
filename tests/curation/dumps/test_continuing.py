"""A store that was started from a dump continues from the Web-API: without a gap, and without pulling again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bson import ObjectId

from curation.curate import curate
from curation.dumps import sink
from curation.errors import ServiceUnavailable
from curation.objectid import HIGHEST, LOWEST
from curation.pull import ResourceReport, pull
from curation.store import RecordStore
from flows.demo.load import load_documents
from flows.demo.server import DemoServer, database, make_app
from tests.support.documents import valid
from tests.support.dumps import bson_of, database_document, run_import, stored
from tests.support.fast_api import (
    HASTE,
    FastApi,
    assert_same,
    changed,
    live_documents,
    make_document,
    pull_now,
    small_windows,
)
from tests.support.pseudonyms import PSEUDONYMS

COUNT, STEP = 400, 900
DOCUMENTS = [make_document("T1w", number, second=number * STEP) for number in range(COUNT)]
END = (COUNT - 1) * STEP
LATER = END + 10_000


def iso(second: int) -> str:
    """As the cursor writes moments, of a second since the start of 2018."""
    return (datetime(2018, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).isoformat()


NEWEST = iso(END)


class Service(FastApi):
    """A service whose clock the test sets, in seconds since the start of 2018."""

    seconds = LATER

    def __init__(self, documents: list[dict[str, Any]] = DOCUMENTS) -> None:
        super().__init__({"T1w": documents}, now=self.clock)

    def clock(self) -> datetime:
        return datetime(2018, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def dump(self, path: Path, only: slice = slice(None)) -> Path:
        """What is there now, in the order of ids, a document a line."""
        lines = [document for _, document in sorted(self.documents("T1w").items())]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(line + b"\n" for line in lines[only]))
        return path

    def change(self, number: int, second: int, **values: Any) -> None:
        """Update a document."""
        self.put("T1w", changed(DOCUMENTS[number], second, **values))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    small_windows(monkeypatch)
    monkeypatch.setattr(sink, "PART_DOCUMENTS", 90)
    monkeypatch.setattr(sink, "_BATCH_DOCUMENTS", 30)
    with Service() as service:
        yield service


def cursor(path: Path) -> str | None:
    return RecordStore(path).cursor("T1w").get("changes_known_until")


def night(api: Service, path: Path) -> ResourceReport:
    """A pull, and what it has to end in."""
    report = pull_now(api, path)
    assert report.unsettled == 0 and report.unretrievable == []
    assert_same(api, path)
    return report


def test_a_pull_after_an_import_fetches_what_happened_since(api: Service, tmp_path: Path) -> None:
    run_import(tmp_path / "store", api.dump(tmp_path / "T1w.json"))
    assert cursor(tmp_path / "store") == NEWEST
    api.seconds = END
    night(api, tmp_path / "pulled")
    api.seconds = LATER
    for number in (0, 5, 250, COUNT - 1):
        api.change(number, LATER - 50, cjv=9.5)
    for number in (7, 8, 300):
        api.delete("T1w", DOCUMENTS[number]["_id"])
    for number in range(10):
        api.put("T1w", make_document("T1w", 1000 + number, second=LATER - 100 + number))
    api.put("T1w", make_document("T1w", 2000, second=5))  # with an id below others
    report = night(api, tmp_path / "store")
    assert (report.new, report.changed, report.deleted) == (11, 4, 3)
    # Beside those, the neighbours of what is new below others or gone, and the last hour that the dump knows of.
    assert report.listed <= 11 + 4 + 3 * 25 + 5
    asked = len(api.requests)
    # The same as had it been pulled at the moment of its newest document.
    assert night(api, tmp_path / "pulled") == report and len(api.requests) == asked
    again = night(api, tmp_path / "store")
    assert (again.new, again.changed, again.deleted) == (0, 0, 0) and len(api.requests) <= 6


def test_with_nothing_new_a_pull_fetches_the_newest_second_only(api: Service, tmp_path: Path) -> None:
    run_import(tmp_path / "store", api.dump(tmp_path / "T1w.json"))
    report = night(api, tmp_path / "store")
    assert (report.new, report.changed, report.deleted, report.listed) == (0, 0, 0, 1)
    assert len(api.requests) <= 6


def test_an_import_leaves_the_cursor_that_a_pull_would(api: Service, tmp_path: Path) -> None:
    run_import(tmp_path / "store", api.dump(tmp_path / "T1w.json"))
    imported = RecordStore(tmp_path / "store").cursor("T1w")
    api.seconds = END
    pull_now(api, tmp_path / "pulled")
    assert imported == RecordStore(tmp_path / "pulled").cursor("T1w")


@pytest.mark.parametrize("size", [0.3, 0.999])
def test_a_dump_cut_short_leaves_no_gap(api: Service, tmp_path: Path, size: float) -> None:
    # Updated late, read early: the dump was made after.
    api.change(3, END - 100, cjv=1.5)
    file = api.dump(tmp_path / "T1w.json")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * size)])
    assert run_import(tmp_path / "store", file).unread == 1
    assert cursor(tmp_path / "store") == iso(END - 100)
    assert "newest_id" not in RecordStore(tmp_path / "store").cursor("T1w")
    api.change(4, END - 50, cjv=2.5)
    api.change(3, END - 40, cjv=3.5)
    api.delete("T1w", DOCUMENTS[9]["_id"])
    report = night(api, tmp_path / "store")
    assert report.changed == 2 and report.deleted == 1


def test_a_pull_that_fails_after_an_import_leaves_no_gap(api: Service, tmp_path: Path) -> None:
    run_import(tmp_path / "store", api.dump(tmp_path / "T1w.json"))
    api.change(5, END + 50, cjv=1.5)
    for number in range(300):
        api.put("T1w", make_document("T1w", 1000 + number, second=LATER - 500 + number))
    api.fault = lambda number: "500" if number > 11 else None
    with pytest.raises(ServiceUnavailable):
        pull_now(api, tmp_path / "store")
    assert 0 < len(live_documents(tmp_path / "store")) - COUNT < 300
    api.fault = lambda number: None
    assert night(api, tmp_path / "store").changed == 1


def test_an_import_that_was_killed_and_then_a_pull_leave_no_gap(
    api: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = api.dump(tmp_path / "T1w.json")
    with monkeypatch.context() as patch:
        # The second part is never sealed, and nothing is tidied up.
        patch.setattr(sink.Sink, "_seal_part", _fail_at_the_second(sink.Sink._seal_part))
        patch.setattr(sink.Sink, "seal", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            run_import(tmp_path / "store", file)
    assert len(stored(tmp_path / "store")) == 90
    assert cursor(tmp_path / "store") == iso(89 * STEP)
    api.change(5, 89 * STEP + 5, cjv=1.5)
    report = night(api, tmp_path / "store")
    assert (report.new, report.changed) == (COUNT - 90, 1)


def _fail_at_the_second(seal: Any) -> Any:
    calls = 0

    def fail(self: sink.Sink) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        seal(self)

    return fail


@pytest.mark.parametrize("only", [slice(None), slice(50, None)], ids=["all", "without some that were pulled"])
def test_a_dump_over_what_a_killed_pull_left_leaves_no_gap(only: slice, api: Service, tmp_path: Path) -> None:
    old = api.dump(tmp_path / "T1w.json", only)
    api.change(100, LATER - 100, cjv=1.5)
    api.change(COUNT - 2, LATER - 99, cjv=2.5)
    api.fault = lambda number: "500" if number > 12 else None
    with pytest.raises(ServiceUnavailable):
        pull_now(api, tmp_path / "store")
    assert 0 < len(live_documents(tmp_path / "store")) < COUNT
    api.fault = lambda number: None
    # The pull promised what it stored itself; the dump brings the others as they were.
    report = run_import(tmp_path / "store", old)
    assert 0 < report.resources["T1w"].new < COUNT
    assert cursor(tmp_path / "store") == NEWEST
    night(api, tmp_path / "store")


def test_an_older_dump_changes_nothing_of_a_pulled_store(api: Service, tmp_path: Path) -> None:
    old = api.dump(tmp_path / "T1w.json")
    for number in range(0, 100, 7):
        api.change(number, LATER - 50, cjv=9.5)
    api.delete("T1w", DOCUMENTS[11]["_id"])
    pull_now(api, tmp_path / "store")
    api.delete("T1w", DOCUMENTS[12]["_id"])
    api.seconds += 100
    pull_now(api, tmp_path / "store")
    before, set_at = live_documents(tmp_path / "store"), RecordStore(tmp_path / "store").cursor("T1w")
    done = run_import(tmp_path / "store", old).resources["T1w"]
    # The first was gone before the store could know of it.
    assert (done.new, done.changed, done.older, done.deleted) == (1, 0, 15, 1)
    assert live_documents(tmp_path / "store").items() - before.items() == {
        (DOCUMENTS[11]["_id"], json.dumps(DOCUMENTS[11]).encode())
    }
    assert cursor(tmp_path / "store") == set_at["changes_known_until"]
    assert night(api, tmp_path / "store").deleted == 1


def test_an_older_dump_over_a_newer_one_of_part_of_the_records_leaves_no_gap(
    api: Service, tmp_path: Path
) -> None:
    whole = api.dump(tmp_path / "old" / "T1w.json")
    for number in (10, 200, 390):
        api.change(number, END + number, cjv=9.5)
    part = api.dump(tmp_path / "new" / "T1w.json", only=slice(150, 250))
    run_import(tmp_path / "store", part)
    newer = cursor(tmp_path / "store")
    assert newer is not None and newer > NEWEST
    done = run_import(tmp_path / "store", whole).resources["T1w"]
    assert (done.new, done.older) == (COUNT - 100, 1)
    # It is not moved back: what it promises too much of is listed by the next pull.
    assert cursor(tmp_path / "store") == newer
    assert RecordStore(tmp_path / "store").cursor("T1w")["unretrievable"]
    assert night(api, tmp_path / "store").changed == 2
    assert not RecordStore(tmp_path / "store").cursor("T1w")["unretrievable"]


def test_a_newer_dump_of_everything_moves_the_cursor_on(api: Service, tmp_path: Path) -> None:
    run_import(tmp_path / "store", api.dump(tmp_path / "old" / "T1w.json"))
    api.change(10, LATER - 90, cjv=9.5)
    for number in range(200):
        api.put("T1w", make_document("T1w", 1000 + number, second=LATER - 500 + number))
    new = api.dump(tmp_path / "new" / "T1w.json")
    for _ in range(2):
        done = run_import(tmp_path / "store", new).resources["T1w"]
        assert done.changes_known_until == iso(LATER - 90)
    assert night(api, tmp_path / "store").listed <= 3


def test_a_newer_dump_that_lacks_a_record_does_not(api: Service, tmp_path: Path) -> None:
    run_import(tmp_path / "store", api.dump(tmp_path / "old" / "T1w.json"))
    # Gone, or left out? The store cannot know, and promises nothing of it.
    api.change(10, LATER - 90, cjv=9.5)
    new = api.dump(tmp_path / "new" / "T1w.json", only=slice(0, COUNT - 1))
    api.change(COUNT - 1, LATER - 95, cjv=8.5)
    done = run_import(tmp_path / "store", new).resources["T1w"]
    assert (done.changed, done.changes_known_until) == (1, NEWEST)
    assert night(api, tmp_path / "store").changed == 1


def test_documents_that_tell_no_time_are_all_asked_for(api: Service, tmp_path: Path) -> None:
    lines = [{key: value for key, value in one.items() if key != "_updated"} for one in DOCUMENTS]
    (tmp_path / "T1w.json").write_text("\n".join(map(json.dumps, lines)))
    run_import(tmp_path / "store", tmp_path / "T1w.json")
    assert cursor(tmp_path / "store") == "1970-01-01T00:00:00+00:00"
    api.change(10, LATER - 90, cjv=9.5)
    pull_now(api, tmp_path / "store")
    known = RecordStore(tmp_path / "store").known("T1w")
    assert known.etags([DOCUMENTS[10]["_id"]])[DOCUMENTS[10]["_id"]] == json.loads(
        api.documents("T1w")[DOCUMENTS[10]["_id"]]
    )["_etag"]  # fmt: skip


def test_a_moment_to_come_says_nothing_of_when_a_dump_was_made(api: Service, tmp_path: Path) -> None:
    api.put("T1w", changed(DOCUMENTS[5], 10**9, cjv=1.5))
    run_import(tmp_path / "store", api.dump(tmp_path / "T1w.json"))
    assert cursor(tmp_path / "store") == NEWEST
    api.change(6, LATER - 5, cjv=2.5)
    assert night(api, tmp_path / "store").changed == 1


@pytest.mark.parametrize("seed", range(4))
def test_dumps_pulls_and_failures_in_any_order_end_in_what_the_service_has(
    seed: int, api: Service, tmp_path: Path
) -> None:
    random = Random(seed)
    store, dumps = tmp_path / "store", [api.dump(tmp_path / "0" / "T1w.json")]
    for step in range(1, 12):
        api.seconds += 1000
        for _ in range(3):
            number = random.randrange(COUNT)
            if DOCUMENTS[number]["_id"] in api.ids("T1w"):
                api.change(number, api.seconds - random.randrange(900), cjv=random.random())
        api.put("T1w", make_document("T1w", 1000 + step, second=api.seconds - 10))
        api.delete("T1w", random.choice(api.ids("T1w")))
        match random.choice(["dump", "part", "old", "cut", "pull", "fail"]):
            case "dump":
                dumps.append(api.dump(tmp_path / str(step) / "T1w.json"))
                run_import(store, dumps[-1])
            case "part":
                run_import(store, api.dump(tmp_path / str(step) / "T1w.json", slice(step * 20, 300)))
            case "old":
                run_import(store, random.choice(dumps))
            case "cut":
                file = api.dump(tmp_path / str(step) / "T1w.json")
                content = file.read_bytes()
                file.write_bytes(content[: random.randrange(len(content))])
                run_import(store, file)
            case "pull":
                night(api, store)
            case "fail":
                count = random.randrange(30)
                api.fault = lambda number, count=count: "500" if number > count else None  # type: ignore[misc]
                with suppress(ServiceUnavailable):
                    pull_now(api, store)
                api.fault = lambda number: None
    night(api, store)


# --- the embedded Web-API, and tables ------------------------------------------------------------------------


def rich_document(number: int, age: int = 0) -> dict[str, Any]:
    """A document that becomes a row, as the database has it; half of the checksums come twice."""
    own = valid("T1w", f"{number % 90:032x}", efc=1 / (number + 3), cjv=number / 7)
    return database_document(number, second=number * 60, age=age) | own


def test_the_embedded_web_api_continues_a_dump_to_the_same_tables(tmp_path: Path) -> None:
    app = make_app(token="t")
    db = database(app)
    documents = [rich_document(number) for number in range(180)]
    load_documents(db, "T1w", documents)
    (tmp_path / "T1w.bson").write_bytes(bson_of(db["T1w"].find(sort=[("_id", 1)])))
    with DemoServer(app) as server:
        run_import(tmp_path / "store", tmp_path / "T1w.bson")
        for number in (3, 50):
            db["T1w"].delete_one({"_id": documents[number]["_id"]})
            load_documents(db, "T1w", [rich_document(number, age=10**6) | {"snr_total": 3.5}])
        db["T1w"].delete_one({"_id": ObjectId(documents[100]["_id"])})
        load_documents(db, "T1w", [rich_document(number) for number in range(180, 190)])
        reports = {
            name: asyncio.run(
                pull(server.url, RecordStore(tmp_path / name), resources=["T1w"], politeness=HASTE)
            ).resources["T1w"]
            for name in ("store", "scratch")
        }
    assert (reports["store"].new, reports["store"].changed, reports["store"].deleted) == (10, 2, 1)
    assert reports["scratch"].new == 189
    known = [RecordStore(tmp_path / name).known("T1w") for name in ("store", "scratch")]
    ids = known[0].ids(LOWEST, HIGHEST)
    assert len(ids) == 189 and known[1].ids(LOWEST, HIGHEST) == ids
    assert known[0].etags(ids) == known[1].etags(ids)
    tables = []
    for name in ("store", "scratch"):
        curate(RecordStore(tmp_path / name), tmp_path / f"{name}-out", pseudonyms=PSEUDONYMS)
        files = sorted((tmp_path / f"{name}-out").rglob("*.csv"))
        tables.append({file.name: file.read_bytes() for file in files})
    assert tables[0] == tables[1] and tables[0]["T1w.csv"].count(b"\n") == 91
