"""Calendar versions of the dataset: ``2026.11.23``, and ``2026.11.23.1`` for a second release of one day."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from curation.errors import UsageError

EXPECTED = "YYYY.MM.DD, or YYYY.MM.DD.N for a further release of that day"
# Digits of other scripts are digits to Python, but no version.
_LOOSE = re.compile(r"([0-9]{4})\.([0-9]{1,2})\.([0-9]{1,2})(?:\.([0-9]{1,9}))?")


@dataclass(frozen=True, order=True)
class Version:
    """A calendar version; later ones are greater.

    Attributes:
        year: four digits.
        month: 1 to 12.
        day: of the month.
        number: 0 for the first release of the day, then 1, 2, ...

    Raises:
        UsageError: there is no such day, or the number is negative.
    """

    year: int
    month: int
    day: int
    number: int = 0

    def __post_init__(self) -> None:
        try:
            datetime.date(self.year, self.month, self.day)
        except ValueError as error:
            raise UsageError(f"version {self}: no such day ({error}); expected {EXPECTED}") from error
        if self.number < 0:
            raise UsageError(f"version {self}: a negative number; expected {EXPECTED}")

    def __str__(self) -> str:
        """The one spelling there is: month and day have two digits, so that days sort as text, too."""
        day = f"{self.year:04}.{self.month:02}.{self.day:02}"
        return f"{day}.{self.number}" if self.number else day

    @property
    def date(self) -> datetime.date:
        """The day it is named after."""
        return datetime.date(self.year, self.month, self.day)

    @classmethod
    def of_date(cls, day: datetime.date) -> Version:
        """The first version of a day."""
        return cls(day.year, day.month, day.day)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version.

        Raises:
            UsageError: it is none, or is spelt in another way than :meth:`__str__` does.
        """
        match = _LOOSE.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is not a version; expected {EXPECTED}")
        year, month, day, number = (int(part or 0) for part in match.groups())
        version = cls(year, month, day, number)
        if str(version) != text:
            raise UsageError(f"version {text!r} is spelt {str(version)!r}; expected {EXPECTED}")
        return version


def versions_among(names: Iterable[str]) -> list[Version]:
    """The versions among names, e.g. of tags; other names are left out. Oldest first."""
    found = set()
    for name in names:
        try:
            found.add(Version.parse(name))
        except UsageError:
            continue
    return sorted(found)


def next_version(today: datetime.date, existing: Collection[Version]) -> Version:
    """The version that a release of today has.

    Args:
        today: the date (UTC).
        existing: versions that were released.

    Raises:
        UsageError: a version of a later day was released, so that the clock runs backwards.
    """
    newest = max(existing, default=None)
    version = Version.of_date(today)
    if newest is not None and newest.date == today:
        version = Version(today.year, today.month, today.day, newest.number + 1)
    check_version(version, today, existing)
    return version


def check_version(version: Version, today: datetime.date, existing: Collection[Version]) -> None:
    """Check that a version can be released today.

    Args:
        version: that is to be released.
        today: the date (UTC).
        existing: versions that were released.

    Raises:
        UsageError: it was released before, is not newer than the newest, or is of a day to come; or the newest is of
            a day to come, so that the clock runs backwards.
    """
    newest = max(existing, default=None)
    if version in existing:
        raise UsageError(f"version {version} exists; released versions stay as they are, choose a newer one")
    if newest is not None and newest.date > today:
        raise UsageError(
            f"version {newest} was released, but today is {today.isoformat()}: this machine's clock runs backwards, "
            "or that version's did not; set the clock"
        )
    if newest is not None and version < newest:
        raise UsageError(f"version {version} is older than {newest}, the newest there is; choose a newer one")
    if version.date > today:
        raise UsageError(
            f"version {version} is of a day to come, today is {today.isoformat()}; expected "
            f"{Version.of_date(today)} or a version of an earlier day"
        )
