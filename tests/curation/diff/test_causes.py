"""Every change has the cause that ledgers and versions tell, and what they do not tell is said to be unexplained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from curation.diff import Difference, compare, open_version
from curation.diff.cell_rows import UNEXPLAINED
from tests.support.tamper import drop, edit_lines, edit_rows, edit_snapshot, flip
from tests.support.versions import Pair, checksum, record_id


def between(a: Path, b: Path) -> Difference:
    return compare(open_version(str(a)), open_version(str(b)))


def cells(found: Difference) -> list[dict[str, Any]]:
    return [row for table in found.tables for group in table.cells for row in group.to_arrow().to_pylist()]


def why(found: Difference, table: str, key: str, column: str | None) -> tuple[str, str | None, str | None]:
    """Cause, detail and rule of one change."""
    (row,) = (
        row for row in cells(found) if (row["table"], row["key"], row["column"]) == (table, key, column)
    )
    return row["cause"], row["detail"], row["rule"]


NEW = ("new representative", "new record", None)
OTHERS = ("other records of the image", None, None)
UPSTREAM = ("record changed upstream", None, None)
LOST, FOUND = ("lost public match", None, None), ("new public match", None, None)


@pytest.mark.parametrize(
    ("table", "key", "column", "expected"),
    [
        ("T1w", checksum("b"), None, ("deleted upstream", None, None)),
        ("T1w", checksum("e"), None, ("record changed upstream", "quarantined now", None)),
        ("T1w", checksum("f"), None, ("record changed upstream", "was quarantined before", None)),
        ("T1w", checksum("5"), None, ("new record", None, None)),
        ("T1w", checksum("7"), "cjv", NEW),
        ("T1w", checksum("d"), "bids_meta_FlipAngle", UPSTREAM),
        ("T1w_curated", checksum("c"), "cjv", NEW),
        ("T1w_curated", checksum("c"), "mriqc_version", NEW),
        ("T1w_curated", checksum("c"), "record_id", NEW),
        ("T1w_curated", checksum("c"), "n_records", OTHERS),
        ("T1w_curated", checksum("c"), "n_versions", OTHERS),
        ("T1w_curated", checksum("7"), "iqm_spread", OTHERS),
        ("T1w_curated", checksum("d"), "bids_meta_FlipAngle", UPSTREAM),
        ("T1w_curated", checksum("9"), "public", LOST),
        ("T1w_curated", checksum("9"), "public_url", LOST),
        ("T1w_curated", checksum("8"), "n_public_copies", FOUND),
        (
            "T1w_curated",
            checksum("8"),
            "bids_meta_EchoTime",
            ("filled from a sidecar", "version 2026.11.25", "public-sidecar"),
        ),
        ("rating", record_id(42), None, ("new record", None, None)),
        ("rating", record_id(41), "rating_value", UPSTREAM),
        ("rating", record_id(40), "n_ratings_of_image", ("other ratings of the image", None, None)),
    ],
)
def test_change_has_its_cause(
    pair: Pair, table: str, key: str, column: str | None, expected: tuple[str, str | None, str | None]
) -> None:
    assert why(between(pair.a, pair.b), table, key, column) == expected


def test_every_change_is_explained(pair: Pair) -> None:
    found = between(pair.a, pair.b)
    assert found.unexplained == 0 and found.exit_code == 10
    assert {table.name for table in found.tables} == {"T1w", "T1w_curated", "rating"}
    assert set(found.identical) == {"T2w", "bold", "T2w_curated", "bold_curated"}
    assert between(pair.b, pair.a).unexplained == 0


def test_rows_of_an_earlier_version_were_not_received_yet(pair: Pair) -> None:
    found = between(pair.b, pair.a)
    assert why(found, "T1w", checksum("5"), None) == ("not received yet", None, None)
    assert why(found, "T1w", checksum("b"), None) == ("not withdrawn yet", None, None)


@pytest.mark.parametrize(
    ("table", "key", "column", "value"),
    [
        ("T1w", checksum("a"), "cjv", 0.5),
        ("T1w", checksum("a"), "bids_meta_Manufacturer", "GE"),
        ("T1w_curated", checksum("a"), "cjv", 0.5),
        ("T1w_curated", checksum("a"), "bids_meta_FlipAngle", 30.0),
        ("T1w_curated", checksum("a"), "manufacturer", "GE"),
        ("T1w_curated", checksum("a"), "flags", "non_finite"),
        ("T1w_curated", checksum("a"), "n_records", 2),
        ("T1w_curated", checksum("a"), "n_versions", 2),
        ("T1w_curated", checksum("a"), "n_same_acquisition", 99),
        ("T1w_curated", checksum("a"), "public", True),
        ("T1w_curated", checksum("a"), "public_url", "https://example.org"),
        ("T1w_curated", checksum("8"), "public_url", "https://example.org"),
        ("T1w_curated", checksum("8"), "n_public_copies", 2),
        ("T1w_curated", checksum("8"), "bids_meta_EchoTime", 0.005),
        ("T1w_curated", checksum("6"), "bids_meta_EchoTime", 0.005),
        ("T1w_curated", checksum("c"), "n_records", 3),
        ("rating", record_id(40), "rating_value", 1.0),
        ("rating", record_id(40), "n_ratings_of_image", 5),
        ("rating", record_id(40), "image_table", "bold"),
        ("rating", record_id(40), "repeat_of", "x"),
    ],
)
@pytest.mark.parametrize("night", ["the same", "the next"])
def test_flipped_cell_is_unexplained(
    pair: Pair, tmp_path: Path, table: str, key: str, column: str, value: Any, night: str
) -> None:
    before = tmp_path / "before"
    shutil.copytree(pair.b if night == "the same" else pair.a, before)
    flip(pair.b, table, key, column, value)
    found = between(before, pair.b)
    assert why(found, table, key, column)[0] == UNEXPLAINED
    assert found.unexplained == 1
    assert found.tables[0].name == table  # the most severe first
    (example,) = found.tables[0].unexplained_cells
    assert (example.key, example.column) == (key, column)


def test_repeats_of_an_image_that_spread_otherwise_without_reason_are_unexplained(
    pair: Pair, tmp_path: Path
) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    flip(pair.b, "T1w_curated", checksum("7"), "iqm_spread", 9.0)
    assert (
        why(between(tmp_path / "before", pair.b), "T1w_curated", checksum("7"), "iqm_spread")[0]
        == UNEXPLAINED
    )


@pytest.mark.parametrize("table", ["T1w", "T1w_curated", "rating"])
def test_dropped_and_made_up_rows_are_unexplained(pair: Pair, table: str) -> None:
    key = record_id(40) if table == "rating" else checksum("a")
    drop(pair.b, table, key)
    found = between(pair.a, pair.b)
    assert why(found, table, key, None)[0] == UNEXPLAINED and found.unexplained == 1
    found = between(pair.b, pair.a)
    assert why(found, table, key, None)[0] == UNEXPLAINED and found.unexplained == 1


def test_row_that_stands_twice_is_unexplained(pair: Pair) -> None:
    edit_rows(pair.b, "T1w", lambda rows: rows.append(rows[0]))
    found = between(pair.a, pair.b)
    assert why(found, "T1w", f"{checksum('a')} (2)", None)[0] == UNEXPLAINED


def test_record_that_vanished_from_tables_and_ledger_is_unexplained(pair: Pair) -> None:
    for table in ("T1w", "T1w_curated"):
        drop(pair.b, table, checksum("a"))
    edit_lines(
        pair.b / "audit" / "records.csv", lambda lines: [one for one in lines if record_id(1) not in one]
    )
    found = between(pair.a, pair.b)
    assert why(found, "T1w", checksum("a"), None)[0] == UNEXPLAINED


@pytest.mark.parametrize(
    ("deleted", "asked", "expected"),
    [
        (0, 1, ("withdrawn on request", None, None)),
        (1, 0, ("deleted upstream", None, None)),
        (1, 1, ("deleted upstream or withdrawn on request", "1 more are deleted, 1 more withdrawn", None)),
    ],
)
def test_counts_tell_who_withdrew(
    pair: Pair, deleted: int, asked: int, expected: tuple[str, str | None, str | None]
) -> None:
    split = {"T1w": {"deleted_upstream": deleted, "on_request": asked}}
    edit_snapshot(pair.b, lambda said: said.update(withdrawn=split))
    assert why(between(pair.a, pair.b), "T1w", checksum("b"), None) == expected


def test_other_key_of_pseudonyms_explains_names_and_nothing_else(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    flip(pair.b, "rating", record_id(40), "name", "rater-x")
    flip(pair.b, "T1w", checksum("a"), "cjv", 0.5)
    edit_snapshot(pair.b, lambda said: said["versions"].update(pseudonyms="00000000"))
    found = between(tmp_path / "before", pair.b)
    assert why(found, "rating", record_id(40), "name")[0] == "pseudonym key changed"
    assert why(found, "T1w", checksum("a"), "cjv")[0] == UNEXPLAINED


def test_other_code_explains_readings_but_no_other_value_of_an_iqm(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    for table in ("T1w", "T1w_curated"):
        flip(pair.b, table, checksum("a"), "bids_meta_FlipAngle", 30.0)
    flip(pair.b, "T1w", checksum("a"), "cjv", 0.5)
    flip(pair.b, "T1w", checksum("a"), "cnr", None)
    edit_snapshot(pair.b, lambda said: said["versions"].update(code="another"))
    found = between(tmp_path / "before", pair.b)
    assert why(found, "T1w", checksum("a"), "bids_meta_FlipAngle")[0] == "code changed"
    for iqm in ("cjv", "cnr"):
        assert why(found, "T1w", checksum("a"), iqm)[0] == UNEXPLAINED


def repair(folder: Path, column: str, value: str | float, rule: str = "echo-time-milliseconds") -> None:
    """Put a value into a curated cell of image ``a``, and its row into the ledger."""
    flip(folder, "T1w_curated", checksum("a"), column, value)
    row = f'"{record_id(1)}","T1w","{checksum("a")}","{column}","other","{value}","{rule}","x","high"\n'
    edit_lines(folder / "audit" / "repairs.csv", lambda lines: [*lines, row])


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("echo-time-milliseconds", "echo-time-milliseconds", "version 2026.11.25 to 2026.12.01"),
        # Of another rule it is no later version.
        ("only-element", "echo-time-milliseconds", "version 2026.12.01"),
    ],
)
def test_another_version_of_a_rule_is_told(
    pair: Pair, tmp_path: Path, before: str, now: str, told: str
) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    repair(tmp_path / "before", "bids_meta_EchoTime", 12.0, before)
    repair(pair.b, "bids_meta_EchoTime", 0.012, now)
    edit_snapshot(pair.b, lambda said: said["rules"].update({now: "2026.12.01"}))
    edit_snapshot(pair.b, lambda said: said["versions"].update(rules="others"))
    cause = why(between(tmp_path / "before", pair.b), "T1w_curated", checksum("a"), "bids_meta_EchoTime")
    assert cause == ("repair rule", f"another result, as rules changed, {told}", now)


def test_a_rule_that_a_version_does_not_know_explains_nothing(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    repair(pair.b, "bids_meta_FlipAngle", 12.5, "no-such-rule")
    repair(pair.b, "bids_meta_EchoTime", 13.5)
    # And where it is the first of the two that has such a rule.
    for found in (between(tmp_path / "before", pair.b), between(pair.b, tmp_path / "before")):
        assert why(found, "T1w_curated", checksum("a"), "bids_meta_FlipAngle")[0] == UNEXPLAINED
        assert why(found, "T1w_curated", checksum("a"), "bids_meta_EchoTime")[0] == "repair rule"


def test_repair_with_its_row_is_explained_and_what_is_derived_of_it_too(pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(pair.b, tmp_path / "before")
    repair(pair.b, "bids_meta_Manufacturer", "acme")
    repair(pair.b, "bids_meta_ManufacturersModelName", "acme-1")
    flip(pair.b, "T1w_curated", checksum("a"), "manufacturer", None)
    flip(pair.b, "T1w_curated", checksum("a"), "flags", "unknown_manufacturer unknown_scanner_model")
    edit_snapshot(pair.b, lambda said: said["versions"].update(rules="others"))
    found = between(tmp_path / "before", pair.b)
    repaired = why(found, "T1w_curated", checksum("a"), "bids_meta_Manufacturer")
    assert repaired == (
        "repair rule",
        "applied, as rules changed, version 2026.11.25",
        "echo-time-milliseconds",
    )
    derived = why(found, "T1w_curated", checksum("a"), "manufacturer")
    # Of two that changed, the one that is asked first.
    assert derived == ("derived of a changed cell", "bids_meta_Manufacturer", None)
    assert found.unexplained == 0
