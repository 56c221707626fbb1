"""Withdrawn records leave all that is published after; decisions are taken once and stay in the store."""

from __future__ import annotations

import json
import logging
import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import curate as curate_module
from curation.curate import CurationReport, curate
from curation.errors import LawBroken, StoreCorrupted
from curation.index.index import Index
from curation.store import RecordStore, Verdict
from curation.withdrawals import Request, first_second
from tests.support.documents import moment, record, seal, valid
from tests.support.index import copy, index_of
from tests.support.pseudonyms import PSEUDONYMS
from tests.support.withdrawals import list_of

ASKED, PUBLIC, RATED, OLD, OTHER = (f"{letter}123456789" * 3 + "ff" for letter in "abcde")
DAY = date(2020, 3, 10)


def at(day: date, seconds: int = 0) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + seconds


def image(checksum: str, created: int, number: int, **values: Any) -> dict[str, Any]:
    own = {"_id": f"{created:08x}{number:016x}", "_created": moment(created), "_updated": moment(created)}
    return own | valid("T1w", checksum, **values)


def rating(checksum: str, number: int) -> dict[str, Any]:
    created = at(date(2019, 8, 1), number)
    own = {"_id": f"{created:08x}{number:016x}", "_created": moment(created), "_updated": moment(created)}
    return own | valid("rating", checksum, name="jane", rating="3.0")


def first_records() -> list[dict[str, Any]]:
    """Two records of an image that may be withdrawn, and one each of images that may not, or whom nobody asks for."""
    within = at(date(2019, 6, 1))
    return [
        image(ASKED, within, 1),
        image(ASKED.upper(), within + 60, 2),
        image(PUBLIC, within, 3),
        image(RATED, within, 4),
        image(OLD, at(date(2019, 3, 9), 86_399), 5),
        image(OTHER, within, 6),
    ]


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    made = RecordStore(tmp_path / "store")
    seal(made, "T1w", 1, map(record, first_records()))
    seal(made, "rating", 1, [record(rating(RATED.upper(), 1))])
    made.record_run(1, {})
    return made


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return index_of(tmp_path / "index", {"ds1": [copy(PUBLIC), copy("f" * 32)]})


def asked(folder: Path, *checksums: str, day: date = DAY, reference: str = "OSF") -> tuple[Request, ...]:
    return list_of(folder / "list.toml", [(c, day, f"{reference}-{n}") for n, c in enumerate(checksums)])


def made(store: RecordStore, out: Path, **options: Any) -> CurationReport:
    return curate(store, out, pseudonyms=PSEUDONYMS, **options)


def shown(report: CurationReport) -> dict[str, tuple[Any, ...]]:
    return {one.reference: (str(one.verdict), one.left, one.stay) for one in report.withdrawals}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def decisions(store: RecordStore) -> list[str]:
    return sorted(path.name for path in (store.path / "withdrawals").glob("*"))


# --- conditions ----------------------------------------------------------------------------------------------


def test_conditions_of_the_agreement(
    store: RecordStore, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "curation")
    requests = asked(tmp_path, ASKED, PUBLIC, RATED, OLD, "0" * 32)
    report = made(store, tmp_path / "out", withdrawals=requests, index=index)
    assert shown(report) == {
        "OSF-0": ("honoured", {"T1w": 2}, {}),
        "OSF-1": ("refused", {}, {"T1w": 1}),
        "OSF-2": ("refused", {}, {"T1w": 1}),
        "OSF-3": ("refused", {}, {"T1w": 1}),
        "OSF-4": ("undecided", {}, {}),
    }
    assert [one.why for one in report.withdrawals][1:] == [
        "the image is public",
        "the image has a rating",
        "submitted more than twelve months before the request",
        "no record has this checksum; has it been misspelt, or not come yet?",
    ]
    assert report.snapshot["format"] == 4
    assert report.snapshot["withdrawn"] == {
        "T1w": {"deleted_upstream": 0, "on_request": 2},
        "T2w": {"deleted_upstream": 0, "on_request": 0},
        "bold": {"deleted_upstream": 0, "on_request": 0},
        "rating": {"deleted_upstream": 0, "on_request": 0},
    }
    assert report.snapshot["withdrawal_requests"] == {
        "honoured": 1,
        "refused": 3,
        "refused_because": {"public": 1, "rated": 1, "too_old": 1},
        "undecided": 1,
        "undecided_because": {"no_index": 0, "no_record": 1},
        "ended": 0,
    }
    assert report.snapshot["tables"]["T1w"] == {
        "received": 6, "representatives": 4, "duplicates": 0, "quarantined": 0, "excluded": 0, "withdrawn": 2
    }  # fmt: skip
    levels = {
        re.search(r"OSF-\d", one.message)[0]: one.levelname for one in caplog.records if "OSF" in one.message
    }
    assert levels == {"OSF-0": "INFO"} | {f"OSF-{n}": "WARNING" for n in range(1, 5)}


