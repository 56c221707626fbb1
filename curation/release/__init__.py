"""What a release says of itself: its version, how it is cited, what changed, checksums, descriptions for machines.

Data in, bytes out: nothing here asks git, a clock or a network.
"""

from curation.release.describe import RELEASE_FILES, ReleaseFacts, describe_deposit, describe_release
from curation.release.version import Version, check_version, next_version, versions_among

__all__ = [
    "RELEASE_FILES",
    "ReleaseFacts",
    "Version",
    "check_version",
    "describe_deposit",
    "describe_release",
    "next_version",
    "versions_among",
]
