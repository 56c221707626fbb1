"""What ``serve-demo`` does: the embedded Web-API in the foreground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from flows.demo.corpus import make_corpus
from flows.demo.load import load_documents, load_file
from flows.demo.server import database, make_app, serve_forever


def serve(
    *,
    port: int,
    files: Sequence[Path],
    token: str,
    mongo_uri: str | None,
    empty: bool,
    say: Callable[[str], None],
) -> None:
    """Serve until a signal ends it.

    Args:
        port: on loopback, 0 for any free one.
        files: JSON lines of documents; without any, the demo corpus is served.
        token: what a POST needs.
        mongo_uri: a MongoDB to work on; an empty database in memory without.
        empty: serve no corpus even if there are no files.
        say: told what is served where.

    Raises:
        UsageError: a file cannot be loaded, or the port is taken.
        ServiceUnavailable: the MongoDB does not answer.
    """
    app = make_app(token=token, mongo_uri=mongo_uri)
    db = database(app)
    for path in files:
        counts = load_file(db, path)
        say(
            f"{path}: "
            + (", ".join(f"{n} {resource}" for resource, n in sorted(counts.items())) or "no documents")
        )
    if not files and not empty:
        for resource, documents in make_corpus().documents.items():
            say(f"demo corpus: {load_documents(db, resource, documents)} {resource}")
    serve_forever(app, port, on_ready=lambda url: say(f"serving {url} (end with Ctrl-C)"))
