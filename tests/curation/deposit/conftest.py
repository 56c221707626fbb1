"""A laid out dataset with one release, copied for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.depositing import VERSION
from tests.support.released import laid_out, release, tables
from tests.support.released_fixtures import dataset, released, server

__all__ = ["dataset", "few", "released", "server"]

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
    found = laid_out(tmp_path_factory.mktemp("few") / "dataset")
    release(found, VERSION, FEW)
    return found
