"""What a release says of itself: its version, how it is cited, what changed, checksums, descriptions for machines."""

from curation.release.version import Version, check_version, next_version, versions_among

__all__ = ["Version", "check_version", "next_version", "versions_among"]
