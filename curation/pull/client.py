"""The HTTP client of the Web-API: one connection pool, polite, and patient up to a point."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential
from yarl import URL

from curation.errors import ServiceUnavailable, SnapshotError
from curation.pull.pages import MAX_RESULTS, BadAnswer, Misleading, Page, parse_page

PROJECT = "mriqc-snapshot"
T = TypeVar("T")
_BUSY = {429, 503}


class FilterRefused(SnapshotError):
    """The service refuses the ``where`` or ``sort`` that was asked (400)."""


class PageFailed(SnapshotError):
    """One request got no usable answer, however often it was asked; others may."""


class PageMisleads(PageFailed):
    """Every answer to one request contradicted itself or what was asked for."""


@dataclass(frozen=True)
class Politeness:
    """How the service is asked.

    Attributes:
        connections: requests under way at once.
        per_second: requests begun a second; 0 is no limit.
        attempts: how often one request is tried.
        first_wait: seconds waited (at most) before the second try; doubled with every try.
        longest_wait: seconds waited at most between tries.
        longest_retry_after: a ``Retry-After`` beyond these seconds ends the run instead.
        timeout: seconds one request may take.
    """

    connections: int = 4
    per_second: float = 10.0
    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_retry_after: float = 900.0
    timeout: float = 60.0


@dataclass
class Traffic:
    """What the client did so far."""

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    troubles: dict[str, int] = field(default_factory=dict)


class _Trouble(Exception):
    """One try went wrong; another may not."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class _Misled(_Trouble):
    """An answer that no record explains."""


class _ServiceTrouble(_Trouble):
    """The service is away or busy, whatever is asked of it."""


