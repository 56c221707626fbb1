"""What became of requests to withdraw records: for the maintainer one by one, for everybody in numbers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.store import Reason, Verdict
from curation.withdrawals.decide import Settled

log = logging.getLogger(__name__)

_WORDS = {
    Reason.PUBLIC: "the image is public",
    Reason.RATED: "the image has a rating",
    Reason.TOO_OLD: "submitted more than twelve months before the request",
    Reason.NO_INDEX: "whether the image is public is not known; give an index that has images (--index)",
    Reason.NO_RECORD: "no record has this checksum; has it been misspelt, or not come yet?",
}
_REFUSING = (Reason.PUBLIC, Reason.RATED, Reason.TOO_OLD)


@dataclass(frozen=True)
class Outcome:
    """What became of a request; it has no checksum, so that it may be shown.

    Attributes:
        reference: what the maintainer calls it by.
        verdict: the decision.
        reasons: why it is not honoured, in words.
        left: records that left, by resource.
        stay: records of the image that stay, by resource.
    """

    reference: str
    verdict: Verdict
    reasons: tuple[str, ...]
    left: dict[str, int]
    stay: dict[str, int]

    @property
    def why(self) -> str:
        """The reasons in a line; also why some records of an honoured request stay."""
        stay = self.stay and self.verdict == Verdict.HONOURED
        return f"those that stay: {_WORDS[Reason.TOO_OLD]}" if stay else "; ".join(self.reasons)

    def __str__(self) -> str:
        """A line for a log."""
        counts = f"{_counted(self.left)} left, {_counted(self.stay)} stay"
        return f"withdrawal {self.reference}: {self.verdict}, {counts}{f' ({self.why})' if self.why else ''}"


def _counted(records: Mapping[str, int]) -> str:
    return " and ".join(f"{count} {resource} record(s)" for resource, count in records.items()) or "none"


def outcomes(
    settled: Settled, left: Mapping[str, Mapping[str, int]], stay: Mapping[str, Mapping[str, int]]
) -> list[Outcome]:
    """What became of each request.

    Args:
        settled: the requests.
        left: by resource, how many records left by checksum.
        stay: likewise, those that stay.
    """

    def of(checksum: str, counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
        return {resource: found[checksum] for resource, found in counts.items() if found.get(checksum)}

    return [
        Outcome(
            one.reference,
            one.verdict,
            tuple(_WORDS[reason] for reason in one.reasons),
            {} if one.verdict == Verdict.ENDED else of(one.checksum, left),
            of(one.checksum, stay),
        )
        for one in settled.requests
    ]


def tell(settled: Settled, found: list[Outcome]) -> None:
    """Log what this run decided, and what waits for a decision; the others in numbers."""
    old: Counter[str] = Counter()
    for one, outcome in zip(settled.requests, found, strict=True):
        if one.checksum not in settled.fresh:
            old[one.verdict] += 1
        elif one.verdict == Verdict.HONOURED:
            log.info("%s", outcome)
        else:
            log.warning("%s", outcome)
    if old:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(old.items()))
        log.info("withdrawals decided earlier: %s", counts)


def count_requests(settled: Settled) -> dict[str, Any]:
    """For ``snapshot.json``: how many requests are honoured, refused, undecided, ended; one may have more reasons."""
    verdicts = Counter(one.verdict for one in settled.requests)
    reasons = Counter(reason for one in settled.requests for reason in one.reasons)
    return {
        "honoured": verdicts[Verdict.HONOURED],
        "refused": verdicts[Verdict.REFUSED],
        "refused_because": {str(reason): reasons[reason] for reason in _REFUSING},
        "undecided": verdicts[Verdict.UNDECIDED],
        "undecided_because": {str(reason): reasons[reason] for reason in Reason if reason not in _REFUSING},
        "ended": verdicts[Verdict.ENDED],
    }
