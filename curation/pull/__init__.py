"""Stage 1, pull: from the Web-API to the record store."""

from curation.pull.client import Politeness, WebApi
from curation.pull.pull import PullReport, pull, pull_run, verify
from curation.pull.resource import PullLimits, ResourcePull, ResourceReport

__all__ = [
    "Politeness",
    "PullLimits",
    "PullReport",
    "ResourcePull",
    "ResourceReport",
    "WebApi",
    "pull",
    "pull_run",
    "verify",
]
