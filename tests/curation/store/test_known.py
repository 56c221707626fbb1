"""What the store knows of ids, against a plain dictionary."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from curation.store import Record, RecordStore

NUMBERS = st.integers(1, 12)
BOUNDS = st.tuples(st.integers(0, 13), st.integers(0, 13))


def object_id(number: int) -> str:
    return f"{number:024x}"


def time_of(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(1_600_000_000 + second, UTC), usegmt=True)


# A run seals parts (each: id and version) and then finds ids deleted upstream.
RUNS = st.lists(
    st.tuples(
        st.lists(st.dictionaries(NUMBERS, st.integers(0, 3), max_size=6), max_size=3), st.sets(NUMBERS)
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(RUNS, BOUNDS, st.booleans())
def test_known_agrees_with_a_dictionary(
    runs: list[tuple[list[dict[int, int]], set[int]]], bounds: tuple[int, int], opened_again: bool
) -> None:
    model: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = RecordStore(Path(folder) / "store")
        known = store.known("T1w")
        for sequence, (parts, gone) in enumerate(runs, 1):
            for part in parts:
                seal(store, known, sequence, part, model)
            # What a run itself stored and then found gone is gone; what it did not have cannot be.
            gone &= model.keys()
            if gone:
                ids = sorted(map(object_id, gone))
                store.record_deletions("T1w", sequence, ids, "now")
                known.bury(ids, sequence)
                for number in gone:
                    del model[number]
            compare(known, model, bounds)
        if opened_again:
            compare(store.known("T1w"), model, bounds)


def seal(store: RecordStore, known, sequence: int, part: dict[int, int], model: dict[int, int]) -> None:
    """One walk: what is known as it is, is not stored again. Records are never updated to an earlier time."""
    part = {number: max(version, model.get(number, 0)) for number, version in part.items()}
    etags = known.etags([object_id(number) for number in sorted(part)])
    assert etags == {object_id(n): str(model[n]) for n in part if n in model}
    writer = store.writer("T1w", sequence, {"kind": "test"})
    for number, version in sorted(part.items()):
        record = Record(object_id(number), str(version), time_of(0), time_of(version), b"{}")
        if etags.get(record.id) != record.etag:
            writer.add([(record, record.id not in etags)])
            model[number] = version
    sealed = writer.seal()
    if sealed is not None:
        known.add(sealed)
        known.add(sealed)
        sealed.check()


def compare(known, model: dict[int, int], bounds: tuple[int, int]) -> None:
    low, high = min(bounds), max(bounds)
    inside = sorted(number for number in model if low < number <= high)
    after, through = object_id(low), object_id(high)
    for view in (known, known.view(after, through)):
        assert view.ids(after, through) == [object_id(number) for number in inside]
        assert view.count(after, through) == len(inside)
        assert view.etags([object_id(n) for n in range(low + 1, high + 1)]) == {
            object_id(n): str(model[n]) for n in inside
        }
    assert known.count(object_id(0), object_id(99)) == len(model)
    since, before = (datetime.fromtimestamp(1_600_000_000 + second, UTC) for second in (1, 3))
    updated = [number for number, version in model.items() if 1 <= version < 3 and number <= high]
    assert known.count_updated(since, before, through) == len(updated)
    marks = known.landmarks(after, through, 4)
    assert len(marks) <= 3 and all(after < mark < through for mark in marks) and marks == sorted(set(marks))
