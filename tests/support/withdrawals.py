"""Requests to withdraw records, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from curation.withdrawals import Request, read_requests


def list_of(path: Path, requests: Iterable[tuple[str, date, str]]) -> tuple[Request, ...]:
    """A list of requests (checksum, date, reference), written to a file and read from it."""
    path.write_text(
        "".join(
            f'[[request]]\nchecksum = "{checksum}"\ndate = {day}\nreference = "{reference}"\n'
            for checksum, day, reference in requests
        )
    )
    return read_requests(path)
