"""Laws 1 and 2 over random records, ratings, deletions and lists of requests, against a plain second opinion."""

from __future__ import annotations

import tempfile
from calendar import monthrange
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.curate import CurationReport, curate
from curation.errors import LawBroken
from curation.index.index import Index
from curation.store import RecordStore
from curation.withdrawals import Request
from tests.support.documents import moment, record, seal, valid
from tests.support.index import copy, index_of
from tests.support.withdrawals import list_of

# Each image has a history of its own; a run has those of all.
CHECKSUMS = [f"{n:032x}" for n in range(0xA0, 0xA0 + 48)]
DAYS = [date(2020, 2, 28), date(2020, 2, 29), date(2020, 3, 1), date(2021, 2, 28), date(2021, 3, 1)]
RESOURCES = ("T1w", "bold")


@dataclass
class Step:
    """What one run brings, and the list it is given."""

    documents: list[tuple[str, dict[str, Any]]]
    ratings: list[str]
    deleted: list[tuple[str, str]]
    public: frozenset[str] | None
    requests: dict[str, date] | None


def draw_step(random: Random, number: int, there: list[tuple[str, dict[str, Any]]]) -> Step:
    """A step after ``number`` others that brought ``there``."""
    documents = []
    for place, checksum in enumerate(CHECKSUMS):
        for extra in range(random.choice([0, 1, 1, 2] if number == 0 else [0, 0, 0, 1])):
            # About a day whose request it is just in time for, or not; some after any request.
            first = datetime.combine(random.choice(DAYS), time(), UTC) - timedelta(
                days=random.choice([365, 366, 0])
            )
            created = int(first.timestamp()) + random.choice([-1, 0, 0, 1])
            record_id = f"{created:08x}{(number * 100 + place) * 10 + extra:016x}"
            documents.append(_image(random, random.choice(RESOURCES), record_id, created, checksum, number))
    changed = [one for one in there if random.random() < 0.1]
    for resource, old in changed:
        checksum = random.choice([_checksum(old), random.choice(CHECKSUMS)])
        created = int(old["_id"][:8], 16)
        documents.append(_image(random, resource, old["_id"], created, checksum, number))
    keys = [(resource, one["_id"]) for resource, one in [*there, *documents]]
    return Step(
        documents,
        [checksum for checksum in CHECKSUMS if random.random() < 0.1],
        sorted({key for key in keys if random.random() < 0.05}),
        None if random.random() < 0.3 else frozenset(c for c in CHECKSUMS if random.random() < 0.2),
        None if random.random() < 0.2 else _draw_requests(random),
    )


def _draw_requests(random: Random) -> dict[str, date]:
    # Mostly the same in every list.
    return {
        checksum: DAYS[(place + (random.random() < 0.1)) % len(DAYS)]
        for place, checksum in enumerate(CHECKSUMS)
        if random.random() < 0.85
    }


def _image(
    random: Random, resource: Any, record_id: str, created: int, checksum: str, number: int
) -> tuple[str, dict[str, Any]]:
    times = {"_created": moment(created), "_updated": moment(1_700_000_000 + number)}
    values = random.choice([{}, {}, {}, {"efc": -1.0}, {"provenance_settings_testing": True}])
    checksum = random.choice([checksum, checksum.upper()])
    return resource, {"_id": record_id, **times, **valid(resource, checksum, **values)}


@dataclass
class Oracle:
    """What should be, told by loops over plain values."""

    newest: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    ever: set[tuple[str, str]] = field(default_factory=set)
    rated: set[str] = field(default_factory=set)
    decided: dict[tuple[str, date], str] = field(default_factory=dict)
    taken_back: list[tuple[str, date]] = field(default_factory=list)

    def run(self, step: Step) -> None:
        for resource, document in step.documents:
            self.newest[resource, document["_id"]] = document
            self.ever.add((resource, document["_id"]))
        for key in step.deleted:
            self.newest.pop(key, None)
        self.rated.update(step.ratings)
        self.taken_back = []
        if step.requests is None:
            return
        before, self.decided = self.decided, {}
        for request in step.requests.items():
            verdict = before.get(request, "undecided")
            self.decided[request] = (
                self._verdict(*request, step.public) if verdict in ("undecided", "ended") else verdict
            )
        for request, verdict in before.items():
            if verdict == "honoured" and request not in self.decided:
                self.taken_back.append(request)
                self.decided[request] = "ended"

    def _verdict(self, checksum: str, day: date, public: frozenset[str] | None) -> str:
        records = [one for one in self.newest.values() if _checksum(one) == checksum]
        if not records:
            return "undecided"
        if checksum in self.rated or not any(_covers(day, one) for one in records):
            return "refused"
        if public is None:
            return "undecided"
        return "refused" if checksum in public else "honoured"

    def leaves(self, document: dict[str, Any]) -> bool:
        return any(
            verdict == "honoured" and checksum == _checksum(document) and _covers(day, document)
            for (checksum, day), verdict in self.decided.items()
        )


def _checksum(document: dict[str, Any]) -> str:
    return document["provenance"]["md5sum"].lower()


