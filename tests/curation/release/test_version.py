"""Calendar versions: one spelling, one order, and what may be released on a day."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UsageError
from curation.release import Version, check_version, next_version, versions_among

DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31))
VERSIONS = st.builds(
    lambda day, number: Version(day.year, day.month, day.day, number), DAYS, st.integers(0, 120)
)


@settings(deadline=None, max_examples=50)
@given(VERSIONS)
def test_what_is_written_is_read(version: Version) -> None:
    assert Version.parse(str(version)) == version


@settings(deadline=None, max_examples=50)
@given(DAYS, DAYS)
def test_days_sort_as_text_and_as_dates(one: date, other: date) -> None:
    first, second = Version.of_date(one), Version.of_date(other)
    assert (first < second) == (one < other) == (str(first) < str(second))


def test_numbers_of_a_day_sort_as_numbers() -> None:
    texts = ["2026.11.23", "2026.11.23.1", "2026.11.23.2", "2026.11.23.10", "2026.11.24"]
    assert versions_among([*reversed(texts), "v1", "2026.1.5", "nightly"]) == [
        Version.parse(t) for t in texts
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026.1.5", "'2026.01.05'"),
        ("2026.11.23.0", "'2026.11.23'"),
        ("2026.11.23.01", "'2026.11.23.1'"),
        ("26.11.23", "not a version; expected YYYY.MM.DD"),
        ("2026-11-23", "not a version; expected YYYY.MM.DD"),
        ("v2026.11.23", "not a version"),
        ("2026.11.23 ", "not a version"),
        ("2026.11.23\n", "not a version"),
        ("２０２６.11.23", "not a version"),
        ("", "not a version"),
        ("2026.02.30", "no such day"),
        ("2026.13.01", "no such day"),
    ],
)
def test_other_spellings_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Version.parse(text)
    assert said in str(refused.value)


@settings(deadline=None, max_examples=50)
@given(DAYS, st.lists(VERSIONS, max_size=5))
def test_the_next_version_can_be_released_and_is_the_newest(today: date, existing: list[Version]) -> None:
    past = [version for version in existing if version.date <= today]
    version = next_version(today, past)
    assert version.date == today
    assert all(version > other for other in past)
    check_version(version, today, past)
    assert next_version(today, [*past, version]) == Version(*_of(today), version.number + 1)


def _of(day: date) -> tuple[int, int, int]:
    return day.year, day.month, day.day


def test_what_cannot_be_released_is_refused() -> None:
    today, existing = date(2026, 11, 23), [Version(2026, 11, 20), Version(2026, 11, 20, 1)]
    check_version(Version(2026, 11, 22), today, existing)
    for version, said in {
        Version(2026, 11, 20, 1): "exists",
        Version(2026, 11, 19): "older than 2026.11.20.1",
        Version(2026, 11, 24): "a day to come",
    }.items():
        with pytest.raises(UsageError, match=said):
            check_version(version, today, existing)


def test_a_clock_that_runs_backwards_is_told() -> None:
    existing = [Version(2026, 11, 23)]
    with pytest.raises(UsageError, match="clock"):
        next_version(date(2026, 11, 22), existing)
    with pytest.raises(UsageError, match="clock"):
        check_version(Version(2026, 11, 21), date(2026, 11, 22), existing)
