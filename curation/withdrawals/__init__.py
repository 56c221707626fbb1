"""Records that their submitters withdraw: the list of requests, and what is decided of each."""

from curation.withdrawals.decide import Settled, first_second, settle
from curation.withdrawals.outcome import Outcome, count_requests, outcomes, tell
from curation.withdrawals.requests import Request, given_requests, read_requests

__all__ = [
    "Outcome",
    "Request",
    "Settled",
    "count_requests",
    "first_second",
    "given_requests",
    "outcomes",
    "read_requests",
    "settle",
    "tell",
]
