"""Causes that whole rows have explain no cell that the versions themselves say is another."""

from __future__ import annotations

import math
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.code import source_digest
from curation.diff import Difference, open_version
from curation.diff.cell_rows import UNEXPLAINED
from curation.diff.compare import draft_of, explain_all
from curation.diff.reading import OneRow, TableFile
from curation.diff.sameness import same_cells, same_texts
from curation.diff.spreads import out_of_bounds, scale_bounds
from tests.curation.diff.test_causes import between, cells, why
from tests.support.tamper import edit_lines, edit_rows, edit_snapshot, flip
from tests.support.versions import FIRST, LATER, Pair, checksum, image, make_pair, record_id

UPSTREAM, REPRESENTATIVE = checksum("d"), checksum("c")
"""An image whose record changed upstream between the nights, and one that another record represents."""
WHEN = datetime(2020, 2, 29, tzinfo=UTC)


def unexplained(found: Difference) -> set[tuple[str, str, str]]:
    return {(row["table"], row["key"], row["column"]) for row in cells(found) if row["cause"] == UNEXPLAINED}


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize(
    ("table", "key", "column", "value"),
    [
        # The other table shows the same record, and no repair is told.
        ("T1w_curated", UPSTREAM, "cjv", 0.5),
        ("T1w_curated", UPSTREAM, "cnr", None),
        ("T1w_curated", UPSTREAM, "cnr", math.nan),
        ("T1w_curated", UPSTREAM, "bids_meta_FlipAngle", 30.0),
        ("T1w_curated", UPSTREAM, "bids_meta_Manufacturer", "GE"),
        ("T1w_curated", UPSTREAM, "provenance_version", "0.15.2"),
        ("T1w", UPSTREAM, "cjv", 0.5),
        ("T1w", UPSTREAM, "bids_meta_FlipAngle", 30.0),
        # The row's own cells say another thing.
        ("T1w_curated", UPSTREAM, "manufacturer", "GE"),
        ("T1w_curated", UPSTREAM, "mriqc_series", None),
        ("T1w_curated", UPSTREAM, "flags", "non_finite"),
        ("T1w_curated", REPRESENTATIVE, "manufacturer", "GE"),
        ("T1w_curated", REPRESENTATIVE, "scanner_model", "Trio"),
        ("T1w_curated", REPRESENTATIVE, "field_strength_nominal", 7.0),
        ("T1w_curated", REPRESENTATIVE, "mriqc_version", "23.1.0"),
        ("T1w_curated", REPRESENTATIVE, "flags", "undecidable_value"),
        ("T1w_curated", REPRESENTATIVE, "flags", "sidecar_mismatch"),
        ("rating", record_id(41), "rating_value", 2.0),
        ("rating", record_id(41), "rating_label", "excellent"),
        ("rating", record_id(41), "flags", "unknown_rating"),
        # So do the ledgers, and what the whole table holds.
        ("T1w_curated", UPSTREAM, "created", WHEN),
        ("T1w_curated", REPRESENTATIVE, "created", WHEN),
        ("T1w_curated", REPRESENTATIVE, "created", WHEN.replace(microsecond=1000)),
        ("rating", record_id(41), "updated", WHEN),
        ("T1w_curated", REPRESENTATIVE, "iqm_spread", 0.5),
        ("T1w_curated", REPRESENTATIVE, "n_same_acquisition", 99),
        ("T1w_curated", checksum("a"), "n_same_acquisition", 99),
    ],
)
def test_row_that_is_another_hides_no_cell(
    pair: Pair, side: str, table: str, key: str, column: str, value: Any
) -> None:
    flip(getattr(pair, side), table, key, column, value)
    found = between(pair.a, pair.b)
    assert (table, key, column) in unexplained(found)
    # What is made of a cell may be unexplained with it, and the other table may show it, too.
    assert {key for _, key, _ in unexplained(found)} == {key}


