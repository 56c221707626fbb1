"""What a comparison counts, whatever it compares (folders, CSV without Parquet, other columns), and how it is told."""

from __future__ import annotations

import json
import math
import re
import shutil
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.diff import compare, html_page, open_version, summary_lines, write_cells
from curation.diff.cell_rows import CELLS
from curation.diff.cells import NEAR_SHARE, NEAR_ULPS
from curation.diff.compare import draft_of
from curation.diff.reading import TableFile
from tests.curation.diff.test_causes import between, cells, why
from tests.support.tamper import edit_rows, edit_snapshot, flip, relist
from tests.support.versions import Pair, checksum

_numbers = st.sampled_from(
    [None, 0.0, -0.0, 1.0, 1.0 + 1e-12, 1.5, -2.0, 5e-324, 1e300, math.nan, math.inf, -math.inf]
)
_texts = st.sampled_from([None, "", "a", "b", "nan", "x" * 40, 'comma, "quote"\nline'])
_COLUMNS = {
    "number": (pa.float64(), _numbers | st.floats()),
    "integer": (pa.int64(), st.none() | st.integers(-3, 3) | st.sampled_from([2**62, 2**53 + 1])),
    "text": (pa.string(), _texts),
    "boolean": (pa.bool_(), st.none() | st.booleans()),
    "time": (
        pa.timestamp("ms", tz="UTC"),
        st.none() | st.integers(0, 3).map(lambda n: datetime.fromtimestamp(n, UTC)),
    ),
}
Rows = dict[str, dict[str, Any]]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Rows, Rows]:
    """Rows by key; the second table has some of the first, edited here and there."""
    row = st.fixed_dictionaries({name: values for name, (_, values) in _COLUMNS.items()})
    first = draw(st.dictionaries(st.text("abc", min_size=1, max_size=3), row, max_size=8))
    second = {key: dict(found) for key, found in first.items() if draw(st.integers(0, 4))}
    for found in second.values():
        for name, (_, values) in _COLUMNS.items():
            if not draw(st.integers(0, 2)):
                found[name] = draw(values)
    second |= draw(st.dictionaries(st.text("abc", min_size=1, max_size=3), row, max_size=3))
    return first, {key: second[key] for key in draw(st.permutations(sorted(second)))}


def write(rows: Rows, path: Path, row_group: int) -> TableFile:
    schema = pa.schema([("md5sum", pa.string()), *((name, kind) for name, (kind, _) in _COLUMNS.items())])
    made = pa.Table.from_pylist([{"md5sum": key, **found} for key, found in rows.items()], schema=schema)
    pq.write_table(made, path, row_group_size=row_group)
    return TableFile(path)


def naive(a: Rows, b: Rows) -> dict[tuple[str, str], str]:
    """Every cell that differs, the plain way: a Python value at a time."""
    found = {}
    for key in a.keys() & b.keys():
        for name in _COLUMNS:
            old, new = a[key][name], b[key][name]
            if old is None and new is None:
                continue
            if old is None or new is None:
                found[key, name] = "appeared" if old is None else "disappeared"
            elif name == "number" and struct.pack("<d", old) != struct.pack("<d", new):
                found[key, name] = "rounding" if near(old, new) else "changed"
            elif name == "integer" and old != new:
                found[key, name] = "rounding" if near(float(old), float(new)) else "changed"
            elif name not in ("number", "integer") and old != new:
                found[key, name] = "changed"
    return found


def near(old: float, new: float) -> bool:
    if not (math.isfinite(old) and math.isfinite(new)):
        return False
    larger = max(abs(old), abs(new))
    moved = abs(new - old)
    return moved <= NEAR_SHARE * larger or moved <= NEAR_ULPS * math.ulp(larger)