def test_all_that_speaks_against_a_request_is_told(store: RecordStore, tmp_path: Path) -> None:
    index = index_of(tmp_path / "index", {"ds1": [copy(RATED)]})
    requests = asked(tmp_path, RATED, day=date(2020, 6, 2))
    (one,) = made(store, tmp_path / "out", withdrawals=requests, index=index).withdrawals
    assert one.why == (
        "the image is public; the image has a rating; submitted more than twelve months before the request"
    )


@pytest.mark.parametrize("empty", [False, True])
def test_without_an_index_nothing_is_honoured_and_nothing_forgotten(
    empty: bool, store: RecordStore, index: Index, tmp_path: Path
) -> None:
    """What is refused anyway is; the others are decided once there is an index, also if it is empty before."""
    none = index_of(tmp_path / "empty", {}) if empty else None
    requests = asked(tmp_path, ASKED, RATED)
    report = made(store, tmp_path / "out", withdrawals=requests, index=none)
    assert shown(report) == {
        "OSF-0": ("undecided", {}, {"T1w": 2}),
        "OSF-1": ("refused", {}, {"T1w": 1}),
    }
    assert "--index" in report.withdrawals[0].why
    assert report.snapshot["tables"]["T1w"]["withdrawn"] == 0
    # Without a list it stays undecided, and is told.
    report = made(store, tmp_path / "out", index=index)
    assert shown(report)["OSF-0"][0] == "undecided" and len(decisions(store)) == 1
    assert shown(made(store, tmp_path / "out", withdrawals=requests, index=index))["OSF-0"][0] == "honoured"
    assert decisions(store) == ["000002.json", "000003.json"]


def test_of_an_image_with_old_records_only_the_others_leave(
    store: RecordStore, index: Index, tmp_path: Path
) -> None:
    """Also those that come after the request; the representative is chosen among what is left."""
    out = tmp_path / "out"
    last_day, after = at(date(2019, 3, 10)), at(date(2020, 9, 1))
    seal(store, "T1w", 2, map(record, [image(OLD, last_day, 7, cnr=3.0), image(OLD, after, 8, cnr=9.0)]))
    report = made(store, out, withdrawals=asked(tmp_path, OLD), index=index)
    assert shown(report) == {"OSF-0": ("honoured", {"T1w": 2}, {"T1w": 1})}
    assert report.withdrawals[0].why == (
        "those that stay: submitted more than twelve months before the request"
    )
    rows = pa_csv.read_csv(out / "csv" / "T1w_curated.csv").to_pylist()
    (row,) = [row for row in rows if row["md5sum"] == OLD]
    assert row["n_records"] == 1 and row["record_id"] == image(OLD, at(date(2019, 3, 9), 86_399), 5)["_id"]


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@given(
    st.dates(date(2017, 6, 6), date(2029, 12, 31)) | st.sampled_from([date(2020, 2, 29), date(2021, 2, 28)])
)
def test_twelve_months_are_those_of_the_calendar(requested: date) -> None:
    near = [requested - timedelta(days=days) for days in range(360, 372)]
    covered = [day for day in near if requested <= _months_later(day, 12)]
    assert first_second(requested) == at(min(covered))


# --- decisions stay ------------------------------------------------------------------------------------------


def test_the_same_list_again_changes_nothing(store: RecordStore, index: Index, tmp_path: Path) -> None:
    requests = asked(tmp_path, ASKED, PUBLIC, "0" * 32)
    made(store, tmp_path / "out", withdrawals=requests, index=index)
    before = contents(tmp_path / "out")
    assert decisions(store) == ["000002.json"] and store.next_sequence() == 3
    for again in (requests, requests[::-1], None):
        made(store, tmp_path / "out", withdrawals=again, index=index)
        assert contents(tmp_path / "out") == before
    assert decisions(store) == ["000002.json"]


