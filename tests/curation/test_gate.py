"""The gate: finished tables that are not what they should be, or cover much less than before, are not published."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation import gate
from curation.curate import PREVIOUS, CurationReport, curate
from curation.engine import Engine
from curation.errors import LawBroken
from curation.pseudonyms import Pseudonyms
from curation.store import RecordStore
from schemas.published import published_table
from tests.support.documents import record, seal, store_of, valid

IMAGES = 400


def images(count: int, **values: Any) -> list[dict[str, Any]]:
    return [{"_id": f"{number:024x}", **valid("T1w", f"{number:032x}", **values)} for number in range(count)]


def store_with(path: Path, documents: list[dict[str, Any]]) -> RecordStore:
    return store_of(path, {"T1w": [record(document) for document in documents]})


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".mriqc-snapshot") for part in path.parts)
    }


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> CurationReport:
    folder = tmp_path_factory.mktemp("gate")
    documents = images(IMAGES, bids_meta_EchoTime=0.003)
    return curate(store_with(folder / "store", documents), folder / "out")


@pytest.fixture
def made(original: CurationReport, tmp_path: Path) -> CurationReport:
    """Tables of 400 images, of the test's own."""
    shutil.copytree(original.folder, tmp_path / "out")
    return replace(original, folder=tmp_path / "out")


def _spoil(folder: Path, name: str, change: Any) -> None:
    path = folder / "parquet" / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def _with(column: str, values: list[Any]) -> Any:
    def change(rows: pa.Table) -> pa.Table:
        place = rows.schema.get_field_index(column)
        kept = rows.column(column).to_pylist()[len(values) :]
        return rows.set_column(
            place, rows.schema.field(place), pa.array([*values, *kept], rows.schema.field(place).type)
        )

    return change


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("T1w", _with("efc", [1.5, -2.0]), "csv/T1w.csv: efc is out of range in 2 row(s), e.g. record 0000"),
        ("T1w", _with("provenance_version", [None]), "provenance_version is missing in 1 row(s)"),
        ("T1w", _with("md5sum", ["jane"]), "md5sum is not a checksum in 1 row(s)"),
        ("T1w_curated", _with("n_records", [0]), "csv/T1w_curated.csv: n_records is out of range"),
        ("T1w_curated", _with("md5sum", ["b" * 32, "b" * 32]), "md5sum stands in more than one row 1 time(s)"),
        ("T1w", lambda rows: rows.drop_columns("extra"), "columns are not those of the dictionary"),
        ("T1w", lambda rows: rows.append_column("new", rows["efc"]), "columns are not those of the dictionary"),
        ("T1w", lambda rows: rows.select(rows.column_names[::-1]), "columns are not those of the dictionary"),
    ],
)  # fmt: skip
def test_a_table_that_breaks_the_dictionary_is_found_out(
    made: CurationReport, name: str, change: Any, said: str
) -> None:
    with Engine(processes=False) as engine:
        gate.measure(made.folder, engine)
        _spoil(made.folder, name, change)
        with pytest.raises(LawBroken, match=re.escape(said)):
            gate.measure(made.folder, engine)


def test_coverage_is_what_the_files_hold(made: CurationReport) -> None:
    coverage = made.snapshot["coverage"]
    rows = pq.read_table(made.folder / "parquet" / "T1w.parquet")
    assert coverage["T1w"]["rows"] == IMAGES
    assert coverage["T1w"]["filled"] == {
        name: pc.count(rows.column(name)).as_py() for name in rows.column_names
    }
    assert coverage["quarantine"] == {
        "rows": 0, "filled": dict.fromkeys(published_table("quarantine").names, 0)
    }  # fmt: skip