def test_records_of_one_run_that_are_exact_repeats_have_the_same_iqms(pair: Pair) -> None:
    found = between(pair.a, pair.b)
    assert why(found, "T1w", checksum("7"), "cjv")[0] == "new representative"
    edit_lines(
        pair.b / "audit" / "records.csv", lambda lines: [one.replace('"noisy"', '"exact"') for one in lines]
    )
    assert unexplained(between(pair.a, pair.b)) == {
        ("T1w", checksum("7"), "cjv"), ("T1w_curated", checksum("7"), "iqm_spread")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "key", "column", "value"),
    [
        ("T1w_curated", REPRESENTATIVE, "provenance_version", "23.1.0"),
        ("rating", record_id(41), "rating", "2"),
        ("rating", record_id(41), "n_ratings_of_image", 5),
        ("rating", record_id(41), "image_table", "bold"),
        ("rating", record_id(41), "repeat_of", record_id(40)),
    ],
)
def test_cells_that_others_do_not_follow_have_no_cause(
    pair: Pair, table: str, key: str, column: str, value: Any
) -> None:
    flip(pair.b, table, key, column, value)
    assert (table, key, column) in unexplained(between(pair.a, pair.b))


def test_columns_that_are_made_of_a_planted_cell_have_no_cause_either(pair: Pair) -> None:
    flip(pair.b, "T1w_curated", UPSTREAM, "bids_meta_Manufacturer", "GE")
    flip(pair.b, "T1w_curated", UPSTREAM, "manufacturer", "GE")
    found = between(pair.a, pair.b)
    # The second is what the row says; that the row says it has no reason.
    assert why(found, "T1w_curated", UPSTREAM, "bids_meta_Manufacturer")[0] == UNEXPLAINED
    assert why(found, "T1w_curated", UPSTREAM, "manufacturer")[0] == "record changed upstream"


@pytest.mark.parametrize("column", ["etag", "md5sum", "fate"])
def test_representative_has_to_be_a_sound_record_of_the_image(pair: Pair, column: str) -> None:
    records = (pair.b / "audit" / "records.csv").read_text().splitlines()
    place = [name.strip('"') for name in records[0].split(",")].index(column)
    value = {"etag": "f" * 40, "md5sum": checksum("a"), "fate": "quarantined"}[column]

    def change(lines: list[str]) -> list[str]:
        (number,) = (n for n, line in enumerate(lines) if line.startswith(f'"{record_id(30)}"'))
        fields = lines[number].split(",")
        fields[place] = f'"{value}"'
        return [*lines[:number], ",".join(fields), *lines[number + 1 :]]

    edit_lines(pair.b / "audit" / "records.csv", change)
    cause = why(between(pair.a, pair.b), "T1w_curated", REPRESENTATIVE, "cjv")[0]
    # Of a new record the first version knows no etag.
    assert cause == ("new representative" if column == "etag" else UNEXPLAINED)


def test_record_that_changed_upstream_has_another_etag_or_time(pair: Pair) -> None:
    before = (pair.a / "audit" / "records.csv").read_text().splitlines(keepends=True)
    (line,) = (one for one in before if one.startswith(f'"{record_id(4)}"'))
    edit_lines(
        pair.b / "audit" / "records.csv",
        lambda lines: [line if one.startswith(f'"{record_id(4)}"') else one for one in lines],
    )
    found = between(pair.a, pair.b)
    assert unexplained(found) == {
        (table, UPSTREAM, "bids_meta_FlipAngle") for table in ("T1w", "T1w_curated")
    }


