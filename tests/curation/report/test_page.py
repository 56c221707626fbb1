"""The page and its figures as files: whole, self-contained, the same bytes for the same night."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from curation.curate import curate
from curation.ledger_reading import BLOCK, count_ledger, ledger_batches
from curation.report import Because, Before, Changes, TableChanges, write_report
from curation.report.figures import draw_bars
from curation.report.page import SECTIONS
from curation.store import RecordStore
from tests.conftest import REPOSITORY
from tests.curation.report.conftest import Made
from tests.support.documents import record, store_of, valid
from tests.support.page import Page

SVG = "{http://www.w3.org/2000/svg}"
AGAIN = """
import json, sys
from pathlib import Path
from curation.report import write_report
folder = Path(sys.argv[1])
write_report(folder, json.loads((folder / "snapshot.json").read_bytes()))
"""


def copy_of(made: Made, folder: Path) -> Path:
    for name in ("audit", "csv", "parquet"):
        shutil.copytree(made.folder / name, folder / name)
    shutil.copyfile(made.folder / "snapshot.json", folder / "snapshot.json")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    paths = [folder / "report.html", *sorted((folder / "figures").iterdir())]
    return {path.name: path.read_bytes() for path in paths}


def test_every_section_is_there_once_and_headings_descend(made: Made) -> None:
    page = Page((made.folder / "report.html").read_text("utf-8"))
    assert page.sections == list(SECTIONS)
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_it_needs_nothing_from_elsewhere(made: Made) -> None:
    text = (made.folder / "report.html").read_text("utf-8")
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert "@import" not in text and "url(http" not in text
    outside = {one for one in page.addresses if not one.startswith("#")}
    assert outside == {"https://doi.org/10.1038/s41597-019-0035-4"}
    assert {one[1:] for one in page.addresses if one.startswith("#")} <= set(page.ids)
    assert len(text.encode()) < 3_000_000


def test_it_names_no_place_of_this_machine(made: Made) -> None:
    for name, content in contents(made.folder).items():
        assert str(made.folder.parent).encode() not in content, name


def test_figures_are_files_that_speak_and_that_the_page_shows(made: Made) -> None:
    text = (made.folder / "report.html").read_text("utf-8")
    figures = {name for name in made.files if name.startswith("figures/")}
    assert figures == {f"figures/{path.name}" for path in (made.folder / "figures").iterdir()}
    assert {
        "figures/flow.svg",
        "figures/growth-T1w.svg",
        "figures/iqms-bold.svg",
        "figures/public-datasets.svg",
    } <= figures
    for name in figures:
        content = (made.folder / name).read_text("utf-8")
        drawing = ElementTree.fromstring(content)
        assert drawing.get("role") == "img"
        spoken = drawing.findtext(f"{SVG}title"), drawing.findtext(f"{SVG}desc")
        assert all(spoken), name
        assert content.partition("?>\n")[2] in text, name
        assert len(content) < 100_000, name


def test_the_same_night_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    first, second = (copy_of(made, tmp_path / name) for name in ("first", "second"))
    write_report(first, made.snapshot)
    # Another process, whose sets have another order, and a user who likes other figures.
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nsvg.fonttype: path\naxes.grid: True\n")
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "MATPLOTLIBRC": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
    }
    subprocess.run([sys.executable, "-c", AGAIN, str(second)], check=True, env=environment)
    assert contents(first) == contents(second)
    assert contents(first)["report.html"] != contents(made.folder)["report.html"]


def test_without_a_release_or_its_content_the_page_says_so(made: Made, tmp_path: Path) -> None:
    folder = copy_of(made, tmp_path / "alone")
    write_report(folder, made.snapshot)
    assert (folder / "report.html").read_text("utf-8").count("There is no release to compare with yet") == 1
    gone = Before("2026.11.23", made.before.snapshot, lambda name: None)
    write_report(folder, made.snapshot, release=gone)
    text = " ".join((folder / "report.html").read_text("utf-8").split())
    assert "The tables of release 2026.11.23 were not compared cell by cell" in text
    assert "The tables of release 2026.11.23 are not where this page was made" in text


CHANGED = TableChanges(
    "T1w", 1, 0, 2, 3, 4, (Because("rows", "new record", 1), Because("cells", "a cause", 3))
)


@pytest.mark.parametrize(
    ("changes", "verdict", "kind"),
    [
        (Changes((), (), 0), "No table changed.", "good"),
        (Changes((), (CHANGED,), 0), "Every change has a cause.", "good"),
        (Changes((), (CHANGED,), 1), "1 change without a cause: an error of ours; please report it.", "bad"),
        (Changes((), (CHANGED,), 2), "2 changes without a cause: errors of ours; please report them.", "bad"),
        (
            Changes((), (CHANGED,), 0, by_code=3),
            "Every change has a cause; 3 of them have no other than that code, dictionary or rules changed.",
            "look",
        ),
    ],
)
def test_the_section_on_changes_begins_with_the_verdict(
    made: Made, tmp_path: Path, changes: Changes, verdict: str, kind: str
) -> None:
    folder = copy_of(made, tmp_path / "night")
    write_report(folder, made.snapshot, release=made.before, changes=changes)
    text = (folder / "report.html").read_text("utf-8")
    section = " ".join(text.partition('<section id="changes"')[2].partition("</section>")[0].split())
    assert f'</h2> <p class="verdict {kind}"><strong>{verdict}</strong></p>' in section
    page = Page(text)
    if changes.tables:
        assert page.rows("changed")["T1w"][:5] == ["1", "0", "2", "3", "4"]
        assert "In 4 more cells only the scale changed" in section
    else:
        assert "changed" not in page.tables and "scale" not in section


def test_a_notice_is_the_first_that_the_page_says(made: Made, tmp_path: Path) -> None:
    folder = copy_of(made, tmp_path / "night")
    write_report(folder, made.snapshot, notice="People & scanners are <invented>.")
    header = (folder / "report.html").read_text("utf-8").partition("<header>")[2]
    assert header.split("</p>")[0].strip() == '<p class="notice">People &amp; scanners are &lt;invented&gt;.'
    assert 'class="notice"' not in (made.folder / "report.html").read_text("utf-8")


def test_an_empty_store_has_a_page(tmp_path: Path) -> None:
    report = curate(RecordStore(tmp_path / "store"), tmp_path / "out", page=True)
    page = Page((tmp_path / "out" / "report.html").read_text("utf-8"))
    assert page.sections == list(SECTIONS) and "report.html" in report.files
    assert set(page.rows("fates")["received"]) == {"0"}
    assert report.files[-1] == "snapshot.json" and "report.html" not in report.snapshot["files"]


@pytest.mark.parametrize("text", ["=<script>alert(1)</script>", "=1&amp;<b title='x\">"])
def test_texts_of_senders_are_texts(tmp_path: Path, text: str) -> None:
    document = valid("T1w", "1" * 32, bids_meta_InstitutionName=text)
    store = store_of(tmp_path / "store", {"T1w": [record(document | {"_id": "5" * 24})]})
    curate(store, tmp_path / "out", page=True)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<script" not in page and "<b title" not in page
    (shown,) = [row[-1] for row in Page(page).tables["repaired"][1:]]
    assert text.replace('"', '\\"') in shown


def test_names_at_axes_are_names_whatever_they_are() -> None:
    names = ["$\\frac{1}$ <b>&", "x" * 500, "line\nfeed\x0b", ""]
    figure = draw_bars("bars", "Bars", "dataset", [(name, 3) for name in names], "images")
    texts = ["".join(one.itertext()) for one in ElementTree.fromstring(figure.svg).iter(f"{SVG}text")]
    assert names[0] in texts and f"{'x' * 27}…" in texts and "line�feed�" in texts
    assert [row[0] for row in figure.rows] == names


def test_ledgers_have_rows_larger_than_a_block(tmp_path: Path) -> None:
    large = "x" * (BLOCK + 10)
    path = tmp_path / "ledger.csv"
    path.write_text(f'"rule","old"\n"a",""\n"b",\n"c","{large}\n{large}"\n')
    found = count_ledger(
        path, ("old", "rule"), lambda batches: [row for b in batches for row in b.to_pylist()]
    )
    assert [(row["rule"], row["old"] and len(row["old"])) for row in found] == [
        ("a", ""), ("b", None), ("c", 2 * len(large) + 1),
    ]  # fmt: skip


def test_rows_before_one_larger_than_a_block_pass_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    rows = [f'"{n}","{"x" * 1000}"' for n in range(3 * BLOCK // 1000)]
    path.write_text("\n".join(["rule,old", *rows, f'"large","{"x" * (2 * BLOCK)}"', '"last",', ""]))
    found = [batch for batch in ledger_batches(path, ("rule", "none"), missing=True)]
    assert len(found) > 2  # in blocks as far as they go
    read = [row for batch in found for row in batch.to_pylist()]
    assert [row["rule"] for row in read] == [*map(str, range(len(rows))), "large", "last"]
    assert {row["none"] for row in read} == {None}
