"""The embedded Web-API: a real Eve application over an in-memory database, served on a loopback port.

The service itself is Eve over MongoDB, so what it does with pages, filters, dates and errors is what Eve
does; this module adds its resources and its rule of authorization, and :mod:`flows.demo.memory` a database
that needs no installation.
"""

from __future__ import annotations

import hmac
import logging
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from wsgiref.types import WSGIApplication

import eve
import pymongo
import waitress
from eve.auth import TokenAuth
from eve.io.mongo import Mongo
from eve.io.mongo.mongo import MongoJSONEncoder
from flask import request
from pymongo.errors import PyMongoError

from curation.errors import ServiceUnavailable, UsageError
from flows.demo.memory import MemoryDatabase
from schemas import RESOURCES
from schemas.webapi import cerberus_schema

BASE_PATH = "/api/v1"
DATABASE = "mriqc_api"
"""Name of the database when the MongoDB URI names none."""
PAGE_DEFAULT, PAGE_CAP = 25, 50
"""Items a page when ``max_results`` is not given, and the most it ever has."""
MONGO_WAIT = 5_000
"""Milliseconds in which a MongoDB has to answer when the app is made."""

_PREFIX = "MONGO"  # Eve's name for its one database
_STOP_SECONDS = 10
_COUNT_RATINGS = [
    {"$match": {"md5sum": "$value"}},
    {"$group": {"_id": "$rating", "count": {"$sum": 1}}},
    {"$sort": {"_id": 1}},
]


# --- the application ---------------------------------------------------------------------------------------


def make_app(*, token: str, mongo_uri: str | None = None) -> eve.Eve:
    """The Web-API as a WSGI application.

    Args:
        token: what ``Authorization`` has to hold for a POST.
        mongo_uri: a MongoDB to work on; without it, an empty database of this app's own, in memory.

    Raises:
        UsageError: the token is empty or the URI cannot be read.
        ServiceUnavailable: the MongoDB does not answer.
    """
    if not token.strip():
        raise UsageError("the Web-API's token is empty; a POST could not be told from an unauthorized one")
    settings = _settings()
    if mongo_uri is not None:
        _check_mongo(mongo_uri)
        settings |= {"MONGO_URI": mongo_uri, "MONGO_DBNAME": DATABASE}
    app = eve.Eve(
        import_name=__name__,
        settings=settings,
        auth=_HeaderToken(token.strip()),
        data=_MemoryLayer if mongo_uri is None else _WebApiLayer,
        media=None,
    )
    app.logger.addFilter(_without_content)
    return app


def database(app: eve.Eve) -> pymongo.database.Database[dict[str, Any]] | MemoryDatabase:
    """The database under ``app``, to load and change documents without the API.

    It is safe to change it while the app is being served.
    """
    with app.app_context():
        return app.data.pymongo(prefix=_PREFIX).db


def _settings() -> dict[str, Any]:
    resources: dict[str, Any] = {
        name: {
            "schema": cerberus_schema(name),
            "item_title": name,
            "resource_methods": ["GET", "POST"],
        }
        for name in RESOURCES
    }
    counts = {
        "datasource": {"source": "rating", "aggregation": {"pipeline": _COUNT_RATINGS}},
        "resource_methods": ["GET"],
        "item_lookup": False,
    }
    return {
        "DOMAIN": resources | {"rating_counts": counts},
        "URL_PREFIX": "api",
        "API_VERSION": "v1",
        # HEAD is left out on purpose: the service asks for authorization there.
        "PUBLIC_METHODS": ["GET", "OPTIONS"],
        "PUBLIC_ITEM_METHODS": ["GET", "OPTIONS"],
        "PAGINATION_DEFAULT": PAGE_DEFAULT,
        "PAGINATION_LIMIT": PAGE_CAP,
        "MONGO_QUERY_BLACKLIST": ["$where", "$regex"],
        "RENDERERS": ["eve.render.JSONRenderer"],
        "STANDARD_ERRORS": [*eve.default_settings.STANDARD_ERRORS, 500, 501, 503],
    }


def _check_mongo(uri: str) -> None:
    """Fail at the start, not at the first request, and without repeating the URI: it may hold a password."""
    try:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            uri, serverSelectionTimeoutMS=MONGO_WAIT
        )
        with client:
            client.admin.command("ping")
    except (pymongo.errors.InvalidURI, pymongo.errors.ConfigurationError) as error:
        raise UsageError(
            f"the MongoDB URI cannot be used ({type(error).__name__}); expected mongodb://host:port/database"
        ) from None
    except PyMongoError as error:
        raise ServiceUnavailable(
            f"the MongoDB of the given URI does not answer ({type(error).__name__})"
        ) from None


