"""FigShare's own description of its API, which the local server's answers have to fit; where the file is there."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.conftest import REPOSITORY

DESCRIPTION = REPOSITORY.parent / "shared" / "facts" / "figshare_openapi_v2.json"
_URI = "urn:figshare"
# Schemas of the upload host, whose paths the description does not have.
UPLOAD_SCHEMAS = {"upload": "UploadInfo", "part": "UploadFilePart"}


@cache
def _document() -> dict[str, Any] | None:
    return json.loads(DESCRIPTION.read_text()) if DESCRIPTION.is_file() else None


@cache
def _validator(pointer: str) -> Draft202012Validator:
    resource = Resource.from_contents(_document(), default_specification=DRAFT202012)
    registry = Registry().with_resource(_URI, resource)
    return Draft202012Validator({"$ref": f"{_URI}#{pointer}"}, registry=registry)


def problems(method: str, template: str, status: int, body: Any) -> list[str]:
    """What is wrong with an answer, by the description; nothing where it is not there.

    Fields that are null are left out before: the service sends them so, which the description does not foresee.
    """
    document = _document()
    if document is None:
        return []
    if template in UPLOAD_SCHEMAS:
        return (
            _errors(f"/components/schemas/{UPLOAD_SCHEMAS[template]}", body) if isinstance(body, dict) else []
        )
    operation = document["paths"].get(template, {}).get(method.lower())
    if operation is None:
        return [f"{method} {template} is not described"]
    if status >= 400:
        # Described too sparingly: 401, 422 and 429 exist as well, and `code` is a text.
        return []
    if str(status) not in operation["responses"]:
        return [f"{method} {template}: HTTP {status} is not described"]
    if "application/json" not in operation["responses"][str(status)].get("content", {}) or body is None:
        return []
    escaped = template.replace("~", "~0").replace("/", "~1")
    return _errors(
        f"/paths/{escaped}/{method.lower()}/responses/{status}/content/application~1json/schema", body
    )


def _errors(pointer: str, body: Any) -> list[str]:
    return [
        f"{pointer}: {'/'.join(map(str, error.path))}: {error.message}"
        for error in _validator(pointer).iter_errors(_without_null(body))
    ]


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(one) for name, one in value.items() if one is not None}
    return [_without_null(one) for one in value] if isinstance(value, list) else value