def _covers(day: date, document: dict[str, Any]) -> bool:
    """Whether the request's day is not after that twelve months after the record's."""
    submitted = datetime.strptime(document["_created"], "%a, %d %b %Y %H:%M:%S GMT").date()
    last = min(submitted.day, monthrange(submitted.year + 1, submitted.month)[1])
    return day <= date(submitted.year + 1, submitted.month, last)


def _rating(checksum: str, number: int) -> dict[str, Any]:
    return {
        "_id": f"{0x5D000000 + number:08x}{int(checksum, 16):016x}",
        "_created": moment(1_600_000_000),
        **valid("rating", checksum, rating="3.0"),
    }


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_history_ends_as_the_oracle_says(seed: int) -> None:
    random = Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, oracle = RecordStore(folder / "store"), Oracle()
        sealed: list[tuple[str, int, dict[str, Any]]] = []
        for number in range(3):
            there = [(resource, one) for (resource, _), one in oracle.newest.items()]
            step = draw_step(random, number, there)
            oracle.run(step)
            sequence = store.next_sequence()
            rated = [("rating", _rating(one, number)) for one in step.ratings]
            sealed += [(resource, sequence, document) for resource, document in [*step.documents, *rated]]
            _seal(store, [one for one in sealed if one[1] == sequence])
            for resource in RESOURCES:
                gone = [record_id for name, record_id in step.deleted if name == resource]
                store.record_deletions(resource, sequence, gone, "a test")
            index = _index(folder / f"index-{number}", step.public)
            taken_back = oracle.taken_back
            requests = _list(folder / "list.toml", step.requests)
            out = folder / "out"
            if taken_back:
                with pytest.raises(LawBroken):
                    curate(store, out, withdrawals=requests, index=index, accept_coverage=True)
                requests = _list(folder / "list.toml", step.requests, taken_back)
            report = curate(store, out, withdrawals=requests, index=index, accept_coverage=True)
            _check(out, report, oracle)
        random.shuffle(sealed)
        _check_same_bytes(sealed, folder, store, index)


def _seal(store: RecordStore, documents: list[tuple[str, int, dict[str, Any]]]) -> None:
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for resource, sequence, document in documents:
        groups.setdefault((resource, sequence), []).append(document)
    for (resource, sequence), some in groups.items():
        seal(store, resource, sequence, map(record, some))


def _index(folder: Path, public: frozenset[str] | None) -> Index | None:
    # Never without an image: such an index tells nothing.
    return (
        None
        if public is None
        else index_of(folder, {"ds": [copy(one) for one in [*sorted(public), "f" * 32]]})
    )


def _list(
    path: Path, requests: dict[str, date] | None, ended: Sequence[tuple[str, date]] = ()
) -> tuple[Request, ...] | None:
    if requests is None:
        return None
    both = (
        [(checksum, day, f"R-{checksum[-2:]}1") for checksum, day in some]
        for some in (requests.items(), ended)
    )
    return list_of(path, *both)


def _check(out: Path, report: CurationReport, oracle: Oracle) -> None:
    rows = pa_csv.read_csv(out / "audit" / "records.csv").to_pylist()
    book = {(row["resource"], row["record_id"]) for row in rows if row["resource"] != "rating"}
    leaving = {key for key, document in oracle.newest.items() if oracle.leaves(document)}
    assert book == oracle.newest.keys() - leaving
    decided = {
        (one.checksum, one.date): str(one.verdict) for one in RecordStore(out.parent / "store").withdrawals()
    }
    assert decided == oracle.decided
    for resource in RESOURCES:
        ever, alive, left = (
            sum(key[0] == resource for key in keys) for keys in (oracle.ever, oracle.newest, leaving)
        )
        counts = report.snapshot["tables"][resource]
        fates = Counter(row["fate"] for row in rows if row["resource"] == resource)
        assert counts == {
            "received": ever,
            "representatives": fates["representative"],
            "duplicates": fates["duplicate"],
            "quarantined": fates["quarantined"],
            "excluded": fates["excluded"],
            "withdrawn": ever - alive + left,
        }
        assert counts["received"] == sum(n for kind, n in counts.items() if kind != "received")
        assert report.snapshot["withdrawn"][resource] == {
            "deleted_upstream": ever - alive,
            "on_request": left,
        }
    verdicts = Counter(oracle.decided.values())
    found = report.snapshot["withdrawal_requests"]
    names = ("honoured", "refused", "undecided", "ended")
    assert {name: found[name] for name in names} == {name: verdicts[name] for name in names}
    assert report.snapshot["withdrawn"]["rating"]["on_request"] == 0


def _check_same_bytes(
    sealed: list[tuple[str, int, dict[str, Any]]], folder: Path, store: RecordStore, index: Index | None
) -> None:
    """Another store with the same records in another order, and the same decisions."""
    other = RecordStore(folder / "other")
    _seal(other, sealed)
    for resource in RESOURCES:
        for record_id, sequence in store.deletions(resource).items():
            other.record_deletions(resource, sequence, [record_id], "a test")
    other.record_withdrawals(1, store.withdrawals())
    curate(other, folder / "expected", index=index)
    found, expected = (
        {str(p.relative_to(folder / top)): p.read_bytes() for p in (folder / top).rglob("*") if p.is_file()}
        for top in ("out", "expected")
    )
    assert found == expected
