"""Fixtures that several rooms use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.pseudonyms import KEY_VARIABLE
from tests.support.pseudonyms import KEY

REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared" / "real"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests see no settings of whoever runs them, and keep Prefect's history to themselves."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("MRIQC_SNAPSHOT_")}
    home = tmp_path_factory.mktemp("prefect")
    changed = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", KEY_VARIABLE: KEY}
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


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests found out of the rules of repair, rule by rule."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    found = [dict(report.user_properties).get("confusion") for report in reports]
    for confusion in filter(None, found):
        terminalreporter.section("cells of the demo corpus, by rule of repair")
        terminalreporter.line(f"{'rule':32}{'hit':>8}{'missed':>8}{'false':>8}{'left':>8}")
        for name, counts in confusion.items():
            terminalreporter.line(f"{name:32}" + "".join(f"{count:>8}" for count in counts.values()))
