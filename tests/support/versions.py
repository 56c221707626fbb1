"""Two versions of the tables that differ in every way that a night brings, for tests of the diff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.curate import curate
from curation.store import RecordStore
from tests.support.documents import moment, record, seal, valid
from tests.support.index import copy, index_of
from tests.support.pseudonyms import PSEUDONYMS

START = 1_500_000_000


def checksum(letter: str) -> str:
    """The checksum of an image."""
    return letter * 32


def record_id(number: int) -> str:
    """The id of a record."""
    return f"{START + number * 100:08x}{number:016x}"


def image(letter: str, number: int, /, age: int = 0, **values: Any) -> dict[str, Any]:
    """A T1w record of an image."""
    versions = {
        "provenance_version": "0.15.1",
        "cjv": 0.3 + number / 100,
        "bids_meta_Manufacturer": "Siemens",
    }
    return _stamped(valid("T1w", checksum(letter), **(versions | values)), number, age)


def rating(letter: str, number: int, /, age: int = 0, **values: Any) -> dict[str, Any]:
    """A rating of an image."""
    return _stamped(
        valid("rating", checksum(letter), **({"rating": "3", "name": "somebody"} | values)), number, age
    )


def _stamped(document: dict[str, Any], number: int, age: int) -> dict[str, Any]:
    when = START + number * 100
    stamps = {"_id": record_id(number), "_created": moment(when), "_updated": moment(when + 10 * age)}
    return document | stamps | {"_etag": f"{number:038x}{age:02x}"}


FIRST = [
    image("a", 1),
    image("b", 2),
    image("c", 3),
    image("d", 4, bids_meta_FlipAngle=9.0),
    image("e", 5),
    image("f", 6, cjv="much"),
    image("9", 7),
    image("8", 8),
    image("7", 20),
    image("6", 10, bids_meta_EchoTime=3.0),
]
LATER = [
    image("c", 30, provenance_version="22.0.0", cjv=0.5),
    image("d", 4, 1, bids_meta_FlipAngle=10.0),
    image("e", 5, 1, cjv="much"),
    image("f", 6, 1, cjv=0.4),
    image("5", 31),
    image("7", 9),
]
RATINGS = [rating("a", 40), rating("c", 41)]
LATER_RATINGS = [rating("a", 42, name="other"), rating("c", 41, 1, rating="1.5")]
SIDECAR = {"EchoTime": 0.004}


@dataclass(frozen=True)
class Pair:
    """Folders of two versions, and the stores that they were made from."""

    a: Path
    b: Path
    store: RecordStore


def make_pair(
    folder: Path, before: Sequence[dict[str, Any]] = FIRST, later: Sequence[dict[str, Any]] = LATER
) -> Pair:
    """Curate twice; between, records are added, changed and deleted, and the index learns and forgets."""
    store = RecordStore(folder / "store")
    for resource, documents in (("T1w", before), ("rating", RATINGS)):
        seal(store, resource, 1, [record(one) for one in documents])
    first = index_of(folder / "index-a", {"ds1": [copy(checksum("9"))]})
    second = index_of(folder / "index-b", {"ds1": [copy(checksum("8"), sidecar=SIDECAR)]})
    curate(store, folder / "a", pseudonyms=PSEUDONYMS, index=first)
    for resource, documents in (("T1w", later), ("rating", LATER_RATINGS)):
        seal(store, resource, 2, [record(one) for one in documents])
    store.record_deletions("T1w", 2, [record_id(2)], "a test")
    curate(store, folder / "b", pseudonyms=PSEUDONYMS, index=second)
    return Pair(folder / "a", folder / "b", store)
