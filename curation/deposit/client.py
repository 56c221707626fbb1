"""The HTTP client of FigShare: metadata go to one host with the token, bytes to another without it.

https://docs.figshare.com describes both. Requests that may be made twice are made again while the service is busy or
away. A POST that makes something is not: where no answer came, the caller looks whether it happened.
"""

from __future__ import annotations

import logging
import os
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from curation.deposit.problems import Locked, NotThere, Refused, Trouble, Unanswered
from curation.errors import ServiceUnavailable, UsageError
from curation.pull.client import (
    PROJECT,
    Politeness,
    is_loopback,
    seconds_asked,
    seconds_to_wait,
    without_credentials,
)

TOKEN_VARIABLE = "FIGSHARE_TOKEN"
PAGE_SIZE = 1000
"""Most entries that FigShare gives a page (its OpenAPI description)."""

_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_MESSAGE = 300
# A part is passed on to an object store before the upload host answers.
_PART_TIMEOUTS = 5
log = logging.getLogger(__name__)
T = TypeVar("T")


def read_token(environment: MutableMapping[str, str] = os.environ) -> SecretStr:
    """The token in ``FIGSHARE_TOKEN``, which shows itself to nobody.

    It is taken out of the environment: git, its hooks and git-annex have no business with it.

    Raises:
        UsageError: there is none, or it is no token.
    """
    token = environment.pop(TOKEN_VARIABLE, "").strip()
    if not token:
        raise UsageError(
            f"{TOKEN_VARIABLE} is not set: make a personal token in FigShare (account, Applications) and set it"
        )
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UsageError(f"{TOKEN_VARIABLE}: has blanks or characters that no token has; copy it again")
    return SecretStr(token)


