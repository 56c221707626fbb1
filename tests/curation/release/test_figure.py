"""The figure of growth: counts are those of the night, bytes depend on nothing else, and it can be read aloud."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from curation.curate import CurationReport
from curation.errors import UsageError
from curation.release import Version
from curation.release.figure import Growth, draw, growth

HEADER = "record_id,resource,created,fate,md5sum,more\n"
SVG = "{http://www.w3.org/2000/svg}"
SMALL = Growth((24300, 24301), dict.fromkeys(["T1w", "T2w", "bold", "rating"], (1, 3)), dict.fromkeys(
    ["T1w", "T2w", "bold", "rating"], (1, 2)))  # fmt: skip


def test_counts_are_those_of_the_night(night: CurationReport) -> None:
    counts = growth(night.folder / "audit" / "records.csv")
    for resource, known in night.snapshot["tables"].items():
        assert counts.records[resource][-1] == known["received"] - known["withdrawn"]
        assert len(counts.records[resource]) == len(counts.months)
        if resource != "rating":
            assert counts.images[resource][-1] == known["representatives"]
    assert 0 < counts.images["rating"][-1] < counts.records["rating"][-1]


def test_months_are_counted_and_gaps_are_filled(tmp_path: Path) -> None:
    ledger = tmp_path / "records.csv"
    ledger.write_text(
        HEADER
        + "1,bold,2019-12-31T23:59:59Z,representative,aa,\n"
        + "2,bold,2020-02-01T00:00:00Z,duplicate,aa,\n"
        + "3,bold,2020-02-29T00:00:00Z,representative,bb,\n"
        + "4,rating,2020-02-01T00:00:00Z,representative,aa,\n"
        + "5,rating,2020-01-01T00:00:00Z,representative,aa,\n"
        + "6,T1w,,quarantined,,\n"
    )
    counts = growth(ledger)
    assert counts.months == (2019 * 12 + 11, 2020 * 12, 2020 * 12 + 1)
    assert (counts.records["bold"], counts.images["bold"]) == ((1, 1, 3), (1, 1, 2))
    assert (counts.records["rating"], counts.images["rating"]) == ((0, 1, 2), (0, 1, 1))
    assert counts.records["T1w"] == (0, 0, 0)


def test_it_is_drawn_of_nothing_and_of_one_month(tmp_path: Path) -> None:
    ledger = tmp_path / "records.csv"
    ledger.write_text(HEADER)
    assert b"There are no records." in draw(growth(ledger), Version(2026, 11, 23))
    ledger.write_text(HEADER + "1,bold,2020-01-31T00:00:00Z,representative,aa,\n")
    assert b"cumulated from 2020-01 to 2020-01" in draw(growth(ledger), Version(2026, 11, 23))


def test_it_says_what_it_shows() -> None:
    root = ElementTree.fromstring(draw(SMALL, Version(2026, 11, 23)))
    assert root.get("role") == "img"
    title, description = root[0], root[1]
    assert (title.tag, description.tag) == (f"{SVG}title", f"{SVG}desc")
    assert title.text is not None and title.text.endswith("version 2026.11.23")
    assert description.text is not None and "3 records received, 2 distinct images" in description.text
    # Letters are outlines: no font of the reader's machine is asked for.
    assert not list(root.iter(f"{SVG}text"))
    text = ElementTree.tostring(root, encoding="unicode")
    assert text.lower().count("stroke: #e69f00") >= 4 and text.lower().count("stroke: #0072b2") >= 4


def test_bytes_do_not_depend_on_settings_or_the_clock(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: red\nsvg.fonttype: none\n")
    program = (
        "import sys; from curation.release import Version; from curation.release.figure import Growth, draw; "
        f"sys.stdout.buffer.write(draw({SMALL!r}, Version(2026, 11, 23)))"
    )
    environment = os.environ | {
        "MATPLOTLIBRC": str(tmp_path),
        "PYTHONHASHSEED": "7",
        "SOURCE_DATE_EPOCH": "1",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout == draw(SMALL, Version(2026, 11, 23))


def test_matplotlib_is_imported_only_to_draw() -> None:
    program = "import sys, curation.release.figure as f, curation.release; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_ledger_without_content_is_told(tmp_path: Path) -> None:
    (tmp_path / "records.csv").symlink_to("nowhere")
    with pytest.raises(UsageError, match="is its content there"):
        growth(tmp_path / "records.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"other\.csv"):
        growth(tmp_path / "other.csv")
