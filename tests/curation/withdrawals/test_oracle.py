"""Laws 1 and 2 over random records, ratings, deletions and lists of requests, against a plain second opinion."""

from __future__ import annotations

import tempfile
from calendar import monthrange
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.csv as pa_csv
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.curate import CurationReport, curate
from curation.index.index import Index
from curation.store import RecordStore
from curation.withdrawals import Request
from tests.support.documents import moment, record, seal, valid
from tests.support.index import copy, index_of
from tests.support.withdrawals import list_of

CHECKSUMS = [letter * 32 for letter in "abc"]
DAYS = [date(2019, 2, 28), date(2020, 2, 28), date(2020, 2, 29), date(2020, 3, 1), date(2021, 3, 1)]
IDS = [f"{0x5C000000 + n:024x}" for n in range(9)]
RESOURCES = ("T1w", "bold")


@dataclass
class Step:
    """What one run brings, and the list it is given."""

    documents: list[tuple[str, dict[str, Any]]]
    ratings: list[str]
    deleted: list[tuple[str, str]]
    public: frozenset[str] | None
    requests: dict[str, date] | None


@st.composite
def steps(draw: st.DrawFn, number: int) -> Step:
    documents = []
    for record_id in draw(st.lists(st.sampled_from(IDS), unique=True, max_size=5)):
        # A record keeps its resource and its time of creation; its checksum may change.
        place = IDS.index(record_id)
        created = int(datetime.combine(DAYS[place % len(DAYS)], datetime.min.time(), UTC).timestamp()) + draw(
            st.sampled_from([0, 0, 86_399]) if number == 0 else st.just(0)
        )
        checksum = draw(st.sampled_from(CHECKSUMS))
        checksum = draw(st.sampled_from([checksum, checksum.upper()]))
        times = {"_created": moment(created), "_updated": moment(1_700_000_000 + number)}
        values = draw(st.sampled_from([{}, {}, {"cnr": -1.0}, {"provenance_settings_testing": True}]))
        resource = RESOURCES[place % 2]
        if resource == "bold":
            values = {name: value for name, value in values.items() if name != "cnr"}
        documents.append((resource, {"_id": record_id, **times, **valid(resource, checksum, **values)}))
    return Step(
        documents,
        draw(st.lists(st.sampled_from(CHECKSUMS), max_size=1)),
        [
            (RESOURCES[IDS.index(i) % 2], i)
            for i in draw(st.lists(st.sampled_from(IDS), unique=True, max_size=2))
        ],
        draw(st.none() | st.frozensets(st.sampled_from(CHECKSUMS), max_size=1)),
        draw(st.none() | st.dictionaries(st.sampled_from(CHECKSUMS), st.sampled_from(DAYS))),
    )


@dataclass
class Oracle:
    """What should be, told by loops over plain values."""

    newest: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    ever: set[tuple[str, str]] = field(default_factory=set)
    rated: set[str] = field(default_factory=set)
    decided: dict[tuple[str, date], str] = field(default_factory=dict)

    def run(self, step: Step) -> None:
        for resource, document in step.documents:
            self.newest[resource, document["_id"]] = document
            self.ever.add((resource, document["_id"]))
        for key in step.deleted:
            self.newest.pop(key, None)
        self.rated.update(step.ratings)
        if step.requests is None:
            return
        before, self.decided = self.decided, {}
        for request in step.requests.items():
            verdict = before.get(request, "undecided")
            self.decided[request] = (
                self._verdict(*request, step.public) if verdict == "undecided" else verdict
            )

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
        "_id": f"{0x5D000000 + number:024x}",
        "_created": moment(1_600_000_000),
        **valid("rating", checksum, rating="3.0"),
    }


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_history_ends_as_the_oracle_says(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, oracle, sealed = RecordStore(folder / "store"), Oracle(), []
        for number in range(data.draw(st.integers(1, 3))):
            step = data.draw(steps(number))
            oracle.run(step)
            sequence = store.next_sequence()
            some = [*step.documents, *(("rating", _rating(one, number)) for one in step.ratings)]
            for resource, document in some:
                seal(store, resource, sequence, [record(document)])
                sealed.append((resource, sequence, document))
            for resource, record_id in step.deleted:
                store.record_deletions(resource, sequence, [record_id], "a test")
            index = _index(folder / f"index-{number}", step.public)
            requests = _list(folder / "list.toml", step.requests)
            out = folder / "out"
            report = curate(store, out, withdrawals=requests, index=index, accept_coverage=True)
            _check(out, report, oracle)
        _check_same_bytes(data.draw(st.permutations(sealed)), folder, store, index)


def _index(folder: Path, public: frozenset[str] | None) -> Index | None:
    # Never without an image: such an index tells nothing.
    return (
        None
        if public is None
        else index_of(folder, {"ds": [copy(one) for one in [*sorted(public), "f" * 32]]})
    )


def _list(path: Path, requests: dict[str, date] | None) -> tuple[Request, ...] | None:
    if requests is None:
        return None
    return list_of(path, [(checksum, day, f"R-{checksum[0]}1") for checksum, day in requests.items()])


def _check(out: Path, report: CurationReport, oracle: Oracle) -> None:
    rows = pa_csv.read_csv(out / "audit" / "records.csv").to_pylist()
    book = {(row["resource"], row["record_id"]) for row in rows if row["resource"] != "rating"}
    leaving = {key for key, document in oracle.newest.items() if oracle.leaves(document)}
    assert book == oracle.newest.keys() - leaving
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
    assert {name: found[name] for name in ("honoured", "refused", "undecided")} == {
        name: verdicts[name] for name in ("honoured", "refused", "undecided")
    }
    assert report.snapshot["withdrawn"]["rating"]["on_request"] == 0


def _check_same_bytes(
    sealed: list[tuple[str, int, dict[str, Any]]], folder: Path, store: RecordStore, index: Index | None
) -> None:
    """Another store with the same records in another order, and the same decisions."""
    other = RecordStore(folder / "other")
    for resource, sequence, document in sealed:
        seal(other, resource, sequence, [record(document)])
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