def test_repaired_cell_holds_what_the_ledger_says_though_its_row_is_another(pair: Pair) -> None:
    row = f'"{record_id(4)}","T1w","{UPSTREAM}","bids_meta_FlipAngle","10.0","12.0","a-rule","x","high"\n'
    edit_lines(pair.b / "audit" / "repairs.csv", lambda lines: [*lines, row])
    column = "bids_meta_FlipAngle"
    assert why(between(pair.a, pair.b), "T1w_curated", UPSTREAM, column)[0] == UNEXPLAINED
    flip(pair.b, "T1w_curated", UPSTREAM, column, 12.0)
    assert between(pair.a, pair.b).unexplained == 0
    # What was received the unique table has.
    flip(pair.b, "T1w", UPSTREAM, column, 11.0)
    assert unexplained(between(pair.a, pair.b)) == {("T1w", UPSTREAM, column)}


@pytest.mark.parametrize(
    ("table", "key", "column", "value"),
    [
        ("T1w_curated", checksum("a"), "bids_meta_FlipAngle", 30.0),
        ("T1w_curated", checksum("a"), "provenance_version", "0.15.2"),
        ("T1w", checksum("a"), "bids_meta_FlipAngle", 30.0),
        ("T1w_curated", checksum("8"), "bids_meta_EchoTime", 0.005),
        ("T1w_curated", checksum("8"), "public_url", "https://example.org"),
        ("T1w_curated", checksum("a"), "created", WHEN),
        ("T1w_curated", checksum("a"), "n_records", 2),
        ("rating", record_id(40), "n_ratings_of_image", 5),
    ],
)
def test_other_code_explains_no_cell_that_tables_and_ledgers_tell(
    pair: Pair, tmp_path: Path, table: str, key: str, column: str, value: Any
) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    flip(pair.b, table, key, column, value)
    edit_snapshot(pair.b, lambda said: said["versions"].update(code="another"))
    assert unexplained(between(tmp_path / "before", pair.b)) == {(table, key, column)}


@pytest.mark.parametrize("ours", ["a", "b", None])
def test_columns_that_this_code_made_hold_what_it_makes(pair: Pair, tmp_path: Path, ours: str | None) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    flip(pair.b, "T1w_curated", checksum("a"), "manufacturer", "GE")
    for name, folder in (("a", tmp_path / "before"), ("b", pair.b)):
        code = source_digest() if name == ours else f"another {name}"
        edit_snapshot(folder, lambda said, code=code: said["versions"].update(code=code))
    cause = why(between(tmp_path / "before", pair.b), "T1w_curated", checksum("a"), "manufacturer")[0]
    assert cause == (UNEXPLAINED if ours == "b" else "code changed")


def test_other_versions_are_no_contradiction(pair: Pair) -> None:
    versions = {"rules": "others", "numpy": "9", "pyarrow": "9", "pseudonyms": "another"}
    edit_snapshot(pair.b, lambda said: said["versions"].update(versions))
    assert between(pair.a, pair.b).unexplained == 0


@pytest.mark.parametrize("key", ["same", "another"])
def test_another_key_of_pseudonyms_makes_no_rating_one_of_another_image(pair: Pair, key: str) -> None:
    flip(pair.b, "rating", record_id(40), "repeat_of", record_id(41))
    if key == "another":
        edit_snapshot(pair.b, lambda said: said["versions"].update(pseudonyms="another"))
    assert ("rating", record_id(40), "repeat_of") in unexplained(between(pair.a, pair.b))


def test_an_iqm_that_the_other_dictionary_reads_is_no_other_value(tmp_path: Path) -> None:
    """The new representative is an exact repeat, and its former one had the IQM, too, which was not read."""
    record = image("7", 20, cjv=0.5)
    first = [record if one["_id"] == record["_id"] else one for one in FIRST]
    pair = make_pair(tmp_path, first, [*LATER[:-1], image("7", 9, cjv=0.5)])
    assert between(pair.a, pair.b).unexplained == 0
    for table in ("T1w", "T1w_curated"):
        flip(pair.a, table, checksum("7"), "cnr", None)
    assert ("T1w", checksum("7"), "cnr") in unexplained(between(pair.a, pair.b))
    edit_snapshot(pair.b, lambda said: said["versions"].update(dictionary="another"))
    assert between(pair.a, pair.b).unexplained == 0


