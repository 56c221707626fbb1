"""Fixtures that several rooms use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared" / "real"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests see no settings of whoever runs them, and keep Prefect's history to themselves."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("MRIQC_SNAPSHOT_")}
    home = tmp_path_factory.mktemp("prefect")
    changed = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    yield
    os.environ.update(kept)
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real records, where the machine has them."""
    if not SHARED.is_dir():
        pytest.skip("no real records beside the repository")
    return SHARED