@settings(max_examples=60, deadline=None)
@given(both=tables(), row_group=st.integers(1, 4))
def test_cells_are_those_of_a_plain_comparison(
    both: tuple[Rows, Rows], row_group: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    a, b = (write(rows, folder / f"{n}.parquet", row_group) for n, rows in enumerate(both))
    draft = draft_of("T1w", a, b)
    rows = draft.aligned.alignment
    keys = rows.keys_b.take(pa.array(rows.common_b)).to_pylist()
    words = ("changed", "appeared", "disappeared", "rounding")
    found = {
        (keys[row], one.column): words[kind]
        for one in draft.cells
        for row, kind in zip(one.rows.tolist(), one.kinds.tolist(), strict=True)
    }
    assert found == naive(*both)
    assert set(rows.keys_a.take(pa.array(rows.only_a)).to_pylist()) == both[0].keys() - both[1].keys()
    assert set(rows.keys_b.take(pa.array(rows.only_b)).to_pylist()) == both[1].keys() - both[0].keys()
    for one in draft.cells:
        for row, old, new in zip(one.rows, one.old.to_pylist(), one.new.to_pylist(), strict=True):
            for value, text in ((both[0][keys[row]][one.column], old), (both[1][keys[row]][one.column], new)):
                assert (value is None) == (text is None)
                if one.column == "number" and value is not None:
                    assert struct.pack("<d", float(text)) == struct.pack("<d", value) or math.isnan(value)
    assert not draft_of("T1w", a, a).cells


def test_relative_changes_are_shares_of_the_old_value(tmp_path: Path) -> None:
    row = dict.fromkeys(_COLUMNS)
    a = {key: row | {"number": old} for key, old in (("a", 2.0), ("b", -4.0), ("c", 0.0), ("d", math.nan))}
    b = {key: row | {"number": new} for key, new in (("a", 3.0), ("b", -4.4), ("c", 1.0), ("d", 1.0))}
    (cells,) = draft_of("T1w", write(a, tmp_path / "a", 9), write(b, tmp_path / "b", 9)).cells
    assert cells.relative.tolist()[:2] == [0.5, pytest.approx(0.1)]
    assert all(map(math.isnan, cells.relative.tolist()[2:]))


def test_a_version_does_not_differ_from_itself(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.a, tmp_path / "copy")
    for other in (pair.a, tmp_path / "copy"):
        found = between(pair.a, other)
        assert found.is_empty and found.exit_code == 0 and len(found.identical) == 7
    assert summary_lines(found) == ["- No table changed."]


def test_other_bytes_with_the_same_values_are_no_difference(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.a, tmp_path / "copy")
    edit_rows(tmp_path / "copy", "T1w", lambda rows: None)
    found = between(pair.a, tmp_path / "copy")
    assert found.is_empty and found.same_values == ("T1w",) and len(found.identical) == 6


def test_added_and_removed_are_the_other_way_round(pair: Pair) -> None:
    there, back = between(pair.a, pair.b), between(pair.b, pair.a)
    swapped = {"appeared": "disappeared", "disappeared": "appeared", "row added": "row removed"}
    swapped["row removed"] = "row added"
    expected = {
        (
            row["table"],
            row["key"],
            row["column"],
            swapped.get(row["kind"], row["kind"]),
            row["new"],
            row["old"],
        )
        for row in cells(there)
    }
    found = {
        tuple(row[name] for name in ("table", "key", "column", "kind", "old", "new")) for row in cells(back)
    }
    assert found == expected
    assert (there.counts.added, there.counts.removed) == (back.counts.removed, back.counts.added) != (0, 0)


def test_tables_are_read_from_csv_where_parquet_is_missing(pair: Pair) -> None:
    expected = cells(between(pair.a, pair.b))
    shutil.rmtree(pair.a / "parquet")
    assert cells(between(pair.a, pair.b)) == expected
    shutil.rmtree(pair.b / "parquet")
    assert cells(between(pair.a, pair.b)) == expected


def test_change_of_the_csv_file_alone_is_found(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.a, tmp_path / "copy")
    path = tmp_path / "copy" / "csv" / "T1w.csv"
    path.write_text(path.read_text().replace('"Siemens"', '"GE"', 1))
    found = between(pair.a, tmp_path / "copy")
    assert why(found, "T1w", checksum("a"), "bids_meta_Manufacturer")[0].startswith("unexplained")


def _without(folder: Path, table: str, column: str) -> None:
    path = folder / "parquet" / f"{table}.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)


def test_columns_of_an_older_dictionary_are_told(pair: Pair) -> None:
    _without(pair.a, "T1w", "cjv")
    path = pair.a / "parquet" / "T1w.parquet"
    found = pq.read_table(path)
    place = found.schema.get_field_index("size_x")
    pq.write_table(found.set_column(place, "size_x", found.column("size_x").cast(pa.float64())), path)
    table = next(one for one in between(pair.a, pair.b).tables if one.name == "T1w")
    assert table.columns_added == ("cjv",) and not any(one.is_explained for one in table.schema_causes)
    edit_snapshot(pair.a, lambda said: said["versions"].update(dictionary="older"))
    result = between(pair.a, pair.b)
    table = next(one for one in result.tables if one.name == "T1w")
    assert [(one.name, one.old, one.new) for one in table.columns_retyped] == [
        ("size_x", "number", "integer")
    ]
    (cause,) = table.schema_causes
    assert (cause.cause, cause.count, cause.is_by_code) == ("schema change", 2, False)
    assert "size_x" not in {one.name for one in table.columns}  # the same numbers
    assert any("different dictionaries" in note for note in result.notes)
    back = next(one for one in between(pair.b, pair.a).tables if one.name == "T1w")
    assert back.columns_removed == ("cjv",)


def test_table_that_only_one_version_has(pair: Pair) -> None:
    relist(pair.a, "parquet/rating.parquet", "csv/rating.csv")
    table = next(one for one in between(pair.a, pair.b).tables if one.name == "rating")
    assert table.only_in == "b" and table.added == 3
    assert table.unexplained == 2  # those that the ledger of the first version has
    edit_snapshot(pair.a, lambda said: said["versions"].update(dictionary="older"))
    table = next(one for one in between(pair.a, pair.b).tables if one.name == "rating")
    assert table.unexplained == 0


def test_emptied_column_comes_before_changed_ones(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.a, tmp_path / "before")

    def empty(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["bids_meta_Manufacturer"] = None

    edit_rows(pair.a, "T1w", empty)
    flip(pair.a, "rating", _first_rating(pair.a), "rating_value", 2.0)
    found = between(tmp_path / "before", pair.a)
    assert found.tables[0].name == "T1w" and found.tables[0].emptied == ("bids_meta_Manufacturer",)


def _first_rating(folder: Path) -> str:
    return pq.read_table(folder / "parquet" / "rating.parquet").column("record_id")[0].as_py()


def test_written_forms_are_the_same_twice_and_agree(pair: Pair, tmp_path: Path) -> None:
    one, other = between(pair.a, pair.b), between(pair.a, pair.b)
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())
    assert html_page(one) == html_page(other)
    for name, found in (("one", one), ("other", other)):
        write_cells(found, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    written = pq.read_table(tmp_path / "one")
    assert written.schema.names == CELLS.names
    assert written.to_pylist() == cells(one)
    counts = one.counts
    assert len(written) == counts.cells + counts.added + counts.removed
    by_table = {table["name"]: table for table in one.to_json()["tables"]}
    for table in one.tables:
        causes = sum(cause["count"] for cause in by_table[table.name]["cell_causes"])
        assert causes == sum(column.cells for column in table.columns)


def test_page_is_one_file_that_escapes_what_it_shows(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "<b>odd")
    flip(tmp_path / "<b>odd", "T1w", checksum("a"), "bids_meta_Manufacturer", "<script>alert(1)</script>")
    page = html_page(compare(open_version(str(pair.a)), open_version(str(tmp_path / "<b>odd"))))
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>odd" not in page
    assert not re.search(r'(src|href)="(?!#)', page) and "@import" not in page and "url(" not in page
    assert "Unexplained" in page


def test_summary_for_a_release(pair: Pair) -> None:
    lines = summary_lines(between(pair.a, pair.b))
    assert all(line.startswith("- ") and "\n" not in line for line in lines)
    text = "\n".join(lines)
    assert "Records: T1w +3 received, +1 withdrawn; rating +1 received" in text
    assert "`T1w`: 9 images, 2 added (1 new record, 1 record changed upstream" in text
    assert "2 removed" in text and "1 deleted upstream" in text
    assert "Repaired cells by rule: public-sidecar 1 (+1)" in text
