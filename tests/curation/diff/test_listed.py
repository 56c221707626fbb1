"""A version's files are held against what its own ``snapshot.json`` lists."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curation.diff import Difference, compare, html_page, open_version, summary_lines
from curation.errors import DatasetError, UsageError
from schemas.published import SNAPSHOT_FORMAT
from tests.support.tamper import edit_lines, edit_snapshot, flip, relist
from tests.support.versions import Pair, checksum


def between(a: Path, b: Path) -> Difference:
    return compare(open_version(str(a)), open_version(str(b)))


def files(found: Difference) -> list[str]:
    return [stray.file for stray in found.strays]


def drop_last(path: Path) -> None:
    edit_lines(path, lambda lines: lines[:-1])


def change_digit(path: Path) -> None:
    """The size stays."""
    content = path.read_bytes()
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])


@pytest.mark.parametrize("name", ["audit/records.csv", "csv/T1w.csv"])
@pytest.mark.parametrize("edit", [drop_last, change_digit])
def test_an_edited_file_is_told_though_no_table_differs(
    edit: Callable[[Path], None], name: str, pair: Pair, tmp_path: Path
) -> None:
    shutil.copytree(pair.b, tmp_path / "edited")
    assert between(pair.b, tmp_path / "edited").exit_code == 0
    edit(tmp_path / "edited" / name)
    found = between(pair.b, tmp_path / "edited")
    assert files(found) == [name] and found.exit_code == 10
    assert found.to_json()["strays"] == [
        {"version": str(tmp_path / "edited"), "file": name, "why": "changed"}
    ]
    assert f"{name} of " in html_page(found) and f"{name} of " in summary_lines(found)[0]


def test_an_edited_table_is_no_error_of_ours(pair: Pair) -> None:
    flip(pair.b, "T1w", checksum("a"), "cjv", 0.75)
    edited = between(pair.a, pair.b)
    assert files(edited) == ["parquet/T1w.parquet"] and edited.unexplained
    assert "an error of ours" not in html_page(edited)
    relist(pair.b)  # as if we had made it so
    ours = between(pair.a, pair.b)
    assert not ours.strays and ours.unexplained == edited.unexplained
    assert "an error of ours" in html_page(ours)


def test_a_table_that_is_listed_and_gone_is_no_loss_of_rows(pair: Pair) -> None:
    (pair.b / "parquet" / "T1w.parquet").unlink()
    found = between(pair.a, pair.b)
    assert not found.strays and found.unexplained == 0  # its CSV is read
    assert any("lacks 1 file(s) that its snapshot.json lists, parquet/T1w.parquet" in n for n in found.notes)
    (pair.b / "csv" / "T1w.csv").unlink()
    with pytest.raises(
        DatasetError, match=r"lacks parquet/T1w\.parquet, which its snapshot\.json lists; copy it"
    ):
        between(pair.a, pair.b)


@pytest.mark.parametrize("name", ["records", "repairs", "matches", "disagreements"])
def test_a_ledger_that_is_listed_and_gone_is_told_and_is_no_error_of_ours(name: str, pair: Pair) -> None:
    (pair.b / "audit" / f"{name}.csv").unlink()
    found = between(pair.a, pair.b)
    assert [(stray.file, stray.why) for stray in found.strays] == [(f"audit/{name}.csv", "gone")]
    assert found.exit_code == 10 and f"audit/{name}.csv of {pair.b} is gone" in html_page(found)
    assert "an error of ours" not in html_page(found) and "Every change has a cause" not in html_page(found)


def test_a_table_that_is_not_listed_is_told(pair: Pair) -> None:
    edit_snapshot(pair.b, lambda said: said["files"].pop("parquet/T1w.parquet"))
    found = between(pair.a, pair.b)
    assert [(stray.file, stray.why) for stray in found.strays] == [("parquet/T1w.parquet", "not listed")]
    assert "is a file that its snapshot.json does not list" in html_page(found)


@pytest.mark.parametrize(
    "damage",
    [
        {"repairs": [1]}, {"rules": [1]}, {"tables": {"T1w": 3}}, {"repairs": {"a": 1}}, {"versions": "x"},
        {"files": ["csv/T1w.csv"]}, {"files": {"csv/T1w.csv": "abc"}}, {"format": True},
    ],
)  # fmt: skip
def test_a_damaged_snapshot_is_told(pair: Pair, damage: dict[str, object]) -> None:
    edit_snapshot(pair.b, lambda said: said.update(damage))
    with pytest.raises(UsageError, match=r"its snapshot\.json (is damaged|has format)"):
        open_version(str(pair.b))


def test_what_a_comparison_does_without_is_told(pair: Pair) -> None:
    (pair.b / "audit" / "quarantine.csv").unlink()
    found = between(pair.b, pair.b)
    assert not found.strays and "audit/quarantine.csv for one" in found.notes[0]


def test_a_version_that_lists_nothing_cannot_be_held_to_it(pair: Pair) -> None:
    drop_last(pair.b / "audit" / "records.csv")
    edit_snapshot(pair.b, lambda said: said.pop("files"))
    found = between(pair.a, pair.b)
    assert not found.strays
    assert any("lists no files" in note for note in found.notes)


def test_a_version_of_a_newer_program_is_refused(pair: Pair) -> None:
    edit_snapshot(pair.b, lambda said: said.update(format=SNAPSHOT_FORMAT + 1))
    with pytest.raises(
        UsageError, match=f"has format {SNAPSHOT_FORMAT + 1}, this version .* up to {SNAPSHOT_FORMAT}"
    ):
        between(pair.a, pair.b)