class _HeaderToken(TokenAuth):
    """``Authorization: <token>``, with nothing around the token (Eve's own forms are taken as well)."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def authorized(self, allowed_roles: list[str], resource: str, method: str) -> bool:
        # Eve drops the first word of a header that begins with "token", also when it is the token's own.
        given = request.headers.get("Authorization", "").strip()
        return self.check_auth(given) or bool(super().authorized(allowed_roles, resource, method))

    def check_auth(self, token: str, *_: Any) -> bool:
        return hmac.compare_digest(token.encode(), self._token)


def _without_content(record: logging.LogRecord) -> bool:
    """Cut a log record of the app down to what failed and where: messages can quote documents and queries."""
    _, error, trace = record.exc_info or (None, None, None)
    if error is not None:
        last = traceback.extract_tb(trace)[-1]
        record.msg = f"{type(error).__name__} at {last.filename}:{last.lineno} in {last.name}"
    else:
        record.msg = f"{record.levelname.lower()} at {record.pathname}:{record.lineno}"
    record.args, record.exc_info, record.exc_text = (), None, None
    return True


# --- Eve's data layer --------------------------------------------------------------------------------------


class _BareTokens(MongoJSONEncoder):
    """Writes non-finite numbers as the service does: ``NaN``, ``Infinity``, ``-Infinity``."""

    def __init__(self, **options: Any) -> None:
        # Eve leaves simplejson's default, which became to refuse them:
        # https://github.com/simplejson/simplejson/blob/master/CHANGES.txt (3.19.0)
        super().__init__(**(options | {"allow_nan": True}))


class _WebApiLayer(Mongo):
    """Eve over MongoDB, as the service."""

    json_encoder_class = _BareTokens

    def _datasource_ex(
        self, resource: str, query: Any = None, client_projection: Any = None, *args: Any, **kwargs: Any
    ) -> tuple[str, Any, dict[str, Any], Any]:
        # Eve shows the top-level keys that its schema declares. Documents older than the schema have others,
        # and what was loaded is to be served whole, unless the client asks for less.
        source, query, fields, sort = super()._datasource_ex(
            resource, query, client_projection, *args, **kwargs
        )
        return source, query, fields if client_projection else {}, sort


class _MemoryLayer(_WebApiLayer):
    """Eve over a database in this process."""

    def init_app(self, app: eve.Eve) -> None:
        super().init_app(app)
        self.driver[_PREFIX] = SimpleNamespace(db=MemoryDatabase(DATABASE))


# --- serving -----------------------------------------------------------------------------------------------


class DemoServer:
    """Serves a WSGI application on a thread of its own, as a context manager or with start and stop.

    Attributes:
        url: where the Web-API begins; the port is known once started.
    """

    def __init__(
        self, app: WSGIApplication, port: int = 0, host: str = "127.0.0.1", threads: int = 8
    ) -> None:
        self._app, self._host, self._port, self._threads = app, host, port, threads
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """E.g. ``http://127.0.0.1:38411/api/v1``."""
        if self._thread is None and not self._port:
            raise UsageError(
                "the embedded Web-API has no address before it is started (port 0 is any free port)"
            )
        port = self._port if self._thread is None else self._server.effective_port
        return f"http://{self._host}:{port}{BASE_PATH}"

    def start(self) -> DemoServer:
        """Listen; requests are answered from the return on. Nothing happens when it runs already.

        Raises:
            UsageError: the port cannot be listened on.
        """
        if self._thread is not None:
            return self
        try:
            listener = socket.create_server((self._host, self._port))
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen on {self._host}, port {self._port} ({error}); choose another, or 0 for any"
            ) from error
        # waitress warns of every request that has to wait for a thread: that is no news here.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._connections: dict[int, Any] = {}
        self._server = waitress.create_server(
            self._app, map=self._connections, sockets=[listener], threads=self._threads
        )
        self._thread = threading.Thread(target=self._server.run, name="embedded-web-api", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finish the requests in work, close every connection and free the port.

        Nothing happens when it does not run.
        """
        if self._thread is None:
            return
        self._server.task_dispatcher.shutdown(timeout=_STOP_SECONDS)
        # The connections belong to the loop on the server's thread, so they are closed there; it ends with
        # the last of them.
        self._server.trigger.pull_trigger(lambda: waitress.wasyncore.close_all(self._connections, True))
        self._thread.join(_STOP_SECONDS)
        self._thread = None

    def __enter__(self) -> DemoServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve_forever(
    app: WSGIApplication,
    port: int = 0,
    host: str = "127.0.0.1",
    threads: int = 8,
    on_ready: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serve as :class:`DemoServer` does until SIGINT or SIGTERM; to be called from the main thread.

    Args:
        app: a WSGI application.
        port: 0 for any free one.
        host: address to listen on.
        threads: requests answered at the same time.
        on_ready: called with the URL once requests are answered.

    Raises:
        UsageError: the port cannot be listened on.
    """
    over = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: over.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with DemoServer(app, port, host, threads) as server:
            on_ready(server.url)
            over.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