def test_retyped_column_holds_the_same_numbers(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    path = pair.b / "parquet" / "T1w.parquet"

    def raise_one(rows: list[dict[str, Any]]) -> None:
        rows[0]["size_x"] += 1

    edit_rows(pair.b, "T1w", raise_one)
    found = pq.read_table(path)
    place = found.schema.get_field_index("size_x")
    pq.write_table(found.set_column(place, "size_x", found.column("size_x").cast(pa.float64())), path)
    edit_snapshot(pair.b, lambda said: said["versions"].update(dictionary="another"))
    (cell,) = cells(between(tmp_path / "before", pair.b))
    assert (cell["column"], cell["cause"]) == ("size_x", UNEXPLAINED)


def test_text_that_became_a_number_has_the_schema_as_its_cause(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    path = tmp_path / "before" / "parquet" / "T1w_curated.parquet"
    found = pq.read_table(path)
    texts = [f"{value!r}0" for value in found.column("cjv").to_pylist()]
    place = found.schema.get_field_index("cjv")
    pq.write_table(found.set_column(place, "cjv", pa.array(texts)), path)
    edit_snapshot(pair.b, lambda said: said["versions"].update(dictionary="another"))
    compared = between(tmp_path / "before", pair.b)
    assert {row["cause"] for row in cells(compared)} == {"schema change"} and compared.unexplained == 0


@pytest.mark.parametrize("column", ["iqm_spread", "n_records", "n_same_acquisition", "n_versions", "cjv"])
def test_texts_where_numbers_have_to_be_are_told_as_changes(pair: Pair, column: str) -> None:
    path = pair.b / "parquet" / "T1w_curated.parquet"
    found = pq.read_table(path)
    texts = ["n/a", *(None if one is None else str(one) for one in found.column(column).to_pylist()[1:])]
    place = found.schema.get_field_index(column)
    pq.write_table(found.set_column(place, column, pa.array(texts)), path)
    compared = between(pair.a, pair.b)
    (table,) = (one for one in compared.tables if one.name == "T1w_curated")
    assert column in [one.name for one in table.columns_retyped] and table.unexplained


def test_contradictions_are_found_in_csv_too(pair: Pair) -> None:
    path = pair.b / "csv" / "T1w_curated.csv"
    lines = path.read_text().splitlines(keepends=True)
    (number,) = (n for n, line in enumerate(lines) if line.startswith(f'"{UPSTREAM}"'))
    lines[number] = lines[number].replace('"Siemens"', '"GE"')
    path.write_text("".join(lines))
    for folder in (pair.a, pair.b):
        shutil.rmtree(folder / "parquet")
    columns = {column for _, _, column in unexplained(between(pair.a, pair.b))}
    assert "bids_meta_Manufacturer" in columns


def test_life_of_an_image_is_held_against_both_tables(pair: Pair) -> None:
    flip(pair.b, "T1w_curated", UPSTREAM, "cjv", 0.5)
    a, b = open_version(str(pair.a)), open_version(str(pair.b))

    def row(name: str) -> tuple[OneRow, OneRow]:
        files = [TableFile(version.path(f"parquet/{name}.parquet")) for version in (a, b)]
        one, other = (OneRow(file, file.find("md5sum", UPSTREAM)) for file in files)
        return one, other

    drafts = [draft_of(name, *row(name)) for name in ("T1w", "T1w_curated")]
    beside = {"T1w": "T1w_curated", "T1w_curated": "T1w"}
    unique, curated = explain_all(a, b, drafts, lambda one: row(beside[one.aligned.table]), alone=True)
    assert unique.unexplained == 0
    (cell,) = curated.unexplained_cells
    assert (cell.key, cell.column) == (UPSTREAM, "cjv")


# --- spreads ---------------------------------------------------------------------------------------------------

_values = st.lists(st.integers(0, 9).map(float), min_size=4, max_size=12)


@given(
    before=st.tuples(_values, _values),
    now=st.tuples(_values, _values),
    ranges=st.tuples(st.floats(0, 10), st.floats(0, 10)),
)
def test_spread_of_the_same_records_moves_within_the_bounds(
    before: tuple[list[float], list[float]],
    now: tuple[list[float], list[float]],
    ranges: tuple[float, float],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("spreads")
    files, spreads = [], []
    for number, columns in enumerate((before, now)):
        size = min(map(len, columns))
        cut = [column[:size] for column in columns]
        pq.write_table(pa.table(dict(zip("ab", cut, strict=True))), folder / f"{number}")
        files.append(TableFile(folder / f"{number}"))
        scales = [float(np.subtract(*np.quantile(column, [0.75, 0.25]))) for column in cut]
        quotients = [one / scale for one, scale in zip(ranges, scales, strict=True) if scale > 0]
        spreads.append(pa.array([repr(max(quotients)) if quotients else None]))
    assert not out_of_bounds(*spreads, scale_bounds(*files, ["a", "b"])).any()


def test_spread_moves_no_further_than_the_scale(tmp_path: Path) -> None:
    files = []
    for number, factor in enumerate((1.0, 0.5)):
        values = [one * factor for one in (1.0, 2.0, 3.0, 4.0)]
        pq.write_table(pa.table({"a": values, "b": [1.0, 2.0, 3.0, 4.0]}), tmp_path / f"{number}")
        files.append(TableFile(tmp_path / f"{number}"))
    low, high = scale_bounds(*files, ["a", "b"])
    assert (low, high) == (pytest.approx(1), pytest.approx(2))
    old = pa.array(["1.0", "1.0", "1.0", "0.0", "1.0", None, "2.0"])
    new = pa.array(["2.0", "2.1", "0.9", "0.1", None, "1.0", "3.0"])
    assert out_of_bounds(old, new, (low, high)).tolist() == [False, True, True, True, True, True, False]


# --- the same --------------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False), st.none() | st.text(max_size=3))
def test_the_same_is_told_in_several_forms(number: float, text: str | None) -> None:
    forms = pa.array([repr(number)]), pa.array([f"{number:.17e}"])
    assert same_cells(*forms, "number").all()
    assert same_texts(np.array([repr(number)], dtype=object), forms[1], "number").all()
    for kind in ("text", "number"):
        assert same_cells(pa.array([text], pa.string()), pa.array([text], pa.string()), kind).all()
        assert same_texts(np.array([text], dtype=object), pa.array([text], pa.string()), kind).all()
        assert not same_cells(pa.array([None, "a", "1"], pa.string()), pa.array(["a", None, "2"]), kind).any()
    assert same_texts(np.array(['"=1"', None], dtype=object), pa.array(["=1", "nan"]), "text").all()


@pytest.mark.parametrize(
    ("one", "other"), [("01", "1"), ("10", "1e1"), ("1_000", "1000"), ("561e" + "0" * 20, "571e" + "0" * 20)]
)
def test_texts_are_no_numbers(one: str, other: str) -> None:
    assert not same_cells(pa.array([one]), pa.array([other]), "text").any()
    assert not same_texts(np.array([one], dtype=object), pa.array([other]), "text").any()


def test_zeros_of_both_signs_are_two_doubles() -> None:
    assert same_cells(pa.array(["0.0", "-0.0", "1"]), pa.array(["-0.0", "-0.0", "1.0"]), "number").tolist() == [
        False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), [("bids_meta_run_id", "1"), ("bids_meta_SequenceName", "1e1")])
def test_text_of_the_same_number_is_another_text(pair: Pair, column: str, value: str) -> None:
    for table, held in (("T1w", value.replace("1e1", "10").replace("1", "01", 1)), ("T1w_curated", value)):
        flip(pair.b, table, UPSTREAM, column, held)
    assert ("T1w_curated", UPSTREAM, column) in unexplained(between(pair.a, pair.b))
