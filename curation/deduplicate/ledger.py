"""What became of every record, as rows of ``audit/records`` and ``audit/quarantine``."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa

from curation.deduplicate.fates import Decision, Fate
from curation.deduplicate.repeats import Repeats
from curation.flatten import canonical_json
from curation.objectid import is_object_id
from curation.personal import Scrubber
from curation.validate import excluding_rules
from schemas.dictionary import Resource
from schemas.published import published_table

LATER = "later record of the same image"
_ETAG = re.compile(r"[0-9a-f]{40}\Z")


def make_ledgers(
    resource: Resource, decision: Decision, repeats: Repeats | None
) -> tuple[pa.Table, pa.Table]:
    """Rows of ``audit/records`` and ``audit/quarantine``, in the order of the records.

    Args:
        resource: whose records they are.
        decision: what became of them.
        repeats: how they compare; of images only.
    """
    ids = _shown_ids(decision)
    return _ledger(resource, decision, repeats, ids), _quarantine(resource, decision, ids)


def _ledger(resource: Resource, decision: Decision, repeats: Repeats | None, shown: list[str]) -> pa.Table:
    records = decision.records
    ids = pa.array(shown, pa.string())
    reasons: list[str | None] = [LATER if fate == Fate.DUPLICATE else None for fate in records["fate"]]
    for place, faults in decision.faults.items():
        reasons[place] = "; ".join(_reason(fault) for fault in faults)
    heads = _ids_at(ids, records["head"])
    nothing = pa.nulls(len(records), pa.string())
    columns = {
        "record_id": ids,
        "resource": pa.array([resource] * len(records), pa.string()),
        "created": _times(records["created"]),
        "updated": _times(records["updated"]),
        "etag": pa.array([_shown_etag(etag) for etag in decision.etags.to_pylist()], pa.string()),
        "md5sum": _texts(records["md5sum"]),
        "fate": pa.array(records["fate"].tolist(), pa.string()),
        "reason": pa.array(reasons, pa.string()),
        "representative": heads,
        "curated_representative": _ids_at(ids, records["best"]) if repeats is not None else nothing,
        "curated_reason": _texts(records["behind"]) if repeats is not None else nothing,
        "repeat": _texts(repeats.kind) if repeats is not None else nothing,
    }
    schema = published_table("records").arrow_schema
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _quarantine(resource: Resource, decision: Decision, ids: list[str]) -> pa.Table:
    rows = []
    for place, faults in sorted(decision.faults.items()):
        record_id = ids[place]
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


def _shown_ids(decision: Decision) -> list[str]:
    """Ids as the ledgers have them; two that are alike once addresses are removed get a number, and stay two."""
    shown: list[str] = []
    taken: dict[str, int] = {}
    for record_id in decision.records["record_id"]:
        text = record_id if is_object_id(record_id) else _as_json(record_id, "record_id")
        taken[text] = taken.get(text, 0) + 1
        shown.append(text if taken[text] == 1 else f"{text} {taken[text]}")
    return shown


def _shown_etag(etag: str | None) -> str | None:
    return etag if not etag or _ETAG.match(etag) else _as_json(etag, "etag")


def _as_json(text: str, where: str) -> str:
    """A text of the sender where another was expected: whole, without addresses, and no formula."""
    return canonical_json(Scrubber(frozenset(), canonical_json).text(text, where))


def _ids_at(ids: pa.Array, places: pd.Series) -> pa.Array:
    return ids.take(pa.array(places.where(places >= 0), pa.int64(), from_pandas=True))


def _texts(values: pd.Series) -> pa.Array:
    return pa.array(values, pa.string(), from_pandas=True)


def _times(seconds: pd.Series) -> pa.Array:
    return pa.array(seconds.astype("Int64"), pa.int64()).cast(pa.timestamp("s", tz="UTC"))
