"""Requests to withdraw records, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from curation.withdrawals import Request, read_requests


def list_of(
    path: Path, requests: Iterable[tuple[str, date, str]], ended: Iterable[tuple[str, date, str]] = ()
) -> tuple[Request, ...]:
    """A list of requests (checksum, date, reference), some of them ended, written to a file and read from it."""
    path.write_text(
        "".join(
            f'[[request]]\nchecksum = "{checksum}"\ndate = {day}\nreference = "{reference}"\n{end}'
            for some, end in ((requests, ""), (ended, "ended = true\n"))
            for checksum, day, reference in some
        )
    )
    return read_requests(path)
