"""A client of the Web-API that keeps status, headers and text as they came."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def ask(
    url: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None, **query: Any
) -> Answer:
    if query:
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in query.items()}
        url += "?" + urllib.parse.urlencode(texts)
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return Answer(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read().decode())
