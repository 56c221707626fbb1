"""What became of every record, as rows of ``audit/records`` and ``audit/quarantine``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curation.deduplicate.fates import Decision, Fate
from curation.deduplicate.repeats import Repeats
from curation.flatten import canonical_json
from curation.objectid import OBJECT_ID
from curation.personal import Scrubber
from curation.validate import excluding_rules
from schemas.dictionary import Resource
from schemas.published import published_table

LATER = "later record of the same image"
ROWS = 50_000
"""Rows of the ledger that are put together at a time."""
_ETAG = r"\A[0-9a-f]{40}\z"


def records_ledger(resource: Resource, decision: Decision, repeats: Repeats | None) -> Iterator[pa.Table]:
    """Rows of ``audit/records``, in the order of the records, some at a time.

    Args:
        resource: whose records they are.
        decision: what became of them.
        repeats: how they compare; of images only.
    """
    ids = _shown_ids(decision)
    schema = published_table("records").arrow_schema
    for start in range(0, len(ids), ROWS):
        records = decision.records.iloc[start : start + ROWS]
        places = range(start, start + len(records))
        reasons = np.full(len(records), None, dtype=object)
        reasons[(records["fate"] == Fate.DUPLICATE).to_numpy()] = LATER
        for place in decision.faults.keys() & set(places):
            reasons[place - start] = "; ".join(_reason(fault) for fault in decision.faults[place])
        nothing = pa.nulls(len(records), pa.string())
        images = repeats is not None
        columns = {
            "record_id": ids.slice(start, ROWS),
            "resource": pa.array([resource] * len(records), pa.string()),
            "created": _times(records["created"]),
            "updated": _times(records["updated"]),
            "etag": _shown_etags(decision.etags.slice(start, ROWS)),
            "md5sum": _texts(records["md5sum"]),
            "fate": _texts(records["fate"]),
            "reason": pa.array(reasons, pa.string()),
            "representative": _ids_at(ids, records["head"]),
            "curated_representative": _ids_at(ids, records["best"]) if images else nothing,
            "curated_reason": _texts(records["behind"]) if images else nothing,
            "repeat": _texts(repeats.kind.iloc[start : start + ROWS]) if repeats else nothing,
        }
        yield pa.table([columns[name] for name in schema.names], schema=schema)


def quarantine_ledger(resource: Resource, decision: Decision) -> pa.Table:
    """Rows of ``audit/quarantine``, in the order of the records."""
    ids = _shown_ids(decision)
    rows = []
    for place, faults in sorted(decision.faults.items()):
        record_id = ids[place].as_py()
        for fault in faults:
            fate = Fate.EXCLUDED if fault["rule"] in excluding_rules() else Fate.QUARANTINED
            row = {"record_id": record_id, "resource": resource, "fate": str(fate), "rule": fault["rule"]}
            rows.append(row | {"column": _column(fault["column"]), "found": fault["found"]})
    return pa.Table.from_pylist(rows, schema=published_table("quarantine").arrow_schema)


def _reason(fault: dict[str, str | None]) -> str:
    column = _column(fault["column"])
    return f"{column}: {fault['rule']}" if column else str(fault["rule"])


def _column(name: str | None) -> str | None:
    return "md5sum" if name == "provenance_md5sum" else name


def _shown_ids(decision: Decision) -> pa.Array:
    """Ids as the ledgers have them; two that are alike once addresses are removed get a number, and stay two."""
    ids = pa.array(decision.records["record_id"], pa.string())
    odd = np.flatnonzero(~pc.match_substring_regex(ids, OBJECT_ID).to_numpy(zero_copy_only=False))
    if not len(odd):
        return ids
    # What is shown of these is JSON: in quotes, and no ObjectId.
    shown: list[str] = []
    taken: dict[str, int] = {}
    for record_id in ids.take(pa.array(odd)).to_pylist():
        text = _as_json(record_id, "record_id")
        taken[text] = taken.get(text, 0) + 1
        shown.append(text if taken[text] == 1 else f"{text} {taken[text]}")
    mask = np.zeros(len(ids), dtype=bool)
    mask[odd] = True
    return pc.replace_with_mask(ids, pa.array(mask), pa.array(shown, pa.string()))


def _shown_etags(etags: pa.Array) -> pa.Array:
    usual = pc.match_substring_regex(etags, _ETAG).fill_null(True)
    odd = pc.invert(pc.or_(usual, pc.equal(etags, "").fill_null(True)))
    shown = [_as_json(etag, "etag") for etag in etags.filter(odd).to_pylist()]
    return pc.replace_with_mask(etags, odd, pa.array(shown, pa.string()))


def _as_json(text: str, where: str) -> str:
    """A text of the sender where another was expected: whole, without addresses, and no formula."""
    return canonical_json(Scrubber(frozenset(), canonical_json).text(text, where))


def _ids_at(ids: pa.Array, places: pd.Series) -> pa.Array:
    return ids.take(pa.array(places.where(places >= 0), pa.int64(), from_pandas=True))


def _texts(values: pd.Series) -> pa.Array:
    """Texts or categories."""
    found = pa.array(values, from_pandas=True)
    return found.cast(pa.string())


def _times(seconds: pd.Series) -> pa.Array:
    return pa.array(seconds.astype("Int64"), pa.int64()).cast(pa.timestamp("s", tz="UTC"))