def test_an_image_that_becomes_public_or_rated_does_not_come_back(
    store: RecordStore, index: Index, tmp_path: Path
) -> None:
    requests = asked(tmp_path, ASKED, PUBLIC, RATED)
    made(store, tmp_path / "out", withdrawals=requests, index=index)
    before = shown(made(store, tmp_path / "out", withdrawals=requests, index=index))
    seal(store, "rating", 3, [record(rating(ASKED, 2))])
    store.record_deletions("rating", 4, [rating(RATED, 1)["_id"]], "a test")
    other = index_of(tmp_path / "other", {"ds1": [copy(ASKED)]})
    report = made(store, tmp_path / "out", withdrawals=requests, index=other)
    assert shown(report) == before
    assert decisions(store) == ["000002.json"]
    # A rating is its rater's: it stays, and has no image.
    (row,) = pa_csv.read_csv(tmp_path / "out" / "csv" / "rating.csv").to_pylist()
    assert row["md5sum"] == ASKED and not row["image_table"]


def test_refused_once_is_refused_and_another_date_is_another_request(
    store: RecordStore, index: Index, tmp_path: Path
) -> None:
    made(store, tmp_path / "out", withdrawals=asked(tmp_path, OLD), index=index)
    seal(store, "T1w", 3, [record(image(OLD, at(date(2020, 1, 1)), 7))])
    assert shown(made(store, tmp_path / "out", withdrawals=asked(tmp_path, OLD), index=index)) == {
        "OSF-0": ("refused", {}, {"T1w": 2})
    }
    later = asked(tmp_path, OLD, day=DAY + timedelta(days=1))
    assert shown(made(store, tmp_path / "out", withdrawals=later, index=index)) == {
        "OSF-0": ("honoured", {"T1w": 1}, {"T1w": 1})
    }


def test_another_reference_is_the_same_request(store: RecordStore, index: Index, tmp_path: Path) -> None:
    made(store, tmp_path / "out", withdrawals=asked(tmp_path, ASKED), index=index)
    before = contents(tmp_path / "out")
    other = index_of(tmp_path / "other", {"ds1": [copy(ASKED)]})
    renamed = asked(tmp_path, ASKED, reference="TICKET")
    made(store, tmp_path / "out", withdrawals=renamed, index=index)
    assert contents(tmp_path / "out") == before
    report = made(store, tmp_path / "out", withdrawals=renamed, index=other)
    assert shown(report) == {"TICKET-0": ("honoured", {"T1w": 2}, {})}


