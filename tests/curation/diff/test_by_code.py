"""What only other code, another dictionary or other rules explain is a class of its own, next to the unexplained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from curation.diff import html_page, summary_lines
from curation.diff.words import verdict
from flows.comparison_views import difference_lines
from tests.curation.diff.test_causes import between, cells, why
from tests.support.tamper import edit_snapshot, flip, relist
from tests.support.versions import Pair, checksum, record_id


def made_with(folder: Path, **versions: Any) -> None:
    edit_snapshot(folder, lambda said: said["versions"].update(versions))


def flip_both(folder: Path, key: str, column: str, value: Any) -> None:
    """Put a value into a received cell of both tables that show the record: as other code reads it."""
    for table in ("T1w", "T1w_curated"):
        flip(folder, table, key, column, value)


def test_only_other_code_is_a_class_of_its_own(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    flip_both(pair.b, checksum("a"), "bids_meta_FlipAngle", 30.0)
    made_with(pair.b, code="another")
    found = between(tmp_path / "before", pair.b)
    for table in ("T1w", "T1w_curated"):
        assert why(found, table, checksum("a"), "bids_meta_FlipAngle")[0] == "code changed"
    assert (found.unexplained, found.by_code, found.exit_code) == (0, 2, 10)
    told = found.to_json()
    assert told["counts"]["by_code"] == sum(table["by_code"] for table in told["tables"]) == 2
    assert verdict(found) == "2 changes have no other cause than that the code changed: look at them."
    assert any("no other cause than that the code changed" in line for line in summary_lines(found))
    console = Console(width=80)
    with console.capture() as shown:
        for line in difference_lines(found):
            console.print(line)
    assert "Without a cause in the ledgers: other code, dictionary or rules" in shown.get()
    assert "T1w_curated: 1 cell changed, code changed, e.g." in shown.get()
    json.dumps(told)
    relist(pair.b)
    page = html_page(between(tmp_path / "before", pair.b))
    assert 'class="verdict look"' in page and "<h2>Other code, dictionary or rules</h2>" in page


def test_it_comes_after_the_unexplained_and_before_all_else(pair: Pair, tmp_path: Path) -> None:
    flip_both(pair.b, checksum("a"), "bids_meta_FlipAngle", 30.0)
    made_with(pair.b, code="another")
    found = between(pair.a, pair.b)
    assert found.tables[0].by_code and found.tables[0].cell_causes[0].is_by_code
    assert found.tables[0].columns[0].name == "bids_meta_FlipAngle"
    flip(pair.b, "rating", record_id(40), "n_ratings_of_image", 5)
    found = between(pair.a, pair.b)
    first, second, *_ = found.tables
    assert first.name == "rating" and first.unexplained and second.by_code and not second.unexplained
    assert "no cause" in verdict(found) and "look at" in verdict(found)
    assert {row["cause"] for row in cells(found)} >= {"code changed", "new record"}


@pytest.mark.parametrize(
    ("versions", "unexplained", "by_code"),
    [
        ({"code": "another"}, 1, 0),
        ({"mriqc-snapshot": "9"}, 1, 0),
        ({"dictionary": "another"}, 0, 0),
        ({"dictionary": "another", "code": "another"}, 0, 0),
        ({}, 1, 0),
    ],
)
def test_column_of_one_dictionary_vanishes_by_no_code(
    pair: Pair, tmp_path: Path, versions: dict[str, str], unexplained: int, by_code: int
) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    path = pair.b / "parquet" / "T1w.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["bids_meta_FlipAngle"]), path)
    made_with(pair.b, **versions)
    found = between(tmp_path / "before", pair.b)
    assert (found.unexplained, found.by_code) == (unexplained, by_code)


def test_column_that_code_adds_is_looked_at(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    path = tmp_path / "before" / "parquet" / "T1w.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["bids_meta_FlipAngle"]), path)
    made_with(pair.b, code="another")
    found = between(tmp_path / "before", pair.b)
    assert (found.unexplained, found.by_code) == (0, 1)


def test_table_of_one_dictionary_vanishes_by_no_code(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    relist(pair.b, "parquet/rating.parquet", "csv/rating.csv")
    made_with(pair.b, code="another")
    assert between(tmp_path / "before", pair.b).unexplained == 3
    made_with(pair.b, dictionary="another")
    assert between(tmp_path / "before", pair.b).unexplained == 0
