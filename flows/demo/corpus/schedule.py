"""When records were sent, and by which MRIQC."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np

FIRST = datetime(2017, 6, 6, 9, 14, 3, tzinfo=UTC)
"""The service's first day (Esteban et al., Sci Data 2019)."""
LAST = datetime(2026, 8, 31, 21, 0, tzinfo=UTC)
"""Nothing in the corpus is later."""
FIELD_CAST_UNTIL = datetime(2019, 1, 16, tzinfo=UTC)
"""Before this day the service cast ``MagneticFieldStrength`` to an integer."""

VERSIONS: tuple[tuple[str, str, float], ...] = (
    # (in use from, version, how much used): months are approximate; three git SHAs are invented.
    ("2017-06-01", "0.9.6", 1.0),
    ("2017-07-20", "0.9.7-rc5", 0.4),
    ("2017-08-15", "0.9.7", 1.0),
    ("2017-11-01", "0.9.8-1", 1.0),
    ("2018-02-01", "5a3e0b2c7d9f41868d1e0c5b7f2a9346e8d1c0ba", 0.1),
    ("2018-06-01", "0.11.0", 0.6),
    ("2018-09-01", "0.14.2", 1.5),
    ("2019-04-01", "0.15.0", 0.7),
    ("2019-08-01", "0.15.1", 1.2),
    ("2020-03-01", "c41d7e9", 0.1),
    ("2020-05-01", "0.15.2", 1.0),
    ("2021-02-01", "0.16.1", 1.5),
    ("2021-10-01", "21.0.0rc2", 0.8),
    ("2022-09-01", "22.0.6", 1.6),
    ("2023-02-01", "22.1.0.dev12+g9f8e7d6", 0.1),
    ("2023-07-01", "23.1.0", 1.3),
    ("2024-05-01", "24.0.0", 0.8),
    ("2024-09-01", "24.0.2", 1.5),
)

_STARTS = [datetime.fromisoformat(start).replace(tzinfo=UTC) for start, _, _ in VERSIONS]
_GROWTH = 1.3  # share of all submissions until a time goes as (elapsed share) ** this
_AGEING = 0.4  # use of a version falls to this share with each newer one


def age_of(version: str) -> int:
    """Place of ``version`` in the order of releases, from 0."""
    return next(place for place, (_, name, _) in enumerate(VERSIONS) if name == version)


def version_at(when: datetime, rng: np.random.Generator, other_than: str = "") -> str:
    """A version somebody used at ``when``: mostly the newest, sometimes one that was never upgraded."""
    known = [i for i, start in enumerate(_STARTS) if start <= when and VERSIONS[i][1] != other_than]
    known = known or [0 if VERSIONS[0][1] != other_than else 1]  # 0.9.7-rc5 was tried before its release
    weights = np.array(
        [VERSIONS[i][2] * _AGEING ** (len(known) - 1 - place) for place, i in enumerate(known)]
    )
    return VERSIONS[known[int(rng.choice(len(known), p=weights / weights.sum()))]][1]


def batch_start(rng: np.random.Generator, since: datetime = FIRST, until: datetime = LAST) -> datetime:
    """When a study is processed: more in later years, on weekdays, at working hours (UTC)."""
    share = float(rng.random()) ** (1 / _GROWTH)
    day = (since + (until - timedelta(days=10) - since) * share).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    if day.weekday() >= 5 and rng.random() < 0.8:
        day -= timedelta(days=2)
    start = day + timedelta(seconds=int(rng.integers(7 * 3600, 23 * 3600)))
    return max(start, since)


def batch_times(start: datetime, count: int, rng: np.random.Generator) -> list[datetime]:
    """``count`` times from ``start``: parallel jobs end within the same second, nights interrupt."""
    gaps = np.where(rng.random(count) < 0.3, 0, np.ceil(rng.exponential(45, count)))
    gaps += np.where(rng.random(count) < 0.04, 17 * 3600, 0)
    return [start + timedelta(seconds=int(offset)) for offset in np.cumsum(gaps) - gaps[0]]


def later(when: datetime, rng: np.random.Generator, median_days: float) -> datetime:
    """Some time after ``when``, log-normally, before :data:`LAST`."""
    wait = timedelta(seconds=int(86400 * median_days * math.exp(1.2 * rng.standard_normal())) + 1)
    room = LAST - when
    # Folded back rather than cut, so that the last day does not collect the rest.
    return when + (
        wait if wait < room else timedelta(seconds=int(room.total_seconds() * float(rng.random())))
    )
