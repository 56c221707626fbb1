"""The benchmark: what it measures is what it says, and all of it runs."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas import table
from schemas.published import IMAGE_RESOURCES

pytest.importorskip("duckdb")
pytest.importorskip("psutil")

from benchmarks import diff
from benchmarks.alone import StepFailedError, run_alone, run_command
from benchmarks.corpus import REPEATED, SHARES, image_checksums, write_corpus
from benchmarks.tables import ratio_table
from benchmarks.targets import ratios
from benchmarks.versions import CHANGED
from benchmarks.whole import NIGHT, Work, import_files, measure

RECORDS = 600


def documents(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_corpus_is_the_same_twice_and_has_the_stated_shares(tmp_path: Path) -> None:
    files = write_corpus(tmp_path / "one", RECORDS, later=RECORDS // NIGHT)
    again = write_corpus(tmp_path / "two", RECORDS, later=RECORDS // NIGHT)
    for resource, share in SHARES.items():
        assert files.first[resource].read_bytes() == again.first[resource].read_bytes()
        assert files.later[resource].read_bytes() == again.later[resource].read_bytes()
        found = documents(files.first[resource])
        assert len(found) == round(RECORDS * share)
        later = documents(files.later[resource])
        assert all(found[-1]["_id"] < document["_id"] for document in later)
    images = documents(files.first["T1w"])
    sound = [one for one in images if len(str(one["provenance"].get("md5sum"))) == 32]
    repeated = 1 - len(image_checksums(files.first["T1w"])) / len(sound)
    # Three standard deviations of so many draws.
    assert abs(repeated - REPEATED) < 3 * math.sqrt(REPEATED * (1 - REPEATED) / len(sound))
    declared = {column.path[1] for column in table("T1w").columns if column.path[0] == "bids_meta"}
    assert sum(not declared.issuperset(one["bids_meta"]) for one in images) > len(images) / 3
    every = [one for resource in IMAGE_RESOURCES for one in documents(files.first[resource])]
    assert any(
        isinstance(value, float) and not math.isfinite(value) for one in every for value in one.values()
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Work]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, measure(RECORDS, 1, checksums=2_000, keep=folder)


def test_whole_runs(measured: tuple[Path, dict[str, Work]]) -> None:
    folder, works = measured
    assert list(works) == ["duckdb", "import", "curate", "night", "pandas"]
    assert all(work.seconds > 0 and work.peak_mb > 10 for work in works.values())
    with (folder / "out" / "csv" / "T1w_curated.csv").open() as file:
        public = [row["public"] for row in csv.DictReader(file)]
    assert 0.4 < public.count("true") / len(public) < 0.6
    found = ratios({"whole": works})
    assert [ratio.found is None for ratio in found] == [False] * 5 + [True] * 3
    assert ratio_table(found, RECORDS).row_count == len(found)


def test_duckdb_has_the_images_of_the_unique_tables_and_those_kept_out(
    measured: tuple[Path, dict[str, Work]],
) -> None:
    folder, works = measured
    with (folder / "out" / "audit" / "records.csv").open() as file:
        fates = {row["record_id"]: row["fate"] for row in csv.DictReader(file)}
    for resource in IMAGE_RESOURCES:
        records = {
            one["_id"]: one["provenance"].get("md5sum")
            for one in documents(folder / "corpus" / f"{resource}.jsonl")
        }
        every = set(records.values())
        ours = {records[one] for one in records if fates[one] in ("representative", "duplicate")}
        assert works["curate"].rows[resource] == len(ours)
        assert works["duckdb"].rows[resource] == len(every) == works["pandas"].rows[resource]
        with (folder / "duckdb" / f"{resource}.csv").open() as file:
            found = {row[table(resource).checksum.name] or None for row in csv.DictReader(file)}
        assert found == every >= ours


def test_diff_finds_what_the_made_up_versions_differ_in() -> None:
    found = diff.measure(RECORDS, 1)
    rows = RECORDS * diff.ROWS_A_RECORD
    assert (found.rows, found.columns, found.unexplained) == (rows, 165, 0)
    # A quarter of one row of a hundred has another representative, and so every IQM but the sizes.
    assert found.cells > rows * CHANGED / 4 * 60
    assert found.diff_seconds > 0 and found.pyarrow_seconds > 0 and found.diff_peak_mb > 10
    time, memory, unexplained = ratios({"diff": found})[-3:]
    assert (time.found, memory.found) == (found.ratio, found.diff_peak_mb)
    assert unexplained.reached


def test_peak_memory_is_of_all_processes() -> None:
    child = "held = b'x' * 80_000_000; import time; time.sleep(1)"
    script = "import subprocess, sys\n"
    script += f"started = [subprocess.Popen([sys.executable, '-c', {child!r}]) for _ in range(2)]\n"
    script += "[one.wait() for one in started]; print('{}')"
    assert 160 < run_command([sys.executable, "-c", script]).peak_mb < 300


def test_step_that_fails_fails_the_benchmark(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match=r"exit code 1:(.|\n)*UsageError"):
        run_alone(import_files, files=[tmp_path / "nowhere.jsonl"], store=tmp_path / "store")
