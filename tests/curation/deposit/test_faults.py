"""Every request of a whole deposit goes wrong once, in every way; and a run of random faults."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from curation.errors import ServiceUnavailable
from tests.support import figshare_http
from tests.support.deposited import assert_deposited, assert_nothing_sent_twice
from tests.support.depositing import HASTE, run_deposit
from tests.support.figshare import FAULTS, FigShareServer
from tests.support.released import copied


@pytest.fixture
def dataset(few: Path, tmp_path: Path) -> Path:
    return copied(few, tmp_path / "dataset")


def each_once(kind: str) -> Callable[[int, str, str], str | None]:
    """Every request goes wrong, and goes well when it is made again."""
    seen: Counter[tuple[str, str]] = Counter()

    def fault(_number: int, method: str, path: str) -> str | None:
        seen[method, path] += 1
        # Only what changes something is slow: reading slowly is reading.
        if kind == "slow-after" and method == "GET":
            return None
        return kind if seen[method, path] % 2 else None

    return fault


@pytest.mark.parametrize("kind", FAULTS)
def test_every_request_fails_once(kind: str, dataset: Path) -> None:
    with FigShareServer(fault=each_once(kind)) as server:
        politeness = replace(HASTE, timeout=0.3) if kind == "slow-after" else HASTE
        report = run_deposit(server.url, dataset, publish=True, politeness=politeness)
        assert report.state in ("published", "notneeded")
        assert_deposited(server, dataset, versions=1)
        assert_nothing_sent_twice(server)
        assert next(iter(server.account.articles.values())).published == 1


@pytest.mark.parametrize("seed", range(4))
def test_random_faults_until_it_is_done(seed: int, dataset: Path) -> None:
    """Runs that give up leave what the next one continues."""
    kinds = [kind for kind in FAULTS if kind != "slow-after"]

    def fault(number: int, _method: str, _path: str) -> str | None:
        random = Random(f"{seed}/{number}")
        return random.choice(kinds) if random.random() < 0.55 else None

    # More than half of all requests, four in a row now and then: runs do give up.
    politeness = replace(HASTE, attempts=4)
    with FigShareServer(fault=fault) as server:
        given_up = 0
        for _ in range(60):
            try:
                run_deposit(server.url, dataset, publish=True, politeness=politeness)
                break
            except ServiceUnavailable as error:
                assert "run the command" in str(error)
                given_up += 1
        else:
            pytest.fail("never done")
        server.fault = None
        assert run_deposit(server.url, dataset, publish=True).state == "notneeded"
        assert_deposited(server, dataset, versions=1)
        assert given_up


def test_a_pause_that_is_asked_for_is_kept(dataset: Path) -> None:
    moments: list[float] = []

    def fault(number: int, method: str, path: str) -> str | None:
        moments.append(time.monotonic())
        return "429-before" if number == 2 else None

    with pytest.MonkeyPatch.context() as patched, FigShareServer(fault=fault) as server:
        patched.setattr(figshare_http, "RETRY_AFTER", "1")
        run_deposit(server.url, dataset)
    assert moments[3] - moments[2] >= 1


def test_a_pause_that_is_too_long_ends_the_run(dataset: Path) -> None:
    with (
        pytest.MonkeyPatch.context() as patched,
        FigShareServer(fault=lambda *_: "503-before") as server,
        pytest.raises(ServiceUnavailable, match="to be asked again in 3600 s"),
    ):
        patched.setattr(figshare_http, "RETRY_AFTER", "3600")
        run_deposit(server.url, dataset)


def test_requests_to_the_metadata_host_are_spaced_out(dataset: Path) -> None:
    moments: list[tuple[float, str]] = []

    def fault(number: int, method: str, path: str) -> None:
        moments.append((time.monotonic(), path))

    with FigShareServer(fault=fault) as server:
        run_deposit(server.url, dataset, politeness=replace(HASTE, per_second=20))
    asked = [moment for moment, path in moments if path.startswith("/v2")]
    assert len(asked) > 20 and (asked[-1] - asked[0]) >= (len(asked) - 1) / 20 * 0.95


def test_a_service_that_is_away_is_told(dataset: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"http://127.0.0.1:9/v2: GET /account: cannot connect"):
        run_deposit("http://127.0.0.1:9/v2", dataset)
