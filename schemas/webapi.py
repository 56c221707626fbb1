"""What the Web-API accepts, as Cerberus schemas for Eve, made from the data dictionary."""

from __future__ import annotations

from typing import Any

from schemas.dictionary import Column, Resource, table

_CERBERUS_TYPES: dict[str, str | list[str]] = {
    "number": "float",  # Cerberus' float takes integers too
    "integer": "integer",
    "text": "string",
    "boolean": "boolean",
}
_ID_KEYS = {"acq_id", "run_id", "session_id", "subject_id", "task_id"}


def _rule(column: Column) -> dict[str, Any]:
    kinds = _CERBERUS_TYPES[column.type]
    if column.lists:
        kinds = ["string", "list"]
    elif column.path[-1] in _ID_KEYS:
        # MRIQC writes run_id as an integer; its client turns it into text before sending. Both are taken.
        kinds = ["string", "integer"]
    rule: dict[str, Any] = {"type": kinds, "required": column.required}
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
