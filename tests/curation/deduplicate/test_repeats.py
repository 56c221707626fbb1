"""Repeats, versions and similar images, against a plain reading of their definitions."""

from __future__ import annotations

import math
import statistics
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.curate import curate
from curation.deduplicate import count_similar
from curation.deduplicate.ranking import rank_versions
from tests.support.documents import record, store_of, valid

_values = st.sampled_from([0.0, 1.0, 2.0, 2.5, 1e300, -0.0, math.nan, math.inf]) | st.floats(0, 9)


@st.composite
def runs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Records of a few images, versions and settings, in the order of their creation; they differ in three IQMs."""
    return [
        {
            "_id": f"{number:024x}",
            **valid(
                "T1w",
                draw(st.sampled_from("abc")) * 32,
                cjv=draw(_values),
                qi_2=draw(_values),
                summary_bg_mad=draw(_values | st.none()),
                provenance_version=draw(st.sampled_from(["0.9.6", "0.9.7"])),
                provenance_settings_fd_thres=draw(st.sampled_from([None, 0.2])),
            ),
        }
        for number in range(draw(st.integers(1, 10)))
    ]


IQMS = ("cjv", "qi_2", "summary_bg_mad")


def _run(document: dict[str, Any]) -> tuple[Any, ...]:
    provenance = document["provenance"]
    return provenance["md5sum"], provenance["version"], str(provenance["settings"]["fd_thres"])


def _spread(records: list[dict[str, Any]], scales: dict[str, float]) -> float | None:
    """The definition of the dictionary, for the records of one image."""
    found = []
    for _, group in groupby(sorted(records, key=_run), key=_run):
        run = list(group)
        if len(run) > 1:
            if len({tuple(_same(one[name]) for name in IQMS) for one in run}) == 1:
                found.append(0.0)
                continue
            for name in IQMS:
                finite = [one[name] for one in run if one[name] is not None and math.isfinite(one[name])]
                if len(finite) > 1 and scales[name] > 0:
                    found.append((max(finite) - min(finite)) / scales[name])
    return max(found, default=None)


def _same(value: float | None) -> str:
    return repr(value + 0.0) if value is not None else "missing"


def _interquartile_range(values: list[float | None]) -> float:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if len(finite) < 2:
        return 0.0
    low, _, high = statistics.quantiles(finite, method="inclusive")
    return high - low


@settings(max_examples=30, deadline=None)
@given(documents=runs())
def test_spread_and_counts_are_those_of_the_definition(documents: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(Path(folder, "store"), {"T1w": [record(one) for one in documents]}, part=3)
        curate(store, Path(folder, "out"))
        curated = pd.read_csv(Path(folder, "out/csv/T1w_curated.csv"), dtype={"record_id": str})
    by_id = {one["_id"]: one for one in documents}
    best = [by_id[record_id] for record_id in curated["record_id"]]
    scales = {name: _interquartile_range([one[name] for one in best]) for name in IQMS}
    for row in curated.itertuples():
        members = [one for one in documents if one["provenance"]["md5sum"] == row.md5sum]
        assert row.n_records == len(members)
        assert row.n_versions == len({one["provenance"]["version"] for one in members})
        expected = _spread(members, scales)
        if expected is None:
            assert math.isnan(row.iqm_spread)
        else:
            assert row.iqm_spread == pytest.approx(expected, rel=1e-12)


def test_versions_are_ordered_as_releases_are() -> None:
    ordered = [
        ["1a2b3c4", "1234567", None, "", "unknown", "latest"],
        ["0.9.6"],
        ["0.9.7-rc5", "0.9.7rc5"],
        ["0.9.7", "0.9.7.0"],
        ["0.9.8-1", "0.9.8.post1"],
        ["0.10.0"],
        ["21.0.0rc2"],
        ["22.0.6"],
        ["22.0.6+4.gabcdef"],
    ]
    versions = [version for group in ordered for version in group]
    ranks = rank_versions(pd.Series(versions[::-1], dtype="str"))[::-1].to_list()
    assert ranks == [place for place, group in enumerate(ordered) for _ in group]


def test_similar_images_are_counted_and_missing_is_like_missing() -> None:
    images = pa.table({"a": ["x", "x", None, None, "y"], "b": [1.0, 1.0, math.nan, math.nan, None]})
    assert count_similar(images).to_pylist() == [1, 1, 1, 1, 0]
    assert count_similar(images.slice(0, 0)).to_pylist() == []


def test_one_acquisition_under_three_checksums(tmp_path: Path) -> None:
    same = {"bids_meta_run_id": "1", "spacing_x": 0.9}
    documents = [valid("T1w", letter * 32, **same) for letter in "abc"]
    documents += [
        valid("T1w", "d" * 32, **(same | {"bids_meta_run_id": "2"})),
        valid("T1w", "a" * 32, **same),
    ]
    records = [record({"_id": f"{number:024x}", **one}) for number, one in enumerate(documents)]
    curate(store_of(tmp_path / "store", {"T1w": records}), tmp_path / "out")
    curated = pd.read_csv(tmp_path / "out/csv/T1w_curated.csv").set_index("md5sum")
    assert curated["n_same_acquisition"].to_dict() == {"a" * 32: 2, "b" * 32: 2, "c" * 32: 2, "d" * 32: 0}
    assert np.isnan(curated.loc["b" * 32, "iqm_spread"]) and curated.loc["a" * 32, "iqm_spread"] == 0
