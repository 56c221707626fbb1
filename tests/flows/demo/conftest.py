"""An embedded Web-API of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flows.demo.server import DemoServer, database, make_app


@pytest.fixture
def fresh_app() -> Any:
    return make_app(token="token-of-the-tests")


@pytest.fixture
def fresh_db(fresh_app: Any) -> Any:
    return database(fresh_app)


@pytest.fixture
def fresh(fresh_app: Any) -> Iterator[DemoServer]:
    with DemoServer(fresh_app) as server:
        yield server