class _Pace:
    """Spaces requests out, and holds all of them while the service asks for a pause."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._turn = threading.Lock()

    def wait(self) -> None:
        with self._turn:
            while (delay := self._next - time.monotonic()) > 0:
                time.sleep(delay)
            self._next = max(self._next, time.monotonic()) + self._interval

    def pause(self, seconds: float) -> None:
        self._next = max(self._next, time.monotonic() + seconds)


class FigShare:
    """A client of one FigShare account; a context manager.

    Args:
        url: of the API, e.g. ``https://api.figshare.com/v2``.
        token: of the account; sent to this address's host alone.
        politeness: limits and patience; ``per_second`` holds for the metadata host.
        check_seconds: how long what the service does by itself is waited for: checks of files, locks, publication.

    Raises:
        UsageError: the address would send the token in clear.
    """

    def __init__(
        self, url: str, token: SecretStr, politeness: Politeness, check_seconds: float = 600.0
    ) -> None:
        self.service = without_credentials(url.rstrip("/"))
        self.politeness, self.check_seconds = politeness, check_seconds
        self._token = token
        self._pace = _Pace(politeness.per_second)
        self.require_safe(self.service)
        agent = {"User-Agent": PROJECT}
        # A proxy of the institution is for the service, not for a server on this machine.
        proxied = not is_loopback(self.service)
        # Redirects are never followed: no other host gets the token.
        self._metadata = httpx.Client(
            headers={**agent, "Authorization": f"token {token.get_secret_value()}"},
            timeout=politeness.timeout,
            trust_env=proxied,
            verify=_tls(),
        )
        slow = httpx.Timeout(politeness.timeout, read=politeness.timeout * _PART_TIMEOUTS)
        self._bytes = httpx.Client(headers=agent, timeout=slow, trust_env=proxied, verify=_tls())

    def __repr__(self) -> str:
        return f"FigShare({self.service!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._metadata.close()
        self._bytes.close()

    def require_safe(self, url: str) -> None:
        """Check that an address is one that may be talked to: encrypted, or on this machine as the service is.

        Raises:
            UsageError: it is not.
        """
        parts = urlsplit(url)
        near = is_loopback(url) and is_loopback(self.service)
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and near)):
            raise UsageError(
                f"{without_credentials(url)}: FigShare is only talked to over https; see figshare_url"
            )

    # Metadata host

    def get(self, path: str) -> Any:
        """GET a path of the API; again while the service is busy."""
        return self._again("GET", path, expected={200})

    def pages(self, path: str) -> list[Any]:
        """All entries of a list, page by page; there is no total, so a short page is the last one."""
        found: list[Any] = []
        for number in range(1, 5001):
            page = self.get(f"{path}?page={number}&page_size={PAGE_SIZE}")
            if not isinstance(page, list):
                raise Refused(f"{self.service}{path}: no list, but {type(page).__name__}", 200)
            found += page
            if len(page) < PAGE_SIZE:
                return found
        raise Refused(f"{self.service}{path}: more than 5000 pages, which FigShare does not have", 200)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """PATCH a path: the same twice is the same once."""
        return self._again("PATCH", path, body, expected={200, 205})

    def delete(self, path: str) -> None:
        """DELETE a path; what is not there (any more) is as good as deleted."""
        try:
            self._again("DELETE", path, expected={204, 200})
        except NotThere:
            log.debug("%s was deleted before", path)

    def search(self, path: str, body: Mapping[str, Any]) -> Any:
        """A POST that only asks."""
        return self._again("POST", path, body, expected={200})

    def post_once(
        self,
        path: str,
        look: Callable[[], T | None],
        take: Callable[[Any], T],
        body: Mapping[str, Any] | None = None,
        expected: Collection[int] = (200, 201, 202),
    ) -> T:
        """A POST that must not happen twice.

        Args:
            path: below the API's address.
            look: asks whether it happened, once no answer came; ``None`` is no.
            take: reads the answer.
            body: JSON.
            expected: statuses of success.

        Raises:
            Refused: FigShare says no.
            ServiceUnavailable: it did not happen in all attempts.
        """
        unclear = False

        def attempt() -> T:
            nonlocal unclear
            if unclear and (found := look()) is not None:
                return found
            unclear = False
            try:
                return take(self._once("POST", path, body, expected))
            except Unanswered:
                unclear = True
                raise

        try:
            return self.persist(attempt, f"POST {path}")
        except ServiceUnavailable:
            if unclear and (found := look()) is not None:
                return found
            raise

    def persist(self, attempt: Callable[[], T], what: str) -> T:
        """Call ``attempt`` until it gives something, with waits that grow and are never the same.

        Raises:
            ServiceUnavailable: all attempts went wrong.
        """
        retrying = Retrying(
            stop=stop_after_attempt(self.politeness.attempts),
            wait=self._wait,
            retry=retry_if_exception_type(Trouble),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except Trouble as trouble:
            raise ServiceUnavailable(
                f"{self.service}: {what}: {trouble}; what was uploaded is kept, run the command again later"
            ) from None

    def wait_for(self, look: Callable[[], T | None], what: str, seconds: float = 0.0) -> T:
        """Ask again until ``look`` gives something.

        Waits go from two to thirty times ``first_wait``, so that a check of minutes costs few requests.

        Args:
            look: asks; ``None`` is not yet.
            what: for the message.
            seconds: how long it may take beyond the client's patience.

        Raises:
            ServiceUnavailable: the time is over.
        """
        patience = self.check_seconds + seconds
        deadline = time.monotonic() + patience
        wait = 2 * self.politeness.first_wait
        while (found := look()) is None:
            if time.monotonic() >= deadline:
                raise ServiceUnavailable(
                    f"{self.service}: {what} not confirmed within {patience:.0f} s; nothing is lost, run the command "
                    "again later"
                )
            # At least a moment: a wait of nothing would be a tight loop.
            time.sleep(max(wait, 0.01))
            wait = min(wait * 1.5, 30 * self.politeness.first_wait)
        return found

    def rest(self, tries: int, retry_after: float | None = None) -> None:
        """Wait after a try that went wrong: longer after more of them, and as long as the service asks for."""
        longest = min(self.politeness.first_wait * 2**tries, self.politeness.longest_wait)
        time.sleep(max(random.uniform(longest / 2, longest), retry_after or 0.0))

    # Upload host

    def upload_get(self, url: str) -> Any:
        """GET an upload or one of its parts."""
        return self._again("GET", url, expected={200})

    def upload_part(self, url: str, chunks: Iterator[bytes], length: int) -> None:
        """PUT a part, once.

        Raises:
            Unanswered: nobody knows whether it arrived.
            Locked: somebody else writes to it.
            NotThere: the upload is gone.
        """
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        self.require_safe(url)
        self._answer(
            "PUT",
            url,
            lambda: self._bytes.put(url, content=chunks, headers=headers),
            expected=(200,),
            parse=False,
        )

    # How requests are made

    def _again(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, expected: Collection[int]
    ) -> Any:
        return self.persist(lambda: self._once(method, path, body, expected), f"{method} {_shown(path)}")

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None, expected: Collection[int]) -> Any:
        if not path.startswith("/"):
            self.require_safe(path)
            return self._answer(method, path, lambda: self._bytes.request(method, path), expected=expected)
        self._pace.wait()
        url = self.service + path
        return self._answer(
            method, path, lambda: self._metadata.request(method, url, json=body), expected=expected
        )

    def _answer(
        self,
        method: str,
        path: str,
        send: Callable[[], httpx.Response],
        *,
        expected: Collection[int],
        parse: bool = True,
    ) -> Any:
        where = f"{method} {_shown(path)}"
        try:
            response = send()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Trouble(f"cannot connect ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise Unanswered(f"no whole answer ({type(error).__name__})") from None
        status = response.status_code
        if status in _AGAIN:
            # "Too many" says that nothing was done; after any other of these something may have been.
            kind = Trouble if status == 429 else Unanswered
            raise kind(f"HTTP {status}{self._said(response)}", self._retry_after(response))
        if status not in expected:
            raise self._refusal(where, response)
        if not parse or not response.content.strip():
            return {}
        try:
            return response.json()
        except ValueError:
            raise Unanswered(f"HTTP {status} whose body is no JSON") from None

    def _wait(self, state: RetryCallState) -> float:
        return seconds_to_wait(state, self.politeness, self._pace.pause)

    def _retry_after(self, response: httpx.Response) -> float | None:
        seconds = seconds_asked(response.headers.get("Retry-After", ""), datetime.now(UTC))
        if seconds is not None and seconds > self.politeness.longest_retry_after:
            raise ServiceUnavailable(
                f"{self.service}: HTTP {response.status_code}, to be asked again in {seconds:.0f} s; run the command "
                "then"
            )
        return seconds

    def _refusal(self, where: str, response: httpx.Response) -> Refused:
        status, said = response.status_code, self._said(response)
        if response.is_redirect:
            target = urlsplit(response.headers.get("Location", ""))
            return Refused(
                f"{self.service}: {where}: HTTP {status}, a redirect to {target.hostname or 'nowhere'}, which is not "
                "followed; is figshare_url right?",
                status,
            )
        kind = {404: NotThere, 409: Locked}.get(status, Refused)
        return kind(f"{self.service}: {where}: HTTP {status}{said}", status, said.removeprefix(": "))

    def _said(self, response: httpx.Response) -> str:
        """The first line of what FigShare says is wrong, in whichever of its shapes; the token never in it."""
        try:
            value = response.json()
        except ValueError:
            return ""
        if not isinstance(value, dict):
            return ""
        message, code = (str(value.get(name) or "").strip() for name in ("message", "code"))
        code = code or str(value.get("errcode") or "")
        text = ", ".join(filter(None, [message.partition("\n")[0], code]))
        text = text.replace(self._token.get_secret_value(), f"[{TOKEN_VARIABLE}]")
        text = "".join(character for character in text if character.isprintable())[:_LONGEST_MESSAGE]
        return f": {text}" if text else ""


@cache
def _tls() -> ssl.SSLContext:
    """Reads the certificates of this machine once."""
    return httpx.create_ssl_context()


def _shown(path: str) -> str:
    """A path for messages; of an upload's address, which lets anybody write to it, only the host."""
    return path.partition("?")[0] if path.startswith("/") else f"upload at {urlsplit(path).hostname}"
