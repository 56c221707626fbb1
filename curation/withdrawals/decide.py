"""Decides requests by the conditions of the data sharing agreement, and keeps the decisions in the record store.

A submitter may withdraw records within twelve months of their submission, unless the image is public or has a rating.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curation.deduplicate import KEY_COLUMNS, live_records
from curation.errors import LawBroken
from curation.index.index import Index, binary_md5s
from curation.index.joined import Joined
from curation.partitions import Partition
from curation.store import Decided, Reason, RecordStore, Verdict
from curation.withdrawals.requests import Request
from schemas import table
from schemas.dictionary import Resource
from schemas.published import IMAGE_RESOURCES


@dataclass(frozen=True)
class Settled:
    """The requests in effect.

    Attributes:
        requests: each with its decision.
        fresh: checksums of those that this run decided, found undecided, or ended.
    """

    requests: tuple[Decided, ...] = ()
    fresh: frozenset[str] = frozenset()

    @property
    def leaving(self) -> dict[str, int]:
        """Checksums of the images that are withdrawn, to the second from which on records of them leave."""
        return {
            one.checksum: first_second(one.date) for one in self.requests if one.verdict == Verdict.HONOURED
        }


def first_second(requested: date) -> int:
    """The first second (since 1970, UTC) at which a record may have been submitted that a request covers.

    A record may be withdrawn up to and with the day twelve calendar months after that of its submission; of one that
    was submitted on the last day of February, and has no such day, up to and with the last day of that February.
    """
    try:
        first = requested.replace(year=requested.year - 1)
    except ValueError:  # 29 February: twelve months after the 28th ended a day ago
        first = date(requested.year - 1, 3, 1)
    return int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())


def settle(
    store: RecordStore,
    typed: Mapping[Resource, Sequence[Partition]],
    requests: Sequence[Request] | None,
    index: Index | None,
) -> Settled:
    """Decide the requests that are not decided yet, and record in the store what is in effect from now on.

    A decision is taken once for a request, that is a checksum and a date, and stays whatever becomes of the image
    later. A request that cannot be decided yet is looked at again whenever a list is given. One that was honoured ends
    only by an entry that says so: a list that was cut off, or is another's, must not publish again what has left.

    Args:
        store: the record store, locked by the caller.
        typed: typed columns of all resources, a file a part.
        requests: the list; without one (``None``) all is as the store has it and nothing is decided. Requests that were
            refused or not decided, and that the list lacks, are forgotten.
        index: of public images.

    Raises:
        LawBroken: the list lacks a request that was honoured.
    """
    before = store.withdrawals()
    if requests is None:
        return Settled(before, frozenset(one.checksum for one in before if one.verdict == Verdict.UNDECIDED))
    _require_honoured(before, requests)
    known = {(one.checksum, one.date): one for one in before}
    changing = [
        request for request in requests if _changes(request, known.get((request.checksum, request.date)))
    ]
    still_open = [request for request in changing if not request.ended]
    facts = _find_facts(store, typed, index, [request.checksum for request in still_open])
    sequence = store.next_sequence()
    decided = []
    for request in requests:
        then = known.get((request.checksum, request.date))
        if then is None or _changes(request, then):
            now = _ended(request, sequence) if request.ended else _decide(request, facts, sequence)
            same = then is not None and (then.verdict, then.reasons) == (now.verdict, now.reasons)
            then = then if same and then is not None else now
        decided.append(msgspec.structs.replace(then, reference=request.reference))
    # The order of the list says nothing.
    after = tuple(sorted(decided, key=lambda one: (one.date, one.reference, one.checksum)))
    if after != before:
        store.record_withdrawals(sequence, after)
    return Settled(after, frozenset(request.checksum for request in changing))


def _require_honoured(before: Sequence[Decided], requests: Sequence[Request]) -> None:
    given = {(request.checksum, request.date) for request in requests}
    missing = [
        f"{one.reference} of {one.date}"
        for one in before
        if one.verdict == Verdict.HONOURED and (one.checksum, one.date) not in given
    ]
    if missing:
        raise LawBroken(
            f"the list of requests to withdraw records lacks {len(missing)} that the store has as honoured: "
            f"{', '.join(missing)}; nothing was published. Is the list whole, and the right one? Put the entries back; "
            "a request that is taken back stays in the list with the same checksum and date, and `ended = true`"
        )


def _changes(request: Request, then: Decided | None) -> bool:
    """Whether a request ends now, or has to be decided."""
    if then is None or then.verdict == Verdict.UNDECIDED:
        return True
    return request.ended != (then.verdict == Verdict.ENDED)


def _ended(request: Request, sequence: int) -> Decided:
    return Decided(request.checksum, request.date, request.reference, Verdict.ENDED, (), sequence)


@dataclass(frozen=True)
class _Facts:
    """What decides requests: creation times of live records by checksum, and which images are rated, and public."""

    created: Mapping[str, list[int | None]]
    rated: frozenset[str]
    public: frozenset[str] | None


def _decide(request: Request, facts: _Facts, sequence: int) -> Decided:
    created = facts.created.get(request.checksum, [])
    since = first_second(request.date)
    against = {
        Reason.PUBLIC: facts.public is not None and request.checksum in facts.public,
        Reason.RATED: request.checksum in facts.rated,
        Reason.TOO_OLD: bool(created) and not any(time is not None and time >= since for time in created),
    }
    verdict, reasons = Verdict.REFUSED, [reason for reason, holds in against.items() if holds]
    if not created:
        # A misspelt checksum, or a record that has not come yet.
        verdict, reasons = Verdict.UNDECIDED, [Reason.NO_RECORD]
    elif not reasons and facts.public is None:
        verdict, reasons = Verdict.UNDECIDED, [Reason.NO_INDEX]
    elif not reasons:
        verdict = Verdict.HONOURED
    return Decided(request.checksum, request.date, request.reference, verdict, tuple(reasons), sequence)


def _find_facts(
    store: RecordStore,
    typed: Mapping[Resource, Sequence[Partition]],
    index: Index | None,
    checksums: Sequence[str],
) -> _Facts:
    if not checksums:
        return _Facts({}, frozenset(), None)
    wanted = pa.array(checksums, pa.string())
    created: dict[str, list[int | None]] = {}
    for resource in IMAGE_RESOURCES:
        live = _live_of(store, resource, typed[resource], wanted)
        for checksum, time in zip(live["md5sum"], live["created"], strict=True):
            created.setdefault(checksum, []).append(None if pd.isna(time) else int(time))
    rated = frozenset(_live_of(store, "rating", typed["rating"], wanted)["md5sum"])
    return _Facts(created, rated, _public(index, wanted))


def _public(index: Index | None, wanted: pa.Array) -> frozenset[str] | None:
    """Those of some checksums that are public; ``None`` where nothing tells: an index without any image is none."""
    known = Joined(index).md5s() if index is not None else ()
    if not len(known):
        return None
    found = pc.is_in(binary_md5s(pa.chunked_array([wanted])), value_set=known)
    return frozenset(wanted.filter(found).to_pylist())


def _live_of(
    store: RecordStore, resource: Resource, typed: Sequence[Partition], wanted: pa.Array
) -> pd.DataFrame:
    """``md5sum`` (in lower case) and ``created`` of the live records that have one of some checksums."""
    checksum = table(resource).checksum.name
    ids: set[str] = set()
    for partition in typed:
        rows = partition.read(["record_id", checksum])
        ids.update(rows.filter(_has(rows, checksum, wanted)).column("record_id").to_pylist())
    # All versions of these records: the newest may have another checksum.
    some = pa.array(sorted(ids), pa.string())
    names = [*KEY_COLUMNS, "md5sum"]
    keys = [] if not ids else [
        rows.filter(pc.is_in(rows.column("record_id"), value_set=some)).rename_columns(names)
        for rows in (partition.read([*KEY_COLUMNS, checksum]) for partition in typed)
    ]  # fmt: skip
    sequences = [part.sequence for part in store.parts(resource)] if ids else []
    live = live_records(keys, sequences, store.deletions(resource))
    live["md5sum"] = live["md5sum"].str.lower()
    return live[live["md5sum"].isin(wanted.to_pylist())]


def _has(rows: pa.Table, checksum: str, wanted: pa.Array) -> pa.ChunkedArray:
    return pc.is_in(pc.utf8_lower(rows.column(checksum)), value_set=wanted)
