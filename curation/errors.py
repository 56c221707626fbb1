"""The errors this library raises. Their messages say what was found, where, what was expected and what to do."""


class SnapshotError(Exception):
    """Something went wrong that a person has to know of."""


class UsageError(SnapshotError):
    """The command, a setting or a given file is not what it has to be."""


class LockedError(SnapshotError):
    """Another run works on the same store or dataset."""


class ServiceUnavailable(SnapshotError):
    """The Web-API did not give what was asked, for longer than a run waits."""


class LawBroken(SnapshotError):
    """The data broke a law or a gate; nothing was published."""


class StoreCorrupted(SnapshotError):
    """A file of the record store is not what its manifest says."""


class DatasetError(SnapshotError):
    """The snapshot dataset, git or git-annex is not in a state to work with."""


class ClusterFailed(SnapshotError):
    """Processes or machines that share the work ended before it."""


class DiskFull(SnapshotError):
    """There is not enough room on a disk."""


class Unreachable(SnapshotError):
    """An object store does not answer."""


class SiblingFailed(SnapshotError):
    """A sibling could not be pushed to."""
