"""Validation alone: the hard rules over typed columns, part by part, as curation applies them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from statistics import median

import pyarrow as pa

from benchmarks.memory import own_peak
from curation.flatten import Flattened, flatten
from curation.typed import PIECE_ROWS
from curation.validate import broken_rules
from flows.demo.corpus import make_corpus
from schemas import table
from schemas.dictionary import Resource

RESOURCE: Resource = "T1w"


@dataclass(frozen=True)
class Validating:
    """What was measured, medians over the rounds.

    Attributes:
        records, rounds: of this measurement; broken are the records that break a rule.
        seconds: for all records, in one thread; two, which wait for Python's lock, take longer.
        records_a_second: likewise.
        peak_mb: peak resident memory of the process, MB.
    """

    records: int
    broken: int
    rounds: int
    seconds: float
    records_a_second: float
    peak_mb: float


def measure(records: int, rounds: int, seed: int = 2019) -> Validating:
    """Validate ``records`` typed records of the demo corpus, over and over, in parts of a walk's size."""
    documents = make_corpus(seed).documents[RESOURCE]
    texts = [json.dumps(document, default=str).encode() for document in documents]
    some = flatten(table(RESOURCE), texts)
    part = _repeated(some, PIECE_ROWS)
    sizes = [min(PIECE_ROWS, records - start) for start in range(0, records, PIECE_ROWS)]
    seconds, broken = [], 0
    for _ in range(rounds):
        begun = time.perf_counter()
        broken = sum(_broken(part, size) for size in sizes)
        seconds.append(time.perf_counter() - begun)
    return Validating(
        records=records,
        broken=broken,
        rounds=rounds,
        seconds=median(seconds),
        records_a_second=records / median(seconds),
        peak_mb=own_peak(),
    )


def _repeated(flattened: Flattened, rows: int) -> Flattened:
    times = -(-rows // len(flattened.table))
    return replace(
        flattened,
        table=pa.concat_tables([flattened.table] * times).slice(0, rows).combine_chunks(),
        faults=(flattened.faults * times)[:rows],
    )


def _broken(part: Flattened, rows: int) -> int:
    made = replace(part, table=part.table.slice(0, rows), faults=part.faults[:rows])
    return sum(map(bool, broken_rules(RESOURCE, ["5" * 24] * rows, made)))