class _Pace:
    """Spaces requests out, and holds all of them while the service asks for a pause."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        # One at a time: requests held back by a pause are spaced out after it, too.
        async with self._turn:
            while (delay := self._next - time.monotonic()) > 0:
                await asyncio.sleep(delay)
            self._next = max(self._next, time.monotonic()) + self._interval

    def pause(self, seconds: float) -> None:
        self._next = max(self._next, time.monotonic() + seconds)


class WebApi:
    """A client of one Web-API; an asynchronous context manager.

    Args:
        url: base address, e.g. ``https://mriqc.nimh.nih.gov/api/v1``.
        politeness: limits and patience.
        user_agent: names the project to the service's operators.
    """

    def __init__(self, url: str, politeness: Politeness, user_agent: str = PROJECT) -> None:
        self._base = url.rstrip("/")
        self.politeness = politeness
        self.traffic = Traffic()
        self.source = without_credentials(self._base)
        self._date = ""
        self._user_agent = user_agent
        self._pace = _Pace(politeness.per_second)
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(politeness.connections)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.politeness.connections),
            timeout=aiohttp.ClientTimeout(total=self.politeness.timeout),
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
            # A proxy of the institution is for the service, not for a server on this machine.
            trust_env=not is_loopback(self._base),
            read_bufsize=1 << 20,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def server_time(self) -> datetime | None:
        """The service's clock at its last answer, if it told it."""
        return _http_date(self._date)

    async def page(
        self,
        resource: str,
        *,
        where: dict[str, Any] | None = None,
        sort: str = "_id",
        max_results: int = MAX_RESULTS,
        number: int = 1,
        check: Callable[[Page], None] | None = None,
        attempts: int | None = None,
    ) -> Page:
        """Ask for one page, again while the answer is not a page that passes ``check``.

        Raises:
            FilterRefused: the service refuses the filter or the order.
            PageFailed: this page could not be had; :class:`PageMisleads` where the service is to blame.
            ServiceUnavailable: the service could not be reached or kept asking to wait.
        """
        query = {"sort": sort, "max_results": str(max_results)}
        if where:
            query["where"] = json.dumps(where, separators=(",", ":"))
        if number != 1:
            query["page"] = str(number)
        path = f"{resource}?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())

        async def attempt() -> Page:
            status, body = await self._get(path)
            if status != 200:
                raise _refusal(status, path)
            try:
                page = parse_page(body)
                if check is not None:
                    check(page)
            except BadAnswer as error:
                raise (_Misled if isinstance(error, Misleading) else _Trouble)(str(error)) from None
            return page

        return await self._persist(attempt, path, attempts)

    async def exists(self, resource: str, record_id: str) -> bool:
        """Whether the service still has a record: 404 is no; one that it cannot render is still there."""
        path = f"{resource}/{record_id}"

        async def attempt() -> bool:
            status, body = await self._get(path)
            if status == 404 and not body.lstrip().startswith(b"{"):
                # A proxy's or a web server's page says nothing of the record.
                raise _Trouble("HTTP 404 that is not the Web-API's own")
            if status in (200, 404):
                return status == 200
            raise _refusal(status, path)

        try:
            return await self._persist(attempt, path, None)
        except PageFailed:
            return True

    async def _persist(self, attempt: Callable[[], Awaitable[T]], path: str, attempts: int | None) -> T:
        try:
            # Nearly every request succeeds at once; what it costs to get ready for retries is paid by the others.
            return await attempt()
        except _Trouble as trouble:
            first: list[_Trouble] = [trouble]

        async def first_failure_then_attempt() -> T:
            if first:
                raise first.pop()
            return await attempt()

        def enough(state: RetryCallState) -> bool:
            # A service that asks to wait is waited for, whatever patience this request deserves.
            busy = state.outcome is not None and isinstance(state.outcome.exception(), _ServiceTrouble)
            most = self.politeness.attempts if busy else attempts or self.politeness.attempts
            return state.attempt_number >= most

        retrying = AsyncRetrying(
            stop=enough,
            wait=self._wait,
            retry=retry_if_exception_type(_Trouble),
            before_sleep=self._note,
            reraise=True,
        )
        try:
            return await retrying(first_failure_then_attempt)
        except _ServiceTrouble as trouble:
            raise ServiceUnavailable(
                f"{self.source}/{path}: {trouble}; nothing that was stored is lost, run the command again later"
            ) from None
        except _Trouble as trouble:
            kind = PageMisleads if isinstance(trouble, _Misled) else PageFailed
            raise kind(f"{self.source}/{path}: {trouble}") from None

    def _wait(self, state: RetryCallState) -> float:
        return seconds_to_wait(state, self.politeness, self._pace.pause)

    def _note(self, state: RetryCallState) -> None:
        trouble = str(state.outcome.exception()) if state.outcome else "?"
        reason = trouble.split(" (")[0]
        self.traffic.retries += 1
        self.traffic.troubles[reason] = self.traffic.troubles.get(reason, 0) + 1

    async def _get(self, path: str) -> tuple[int, bytes]:
        """One GET; answers that tell nothing of the record asked for become troubles here."""
        if self._session is None:
            raise RuntimeError("WebApi is used outside `async with`")
        async with self._slots:
            await self._pace.wait()
            self.traffic.requests += 1
            try:
                async with self._session.get(URL(f"{self._base}/{path}", encoded=True)) as response:
                    self._date = response.headers.get("Date", "")
                    if response.status in _BUSY:
                        raise _ServiceTrouble(f"HTTP {response.status}", self._retry_after(response))
                    body = await response.read()
                    if response.status == 200 and response.content_type != "application/json":
                        raise _Trouble(f"content type {response.content_type!r}, expected application/json")
            except TimeoutError:
                raise _Trouble(f"no whole answer in {self.politeness.timeout:g} s") from None
            except aiohttp.ClientPayloadError:
                raise _Trouble("the answer's body was cut short") from None
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise _ServiceTrouble(f"cannot connect ({type(error).__name__})") from None
                raise _Trouble("the connection was closed without an answer") from None
            except (aiohttp.ClientError, ssl.SSLError) as error:
                raise _Trouble(f"no readable answer ({type(error).__name__})") from None
        self.traffic.bytes += len(body)
        if response.status >= 500:
            raise _Trouble(f"HTTP {response.status}")
        return response.status, body

    def _retry_after(self, response: aiohttp.ClientResponse) -> float | None:
        value = response.headers.get("Retry-After", "")
        seconds = seconds_asked(value, self.server_time or datetime.now(UTC))
        if seconds is not None and seconds > self.politeness.longest_retry_after:
            raise ServiceUnavailable(
                f"{self.source}: HTTP {response.status}, to be asked again in {seconds:.0f} s; run the command then"
            )
        return seconds


def seconds_to_wait(state: RetryCallState, politeness: Politeness, pause: Callable[[float], None]) -> float:
    """Seconds until a request is tried again: what the service asked for, and no less than patience has it.

    Args:
        state: of the tries; what the last one raised may have ``retry_after`` (seconds).
        politeness: the shortest and longest wait.
        pause: holds all other requests for as long as the service asked.
    """
    trouble = state.outcome.exception() if state.outcome else None
    exponential = wait_random_exponential(politeness.first_wait, politeness.longest_wait)
    asked = getattr(trouble, "retry_after", None)
    if asked is None:
        return exponential(state)
    pause(asked)
    # A service that says "at once" again and again is not asked in a tight loop.
    return max(asked, exponential(state))


def seconds_asked(value: str, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` asks for: a number, or an HTTP date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"\s*[0-9]+\s*", value):
        return float(value)
    moment = _http_date(value)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    # "-0000" is UTC as well; the standard library then leaves the zone open.
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _refusal(status: int, path: str) -> SnapshotError:
    if status == 400:
        return FilterRefused(f"{path}: HTTP 400, the service refuses this filter or order")
    return ServiceUnavailable(
        f"{path}: HTTP {status}, expected 200; is the address that of a Web-API (it ends in /api/v1)?"
    )


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_credentials(url: str) -> str:
    """``url`` without user, password, query and fragment: what may stand in a log or a manifest."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))
