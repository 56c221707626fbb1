"""A service that refuses filters is crawled by page number, and trusted less."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.errors import LawBroken, ServiceUnavailable
from curation.store import RecordStore
from tests.support.fast_api import (
    HASTE,
    FastApi,
    assert_same,
    changed,
    live_documents,
    make_document,
    pull_now,
    random_faults,
    replace,
    small_windows,
)

COUNT = 330
DOCUMENTS = [make_document("T1w", number, second=number * 9) for number in range(COUNT)]
IDS = [document["_id"] for document in DOCUMENTS]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FastApi]:
    small_windows(monkeypatch)
    with FastApi({"T1w": DOCUMENTS}, refuse_where=True) as service:
        yield service


def test_everything_comes_and_it_is_said(
    api: FastApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        report = pull_now(api, tmp_path)
    assert report.by_page_number and "page number" in caplog.text
    assert (report.new, report.total, report.live, report.unsettled) == (COUNT, COUNT, COUNT, 0)
    # Not one part at the very end: a killed crawl has something to show.
    assert len(RecordStore(tmp_path).parts("T1w")) > 2
    assert_same(api, tmp_path)


def test_changes_deletions_and_late_arrivals_are_found(api: FastApi, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    api.put("T1w", changed(DOCUMENTS[7] | {"cjv": 9.5}, 99_999))
    api.delete("T1w", IDS[8])
    api.put("T1w", make_document("T1w", 0) | {"_id": f"{int(IDS[100], 16) - 1:024x}"})
    api.put("T1w", make_document("T1w", 999, second=99_999))
    report = pull_now(api, tmp_path)
    assert (report.new, report.changed, report.deleted, report.unsettled) == (2, 1, 1, 0)
    assert_same(api, tmp_path)


@pytest.mark.parametrize("numbers", [[0], [0, 1, 2, 3, 4, 5, 6], [60, 61, COUNT - 1], range(COUNT)])
def test_broken_records_are_passed_by(api: FastApi, tmp_path: Path, numbers: list[int]) -> None:
    api.broken = {IDS[number] for number in numbers}
    if len(numbers) == COUNT:
        with pytest.raises(ServiceUnavailable):
            pull_now(api, tmp_path, replace(HASTE, attempts=1))
    else:
        report = pull_now(api, tmp_path, replace(HASTE, attempts=2))
        assert [spot["position"] for spot in report.unretrievable] == [number + 1 for number in numbers]
        assert (report.live, report.unsettled) == (COUNT - len(numbers), 0)
    api.broken = set()
    assert pull_now(api, tmp_path).unretrievable == []
    assert_same(api, tmp_path)


def test_a_small_resource_of_which_nothing_can_be_rendered(tmp_path: Path) -> None:
    with FastApi({"T1w": DOCUMENTS[:3]}, refuse_where=True, broken=set(IDS[:3])) as api:
        report = pull_now(api, tmp_path)
        assert (len(report.unretrievable), report.total, report.live, report.unsettled) == (3, 3, 0, 0)


@pytest.mark.parametrize("cap", [1, 20])
@pytest.mark.parametrize("broken", [[], [0]])
def test_a_lower_cap_on_pages_is_followed(tmp_path: Path, cap: int, broken: list[int]) -> None:
    with FastApi(
        {"T1w": DOCUMENTS[:90]}, refuse_where=True, cap=cap, broken={IDS[number] for number in broken}
    ) as api:
        report = pull_now(api, tmp_path)
        assert (report.live, len(report.unretrievable)) == (90 - len(broken), len(broken))
        api.broken = set()
        pull_now(api, tmp_path)
        assert_same(api, tmp_path)


def test_records_that_come_and_go_while_pages_shift(api: FastApi, tmp_path: Path) -> None:
    victims = iter(IDS[5:40:3])

    def meddle(number: int) -> None:
        if number in (4, 6, 9, 15):
            api.delete("T1w", next(victims))
            api.put("T1w", make_document("T1w", 900 + number, second=90_000 + number))

    api.before_page = meddle
    pull_now(api, tmp_path)
    api.before_page = lambda number: None
    pull_now(api, tmp_path)
    assert_same(api, tmp_path)


def test_a_service_whose_pages_never_settle_ends_the_run(api: FastApi, tmp_path: Path) -> None:
    api.before_page = lambda number: api.put("T1w", make_document("T1w", number, second=90_000 + number))
    with pytest.raises(ServiceUnavailable, match="page number"):
        pull_now(api, tmp_path)
    assert len(live_documents(tmp_path)) >= COUNT
    api.before_page = lambda number: None
    pull_now(api, tmp_path)
    assert_same(api, tmp_path)


def test_mass_deletion_is_refused_here_too(api: FastApi, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    for record_id in IDS[:150]:
        api.delete("T1w", record_id)
    with pytest.raises(LawBroken):
        pull_now(api, tmp_path)
    assert RecordStore(tmp_path).deletions("T1w") == {}


@pytest.mark.parametrize("after", range(1, 40, 6))
def test_filters_refused_in_the_middle_of_a_run_are_done_without(
    api: FastApi, tmp_path: Path, after: int
) -> None:
    def refuse(number: int) -> None:
        api.refuse_where = number >= after

    api.refuse_where = False
    api.before_page = refuse
    report = pull_now(api, tmp_path)
    assert report.unsettled == 0
    assert_same(api, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_random_faults_are_survived(api: FastApi, tmp_path: Path, seed: int) -> None:
    api.fault = random_faults(seed, 0.2)
    api.largest_delay = 0.4
    pull_now(api, tmp_path, replace(HASTE, attempts=12, timeout=0.2))
    assert_same(api, tmp_path)


def test_a_crawl_that_ends_early_keeps_what_came(api: FastApi, tmp_path: Path) -> None:
    api.fault = lambda number: "503" if number >= 7 else None
    with pytest.raises(ServiceUnavailable):
        pull_now(api, tmp_path)
    stored = len(live_documents(tmp_path))
    assert 0 < stored < COUNT
    api.fault = lambda number: None
    assert pull_now(api, tmp_path).new == COUNT - stored
    assert_same(api, tmp_path)
