"""Counts what was removed, hashed or replaced as personal: rows of ``audit/scrubbed``, which never has a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.deduplicate import Decision
from curation.partitions import Partition
from curation.typed import WITHHELD
from schemas.dictionary import Resource
from schemas.published import published_table


def count_scrubbed(resource: Resource, typed: Sequence[Partition], decision: Decision) -> pa.Table:
    """Rows of ``audit/scrubbed``, sorted, over the records that are not withdrawn.

    Args:
        resource: whose records they are.
        typed: typed columns, a file a part.
        decision: what became of the records.
    """
    records = decision.records
    counts: Counter[tuple[str, str]] = Counter()
    for number, rows in records.groupby("part")["row"]:
        notes = typed[int(number)].read([WITHHELD]).column(WITHHELD).take(pa.array(np.asarray(rows)))
        for found in pc.value_counts(pc.list_flatten(notes)).to_pylist():
            rule, _, column = found["values"].rpartition(" in ")
            counts[rule, column] += found["counts"]
    rows = [
        {"resource": resource, "rule": rule, "column": column, "count": count}
        for (rule, column), count in sorted(counts.items())
    ]
    return pa.Table.from_pylist(rows, schema=published_table("scrubbed").arrow_schema)
