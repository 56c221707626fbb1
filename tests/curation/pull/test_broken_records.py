"""Records that the service counts and can never render."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.errors import ServiceUnavailable
from curation.pull import ResourceReport
from curation.store import RecordStore
from tests.support.fast_api import (
    HASTE,
    FastApi,
    assert_same,
    changed,
    live_documents,
    make_document,
    pull_now,
    replace,
    small_windows,
)

COUNT = 120
DOCUMENTS = [make_document("T1w", number, second=number * 9) for number in range(COUNT)]
BRIEF = replace(HASTE, attempts=2)
IDS = [document["_id"] for document in DOCUMENTS]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FastApi]:
    small_windows(monkeypatch)
    with FastApi({"T1w": DOCUMENTS}) as service:
        yield service


def counted(report: ResourceReport) -> int:
    return sum(spot["count"] for spot in report.unretrievable)


PLACES = {
    "first": [0],
    "second": [1],
    "middle": [70],
    "page's end": [49, 50],
    "newest": [COUNT - 1],
    "several newest": range(COUNT - 7, COUNT),
    "several first": range(7),
    "twelve in a row": range(90, 102),
    "every third": range(0, 60, 3),
    "all but one": [n for n in range(COUNT) if n != 60],
    "everywhere": [0, 1, 5, 50, 51, 52, 99, 118, 119],
}


@pytest.mark.parametrize("place", PLACES)
def test_they_are_noted_everything_else_is_fetched_and_they_are_when_repaired(
    api: FastApi, tmp_path: Path, place: str
) -> None:
    broken = {IDS[number] for number in PLACES[place]}
    api.broken = set(broken)
    sound = {i: document for i, document in api.documents("T1w").items() if i not in broken}
    for night in (1, 2):
        report = pull_now(api, tmp_path, BRIEF)
        assert (counted(report), report.unsettled) == (len(broken), 0)
        assert (report.total, report.live) == (COUNT, len(sound))
        assert live_documents(tmp_path) == sound
        manifest = json.loads((tmp_path / "runs" / f"{night:06d}.json").read_bytes())
        assert manifest["resources"]["T1w"]["unretrievable"] == report.unretrievable
        for spot in report.unretrievable:
            assert sum(spot["after"] < i <= spot["through"] for i in broken) >= spot["count"]
    one = min(broken)
    api.broken = broken - {one}
    report = pull_now(api, tmp_path, BRIEF)
    assert (report.new, counted(report), report.unsettled) == (1, len(broken) - 1, 0)
    api.broken = set()
    pull_now(api, tmp_path, BRIEF)
    assert_same(api, tmp_path)
    assert pull_now(api, tmp_path, BRIEF).unretrievable == []


def test_a_resource_of_which_nothing_can_be_rendered_is_noted_too(api: FastApi, tmp_path: Path) -> None:
    api.broken = set(IDS)
    report = pull_now(api, tmp_path, BRIEF)
    assert (counted(report), report.live, report.unsettled) == (COUNT, 0, 0)
    api.broken = set()
    pull_now(api, tmp_path, BRIEF)
    assert_same(api, tmp_path)


def test_more_broken_records_in_a_row_than_are_believed_end_the_run(
    api: FastApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.pull.walk.MOST_BROKEN", 8)
    api.broken = set(IDS[20:40])
    with pytest.raises(ServiceUnavailable, match="8 records"):
        pull_now(api, tmp_path, BRIEF)
    assert live_documents(tmp_path).items() <= api.documents("T1w").items()


def test_records_come_and_go_beside_broken_ones(api: FastApi, tmp_path: Path) -> None:
    api.broken = {IDS[30], IDS[31], IDS[100]}
    pull_now(api, tmp_path, BRIEF)
    between = f"{int(IDS[31], 16) - 1:024x}"
    api.put("T1w", make_document("T1w", 0) | {"_id": between})
    api.delete("T1w", IDS[32])
    api.delete("T1w", IDS[100])
    api.broken.discard(IDS[30])
    for _ in range(2):
        report = pull_now(api, tmp_path, BRIEF)
    assert (counted(report), report.unsettled) == (1, 0)
    api.broken.clear()
    pull_now(api, tmp_path, BRIEF)
    assert_same(api, tmp_path)


def test_a_stored_record_that_breaks_stays_and_the_counts_agree(api: FastApi, tmp_path: Path) -> None:
    pull_now(api, tmp_path, BRIEF)
    api.broken = {IDS[40], IDS[41]}
    # Something beside them makes the range be walked.
    api.delete("T1w", IDS[45])
    api.put("T1w", make_document("T1w", 0) | {"_id": f"{int(IDS[43], 16) - 1:024x}"})
    api.put("T1w", make_document("T1w", 0) | {"_id": f"{int(IDS[44], 16) - 1:024x}"})
    report = pull_now(api, tmp_path, BRIEF)
    assert (counted(report), report.deleted, report.unsettled) == (2, 1, 0)
    assert live_documents(tmp_path) == api.documents("T1w")
    api.delete("T1w", IDS[40])
    assert pull_now(api, tmp_path, BRIEF).unsettled == 0
    assert_same(api, tmp_path)


@pytest.mark.parametrize("numbers", [[40], [40, 41, 42], [0, 70, COUNT - 1]])
def test_a_change_that_broke_a_record_is_found_when_it_is_repaired(
    api: FastApi, tmp_path: Path, numbers: list[int]
) -> None:
    pull_now(api, tmp_path, BRIEF)
    before = live_documents(tmp_path)
    for number in numbers:
        api.put("T1w", changed(DOCUMENTS[number] | {"cjv": 9.5}, 10_000))
    api.broken = {IDS[number] for number in numbers}
    for _ in range(3):
        report = pull_now(api, tmp_path, BRIEF)
        assert (counted(report), report.unsettled) == (len(numbers), 0)
        assert live_documents(tmp_path) == before
    # The repair of the server's code changes no record: only looking again finds the new document.
    api.broken = set()
    assert pull_now(api, tmp_path, BRIEF).changed == len(numbers)
    assert_same(api, tmp_path)
    assert pull_now(api, tmp_path, BRIEF).unretrievable == []


def test_a_broken_record_is_noted_once(api: FastApi, tmp_path: Path) -> None:
    """Also while it counts as recently changed."""
    api.put("T1w", changed(DOCUMENTS[60], COUNT * 9))
    api.broken = {IDS[60]}
    pull_now(api, tmp_path, BRIEF)
    assert counted(pull_now(api, tmp_path, BRIEF)) == 1
    assert len(RecordStore(tmp_path).cursor("T1w")["unretrievable"]) == 1
