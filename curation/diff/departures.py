"""What the counts of two versions tell of records that came and went between them: who left is in no ledger."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow.compute as pc

from curation.diff.evidence import Records
from curation.diff.version import Version

DELETED, WITHDRAWN = "deleted upstream", "withdrawn on request"
EITHER = f"{DELETED} or {WITHDRAWN}"
NEW, BACK = "new record", "record came back upstream"
NOT_YET, STILL_THERE = "not received yet", "not withdrawn yet"
"""Why records come and go where the second version is the older one."""


@dataclass(frozen=True)
class Passing:
    """Records of one resource that came and went.

    Attributes:
        resource: which.
        a, b: the versions.
        records_a, records_b: what their ledgers say.
    """

    resource: str
    a: Version
    b: Version
    records_a: Records
    records_b: Records

    @cached_property
    def adds_up(self) -> bool:
        """Whether both ledgers have as many records as were received and are not withdrawn."""
        return all(
            records.total == counts.get("received", 0) - counts.get("withdrawn", 0)
            for records, counts in (
                (self.records_a, self._counts(self.a)),
                (self.records_b, self._counts(self.b)),
            )
        )

    @cached_property
    def left(self) -> tuple[str, str | None] | None:
        """Why records are in the second ledger no longer, and how many; ``None`` if the counts do not tell."""
        if not self.adds_up:
            return None
        if self._received < 0:
            return NOT_YET, None
        deleted, asked = (
            now - before
            for before, now in zip(_split(self.a, self.resource), _split(self.b, self.resource), strict=True)
        )
        if asked <= 0 and (deleted > 0 or not _split(self.b, self.resource)[1]):
            return DELETED, None
        if deleted <= 0 and asked > 0:
            return WITHDRAWN, None
        return EITHER, f"{max(deleted, 0):,} more are deleted, {max(asked, 0):,} more withdrawn"

    @cached_property
    def came(self) -> tuple[str, str | None]:
        """Why records are in the second ledger that are not in the first."""
        ids_a, ids_b = self.records_a.ids, self.records_b.ids
        known = pc.sum(pc.is_in(ids_b, value_set=ids_a)).as_py() or 0
        fresh = len(ids_b) - known
        if self._received < 0:
            return STILL_THERE, None
        if fresh <= self._received:
            return NEW, None
        if not self._received:
            return BACK, None
        return NEW, f"or one of {fresh - self._received:,} that came back"

    @cached_property
    def _received(self) -> int:
        """How many more records the second version received than the first; less than 0 where it is the older one."""
        return self._counts(self.b).get("received", 0) - self._counts(self.a).get("received", 0)

    def _counts(self, version: Version) -> dict[str, int]:
        return dict(version.snapshot["tables"].get(self.resource) or {})


def _split(version: Version, resource: str) -> tuple[int, int]:
    """Records deleted upstream and withdrawn on request. Before these were counted apart, none was withdrawn."""
    total = (version.snapshot["tables"].get(resource) or {}).get("withdrawn", 0)
    split = (version.snapshot.get("withdrawn") or {}).get(resource)
    if split is None:
        return total, 0
    return split.get("deleted_upstream", 0), split.get("on_request", 0)
