"""Ledgers are checked as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.errors import LawBroken
from curation.ledgers import Ledgers
from schemas.published import published_table


def rows(name: str, *ids: str, **values: Any) -> pa.Table:
    schema = published_table(name).arrow_schema
    known = {
        "resource": "T1w", "md5sum": "0" * 32, "column": "bids_meta_EchoTime", "rule": "value-as-text",
        "confidence": "high", "fate": "representative", "evidence": "a", "new": "1.0", "old": "1.0",
        "representative": "5" * 24,
    }  # fmt: skip
    row = {field: known.get(field) for field in schema.names} | values
    return pa.Table.from_pylist([row | {"record_id": one} for one in ids], schema=schema)


def test_what_is_written_is_counted(tmp_path: Path) -> None:
    with Ledgers(tmp_path) as ledgers:
        ledgers.write("repairs", rows("repairs", "1" * 24, "2" * 24, old=None))
        ledgers.write("repairs", rows("repairs"))
        ledgers.end_resource()
        coverage = ledgers.coverage["repairs"]
    assert coverage["rows"] == 2
    assert (coverage["filled"]["record_id"], coverage["filled"]["old"]) == (2, 0)
    lines = (tmp_path / "audit" / "repairs.csv").read_text().splitlines()
    assert len(lines) == 3 and "1" * 24 in lines[1]


def test_a_key_that_stands_twice_is_found_out(tmp_path: Path) -> None:
    twice = "resource and record_id and column stands in more than one row"
    with Ledgers(tmp_path) as ledgers, pytest.raises(LawBroken, match=twice):
        ledgers.write("repairs", rows("repairs", "1" * 24, "1" * 24))
    with Ledgers(tmp_path) as ledgers:
        # Of records the two may come in different chunks.
        ledgers.write("records", rows("records", "1" * 24))
        ledgers.write("records", rows("records", "1" * 24))
        with pytest.raises(LawBroken, match="resource and record_id stands in more than one row"):
            ledgers.end_resource()


def test_rows_that_are_not_what_the_dictionary_says_are_found_out(tmp_path: Path) -> None:
    with Ledgers(tmp_path) as ledgers:
        with pytest.raises(LawBroken, match="record_id is missing"):
            ledgers.write("records", rows("records", None))  # type: ignore[arg-type]
        with pytest.raises(LawBroken, match="columns are not those of the dictionary"):
            ledgers.write("records", rows("repairs", "1" * 24))
