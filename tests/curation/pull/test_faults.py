"""A service that fails in every way, for a while or for ever, while records come, change and go."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from curation.errors import ServiceUnavailable
from curation.objectid import HIGHEST, LOWEST
from curation.store import RecordStore
from tests.support.fast_api import (
    FAULTS,
    HASTE,
    PATIENCE,
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

COUNT = 260
DOCUMENTS = [make_document("T1w", number, second=number * 9) for number in range(COUNT)]


@pytest.fixture(autouse=True)
def _many_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    small_windows(monkeypatch)


def check_consistent(path: Path) -> None:
    """What is sealed is sound, whatever happened."""
    for part in RecordStore(path).parts("T1w"):
        part.check()
    known = RecordStore(path).known("T1w")
    assert known.count(LOWEST, HIGHEST) == len(known.ids(LOWEST, HIGHEST))


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("sound", [0, 14])
def test_a_fault_for_ever_ends_the_run_and_loses_nothing(tmp_path: Path, kind: str, sound: int) -> None:
    with FastApi({"T1w": DOCUMENTS}, fault=lambda number: kind if number >= sound else None) as api:
        api.largest_delay = 0.1
        hurry = replace(HASTE, timeout=0.05) if kind == "timeout" else HASTE
        if kind == "order":
            # A page of one document has no order: the run narrows every page to that, and succeeds.
            assert pull_now(api, tmp_path, hurry).unsettled == 0
        else:
            with pytest.raises(ServiceUnavailable):
                pull_now(api, tmp_path, hurry)
            manifest = json.loads((tmp_path / "runs" / "000001.json").read_bytes())
            assert manifest["outcome"] == "ServiceUnavailable" and manifest["reason"]
            assert manifest["traffic"]["retries"] > 0
            check_consistent(tmp_path)
            stored = live_documents(tmp_path)
            assert stored.items() <= api.documents("T1w").items()
            assert not sound or kind == "timeout" or stored
        api.fault = lambda number: None
        report = pull_now(api, tmp_path)
        assert report.new == COUNT - (COUNT if kind == "order" else len(stored))
        assert_same(api, tmp_path)


def test_a_service_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    with FastApi({"T1w": DOCUMENTS}) as api:
        pull_now(api, tmp_path)
    with pytest.raises(ServiceUnavailable, match="cannot connect"):
        pull_now(api, tmp_path)
    assert len(live_documents(tmp_path)) == COUNT


def test_a_service_that_ignores_filters_is_not_walked_for_ever(tmp_path: Path) -> None:
    with FastApi({"T1w": DOCUMENTS}) as api:
        pull_now(api, tmp_path)
        for number in range(200):
            api.put("T1w", make_document("T1w", 9000 + number, second=90_000 + number))
        api._select = lambda resource, where: api.ids(resource)  # type: ignore[method-assign]
        with pytest.raises(ServiceUnavailable):
            pull_now(api, tmp_path)
        assert len(api.requests) < 200
    check_consistent(tmp_path)


class Meddler:
    """Inserts, updates and deletes records while they are pulled; its clock ticks with the requests."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.seconds = COUNT * 9
        self.number = 10_000
        self.gone: list[str] = []
        self.api: FastApi

    def clock(self) -> datetime:
        return datetime(2018, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def __call__(self, _: int) -> None:
        self.seconds += 1
        if self.random.random() > 0.15:
            return
        ids = self.api.ids("T1w")
        match self.random.choice(["insert", "insert", "late", "update", "update", "delete", "return"]):
            case "insert":
                self.put(f"{1_514_764_800 + self.seconds:08x}{self.random.getrandbits(64):016x}")
            case "late":
                self.put(f"{1_514_764_800 + self.seconds - self.random.randrange(9):08x}{self.number:016x}")
            case "update":
                self.put(self.random.choice(ids))
            case "delete" if len(self.gone) < 20:
                self.gone.append(self.random.choice(ids))
                self.api.delete("T1w", self.gone[-1])
            case "return" if self.gone:
                self.put(self.gone.pop())

    def put(self, record_id: str) -> None:
        self.number += 1
        document = make_document("T1w", self.number) | {"_id": record_id}
        self.api.put("T1w", changed(document, self.seconds))


@pytest.mark.parametrize("seed", range(12))
def test_after_any_faults_one_quiet_night_makes_the_store_equal_the_service(
    tmp_path: Path, seed: int
) -> None:
    meddler = Meddler(seed)
    broken = {DOCUMENTS[number]["_id"] for number in Random(seed).sample(range(COUNT), seed % 4)}
    with FastApi(
        {"T1w": DOCUMENTS},
        fault=random_faults(seed, 0.2),
        before_page=meddler,
        now=meddler.clock,
        broken=set(broken),
    ) as api:
        api.largest_delay = 0.4
        meddler.api = api
        for night in range(2):
            try:
                pull_now(api, tmp_path, replace(PATIENCE, attempts=3 if seed % 5 == 4 else 12, timeout=0.2))
            except ServiceUnavailable:
                assert seed % 5 == 4
            check_consistent(tmp_path)
            api.fault = random_faults(seed + 1000, 0.2) if night == 0 else lambda number: None
        api.before_page = lambda number: None
        api.broken = set()
        report = pull_now(api, tmp_path)
        assert (report.unsettled, report.unretrievable) == (0, [])
        assert_same(api, tmp_path)
        assert report.live == len(api.ids("T1w"))


class Killed(BaseException):
    """The process is gone."""


def dying(monkeypatch: pytest.MonkeyPatch, name: str, alive: int) -> Callable[[], int]:
    """From the call after ``alive`` calls on, ``os.NAME`` only dies; returns how often it was called."""
    original = getattr(os, name)
    calls = 0

    def step(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > alive:
            raise Killed
        return original(*arguments)

    monkeypatch.setattr(os, name, step)
    return lambda: calls


def second_night(api: FastApi) -> None:
    api.delete("T1w", DOCUMENTS[70]["_id"])
    for number in (3, 120):
        api.put("T1w", changed(DOCUMENTS[number] | {"cjv": 9.0}, COUNT * 9 + 5))
    for number in range(8):
        api.put("T1w", make_document("T1w", 800 + number, second=COUNT * 9 + number))


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_run_killed_at_any_sealing_step_is_taken_up_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with FastApi({"T1w": DOCUMENTS[:150]}) as api:
        with monkeypatch.context() as patch:
            calls = dying(patch, name, 10**6)
            pull_now(api, tmp_path / "whole")
            first = calls()
            second_night(api)
            pull_now(api, tmp_path / "whole")
            steps = calls()
        assert_same(api, tmp_path / "whole")
        every = 1 if name == "replace" else 7
        for alive in range(0, steps, every):
            store = tmp_path / f"{name}{alive}"
            with FastApi({"T1w": DOCUMENTS[:150]}) as service:
                killed_once(service, store, monkeypatch, name, alive, first)


def killed_once(
    api: FastApi, store: Path, monkeypatch: pytest.MonkeyPatch, name: str, alive: int, first: int
) -> None:
    """Two nights, killed in the one or the other, and one more."""
    with monkeypatch.context() as patch:
        dying(patch, name, alive)
        with pytest.raises(Killed):
            pull_now(api, store)
            second_night(api)
            pull_now(api, store)
            # The kill may fall on a step that the order of this run's windows did not need.
            raise Killed
    if alive < first - 1:
        second_night(api) if DOCUMENTS[70]["_id"] in api.ids("T1w") else None
    trusted = live_documents(store) if (store / "store.json").exists() else {}
    report = pull_now(api, store)
    assert report.unsettled == 0
    assert_same(api, store)
    assert report.new <= len(api.ids("T1w")) - len(trusted) + 1
    assert not list(store.rglob("T1w/**/.tmp-*"))
    assert {p.stem for p in store.rglob("parts/*.parquet")} == {p.stem for p in store.rglob("parts/*.json")}
