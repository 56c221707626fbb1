"""Starting, stopping and watching the embedded Web-API's server."""

from __future__ import annotations

import http.client
import logging
import os
import signal
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from curation.errors import UsageError
from flows.demo.load import load_documents
from flows.demo.server import DemoServer, make_app
from tests.support.web_client import ask

ROOT = Path(__file__).parents[3]
TOKEN = "t"


def test_failures_are_logged_without_content(
    fresh: DemoServer, fresh_db: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "someone@example.org"
    load_documents(fresh_db, "rating", [{"name": secret}])
    fresh_db["rating"].update_one({}, {"$set": {"_updated": secret}})
    with caplog.at_level(logging.DEBUG):
        answer = ask(f"{fresh.url}/rating", where={"name": secret})
    assert (answer.status, answer.json["_error"]["code"]) == (500, 500)
    assert "TypeError at" in caplog.text or "AttributeError at" in caplog.text
    captured = capfd.readouterr()
    assert secret not in answer.text + caplog.text + captured.out + captured.err


def test_nothing_is_printed_for_a_request(fresh: DemoServer, capfd: pytest.CaptureFixture[str]) -> None:
    ask(f"{fresh.url}/bold")
    ask(f"{fresh.url}/nothing")
    assert capfd.readouterr() == ("", "")


def test_connections_are_kept_alive(fresh: DemoServer) -> None:
    parts = urllib.parse.urlsplit(fresh.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    ports = set()
    for _ in range(3):
        connection.request("GET", f"{parts.path}/bold")
        assert len(connection.getresponse().read()) > 100
        ports.add(connection.sock.getsockname()[1])
    connection.close()
    assert len(ports) == 1


def test_stop_frees_the_port_also_under_kept_connections() -> None:
    app = make_app(token=TOKEN)
    server = DemoServer(app).start()
    assert server.start() is server
    parts = urllib.parse.urlsplit(server.url)
    kept = http.client.HTTPConnection(parts.netloc, timeout=10)
    kept.request("GET", f"{parts.path}/bold")
    kept.getresponse().read()
    server.stop()
    server.stop()
    with pytest.raises(OSError, match="refused"):
        ask(f"http://{parts.netloc}{parts.path}/bold")
    kept.close()
    with DemoServer(app, port=parts.port) as again:
        assert again.url == f"http://127.0.0.1:{parts.port}/api/v1"
        assert ask(f"{again.url}/bold").status == 200


def test_any_wsgi_application_is_served() -> None:
    def hello(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"hello": 1}']

    with DemoServer(hello) as server:
        assert ask(f"{server.url}/anything").json == {"hello": 1}


def test_a_taken_port_is_named(fresh: DemoServer) -> None:
    port = urllib.parse.urlsplit(fresh.url).port
    before = set(threading.enumerate())
    with pytest.raises(UsageError, match=f"port {port}"):
        DemoServer(make_app(token=TOKEN), port=port or 0).start()
    # Threads of other tests may end meanwhile; none may have begun.
    assert not set(threading.enumerate()) - before


def test_no_address_before_the_start() -> None:
    with pytest.raises(UsageError, match="before it is started"):
        _ = DemoServer(make_app(token=TOKEN)).url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_forever_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    code = (
        "from flows.demo.server import make_app, serve_forever\n"
        "serve_forever(make_app(token='t'), on_ready=lambda url: print(url, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert ask(f"{url}/bold").json["_meta"]["total"] == 0
    process.send_signal(number)
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out, err) == (0, "", "")
