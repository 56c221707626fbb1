"""What ``snapshot.json`` says of releases beside what a night made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REWRITTEN = "datapackage.json"
"""What a night describes and a release writes its version into."""


def of_night(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """What the night of a version made: without what a release added, rewrote, or left behind."""
    night = {key: value for key, value in snapshot.items() if key not in ("version", "last_release")}
    if "files" in night:
        night["files"] = {name: facts for name, facts in night["files"].items() if name != REWRITTEN}
    return night
