"""Nights one after the other: what came, changed, went and came back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from curation.errors import LawBroken, LockedError, StoreCorrupted
from curation.objectid import HIGHEST, LOWEST
from curation.pull import PullLimits, pull
from curation.pull.pull import verify
from curation.store import RecordStore
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

COUNT = 400
DOCUMENTS = [make_document("T1w", number, second=number * 9) for number in range(COUNT)]
LATER = COUNT * 9 + 10_000
"""Seconds since the start of 2018 on the service's clock in the second night."""


class Night(FastApi):
    """A service whose clock the test sets."""

    seconds = COUNT * 9

    def __init__(self, **options: object) -> None:
        super().__init__({"T1w": DOCUMENTS}, now=self.clock, **options)  # type: ignore[arg-type]

    def clock(self) -> datetime:
        return datetime(2018, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def put_now(self, document: dict) -> None:
        self.put("T1w", changed(document, self.seconds))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    small_windows(monkeypatch)
    with Night() as service:
        yield service


def parts(store: Path) -> list[str]:
    return [part.name for part in RecordStore(store).parts("T1w")]


def test_a_first_pull_brings_everything_in_parts_of_several_windows(api: Night, tmp_path: Path) -> None:
    report = pull_now(api, tmp_path)
    assert (report.total, report.live, report.new, report.changed, report.deleted) == (
        COUNT,
        COUNT,
        COUNT,
        0,
        0,
    )
    assert (report.listed, report.unsettled, report.unretrievable) == (COUNT, 0, [])
    assert report.newest_id == DOCUMENTS[-1]["_id"]
    assert len(parts(tmp_path)) > 4
    assert_same(api, tmp_path)
    assert not any("page=" in request for request in api.requests)


@pytest.mark.parametrize(
    "text",
    [
        b'{"_id": "ID", "_etag": "e", "x": NaN, "y": [-Infinity,Infinity]}',
        b'{\n "_etag":"e",\r\n\t"_id" : "ID" , "x":1E5, "z": "\\u00e9\\/"}',
        b'{"_id": "0", "_id": "ID", "_etag": "e", "x": 1, "x": 2.0}',
        '{"_id": "ID", "_etag": "e", "x": "é ] } , \\" NaN"}'.encode(),
    ],
)
def test_documents_are_stored_as_the_bytes_that_came(api: Night, tmp_path: Path, text: bytes) -> None:
    record_id = DOCUMENTS[17]["_id"]
    api.put_bytes("T1w", record_id, text.replace(b"ID", record_id.encode()), "Mon, 01 Jan 2018 00:00:00 GMT")
    pull_now(api, tmp_path)
    assert_same(api, tmp_path)


def test_a_night_with_nothing_new_asks_little_and_seals_nothing(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    before = parts(tmp_path)
    for _ in range(2):
        api.seconds = LATER
        report = pull_now(api, tmp_path)
        assert (report.new, report.changed, report.deleted, report.unsettled) == (0, 0, 0, 0)
        assert len(api.requests) <= 6
    assert parts(tmp_path) == before
    assert_same(api, tmp_path)


def test_what_is_new_is_asked_for_and_no_more(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    api.seconds = LATER
    for number in range(5):
        api.put("T1w", make_document("T1w", 1000 + number, second=LATER - 100 + number))
    report = pull_now(api, tmp_path)
    assert (report.new, report.changed) == (5, 0)
    assert len(api.requests) <= 12
    assert_same(api, tmp_path)


def test_changed_documents_are_kept_beside_the_old_ones(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    api.seconds = LATER
    for number in (0, 77, COUNT - 1):
        api.put_now(DOCUMENTS[number] | {"cjv": 9.5})
    report = pull_now(api, tmp_path)
    assert (report.new, report.changed, report.deleted) == (0, 3, 0)
    assert_same(api, tmp_path)
    versions = [
        document
        for part in RecordStore(tmp_path).parts("T1w")
        for document in part.documents().column("document").to_pylist()
        if json.loads(document)["_id"] == DOCUMENTS[77]["_id"]
    ]
    assert [json.loads(document)["cjv"] for document in versions] == [DOCUMENTS[77]["cjv"], 9.5]


def test_a_change_in_the_last_second_of_a_night_is_found_in_the_next(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    api.put_now(DOCUMENTS[3] | {"cjv": 9.5})
    api.seconds = LATER
    assert pull_now(api, tmp_path).changed == 1
    assert_same(api, tmp_path)


def test_a_change_that_became_visible_late_is_found_by_the_overlap(api: Night, tmp_path: Path) -> None:
    api.seconds = LATER
    api.put_now(DOCUMENTS[5] | {"cjv": 1.5})
    pull_now(api, tmp_path)
    api.put("T1w", changed(DOCUMENTS[9] | {"cjv": 2.5}, LATER - 1800))
    api.seconds = 2 * LATER
    assert pull_now(api, tmp_path).changed == 1
    assert_same(api, tmp_path)


@pytest.mark.parametrize("number", [0, 200, COUNT - 1])
def test_deletions_are_recorded_and_what_comes_back_lives_again(
    api: Night, tmp_path: Path, number: int
) -> None:
    pull_now(api, tmp_path)
    api.delete("T1w", DOCUMENTS[number]["_id"])
    assert pull_now(api, tmp_path).deleted == 1
    assert list(RecordStore(tmp_path).deletions("T1w")) == [DOCUMENTS[number]["_id"]]
    assert_same(api, tmp_path)
    for _ in range(2):
        api.put("T1w", DOCUMENTS[number])
        report = pull_now(api, tmp_path)
        assert (report.new, report.unsettled) == (1, 0)
        assert_same(api, tmp_path)
        api.delete("T1w", DOCUMENTS[number]["_id"])
        assert pull_now(api, tmp_path).deleted == 1
        assert_same(api, tmp_path)


def test_late_arrivals_below_the_newest_are_found(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    newest = int(DOCUMENTS[-1]["_id"], 16)
    for record_id in (newest - 1, newest - 300, int(DOCUMENTS[0]["_id"], 16) - 1):
        late = make_document("T1w", 0) | {"_id": f"{record_id:024x}"}
        api.put("T1w", changed(late, api.seconds))
    report = pull_now(api, tmp_path)
    assert (report.new, report.unsettled) == (3, 0)
    assert_same(api, tmp_path)


def test_a_late_arrival_is_not_hidden_by_a_deletion(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    api.seconds = LATER
    api.delete("T1w", DOCUMENTS[10]["_id"])
    late = make_document("T1w", 0) | {"_id": f"{int(DOCUMENTS[300]['_id'], 16) - 5:024x}"}
    api.put("T1w", changed(late, LATER))
    pull_now(api, tmp_path)
    assert_same(api, tmp_path)


def test_verify_finds_what_totals_hide(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    api.delete("T1w", DOCUMENTS[10]["_id"])
    late = make_document("T1w", 0) | {"_id": f"{int(DOCUMENTS[390]['_id'], 16) - 5:024x}"}
    api.put("T1w", changed(late, -100_000))
    report = asyncio.run(verify(api.url, RecordStore(tmp_path), resources=["T1w"], politeness=HASTE))
    assert (report.resources["T1w"].new, report.resources["T1w"].deleted) == (1, 1)
    assert_same(api, tmp_path)


def test_verify_names_a_damaged_part_before_it_asks_anything(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    part = RecordStore(tmp_path).parts("T1w")[2]
    content = bytearray(part.path.read_bytes())
    content[len(content) // 2] ^= 1
    part.path.write_bytes(content)
    api.requests.clear()
    with pytest.raises(StoreCorrupted, match=part.name):
        asyncio.run(verify(api.url, RecordStore(tmp_path), resources=["T1w"], politeness=HASTE))
    assert api.requests == []


@pytest.mark.parametrize("left", [0, 1, COUNT // 2])
def test_mass_deletion_is_refused_quickly_until_it_is_accepted(api: Night, tmp_path: Path, left: int) -> None:
    pull_now(api, tmp_path)
    stored = live_documents(tmp_path)
    for document in DOCUMENTS[left:]:
        api.delete("T1w", document["_id"])
    with pytest.raises(LawBroken, match="T1w"):
        pull_now(api, tmp_path)
    assert len(api.requests) <= 4
    assert live_documents(tmp_path) == stored
    assert json.loads((tmp_path / "runs" / "000002.json").read_bytes())["outcome"] == "LawBroken"
    pull_now(api, tmp_path, limits=PullLimits(most_deleted=1.0))
    assert_same(api, tmp_path)


def test_deletions_that_replace_what_they_remove_are_refused_too(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    for number, document in enumerate(DOCUMENTS[:150]):
        api.delete("T1w", document["_id"])
        api.put("T1w", make_document("T1w", 5000 + number, second=LATER + number))
    with pytest.raises(LawBroken):
        pull_now(api, tmp_path)
    assert RecordStore(tmp_path).deletions("T1w") == {}


def test_an_empty_service_is_an_empty_store(tmp_path: Path) -> None:
    with FastApi({}) as api:
        report = pull_now(api, tmp_path)
        assert (report.total, report.live, report.newest_id) == (0, 0, None)
        api.put("T1w", DOCUMENTS[0])
        assert pull_now(api, tmp_path).new == 1
        assert_same(api, tmp_path)


@pytest.mark.parametrize("cap", [1, 7, 49])
def test_a_lower_cap_on_pages_is_followed(tmp_path: Path, cap: int) -> None:
    with Night(cap=cap) as api:
        assert pull_now(api, tmp_path).unsettled == 0
        assert_same(api, tmp_path)


def test_a_service_that_cannot_keep_still_is_told_as_unsettled(api: Night, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    victims = iter(DOCUMENTS[1:])
    late = iter(range(1, 10_000))

    def meddle(_: int) -> None:
        # Between any two requests one record more, out of sight of what was asked.
        number = int(DOCUMENTS[0]["_id"], 16) - next(late)
        api.put("T1w", changed(make_document("T1w", 0) | {"_id": f"{number:024x}"}, api.seconds))
        next(victims)

    api.before_page = meddle
    report = pull_now(api, tmp_path)
    assert report.unsettled > 0
    api.before_page = lambda number: None
    assert pull_now(api, tmp_path).unsettled == 0
    assert_same(api, tmp_path)


def test_a_second_run_on_the_store_is_refused(api: Night, tmp_path: Path) -> None:
    with RecordStore(tmp_path).lock(), pytest.raises(LockedError):
        pull_now(api, tmp_path)
    assert api.requests == []
    assert pull_now(api, tmp_path).new == COUNT


def test_the_run_manifest_tells_what_was_done(api: Night, tmp_path: Path) -> None:
    url = api.url.replace("//", "//user:secret@") + "/"
    report = asyncio.run(pull(url, RecordStore(tmp_path), resources=["T1w"], politeness=HASTE))
    content = (tmp_path / "runs" / "000001.json").read_text()
    manifest = json.loads(content)
    assert manifest["outcome"] == "complete" and manifest["source"] == api.url
    assert manifest["resources"]["T1w"]["new"] == COUNT
    assert manifest["traffic"]["requests"] == len(api.requests) == report.traffic["requests"]
    everything = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "secret" not in everything


@pytest.mark.parametrize("again", [1, 2])
@pytest.mark.parametrize("page", [1, 4, 8])
def test_a_cancelled_pull_has_ended_writing_when_it_ends(
    api: Night, tmp_path: Path, page: int, again: int
) -> None:
    async def run() -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        seen = 0

        def on_page(*_: object) -> None:
            nonlocal seen
            seen += 1
            if seen == page and task is not None:
                for number in range(again):
                    loop.call_later(0.001 * number, task.cancel)

        await pull(api.url, RecordStore(tmp_path), resources=["T1w"], politeness=HASTE, on_page=on_page)

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        pass
    else:
        pytest.fail("the pull was done before it was cancelled")
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.name != ".lock"}
    for part in RecordStore(tmp_path).parts("T1w"):
        part.check()
    known = RecordStore(tmp_path).known("T1w")
    assert known.count(LOWEST, HIGHEST) == len(known.ids(LOWEST, HIGHEST)) > 0
    time.sleep(0.05)
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.name != ".lock"}
    pull_now(api, tmp_path)
    assert_same(api, tmp_path)
