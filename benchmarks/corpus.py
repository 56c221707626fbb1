"""A seeded corpus of any size: documents as the Web-API serves them, as JSON lines.

The documents are those of the demo corpus (with its undeclared keys, non-finite values and defects) over and over,
under ids, checksums and IQMs of their own. Of the image records :data:`REPEATED` are of an image that an earlier one
has: as many sent again bit by bit, run again with noise, and run by another version of MRIQC.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from flows.demo.corpus import make_corpus
from schemas import table
from schemas.dictionary import Resource

REPEATED = 0.45
"""Share of records whose image has an earlier one; of the service's own records more have."""
SHARES: dict[Resource, float] = {"T1w": 0.57, "T2w": 0.06, "bold": 0.36, "rating": 0.01}
"""Records by resource, as in the database of 2026."""
FIRST_SECOND = 1_496_707_200
"""2017-06-06, when the database started."""
YEARS = 9
"""For how long records have come since, evenly."""
SPREAD, NOISE = 0.05, 1e-4
"""Relative spread of IQMs between images (and versions of MRIQC), and between runs of one version."""
CORPORA, WORTH_CORPORA = 10, 50_000
"""Demo corpora whose documents are used, 13,000 each of T1w and bold; and records from which on more than one is."""
KEPT = 20_000
"""Images that are repeated are chosen from so many, so that the corpus need not be held in memory."""
VERSIONS = ("0.15.2", "0.16.1", "22.0.6", "23.1.0", "24.0.0", "24.0.2")
"""Versions of MRIQC that images are run by again."""
_MD5 = re.compile(rb'"md5sum":"([0-9a-f]{32})"')


@dataclass(frozen=True)
class Files:
    """A file of JSON lines a resource, in the order of ids.

    Attributes:
        first: by resource.
        later: those of a night that follows; every record is later than those of ``first``.
    """

    first: dict[Resource, Path]
    later: dict[Resource, Path]


def write_corpus(folder: Path, records: int, seed: int = 2019, *, later: int = 0) -> Files:
    """Write a corpus; returns its files.

    Args:
        folder: where they go, those of the later night below ``later``; made if missing.
        records: of all resources together.
        seed: the same numbers give the same bytes.
        later: records of the night that follows, of earlier images as often as the others.
    """
    corpora = [make_corpus(seed + number).documents for number in range(_corpora(records))]
    (folder / "later").mkdir(parents=True, exist_ok=True)
    files = Files({}, {})
    images: list[str] = []
    for resource, share in SHARES.items():
        templates = [document for corpus in corpora for document in corpus[resource]]
        first, second = round(records * share), round(later * share)
        rng = Random(f"{seed} {resource}")
        documents = _documents(resource, templates, first + second, rng, images)
        files.first[resource] = _write(folder / f"{resource}.jsonl", islice(documents, first))
        files.later[resource] = _write(folder / "later" / f"{resource}.jsonl", documents)
    return files


def _corpora(records: int) -> int:
    return CORPORA if records >= WORTH_CORPORA else 1


def image_checksums(path: Path) -> list[str]:
    """The distinct checksums of the images of a file, in the order in which they come."""
    with path.open("rb") as lines:
        found = {match[1].decode(): None for line in lines if (match := _MD5.search(line))}
    return list(found)


def _write(path: Path, documents: Iterable[dict[str, Any]]) -> Path:
    with path.open("w") as file:
        for document in documents:
            # Non-finite values are NaN and Infinity, as the service writes them.
            file.write(json.dumps(document, separators=(",", ":")) + "\n")
    return path


def _documents(
    resource: Resource, templates: list[dict[str, Any]], count: int, rng: Random, images: list[str]
) -> Iterator[dict[str, Any]]:
    """Documents of one resource, oldest first; ``images`` takes their checksums, which ratings are given of."""
    iqms = [column.name for column in table(resource).iqms if column.type == "number"]
    last = FIRST_SECOND + YEARS * 365 * 86_400
    recent: list[dict[str, Any]] = []
    for second in sorted(rng.randrange(FIRST_SECOND, last) for _ in range(count)):
        if resource == "rating":
            document = dict(rng.choice(templates))
            document |= {"md5sum": rng.choice(images)} if images else {}
        elif recent and rng.random() < REPEATED:
            document = _again(rng.choice(recent), iqms, rng)
        else:
            document = _new(rng.choice(templates), iqms, rng, images)
            if len(recent) < KEPT:
                recent.append(document)
            else:
                recent[rng.randrange(KEPT)] = document
        yield _stored(document, second, rng)


def _new(template: dict[str, Any], iqms: list[str], rng: Random, images: list[str]) -> dict[str, Any]:
    """A record of an image of its own; a checksum that is none stays, as a defect of the corpus."""
    document = _with_noise(template, iqms, SPREAD, rng)
    checksum = document["provenance"].get("md5sum")
    if type(checksum) is str and len(checksum) == 32:
        images.append(f"{rng.getrandbits(128):032x}")
        document["provenance"] = document["provenance"] | {"md5sum": images[-1]}
    return document


def _again(document: dict[str, Any], iqms: list[str], rng: Random) -> dict[str, Any]:
    """A record of the image of an earlier one."""
    kind = rng.randrange(3)
    if kind == 0:
        return document
    if kind == 1:
        return _with_noise(document, iqms, NOISE, rng)
    again = _with_noise(document, iqms, SPREAD, rng)
    again["provenance"] = document["provenance"] | {"version": rng.choice(VERSIONS)}
    return again


def _with_noise(document: dict[str, Any], iqms: list[str], spread: float, rng: Random) -> dict[str, Any]:
    noisy = dict(document)
    for name in iqms:
        value = document.get(name)
        if type(value) is float:
            noisy[name] = value * (1 + spread * (rng.random() - 0.5))
    return noisy


def _stored(document: dict[str, Any], second: int, rng: Random) -> dict[str, Any]:
    """A document with the keys that the service adds."""
    record_id = f"{second:08x}{rng.getrandbits(64):016x}"
    sent = format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True)
    etag = hashlib.sha1(record_id.encode(), usedforsecurity=False).hexdigest()
    return document | {"_id": record_id, "_created": sent, "_updated": sent, "_etag": etag}
