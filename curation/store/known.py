"""What the store knows of a resource's ids, read range by range so that memory does not grow with the store."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from curation.store.parts import Part, text_array

# Rows of keys kept in memory (about 100 bytes each): the parts around the ids being walked.
CACHED_ROWS = 200_000


class Known:
    """Ids and etags of the sealed documents of one resource.

    A record is *live* from the part that first held it until a deletion of a later run.

    Args:
        parts: the resource's sealed parts.
        deletions: id to the number of the run that found it deleted.
    """

    def __init__(self, parts: Iterable[Part], deletions: dict[str, int]) -> None:
        self._parts = list(parts)
        self._deletions = deletions
        self._cache: OrderedDict[str, pa.Table] = OrderedDict()
        # Of ids that were ever deleted: the runs that counted them as new.
        self._births: dict[str, list[int]] = {}

    def add(self, part: Part) -> None:
        """Take a part that was just sealed; taking it twice is taking it once."""
        if all(part.name != other.name for other in self._parts):
            self._parts.append(part)
            self._births.clear()

    def view(self, after: str, through: str) -> Known:
        """What is known now of the ids in ``(after, through]`` only: cheap to ask page after page."""
        return Known(self._overlapping(after, through, open_low=True), self._deletions)

    def bury(self, ids: Iterable[str], sequence: int) -> None:
        """Take ids that run ``sequence`` found deleted upstream."""
        self._deletions.update(dict.fromkeys(ids, sequence))
        self._births.clear()

    @property
    def newest_id(self) -> str | None:
        """The highest id ever stored; ``None`` for an empty store."""
        return max((part.manifest["last_id"] for part in self._parts), default=None)

    @property
    def newest_updated(self) -> datetime | None:
        """The latest ``_updated`` ever stored; ``None`` for an empty store."""
        seconds = [part.manifest["newest_updated"] for part in self._parts if part.manifest["newest_updated"]]
        return datetime.fromtimestamp(max(seconds), UTC) if seconds else None

    def etags(self, ids: Sequence[str]) -> dict[str, str]:
        """Etags of the newest stored versions of those of ``ids`` that are live."""
        if not ids or not self._parts:
            return {}
        low, high, wanted = min(ids), max(ids), text_array(ids)
        found: dict[str, tuple[int, str]] = {}
        for part in self._overlapping(low, high):
            keys = self._keys(part)
            rows = keys.filter(pc.is_in(keys.column("record_id"), value_set=wanted))
            for record_id, etag in zip(
                rows.column("record_id").to_pylist(), rows.column("etag").to_pylist(), strict=True
            ):
                if part.sequence >= found.get(record_id, (-1, ""))[0]:
                    found[record_id] = (part.sequence, etag)
        return {i: etag for i, (sequence, etag) in found.items() if self._deletions.get(i, -1) < sequence}

    def ids(self, after: str, through: str) -> list[str]:
        """Live ids in ``(after, through]``, ascending."""
        newest: dict[str, int] = {}
        for part in self._overlapping(after, through, open_low=True):
            column = self._keys(part).column("record_id")
            for record_id in column.filter(_within(column, after, through)).to_pylist():
                newest[record_id] = max(part.sequence, newest.get(record_id, -1))
        return sorted(i for i, sequence in newest.items() if self._deletions.get(i, -1) < sequence)

    def count(self, after: str, through: str) -> int:
        """How many live ids are in ``(after, through]``.

        Each record counts once, in the part where it was new; parts that lie inside the range are counted from
        their manifests.
        """
        total = 0
        for part in self._overlapping(after, through, open_low=True):
            if part.manifest["first_id"] > after and part.manifest["last_id"] <= through:
                total += part.manifest["new"]
            else:
                keys = self._keys(part)
                inside = _within(keys.column("record_id"), after, through)
                total += pc.sum(pc.and_(inside, keys.column("new"))).as_py() or 0
        return total - self._deaths(after, through)

    def landmarks(self, after: str, through: str, pieces: int) -> list[str]:
        """At most ``pieces - 1`` known ids strictly inside the range that cut it into pieces of similar size."""
        overlapping = self._overlapping(after, through, open_low=True)
        inside = sorted(
            {p.manifest["last_id"] for p in overlapping if after < p.manifest["last_id"] < through}
        )
        if len(inside) < pieces and sum(part.manifest["documents"] for part in overlapping) <= CACHED_ROWS:
            inside = [record_id for record_id in self.ids(after, through) if record_id != through]
        return sorted({inside[len(inside) * i // pieces] for i in range(1, pieces)} if inside else ())

    def count_updated(self, since: datetime, before: datetime, through: str) -> int:
        """How many live records up to id ``through`` have a newest version updated in ``[since, before)``."""
        newest: dict[str, tuple[int, int]] = {}
        floor, ceiling = int(since.timestamp()), int(before.timestamp())
        for part in self._parts:
            if (part.manifest["newest_updated"] or -1) < floor:
                continue
            keys = self._keys(part)
            updated = keys.column("updated").cast(pa.int64())
            rows = pc.and_(pc.greater_equal(updated, floor), pc.less_equal(keys.column("record_id"), through))
            for record_id, time in zip(
                keys.column("record_id").filter(rows).to_pylist(),
                updated.filter(rows).to_pylist(),
                strict=True,
            ):
                newest[record_id] = max((part.sequence, time), newest.get(record_id, (-1, -1)))
        return sum(
            1
            for record_id, (sequence, time) in newest.items()
            if time < ceiling and self._deletions.get(record_id, -1) < sequence
        )

    def _deaths(self, after: str, through: str) -> int:
        """How often records in the range that were ever deleted were counted as new, less one for each live again."""
        if self._deletions and not self._births:
            self._find_births()
        return sum(
            len(births) - (max(births) > self._deletions[record_id])
            for record_id, births in self._births.items()
            if after < record_id <= through
        )

    def _find_births(self) -> None:
        dead = sorted(self._deletions)
        for part in self._parts:
            first = bisect_left(dead, part.manifest["first_id"])
            wanted = dead[first : bisect_right(dead, part.manifest["last_id"])]
            if wanted:
                keys = self._keys(part)
                ids = keys.column("record_id")
                born = pc.and_(keys.column("new"), pc.is_in(ids, value_set=text_array(wanted)))
                for record_id in ids.filter(born).to_pylist():
                    self._births.setdefault(record_id, []).append(part.sequence)

    def _overlapping(self, low: str, high: str, *, open_low: bool = False) -> list[Part]:
        return [
            part
            for part in self._parts
            if part.manifest["first_id"] <= high
            and (part.manifest["last_id"] > low if open_low else part.manifest["last_id"] >= low)
        ]

    def _keys(self, part: Part) -> pa.Table:
        keys = self._cache.pop(part.name, None)
        if keys is None:
            keys = part.keys()
        self._cache[part.name] = keys
        while len(self._cache) > 1 and sum(len(table) for table in self._cache.values()) > CACHED_ROWS:
            self._cache.popitem(last=False)
        return keys


def _within(column: pa.ChunkedArray, after: str, through: str) -> pa.ChunkedArray:
    return pc.and_(pc.greater(column, after), pc.less_equal(column, through))
