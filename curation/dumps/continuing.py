"""What the cursor of a resource may say while dumps are imported, so that the pull that follows leaves no gap.

The cursor's ``changes_known_until`` is a promise: every stored document is as the service had it at that moment, or
later; the next pull asks for what was updated since. A dump was made after everything in it was updated, so its newest
``_updated`` is a moment that it keeps the promise for. That holds for the part of a dump that was read before a cut as
well: the promise is about documents that are stored, others are found by their number.

(``mongodump`` reads for as long as it takes, unless with ``--oplog``. What changed meanwhile, in documents that it had
read already, is found by the overlap that the pull counts again: an hour, or what ``overlap_minutes`` says.)
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from curation.objectid import HIGHEST, LOWEST
from curation.pull.windows import Spot
from curation.store import Known, RecordStore

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Until when changes are known of documents that tell no time: the next pull asks for all."""
# Documents that are noted one by one; of more, the range that they are in.
_MOST_SPOTS = 100
_AGAIN = "imported from a dump older than the cursor; to be looked at once more"


class Continuation:
    """The cursor of one resource during an import.

    A cursor that a pull or an import has set at its end is never moved back. One that was set on the way (by a pull or
    an import that did not end; it names no ``newest_id``) is: it promises something of what that run stored only.

    Args:
        store: the record store, locked by the caller.
        resource: its name.
        known: what the store knows of it when the import begins.
    """

    def __init__(self, store: RecordStore, resource: str, known: Known) -> None:
        self._store = store
        self._resource = resource
        self._known = known
        self._cursor = store.cursor(resource)
        self._settled = "newest_id" in self._cursor
        text = self._cursor.get("changes_known_until")
        # Without a cursor a pull would take the newest document for it.
        self._before = datetime.fromisoformat(text) if text else known.newest_updated
        self._seen: list[tuple[datetime, np.ndarray]] = []

    def will_seal(self, ids: list[str], until: datetime | None) -> None:
        """Keep the promise before documents are sealed: a kill may come right after.

        Args:
            ids: of the documents.
            until: the newest ``_updated`` of their dump so far.
        """
        until = until or NEVER
        if self._settled:
            if self._before is not None and until < self._before:
                self._look_again(sorted(ids))
            return
        promised = until if self._before is None else min(until, self._before)
        self._move({"changes_known_until": _iso(promised)})

    def _look_again(self, ids: list[str]) -> None:
        """Have the next pull list documents that the store promises too much of; it forgets them once it has.

        Noted as ranges that could not be retrieved, all of whose documents the store holds: they are walked in the next
        pull, and explain no difference of numbers.
        """
        groups = [[record_id] for record_id in ids] if len(ids) <= _MOST_SPOTS else [ids]
        spots = [
            Spot(f"{max(0, int(group[0], 16) - 1):024x}", group[-1], len(group), _AGAIN, held=len(group))
            for group in groups
        ]
        noted = self._cursor.get("unretrievable", [])
        self._move({"unretrievable": [*noted, *map(asdict, spots)]})

    def finished_file(self, ids: bytes, until: datetime | None, *, added: bool) -> None:
        """Take what a file was found to hold.

        Args:
            ids: 12 bytes a document, of those that are live.
            until: its newest ``_updated``.
            added: whether anything of it was stored.
        """
        if not ids:
            return
        until = until or NEVER
        self._seen.append((until, np.frombuffer(ids, dtype="S12")))
        if added and not self._settled:
            self._before = until if self._before is None else min(until, self._before)

    def finish(self, *, whole: bool) -> str | None:
        """Move the cursor as far as is known now; returns what it says.

        If every live document of the store was in the files, it is as new as these are, whatever was known before.

        Args:
            whole: whether all files were read to their ends.
        """
        covered = self._covered()
        if covered is not None:
            if self._settled and self._before is not None:
                covered = max(covered, self._before)
            changes: dict[str, Any] = {"changes_known_until": _iso(covered)}
            if whole:
                changes["newest_id"] = self._known.newest_id
                changes["unretrievable"] = self._cursor.get("unretrievable", [])
            self._move(changes)
        return self._cursor.get("changes_known_until")

    def _covered(self) -> datetime | None:
        """The latest moment such that the files that are as new hold every live document; ``None`` if no moment is."""
        live = self._known.count(LOWEST, HIGHEST)
        seen = np.array([], dtype="S12")
        # Nothing that is seen is not live, so that sets of the same size are the same.
        for until, ids in sorted(self._seen, key=lambda one: one[0], reverse=True):
            seen = np.union1d(seen, ids)
            if len(seen) == live:
                return until
        return None

    def _move(self, changes: dict[str, Any]) -> None:
        moved = self._cursor | changes
        if moved != self._cursor:
            self._cursor = moved
            self._store.move_cursor(self._resource, moved)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
