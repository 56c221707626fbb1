"""A laid out dataset with one release, copied for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.depositing import VERSION
from tests.support.figshare import FigShareServer
from tests.support.released import copied, laid_out, release, tables

FEW = {
    **dict.fromkeys(tables(VERSION)),
    "csv/T1w.csv": b"md5sum\n" + b"x" * 2500,
    "csv/bold.csv": b"md5sum\n",
    "dictionary/T1w.json": None,
    "dictionary/bold.json": None,
    "LICENSE": None,
    "isatab/i_investigation.txt": None,
    "datapackage.json": None,
}
"""A release with a table of three parts, one of a single part, and texts."""


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = laid_out(tmp_path_factory.mktemp("few") / "dataset")
    release(dataset, VERSION, FEW)
    return dataset


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
