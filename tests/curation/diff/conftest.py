"""Two versions that differ, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.versions import Pair, make_pair


@pytest.fixture(scope="session")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("versions"))


@pytest.fixture
def pair(_pair: Pair, tmp_path: Path) -> Pair:
    """Folders that a test may change."""
    for name, path in (("a", _pair.a), ("b", _pair.b)):
        shutil.copytree(path, tmp_path / name)
    return Pair(tmp_path / "a", tmp_path / "b", _pair.store)
