"""What can go wrong with a request to FigShare."""

from __future__ import annotations

from curation.errors import SnapshotError


class Refused(SnapshotError):
    """FigShare refuses what was asked; asking again would not help.

    Attributes:
        status: of the HTTP answer.
        said: the first line of FigShare's message.
    """

    def __init__(self, text: str, status: int, said: str = "") -> None:
        super().__init__(text)
        self.status, self.said = status, said


class NotThere(Refused):
    """FigShare does not have it, or the token may not see it (404)."""


class Locked(Refused):
    """A part is locked or its upload cannot be written to (409)."""


class Trouble(Exception):
    """One try went wrong; another may not."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Unanswered(Trouble):
    """Nobody knows whether the request was carried out."""