def test_silence_keeps_requests_and_a_list_without_a_refused_one_forgets_it(
    store: RecordStore, index: Index, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    plain = made(store, out, index=index).snapshot
    made(store, out, withdrawals=asked(tmp_path, RATED, "0" * 32), index=index)
    silent = made(store, out, index=index)
    assert len(silent.withdrawals) == 2
    assert made(store, out, withdrawals=(), index=index).snapshot == plain
    assert store.withdrawals() == () and decisions(store) == ["000002.json", "000003.json"]
    # Asked for once more it is decided once more.
    assert shown(made(store, out, withdrawals=asked(tmp_path, RATED), index=index))["OSF-0"][0] == "refused"


@pytest.mark.parametrize("how", ["empty", "another", "another day"])
def test_a_list_that_lacks_an_honoured_request_publishes_nothing(
    how: str, store: RecordStore, index: Index, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made(store, out, withdrawals=asked(tmp_path, ASKED, RATED), index=index)
    before = contents(out)
    lists = {
        "empty": (),
        "another": asked(tmp_path, RATED),
        "another day": asked(tmp_path, ASKED, RATED, day=DAY + timedelta(days=1)),
    }
    with pytest.raises(LawBroken, match=r"lacks 1 .* OSF-0 of 2020-03-10; .*`ended = true`") as raised:
        made(store, out, withdrawals=lists[how], index=index)
    assert ASKED not in str(raised.value) and "OSF-1" not in str(raised.value)
    assert contents(out) == before and decisions(store) == ["000002.json"]
    assert shown(made(store, out, index=index))["OSF-0"][0] == "honoured"


def test_an_honoured_request_ends_by_its_entry_and_may_then_be_removed_or_asked_again(
    store: RecordStore, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    tables = made(store, out, index=index).snapshot["tables"]
    one = (ASKED, DAY, "OSF-0")
    given, ended = list_of(tmp_path / "a.toml", [one]), list_of(tmp_path / "b.toml", [], [one])
    for _ in range(2):
        made(store, out, withdrawals=given, index=index)
        caplog.clear()
        report = made(store, out, withdrawals=ended, index=index)
        assert report.snapshot["tables"] == tables and report.snapshot["withdrawal_requests"]["ended"] == 1
        assert shown(report) == {"OSF-0": ("ended", {}, {"T1w": 2})}
        assert "withdrawal OSF-0: ended, none left, 2 T1w record(s) stay" in caplog.text
    written = len(decisions(store))
    for again in (ended, None):
        assert shown(made(store, out, withdrawals=again, index=index))["OSF-0"][0] == "ended"
    assert len(decisions(store)) == written
    # The day was wrong: the old request ends and the right one is decided in the same run.
    made(store, out, withdrawals=given, index=index)
    later = list_of(tmp_path / "c.toml", [(ASKED, DAY + timedelta(days=1), "OSF-0")], [one])
    report = made(store, out, withdrawals=later, index=index)
    assert [(str(o.verdict), o.left) for o in report.withdrawals] == [("ended", {}), ("honoured", {"T1w": 2})]
    made(store, out, withdrawals=later[:1], index=index)
    assert [str(o.verdict) for o in made(store, out, index=index).withdrawals] == ["honoured"]


def test_deletions_upstream_and_requests_are_told_apart(
    store: RecordStore, index: Index, tmp_path: Path
) -> None:
    ids = [one["_id"] for one in first_records()]
    store.record_deletions("T1w", 2, [ids[0], ids[5]], "a test")
    report = made(store, tmp_path / "out", withdrawals=asked(tmp_path, ASKED), index=index)
    assert report.snapshot["withdrawn"]["T1w"] == {"deleted_upstream": 2, "on_request": 1}
    assert report.snapshot["tables"]["T1w"]["withdrawn"] == 3
    assert shown(report) == {"OSF-0": ("honoured", {"T1w": 1}, {})}


def test_the_newest_version_says_which_image_a_record_is_of(
    store: RecordStore, index: Index, tmp_path: Path
) -> None:
    moved, came = first_records()[0], first_records()[5]
    for document, checksum in ((moved, OTHER), (came, ASKED)):
        document["provenance"]["md5sum"], document["_updated"] = checksum, moment(at(date(2020, 2, 1)))
    seal(store, "T1w", 2, [record(moved), record(came)])
    report = made(store, tmp_path / "out", withdrawals=asked(tmp_path, ASKED), index=index)
    assert shown(report) == {"OSF-0": ("honoured", {"T1w": 2}, {})}
    kept = pa_csv.read_csv(tmp_path / "out" / "csv" / "T1w.csv").column("record_id").to_pylist()
    assert moved["_id"] in kept and came["_id"] not in kept


# --- nothing is left -----------------------------------------------------------------------------------------


def test_nothing_published_or_said_after_has_a_trace(
    store: RecordStore, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every kind of record of the image, in tables, ledgers and what is said."""
    caplog.set_level(logging.DEBUG)
    within = at(date(2019, 7, 1))
    more = [
        image(ASKED, within, 11, cnr=-1.0),
        image(ASKED, within, 12, provenance_settings_testing=True),
        image(ASKED, within, 13, bids_meta_EchoTime=30.0, bids_meta_RepetitionTime=2.0),
    ]
    more[0]["bids_meta"]["PatientName"] = "Doe^Jane"
    seal(store, "T1w", 2, map(record, more))
    out = tmp_path / "out"
    traces = [ASKED, ASKED.upper(), *(one["_id"] for one in [*first_records()[:2], *more])]
    before = made(store, out, index=index)
    written_before = b"".join(contents(out).values())
    assert all(trace.encode() in written_before for trace in traces)
    assert b"T1w" in (out / "audit" / "scrubbed.csv").read_bytes()
    caplog.clear()

    report = made(store, out, withdrawals=asked(tmp_path, ASKED), index=index)
    assert report.snapshot["withdrawn"]["T1w"]["on_request"] == 5
    said = json.dumps(report.snapshot) + caplog.text + "".join(map(repr, report.withdrawals))
    cells = [
        str(cell)
        for path in sorted((out / "parquet").glob("*.parquet"))
        for column in pq.read_table(path).itercolumns()
        for cell in column.to_pylist()
    ]
    for trace in traces:
        assert not [name for name, content in contents(out).items() if trace.encode() in content]
        assert trace not in said and trace not in cells
    assert b"T1w" not in (out / "audit" / "scrubbed.csv").read_bytes()
    # As if they had never come, but for the count.
    plain = RecordStore(tmp_path / "plain")
    seal(plain, "T1w", 1, map(record, first_records()[2:]))
    seal(plain, "rating", 1, [record(rating(RATED.upper(), 1))])
    made(plain, tmp_path / "expected", index=index)
    expected, found = contents(tmp_path / "expected"), contents(out)
    differing = {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
    assert differing == {"snapshot.json"}
    assert before.snapshot["tables"]["T1w"]["received"] == report.snapshot["tables"]["T1w"]["received"]


# --- the gate, and kills -------------------------------------------------------------------------------------


def _many(count: int) -> list[dict[str, Any]]:
    return [image(f"{n:032x}", at(date(2019, 6, 1), n), n, bids_meta_EchoTime=0.003) for n in range(count)]


@pytest.mark.parametrize("how", ["on request", "deleted"])
@pytest.mark.parametrize("count", [250, 300])
def test_the_gate_lets_withdrawn_records_go(how: str, count: int, index: Index, tmp_path: Path) -> None:
    """Also if a column, or a table, empties by it."""
    store, out = RecordStore(tmp_path / "store"), tmp_path / "out"
    documents = _many(300)
    for document in documents[250:]:
        del document["bids_meta"]["EchoTime"]
    seal(store, "T1w", 1, map(record, documents))
    made(store, out, index=index)
    requests = None
    if how == "deleted":
        store.record_deletions("T1w", 2, [one["_id"] for one in documents[:count]], "a test")
    else:
        requests = asked(tmp_path, *(f"{n:032x}" for n in range(count)))
    report = made(store, out, withdrawals=requests, index=index)
    assert report.snapshot["coverage"]["T1w"]["rows"] == 300 - count


def test_the_gate_still_stops_what_vanishes_beside_withdrawals(index: Index, tmp_path: Path) -> None:
    store, fewer, out = RecordStore(tmp_path / "store"), RecordStore(tmp_path / "fewer"), tmp_path / "out"
    seal(store, "T1w", 1, map(record, _many(300)))
    seal(fewer, "T1w", 1, map(record, _many(199)))
    made(store, out, index=index)
    with pytest.raises(LawBroken, match="T1w has 111 rows less than the 300 it had"):
        made(fewer, out, withdrawals=asked(tmp_path, *(f"{n:032x}" for n in range(10))), index=index)


def test_a_run_that_is_killed_after_it_decided_is_continued_by_the_next(
    store: RecordStore, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(store, tmp_path / "out", index=index)
    before = contents(tmp_path / "out")
    requests = asked(tmp_path, ASKED)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(curate_module, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            made(store, tmp_path / "out", withdrawals=requests, index=index)
    assert contents(tmp_path / "out") == before
    assert [one.verdict for one in store.withdrawals()] == [Verdict.HONOURED]
    (store.path / "withdrawals" / ".tmp-000009.json").write_bytes(b"{")  # as a kill while it writes leaves it
    with store.lock():
        made(store, tmp_path / "out", withdrawals=requests, index=index)
    assert decisions(store) == ["000002.json"]
    other = RecordStore(tmp_path / "other")
    for document in reversed(first_records()):
        seal(other, "T1w", 5, [record(document)])
    seal(other, "rating", 3, [record(rating(RATED.upper(), 1))])
    made(other, tmp_path / "expected", withdrawals=requests, index=index)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


@pytest.mark.parametrize("content", ["{", "[]", '{"sequence": 1, "requests": [{"checksum": "a"}]}'])
def test_damaged_decisions_are_named(content: str, store: RecordStore, tmp_path: Path) -> None:
    (store.path / "withdrawals").mkdir()
    (store.path / "withdrawals" / "000002.json").write_text(content)
    with pytest.raises(StoreCorrupted, match=r"000002\.json: no decisions on withdrawals"):
        made(store, tmp_path / "out")


def test_the_newest_decisions_are_those_of_the_highest_number(store: RecordStore, tmp_path: Path) -> None:
    store.record_withdrawals(1_000_000, [])
    store.record_withdrawals(999_999, [])
    assert store.next_sequence() == 1_000_001
