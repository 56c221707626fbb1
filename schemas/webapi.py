"""What the Web-API accepts, as Cerberus schemas for Eve, made from the data dictionary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.dictionary import Column, Resource, table

_CERBERUS_TYPES: dict[str, list[str]] = {
    "number": ["number"],  # integers too, but no booleans
    "integer": ["integer", "float"],  # 34.0 is a whole number: see _whole
    "text": ["string"],
    "boolean": ["boolean"],
}
_ID_KEYS = {"acq_id", "run_id", "session_id", "subject_id", "task_id"}

# Eve casts a value to each type of its field before it is checked ("01" to 1, 34.5 to 34, "0.5" to 0.5), save where it
# finds a schema for what is inside the value: one for the first type, one inside that for the second. Numbers and texts
# have no inside, so nothing else changes.
# https://github.com/pyeve/eve/blob/v2.3.1/eve/methods/common.py, serialize()
_UNCAST: dict[str, Any] = {"schema": {}}


def _whole(field: str, value: Any, error: Callable[[str, str], None]) -> None:
    # Cerberus takes a boolean for a float, Python for an integer.
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        error(field, "must be a whole number")


def _rule(column: Column) -> dict[str, Any]:
    kinds = _CERBERUS_TYPES[column.type]
    if column.lists:
        kinds = ["string", "list"]
    elif column.path[-1] in _ID_KEYS:
        # MRIQC writes run_id as an integer; its client turns it into text before sending. Both are taken.
        kinds = ["string", "integer"]
    rule: dict[str, Any] = {"type": kinds, "required": column.required}
    if not column.lists:
        rule["schema"] = _UNCAST
    if column.type == "integer":
        rule["check_with"] = _whole
    if column.nullable:
        rule["nullable"] = True
    return rule


def cerberus_schema(resource: Resource) -> dict[str, Any]:
    """The schema a POST to ``resource`` is validated with.

    Nested keys become nested dicts; ``bids_meta`` takes keys it does not know, the other dicts do not (as the
    service). A nested dict is required when one of its fields is.
    """
    root: dict[str, Any] = {}
    for column in table(resource).columns:
        level = root
        for key in column.path[:-1]:
            node = level.setdefault(key, {"type": "dict", "required": False, "schema": {}})
            if key == "bids_meta":
                node["allow_unknown"] = True
            node["required"] = node["required"] or column.required
            level = node["schema"]
        level[column.path[-1]] = _rule(column)
    return root
