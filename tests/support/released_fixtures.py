"""A dataset with one release, copied for every test, and a FigShare for it; a ``conftest.py`` imports them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.depositing import VERSION
from tests.support.figshare import FigShareServer
from tests.support.released import copied, laid_out, release


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = laid_out(tmp_path_factory.mktemp("released") / "dataset")
    release(dataset, VERSION)
    return dataset


@pytest.fixture
def dataset(released: Path, tmp_path: Path) -> Path:
    return copied(released, tmp_path / "dataset")


@pytest.fixture
def server() -> Iterator[FigShareServer]:
    with FigShareServer() as running:
        yield running
        assert running.violations == []