def _second(made: CurationReport, tmp_path: Path, documents: list[dict[str, Any]], **options: Any) -> Any:
    return curate(store_with(tmp_path / "second", documents), made.folder, **options)


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        (images(IMAGES - 101, bids_meta_EchoTime=0.003), r"T1w has 101 rows less than the 400 it had"),
        (
            images(IMAGES),
            r"bids_meta_EchoTime of T1w has 0 values in 400 rows and had 400 in 400, e.g. none in record 0{24}, ",
        ),
        (
            images(IMAGES, bids_meta_EchoTime=0.003) + [{**one, "cjv": -1, "_id": f"f{i:023x}"}
                                                        for i, one in enumerate(images(101))],
            r"101 of 501 records of T1w are quarantined, and 0 of 400 were, 101 times for cjv: out of range, "
            r"e.g. record f0{23}, ",
        ),
        (
            images(IMAGES, bids_meta_EchoTime=0.003) + [{**one, "_id": f"f{i:023x}"} for i, one in enumerate(
                images(101, provenance_settings_testing=True))],
            r"101 of 501 records of T1w are excluded, .* 101 times for provenance_settings_testing: marked as testing",
        ),
    ],
    ids=["rows", "column", "quarantine", "excluded"],
)  # fmt: skip
def test_much_less_than_before_is_not_published(
    made: CurationReport, tmp_path: Path, documents: list[dict[str, Any]], said: str
) -> None:
    before = files_in(made.folder)
    with pytest.raises(LawBroken, match=said):
        _second(made, tmp_path, documents)
    assert files_in(made.folder) == before
    accepted = _second(made, tmp_path, [], accept_coverage=True)
    assert accepted.snapshot["tables"]["T1w"]["received"] == len(documents)


def test_a_little_less_or_more_is(made: CurationReport, tmp_path: Path) -> None:
    documents = images(IMAGES - 100, bids_meta_EchoTime=0.003)
    for document in documents[:149]:
        del document["bids_meta"]["EchoTime"]
    _second(made, tmp_path, documents)


def test_all_that_fails_is_told_at_once(made: CurationReport, tmp_path: Path) -> None:
    with pytest.raises(LawBroken) as raised:
        _second(made, tmp_path, images(200))
    assert str(raised.value).count("T1w has 200 rows less") == 1
    assert "bids_meta_EchoTime of T1w has 0 values" in str(raised.value)
    assert "T1w_curated has 200 rows less" in str(raised.value)
    assert "--accept-coverage" in str(raised.value)


def test_the_command_exits_5_and_takes_the_option(made: CurationReport, tmp_path: Path) -> None:
    store_with(tmp_path / "second", images(100))
    command = [sys.executable, "-m", "flows.cli", "curate", "--store", str(tmp_path / "second")]
    command += ["--out", str(made.folder)]
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 5
    assert "300 rows less" in failed.stderr
    assert subprocess.run([*command, "--accept-coverage"], capture_output=True).returncode == 0


def test_a_small_table_does_not_vanish_and_a_killed_run_forgets_nothing(tmp_path: Path) -> None:
    curate(store_with(tmp_path / "store", images(3)), tmp_path / "out")
    (tmp_path / "out" / "snapshot.json").rename(
        tmp_path / "out" / PREVIOUS
    )  # as a kill amid moving leaves it
    with pytest.raises(LawBroken, match="T1w has 3 rows less"):
        curate(RecordStore(tmp_path / "empty"), tmp_path / "out")


def test_a_version_without_coverage_is_compared_as_far_as_it_goes(
    made: CurationReport, tmp_path: Path
) -> None:
    path = made.folder / "snapshot.json"
    snapshot = json.loads(path.read_bytes())
    del snapshot["coverage"]
    path.write_text(json.dumps(snapshot))
    _second(made, tmp_path, images(10))


def test_counts_by_fate_are_shares_of_what_was_received(tmp_path: Path) -> None:
    """A database that doubles may have twice as many broken records."""
    store = store_with(tmp_path / "store", images(300) + [{**one, "cjv": -1, "_id": f"f{i:023x}"}
                                                          for i, one in enumerate(images(300))])  # fmt: skip
    curate(store, tmp_path / "out")
    more = [{**one, "_id": f"a{i:023x}"} for i, one in enumerate(images(300))]
    more += [{**one, "cjv": -1, "_id": f"e{i:023x}"} for i, one in enumerate(images(300))]
    seal(store, "T1w", 2, [record(one) for one in more])
    assert curate(store, tmp_path / "out").snapshot["tables"]["T1w"]["quarantined"] == 600


def test_another_key_is_not_published_unasked(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", images(3))
    curate(store, tmp_path / "out", pseudonyms=Pseudonyms("a" * 16))
    for other in (Pseudonyms("b" * 16), None):
        with pytest.raises(LawBroken, match="every rater and scanner would be called otherwise"):
            curate(store, tmp_path / "out", pseudonyms=other)
    curate(store, tmp_path / "out", pseudonyms=Pseudonyms("b" * 16), accept_coverage=True)
    curate(store, tmp_path / "out", pseudonyms=Pseudonyms("b" * 16))
