"""The two ports of the local FigShare, and how they misbehave on purpose."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.support.figshare import FigShareServer

TOKEN = "0123456789abcdef-token-of-the-test-account"
SLOW = 1.0
"""Seconds that a slow answer takes; clients of tests wait for less."""

RETRY_AFTER = "0"
"""Seconds that a busy service asks for."""


def serve(service: FigShareServer, host: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer is one packet: a client would wait for the second one.
        wbufsize, disable_nagle_algorithm = 1 << 16, True

        def log_message(self, *_: Any) -> None:
            pass

        def _handle(self) -> None:
            path = urlsplit(self.path).path
            with service.lock:
                number = len(service.requests)
                service.requests.append((self.command, path))
            if TOKEN in self.path:
                service.violations.append("the token was in an address")
            fault = service.fault(number, self.command, path) if service.fault else None
            kind, _, when = (fault or "").partition("-")
            if service.hook and service.hook(number, self.command, path, "before"):
                self._misbehave("drop")
                return
            if when == "before":
                self._misbehave(kind)
                return
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            if len(content) < length:
                # The client is gone; the service waits for the rest and gives up.
                self._misbehave("drop")
                return
            _template, status, body, more = service.answer(
                host, self.command, self.path, self.headers, lambda: content
            )
            if service.hook:
                service.hook(number, self.command, path, "after")
            if when == "after":
                self._misbehave(kind)
                return
            self._send(status, body, more)

        def _misbehave(self, kind: str) -> None:
            self.close_connection = True
            if kind == "slow":
                time.sleep(SLOW)
            elif kind == "cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            elif kind.isdecimal():
                self._send(int(kind), None, {"Connection": "close", "Retry-After": RETRY_AFTER})

        def _send(self, status: int, body: Any, more: dict[str, str]) -> None:
            content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **more}.items():
                if status != 204 or name != "Content-Length":
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content if self.command != "HEAD" else b"")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

        def do_HEAD(self) -> None:
            self.command = "GET"
            _template, status, body, more = service.answer(host, "GET", self.path, self.headers, lambda: b"")
            self.command = "HEAD"
            self._send(status, body, more)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that were killed are no news."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server
