"""The numbers of the page, counted again from the published files without any of the library's code."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curation.diff import compare, open_version
from curation.report import write_report
from schemas.dictionary import table
from tests.curation.report.conftest import Made
from tests.support.page import Page

RESOURCES = ("T1w", "T2w", "bold", "rating")
IMAGES = RESOURCES[:3]


@pytest.fixture(scope="module")
def page(made: Made) -> Page:
    return Page((made.folder / "report.html").read_text("utf-8"))


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(cells: list[str]) -> list[int]:
    return [int(cell.replace(",", "").replace("±", "")) for cell in cells]


def test_fates_are_those_of_the_ledger_and_add_up(made: Made, page: Page) -> None:
    counts = Counter((row["fate"], row["resource"]) for row in rows_of(made.folder, "audit/records.csv"))
    shown = page.rows("fates")
    fates = {"representative": "representatives", "duplicate": "duplicates"}
    for fate in ("representative", "duplicate", "quarantined", "excluded"):
        found = numbers(shown[fates.get(fate, fate)])[:5]
        assert found[:4] == [counts[fate, resource] for resource in RESOURCES]
        assert found[4] == sum(found[:4])
    received, *kinds = list(shown)
    assert received == "received" and len(kinds) == 5
    columns = zip(*(numbers(shown[kind]) for kind in kinds), strict=True)
    assert [sum(column) for column in columns] == numbers(shown["received"])
    then = sum(counts["received"] for counts in made.before.snapshot["tables"].values())
    assert numbers(shown["received"])[5] == numbers(shown["received"])[4] - then > 0


def test_broken_rules_are_those_of_the_ledger_with_examples_from_it(made: Made, page: Page) -> None:
    ledger = rows_of(made.folder, "audit/quarantine.csv")
    counts = Counter((row["rule"], row["fate"], row["resource"]) for row in ledger)
    table = page.tables["faults"][1:]
    assert len(table) == len({(rule, fate) for rule, fate, _ in counts})
    for row in table:
        rule, fate = next((r, f) for r, f, _ in counts if row[0].startswith(f"{r} ({f})"))
        assert numbers(row[1:5]) == [counts[rule, fate, resource] for resource in RESOURCES]
        assert numbers(row[5:6]) == [sum(numbers(row[1:5]))]
        examples = [one for one in ledger if one["rule"] == rule and one["record_id"] in row[6]]
        assert examples and all(one["column"] in row[6] and one["found"] in row[6] for one in examples)


def test_repairs_are_those_of_the_ledger_with_an_example_from_it(made: Made, page: Page) -> None:
    ledger = rows_of(made.folder, "audit/repairs.csv")
    counts = Counter((rule, row["resource"]) for row in ledger for rule in row["rule"].split(" "))
    emptied = Counter(rule for row in ledger if not row["new"] for rule in row["rule"].split(" "))
    table = page.tables["repaired"][1:]
    assert len(table) == len({rule for rule, _ in counts}) > 10
    for row in table:
        rule = max((rule for rule, _ in counts if row[0].startswith(rule)), key=len)
        assert numbers(row[1:4]) == [counts[rule, resource] for resource in IMAGES]
        assert numbers(row[4:6]) == [sum(numbers(row[1:4])), emptied[rule]]
        told = [
            one for one in ledger
            if rule in one["rule"].split(" ") and one["column"] in row[6]
            and f"{one['old'] or 'nothing'} → {one['new'] or 'empty'}" in row[6]
        ]  # fmt: skip
        assert told, row


def test_flags_are_those_of_the_curated_tables(made: Made, page: Page) -> None:
    counts = Counter(
        (flag, resource)
        for resource in IMAGES
        for row in rows_of(made.folder, f"csv/{resource}_curated.csv")
        for flag in row["flags"].split()
    )
    shown = page.tables["flagged"][1:]
    assert len(shown) == len({flag for flag, _ in counts})
    for row in shown:
        flag = max((flag for flag, _ in counts if row[0].startswith(flag)), key=len)
        assert numbers(row[1:4]) == [counts[flag, resource] for resource in IMAGES]


def test_public_images_are_those_of_the_ledger(made: Made, page: Page) -> None:
    chosen = [row for row in rows_of(made.folder, "audit/matches.csv") if row["chosen"] == "true"]
    counts, datasets = Counter(row["resource"] for row in chosen), Counter(row["dataset"] for row in chosen)
    shown = page.rows("public-images")
    assert [numbers(shown[name][1:2])[0] for name in IMAGES] == [counts[name] for name in IMAGES]
    table = next(rows for rows in page.tables.values() if rows and rows[0] == ["dataset", "images"])
    assert {row[0]: int(row[1]) for row in table[1:]} == dict(datasets) and len(datasets) == 2


def test_ratings_and_artifacts_are_those_of_the_table(made: Made, page: Page) -> None:
    ratings = rows_of(made.folder, "csv/rating.csv")
    labels = Counter(row["rating_label"] or "not readable" for row in ratings)
    tables = [
        {row[0]: row[1] for row in rows[1:]}
        for rows in page.tables.values()
        if rows and rows[0][1:2] == ["ratings"]
    ]
    assert {name: int(count) for name, count in tables[0].items()} == dict(labels)
    words = dict(next(column for column in table("rating").columns if column.name == "comment").levels)
    named = {
        code: sum(row[f"artifact_{code.replace('-', '_')}"] == "true" for row in ratings) for code in words
    }
    shown = {words[code].split(",")[0]: count for code, count in named.items() if count}
    assert not any(name.startswith("artifact_") for name in tables[1])
    assert {name: int(count) for name, count in tables[1].items()} == shown


@pytest.mark.parametrize("resource", IMAGES)
def test_completeness_is_that_of_the_tables(made: Made, page: Page, resource: str) -> None:
    unique, curated = (rows_of(made.folder, f"csv/{name}.csv") for name in (resource, f"{resource}_curated"))
    heads = [
        rows for rows in page.tables.values() if rows and rows[0][:3] == ["parameter", "received", "curated"]
    ]
    shown = {row[0]: row[1:3] for row in heads[IMAGES.index(resource)][1:]}
    expected = {}
    for name in (name for name in curated[0] if name.startswith("bids_meta_")):
        filled = [sum(row[name] != "" for row in rows) for rows in (unique, curated)]
        if any(filled):
            expected[name.removeprefix("bids_meta_")] = [f"{count:,}" for count in filled]
    assert shown == expected


@pytest.mark.parametrize(("resource", "metric"), [("T1w", "cjv"), ("bold", "fd_mean"), ("T2w", "fber")])
def test_quantiles_are_those_of_finite_values(made: Made, page: Page, resource: str, metric: str) -> None:
    table = pd.read_csv(made.folder / f"csv/{resource}_curated.csv", low_memory=False)
    heads = [rows for rows in page.tables.values() if rows and rows[0][:2] == ["metric", "images of"]]
    shown = {row[1]: row[2:] for row in heads[IMAGES.index(resource)] if row[0].split(" ")[0] == metric}
    finite = table[np.isfinite(table[metric])]
    groups = {"all": finite} | {
        name: found for name, found in finite.groupby("manufacturer") if name in shown
    }
    assert len(groups) == 4
    for name, group in groups.items():
        quantiles = np.quantile(group[metric], (0.05, 0.25, 0.5, 0.75, 0.95))
        assert int(shown[name][0].replace(",", "")) == len(group)
        assert [float(cell.replace(",", "")) for cell in shown[name][1:]] == pytest.approx(
            quantiles, rel=0.006
        )
    assert f"all ({made.before.name})" in shown


def test_the_page_begins_with_what_the_tables_say(made: Made) -> None:
    text = " ".join((made.folder / "report.html").read_text("utf-8").split())
    images = sum(len(rows_of(made.folder, f"csv/{name}.csv")) for name in IMAGES)
    assert f"images</dt><dd>{images:,}<" in text
    fates = Counter(
        row["fate"] for row in rows_of(made.folder, "audit/records.csv") if row["resource"] != "rating"
    )
    # Ratings are no images, and what was kept out is of none.
    assert f">{(fates['representative'] + fates['duplicate']) / images:.2f} records each; " in text
    for name, value in json.loads((made.folder / "snapshot.json").read_bytes())["versions"].items():
        assert value is None or f"<code>{value}</code>" in text, name


def test_repaired_filled_and_emptied_cells_are_told_apart(made: Made) -> None:
    text = " ".join((made.folder / "report.html").read_text("utf-8").split())
    ledger = rows_of(made.folder, "audit/repairs.csv")
    unheld = sum(not row["new"] and row["rule"] == "cannot-be-held" for row in ledger)
    emptied = sum(not row["new"] for row in ledger) - unheld
    filled = sum(
        bool(row["new"]) and not row["old"] and "public-sidecar" in row["rule"].split() for row in ledger
    )
    repaired = len(ledger) - emptied - unheld - filled
    assert min(emptied, unheld, filled, repaired) > 0
    assert f"cells</dt><dd>{repaired:,}<" in text
    assert f"rules, {filled:,} filled, {emptied + unheld:,} left empty<" in text
    assert f"<strong>{repaired:,} cells are repaired</strong>" in text
    assert (
        f"<strong>{filled:,} are filled</strong>" in text
        and f"<strong>{emptied:,} are left empty</strong>: the value is wrong for sure" in text
        and f"<strong>{unheld:,} could not be held</strong>" in text
    )


def test_changes_are_those_of_the_comparison(made: Made, page: Page) -> None:
    found = compare(open_version(str(made.before_folder)), open_version(str(made.folder)))
    shown = page.rows("changed")
    assert sorted(shown) == sorted(one.name for one in found.tables)
    scaled = Counter[str]()
    touched: dict[str, set[str]] = {}
    for some in (some for one in found.tables for some in one.cells if some.column is not None):
        for row in some.to_arrow().to_pylist():
            only_scale = (row["column"], row["cause"]) == ("iqm_spread", "the whole table")
            scaled[row["table"]] += only_scale
            touched.setdefault(row["table"], set()).update([] if only_scale else [row["key"]])
    assert any(scaled.values())
    for one in found.tables:
        added, removed, changed, cells, rescaled = numbers(shown[one.name][:5])
        assert (added, removed) == (one.added, one.removed)
        assert changed == len(touched.get(one.name, ())) <= one.changed
        assert rescaled == scaled[one.name]
        assert cells + rescaled == sum(column.cells for column in one.columns)
        # What is scaled anew has its own column.
        assert "interquartile" not in shown[one.name][5] and "the whole table" not in shown[one.name][5]
        told = sum(int(count.replace(",", "")) for count in re.findall(r"\(([\d,]+)\)", shown[one.name][5]))
        assert told == added + removed + cells
    text = " ".join((made.folder / "report.html").read_text("utf-8").split())
    assert "<strong>Every change has a cause.</strong>" in text


def test_what_was_received_and_what_grows_are_explained(made: Made, tmp_path: Path) -> None:
    tables = {
        name: counts | {"received": counts["received"] + 2, "withdrawn": counts["withdrawn"] + 2}
        for name, counts in made.snapshot["tables"].items()
    }
    shutil.copytree(made.folder, tmp_path / "night")
    write_report(tmp_path / "night", made.snapshot | {"tables": tables})
    text = " ".join((tmp_path / "night" / "report.html").read_text("utf-8").split())
    received = sum(counts["received"] for counts in tables.values())
    counted = len(rows_of(made.folder, "audit/records.csv"))
    assert received == counted + 8
    assert (
        f"Of the {received:,} records that were ever received, the 8 that were withdrawn are not counted"
        in text
    )
