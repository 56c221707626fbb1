"""The repairs of the demo corpus: every planted taint is found, and no other cell is touched."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from curation.curate import CurationReport
from curation.flatten.cells import could_be_formula
from curation.repair import rules
from flows.demo.corpus import Corpus
from schemas import table
from schemas.published import IMAGE_RESOURCES

RULES = {
    "echo-time-ms": ("echo-time-milliseconds",),
    "repetition-time-ms": ("repetition-time-milliseconds",),
    "both-times-ms": ("echo-time-milliseconds", "repetition-time-milliseconds"),
    "inversion-time-ms": ("inversion-time-milliseconds",),
    "delay-time-ms": ("delay-time-milliseconds",),
    "readout-time-ms": ("readout-time-milliseconds",),
    "echo-spacing-unit": ("echo-spacing-unit",),
    "imaging-frequency-hz": ("imaging-frequency-hertz",),
    "phase-encoding-letters": ("encoding-direction-letters",),
    "slice-encoding-letters": ("encoding-direction-letters", "only-element"),
    "encoding-list": ("only-element",),
    "misspelled-key": ("other-key",),
    "text-number": ("value-as-text",),
    "one-element-list": ("only-element",),
    "hostile-text": ("cannot-be-held",),
    "field-strength-cast": ("field-strength-cast", "field-strength-cast-high"),
}
"""Planted defect to the rules that mend it."""
TESLA = 0.01
"""A field that evidence gives is named in hundredths of a tesla; true ones have five digits."""


def expected_cells(corpus: Corpus) -> dict[tuple[str, str, str], tuple[str, Any]]:
    """(resource, record id, column) to the defect and what its cell has to hold, NaN for nothing."""
    found: dict[tuple[str, str, str], tuple[str, Any]] = {}
    for planted in corpus.truth:
        if planted.defect == "hostile-text" and not could_be_formula(planted.detail["sent"]):
            continue
        if planted.defect in RULES and planted.resource != "rating":
            column = str(planted.detail["column"]).replace(".", "_")
            true = planted.detail["true"]
            if planted.defect == "hostile-text":
                true = math.nan
            if planted.defect == "field-strength-cast" and not planted.detail["evidence"]:
                true = 1.5 if planted.detail["sent"] == 1 else math.nan
            found[planted.resource, planted.record_id, column] = (planted.defect, true)
    return found


def _right(column: str, defect: str, published: Any, true: Any) -> bool:
    if isinstance(true, str):
        return bool(published == true)
    if pd.isna(published) or math.isnan(true):
        return bool(pd.isna(published) and math.isnan(true))
    return math.isclose(
        published, true, rel_tol=1e-12, abs_tol=TESLA if defect == "field-strength-cast" else 0
    )


def test_repairs_are_exactly_those_with_evidence(
    corpus: Corpus, night: CurationReport, record_property: Callable[[str, Any], None]
) -> None:
    ledger = pd.read_csv(night.folder / "audit/repairs.csv", dtype="str")
    rows = {(r.resource, r.record_id, r.column): r for r in ledger.itertuples()}
    assert len(rows) == len(ledger)
    expected = expected_cells(corpus)
    confusion: dict[str, dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(("hit", "missed", "false", "rest"), 0)
    )
    wrong = []
    for resource in IMAGE_RESOURCES:
        curated = pd.read_csv(night.folder / f"csv/{resource}_curated.csv", low_memory=False).set_index(
            "record_id"
        )
        for column in table(resource).columns:
            if column.name not in curated or column.personal:
                continue
            able = [rule.id for rule in rules() if rule.touches(resource, [column.name])]
            for record_id, published in curated[column.name].items():
                cell = (resource, str(record_id), column.name)
                row, (defect, true) = rows.get(cell), expected.get(cell, ("", None))
                by, mending = (row.rule.split() if row is not None else []), RULES.get(defect, ())
                if defect and (row is None or not _right(column.name, defect, published, true)):
                    wrong.append((cell, defect, true, published))
                if row is not None and (not defect or not set(by) & set(mending)):
                    wrong.append((cell, row.rule, row.old, row.new))
                for rule in able:
                    hit, meant = rule in by, rule in mending and (rule in by or not set(by) & set(mending))
                    kind = {(True, True): "hit", (False, True): "missed", (True, False): "false"}.get(
                        (hit, meant), "rest"
                    )
                    confusion[rule][kind] += 1
    record_property("confusion", {name: dict(counts) for name, counts in confusion.items()})
    assert wrong == [], "\n".join(map(str, wrong[:40]))
    assert all(counts["missed"] == counts["false"] == 0 for counts in confusion.values())
    # The corpus has neither fractions of k-space nor public images.
    without = {name for name, counts in confusion.items() if not counts["hit"]}
    assert without <= {"partial-fourier-fraction", "public-sidecar"}


def test_every_rule_that_is_meant_is_there() -> None:
    assert {name for names in RULES.values() for name in names} <= {rule.id for rule in rules()}


@pytest.mark.parametrize("resource", IMAGE_RESOURCES)
def test_curated_and_unique_cells_differ_where_the_ledger_says_so(
    night: CurationReport, resource: str
) -> None:
    """Law 6, on the published files: of images whose two tables show the same record."""
    ledger = pd.read_csv(night.folder / "audit/repairs.csv", dtype="str").query("resource == @resource")
    changed = set(zip(ledger["record_id"], ledger["column"], strict=True))
    unique = pd.read_csv(night.folder / f"csv/{resource}.csv", dtype="str").set_index("record_id")
    curated = pd.read_csv(night.folder / f"csv/{resource}_curated.csv", dtype="str").set_index("record_id")
    both = sorted(set(unique.index) & set(curated.index))
    assert len(both) > 100
    checked = 0
    for column in table(resource).columns:  # type: ignore[arg-type]
        name = "md5sum" if column.path[-1] == "md5sum" else column.name
        if name in curated:
            first, second = unique.loc[both, name], curated.loc[both, name]
            differs = (first != second) & ~(first.isna() & second.isna())
            for record_id in first.index[differs]:
                assert (record_id, name) in changed
                checked += 1
    silent = ledger[ledger["rule"] == "value-as-text"]
    alike = [
        (r, c) for r, c in changed - set(zip(silent["record_id"], silent["column"], strict=True))
        if r in both and unique.loc[r, c] == curated.loc[r, c]
    ]  # fmt: skip
    assert alike == [] and checked > 10
