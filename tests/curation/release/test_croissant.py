"""croissant.json: read by MLCommons' own library, and the records it reads are those of the tables."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlcroissant
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest

from schemas.published import CURATED_TABLES, LEDGERS, TABLES, published_table


@pytest.fixture(scope="module")
def loaded(release: Path) -> Iterator[tuple[mlcroissant.Dataset, list[str]]]:
    """The description as the library sees it, and what the library says of it."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("absl")
    logger.addHandler(handler)
    yield mlcroissant.Dataset(release / "croissant.json"), said
    logger.removeHandler(handler)


def test_it_loads_without_errors_and_warnings(loaded: tuple[mlcroissant.Dataset, list[str]]) -> None:
    dataset, said = loaded
    issues = dataset.metadata.ctx.issues
    assert (said, sorted(issues.errors), sorted(issues.warnings)) == ([], [], [])
    assert [one.name for one in dataset.metadata.record_sets] == list(TABLES)


def test_it_says_what_the_release_is(release: Path) -> None:
    described = json.loads((release / "croissant.json").read_bytes())
    snapshot = json.loads((release / "snapshot.json").read_bytes())
    assert described["version"] == "2026.11.23" and described["datePublished"] == "2026-11-23"
    assert described["license"] == "https://spdx.org/licenses/CC0-1.0.html"
    assert described["isLiveDataset"] is False and len(described["creator"]) == 8
    files = {one["contentUrl"]: one for one in described["distribution"]}
    assert set(files) == {
        name for name in snapshot["files"] if name.split("/")[0] in ("csv", "parquet", "audit")
    }
    for name, one in files.items():
        assert one["sha256"] == snapshot["files"][name]["sha256"]
        assert one["contentSize"] == f"{(release / name).stat().st_size} B"


def test_columns_have_meanings_units_and_references(release: Path) -> None:
    described = json.loads((release / "croissant.json").read_bytes())
    fields = {one["@id"]: one for table in described["recordSet"] for one in table["field"]}
    assert set(fields) == {f"{name}/{column}" for name in TABLES for column in published_table(name).names}
    assert all(one["description"] for one in fields.values())
    echo_time = fields["bold/bids_meta_EchoTime"]
    assert echo_time["description"].endswith("Unit: s.") and echo_time["dataType"] == "sc:Float"
    assert echo_time["equivalentProperty"].endswith("metadata.EchoTime")
    for name in CURATED_TABLES:
        unique = name.removesuffix("_curated")
        assert fields[f"{name}/md5sum"]["references"] == {"field": {"@id": f"{unique}/md5sum"}}
    for name in ("repairs", "quarantine", "matches", "disagreements"):
        assert fields[f"{name}/record_id"]["references"] == {"field": {"@id": "records/record_id"}}
    for table in described["recordSet"]:
        assert [key["@id"] for key in table.get("key", [])] == [
            f"{table['name']}/{column}" for column in published_table(table["name"]).key
        ]


@pytest.mark.filterwarnings("ignore")  # of pandas, of how the library puts its own columns in
@pytest.mark.parametrize("name", ["rating", "repairs", "quarantine", "scrubbed"])
def test_records_are_those_of_the_table(
    release: Path, loaded: tuple[mlcroissant.Dataset, list[str]], name: str
) -> None:
    if name in LEDGERS:
        schema = published_table(name).arrow_schema
        options = pv.ConvertOptions(column_types=schema, strings_can_be_null=True)
        expected = pv.read_csv(release / "audit" / f"{name}.csv", convert_options=options).to_pylist()
    else:
        expected = pq.read_table(release / "parquet" / f"{name}.parquet").to_pylist()
    found = [
        {key.split("/")[1]: _plain(value) for key, value in record.items()}
        for record in loaded[0].records(name)
    ]
    assert found == expected


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    # Missing, in pandas' ways.
    return None if value is None or value != value else value
