"""Repairs of single documents, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from curation.flatten import asides_array, flatten
from curation.repair import Repaired, Rule, repair, rules
from schemas import table
from schemas.dictionary import Resource

BEFORE_CUT, AFTER_CUT = datetime(2018, 5, 1, tzinfo=UTC), datetime(2019, 1, 16, tzinfo=UTC)


def rows_of(
    resource: Resource,
    documents: Sequence[dict[str, Any]],
    created: datetime | Sequence[datetime] | None = AFTER_CUT,
) -> tuple[pa.Table, pa.ChunkedArray]:
    """Typed rows of documents, created at one time or one each, and what was received otherwise than they hold it."""
    made = flatten(table(resource), [json.dumps(one).encode() for one in documents])
    ids = pa.array([f"{n:024x}" for n in range(len(documents))], pa.string())
    moments = created if isinstance(created, Sequence) else [created] * len(documents)
    times = pa.array(moments, pa.timestamp("s", tz="UTC"))
    rows = made.table.append_column("record_id", ids).append_column("created", times)
    return rows, pa.chunked_array([asides_array(made.asides)])


def repaired(
    resource: Resource,
    documents: Sequence[dict[str, Any]],
    created: datetime | Sequence[datetime] | None = AFTER_CUT,
    by: Sequence[Rule] | None = None,
) -> Repaired:
    """Documents after repair."""
    rows, asides = rows_of(resource, documents, created)
    return repair(resource, rows, asides, rules() if by is None else by)
