"""What the embedded Web-API takes, and that it keeps what it takes as it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from flows.demo.server import DemoServer, make_app
from schemas import RESOURCES, table
from schemas.webapi import cerberus_schema
from tests.support.web_client import Answer, ask

TOKEN = "token-of-the-tests"
_VALUES = {"number": 1.5, "integer": 3, "text": "a", "boolean": True}


@pytest.fixture(scope="module")
def api() -> Iterator[DemoServer]:
    with DemoServer(make_app(token=TOKEN)) as server:
        yield server


def post(api: DemoServer, resource: str, column: str, value: Any) -> tuple[Answer, Any]:
    """POST the least that ``resource`` takes, with one value changed; the answer, and what is stored of the value."""
    document: dict[str, Any] = {}
    for declared in table(resource).columns:  # type: ignore[arg-type]
        if declared.required:
            _put(document, declared.path, _VALUES[declared.type])
    _put(document, tuple(column.split(".")), deepcopy(value))
    answer = ask(f"{api.url}/{resource}", "POST", document, {"Authorization": TOKEN})
    if answer.status != 201:
        return answer, None
    stored = ask(f"{api.url}/{resource}/{answer.json['_id']}").json
    for key in column.split("."):
        stored = stored[key]
    return answer, stored


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document.setdefault(key, {})
    document[path[-1]] = value


@pytest.mark.parametrize(
    ("resource", "column", "value"),
    [
        *[(resource, "bids_meta.run_id", value) for resource in ("T1w", "bold") for value in ("01", "1", 1)],
        *[("bold", "bids_meta.ScanOptions", value) for value in (["FS", "SAT1"], "FS", [], ["1"])],
        *[("T1w", "cnr", value) for value in (3, 3.0, -0.0, 2**53 + 1, 5e-324)],
        *[("T1w", "size_x", value) for value in (34, 34.0)],
        ("T1w", "bids_meta.subject_id", "007"),
        ("T1w", "bids_meta.FlipAngle", 9.5),
        ("T1w", "bids_meta.undeclared", {"a": ["1", 1.0, None]}),
        ("T1w", "provenance.webapi_port", None),
        ("rating", "rating", "3.50"),
    ],
)
def test_values_are_stored_as_sent(api: DemoServer, resource: str, column: str, value: Any) -> None:
    answer, stored = post(api, resource, column, value)
    assert answer.status == 201, answer.text
    assert repr(stored) == repr(value)


@pytest.mark.parametrize(
    ("resource", "column", "value"),
    [
        *[("T1w", "cnr", value) for value in ("0.5", True, None, [0.5], {"a": 1})],
        *[("T1w", "size_x", value) for value in (34.5, "34", True, [34])],
        *[("bold", "bids_meta.run_id", value) for value in (1.0, ["01"], {})],
        *[("bold", "bids_meta.ScanOptions", value) for value in (3, {"a": 1})],
        *[("bold", "provenance.settings.testing", value) for value in ("true", 1)],
        ("bold", "bids_meta.EchoTime", "0.03"),
        ("bold", "provenance.undeclared", 1),
        ("rating", "rating", 3.5),
    ],
)
def test_other_values_are_refused(api: DemoServer, resource: str, column: str, value: Any) -> None:
    answer, _ = post(api, resource, column, value)
    assert answer.status == 422, answer.text


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_declared_column_is_validated(resource: Any) -> None:
    schema = cerberus_schema(resource)
    for column in table(resource).columns:
        rule: dict[str, Any] = {"schema": schema}
        for key in column.path:
            rule = rule["schema"][key]
        assert rule["required"] is column.required
