"""The client: polite, patient up to a point, and clear about what it saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from curation.errors import ServiceUnavailable
from curation.pull import Politeness, WebApi
from curation.pull.client import FilterRefused, PageFailed, without_credentials
from curation.pull.pages import Page
from tests.support.fast_api import HASTE, FastApi, make_document, pull_now, replace, small_windows

DOCUMENTS = [make_document("T1w", number, second=number * 9) for number in range(200)]


@pytest.fixture
def api() -> Iterator[FastApi]:
    with FastApi({"T1w": DOCUMENTS}) as service:
        yield service


def ask(api: FastApi, politeness: Politeness = HASTE, **options: object) -> Page:
    async def once() -> Page:
        async with WebApi(api.url, politeness) as client:
            return await client.page("T1w", **options)  # type: ignore[arg-type]

    return asyncio.run(once())


@pytest.mark.parametrize("connections", [1, 3])
def test_never_more_requests_at_once_than_connections(
    tmp_path: Path, api: FastApi, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    small_windows(monkeypatch)
    api.delay = 0.005
    api.broken = {DOCUMENTS[50]["_id"]}
    pull_now(api, tmp_path, replace(HASTE, connections=connections))
    assert api.at_once == connections


def test_requests_are_spaced_out_as_the_rate_says(api: FastApi) -> None:
    begun: list[float] = []
    api.before_page = lambda number: begun.append(time.monotonic())

    async def many() -> float:
        async with WebApi(api.url, replace(HASTE, per_second=50, connections=8)) as client:
            start = time.monotonic()
            await asyncio.gather(*(client.page("T1w") for _ in range(16)))
            return time.monotonic() - start

    assert asyncio.run(many()) >= 15 / 50
    assert len(begun) == 16


def test_after_a_pause_requests_are_still_spaced_out(api: FastApi) -> None:
    api.fault = lambda number: "503" if number == 0 else None
    api.retry_after = "1"
    begun: list[float] = []
    api.before_page = lambda number: begun.append(time.monotonic())

    async def many() -> None:
        async with WebApi(api.url, replace(HASTE, per_second=40, connections=8)) as client:
            await client.page("T1w")
            await asyncio.gather(*(client.page("T1w") for _ in range(8)))

    asyncio.run(many())
    assert begun[1] - begun[0] >= 0.99
    assert begun[-1] - begun[1] >= 0.9 * 8 / 40


def test_the_project_is_named(api: FastApi, tmp_path: Path) -> None:
    pull_now(api, tmp_path)
    assert len(api.agents) == 1 and "mriqc-snapshot" in api.agents.pop()


@pytest.mark.parametrize("status", ["429", "503"])
@pytest.mark.parametrize("form", ["seconds", "date", "date without zone"])
def test_all_wait_as_long_as_they_are_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, form: str
) -> None:
    small_windows(monkeypatch)
    # The service's clock is not ours: a date is read against its own.
    clock = datetime(2018, 5, 5, tzinfo=UTC)
    later = format_datetime(clock + timedelta(seconds=1), usegmt=True)
    answer = {"seconds": " 1", "date": later, "date without zone": later.replace("GMT", "-0000")}[form]
    asked: list[float] = []
    with FastApi(
        {"T1w": DOCUMENTS},
        fault=lambda number: status if number == 3 else None,
        retry_after=answer,
        now=lambda: clock,
        before_page=lambda number: asked.append(time.monotonic()),
    ) as api:
        pull_now(api, tmp_path)
    # Requests that were under way with the refused one may still arrive.
    late = [moment for moment in asked[4:] if moment > asked[3] + 0.3]
    assert late and min(late) - asked[3] >= 0.95
    assert len(asked) - len(late) <= 4 + HASTE.connections


@pytest.mark.parametrize("value", ["3600", "9" * 400, "Wed, 09 Jun 2100 10:00:00 GMT"])
def test_a_wait_beyond_patience_ends_the_run_at_once(api: FastApi, tmp_path: Path, value: str) -> None:
    api.fault = lambda number: "503"
    api.retry_after = value
    with pytest.raises(ServiceUnavailable, match="to be asked again in"):
        pull_now(api, tmp_path)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "value",
    [None, "soon", "-5", "1.5", "", "\u00b2", "Thu, 99 Foo 2018", "Thu, 01 Jan 99999999999999 00:00:00 GMT"],
)
def test_a_wait_that_cannot_be_read_is_an_ordinary_retry(api: FastApi, value: str | None) -> None:
    api.fault = lambda number: "429" if number < 2 else None
    api.retry_after = value
    assert ask(api).total == len(DOCUMENTS)
    assert len(api.requests) == 3


def test_an_answer_without_a_readable_date_leaves_the_clock_open(api: FastApi) -> None:
    async def clock() -> object:
        async with WebApi(api.url, HASTE) as client:
            before = client.server_time
            await client.page("T1w")
            return before, client.server_time

    before, after = asyncio.run(clock())
    assert before is None and abs(after - datetime.now(UTC)) < timedelta(minutes=1)


def test_attempts_are_counted_and_troubles_told(api: FastApi) -> None:
    api.fault = lambda number: "500"

    async def fails() -> WebApi:
        async with WebApi(api.url, replace(HASTE, attempts=4)) as client:
            with pytest.raises(PageFailed, match="HTTP 500"):
                await client.page("T1w")
            return client

    client = asyncio.run(fails())
    assert client.traffic.requests == 4 and client.traffic.retries == 3
    assert client.traffic.troubles == {"HTTP 500": 3}


def test_a_busy_service_is_waited_for_even_where_a_page_deserves_few_tries(api: FastApi) -> None:
    api.fault = lambda number: "503" if number < 4 else None
    assert ask(api, replace(HASTE, attempts=6), attempts=2).total == len(DOCUMENTS)


def test_refusals_are_not_tried_again(api: FastApi) -> None:
    api.refuse_where = True
    with pytest.raises(FilterRefused):
        ask(api, where={"_id": {"$gt": "0" * 24}})
    with pytest.raises(ServiceUnavailable, match="404"):
        asyncio.run(_elsewhere(api))
    assert len(api.requests) == 1


async def _elsewhere(api: FastApi) -> None:
    async with WebApi(api.url.replace("v1", "v2"), HASTE) as client:
        await client.page("T1w")


def test_only_the_services_own_404_says_that_a_record_is_gone(api: FastApi) -> None:
    there, gone = DOCUMENTS[0]["_id"], "f" * 24

    async def look() -> list[bool]:
        async with WebApi(api.url, HASTE) as client, WebApi(api.url.replace("v1", "v2"), HASTE) as elsewhere:
            asked = [(client, there), (client, gone), (elsewhere, there)]
            return [await one.exists("T1w", record_id) for one, record_id in asked]

    assert asyncio.run(look()) == [True, False, True]


def test_sources_tell_no_secrets() -> None:
    assert without_credentials("https://me:secret@host:81/api/v1?key=secret#x") == "https://host:81/api/v1"
    assert without_credentials("http://[::1]:80/api") == "http://[::1]:80/api"
