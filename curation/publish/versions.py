"""What ``snapshot.json`` says of releases beside what a night made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A release writes its version into it.
_REWRITTEN = "datapackage.json"


def of_night(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """What the night of a version made, without what a release added or an earlier one left."""
    night = {key: value for key, value in snapshot.items() if key not in ("version", "last_release")}
    if "version" in snapshot:
        night["files"] = {**night["files"], _REWRITTEN: night["files"][_REWRITTEN]["night"]}
    return night


def after_release(night: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a night made, and which release was the last."""
    kept = {key: before[key] for key in ("last_release",) if key in before}
    return {**night, **kept}
