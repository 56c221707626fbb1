"""Prefect's embedded server, ended with the process that started it, also when that process is killed.

Prefect stops its server at the interpreter's exit, which kill -9 does not let happen; such servers would pile up.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from prefect.server.api.server import SubprocessASGIServer

# Reads process ids, one a line, until the other end of the pipe is closed, by whatever ended the process there.
_WATCH = """
import os, signal, sys
for pid in [int(line) for line in sys.stdin]:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
"""


class _WatchedServer(SubprocessASGIServer):
    """The embedded server, whose process id a watching process learns as soon as there is one."""

    watcher: subprocess.Popen[str]

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        process = super()._run_uvicorn_command()
        if self.watcher.stdin is not None:
            self.watcher.stdin.write(f"{process.pid}\n")
            self.watcher.stdin.flush()
        return process


def watch_embedded_server() -> None:
    """Have the embedded server watched that Prefect is going to start; to be called before the first flow."""
    # Prefect keeps one server a process and takes the one that is there.
    server = _WatchedServer()
    if isinstance(server, _WatchedServer) and not hasattr(server, "watcher"):
        server.watcher = subprocess.Popen(
            # In a session of its own: Ctrl-C in the terminal is not meant for it.
            [sys.executable, "-I", "-S", "-c", _WATCH],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
