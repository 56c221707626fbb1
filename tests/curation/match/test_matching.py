"""Matching: every public copy is found, one is chosen as written, gaps are filled from its sidecars."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.curate import CurationReport, curate
from curation.index.index import Index
from curation.index.sources import add_sources
from curation.match.checksums import match_checksums
from tests.support.documents import moment, record, store_of, valid
from tests.support.index import copy, index_of
from tests.support.pseudonyms import PSEUDONYMS

A, B, C = "a" * 32, "b" * 32, "c" * 32


def sums(*checksums: str) -> pa.ChunkedArray:
    return pa.chunked_array([list(checksums)], pa.string())


def curated(tmp_path: Path, resource: str, documents: list[dict[str, Any]], index: Index) -> CurationReport:
    records = [
        record({"_id": f"{n:024x}", "_created": moment(1_600_000_000 + n)} | d)
        for n, d in enumerate(documents)
    ]
    return curate(
        store_of(tmp_path / "store", {resource: records}),
        tmp_path / "out",
        index=index,
        pseudonyms=PSEUDONYMS,
    )


def table(report: CurationReport, name: str) -> pd.DataFrame:
    return pd.read_csv(report.folder / f"{name}.csv", dtype="str", keep_default_na=False)


# --- which copy ----------------------------------------------------------------------------------------------

_CHOICES: list[tuple[dict[str, list[dict[str, Any]]], str, str]] = [
    # datasets in the order added, chosen dataset, chosen path
    ({"ds2": [copy(A)], "ds1": [copy(A)]}, "ds2", "sub-01/anat/sub-01_T1w.nii.gz"),  # the first source
    ({"ds1": [copy(A, "b_T1w.nii", in_newest=False), copy(A, "longer_T1w.nii")]}, "ds1", "longer_T1w.nii"),
    ({"ds1": [copy(A, "a_T1w.nii", last_version="1.9.0"), copy(A, "b_T1w.nii", last_version="1.10.0")]},
     "ds1", "b_T1w.nii"),
    ({"ds1": [copy(A, "a_T1w.nii", last_version=None), copy(A, "b_T1w.nii", last_version="00001")]},
     "ds1", "b_T1w.nii"),
    ({"ds1": [copy(A, "aaa_T1w.nii"), copy(A, "b_T1w.nii")]}, "ds1", "b_T1w.nii"),
    ({"ds1": [copy(A, "b_T1w.nii"), copy(A, "a_T1w.nii")]}, "ds1", "a_T1w.nii"),
]  # fmt: skip


@pytest.mark.parametrize(("datasets", "dataset", "path"), _CHOICES)
def test_the_choice_is_the_one_that_is_written(
    datasets: dict[str, list[dict[str, Any]]], dataset: str, path: str, tmp_path: Path
) -> None:
    matches = match_checksums(sums(B, A.upper()), index_of(tmp_path, datasets))
    chosen = matches.chosen(2).to_pylist()
    assert (chosen[0]["path"], chosen[0]["n"]) == (None, 0)
    assert (chosen[1]["dataset"], chosen[1]["path"]) == (dataset, path)
    assert chosen[1]["n"] == sum(map(len, datasets.values()))


_datasets = st.dictionaries(
    st.sampled_from(["ds1", "ds2", "ds3"]),
    st.lists(
        st.builds(
            copy, st.sampled_from([A, B, C]), st.sampled_from(["x_T1w.nii", "y_T1w.nii", "xx_bold.nii"]),
            in_newest=st.booleans(), last_version=st.sampled_from([None, "1.0.0", "1.0.10", "00002", "snapshot"]),
        ),
        max_size=5,
    ),
    max_size=3,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(datasets=_datasets, wanted=st.lists(st.sampled_from([A, B, C, "d" * 32]), unique=True))
def test_every_copy_is_found_and_one_is_chosen(
    datasets: dict[str, list[dict[str, Any]]], wanted: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = index_of(tmp_path_factory.mktemp("index"), datasets)
    matches = match_checksums(sums(*wanted), index)
    rows = matches.copies.take(pa.array(matches.order)).to_pylist()
    expected = [
        (wanted.index(one["md5"]), name, one["path"]) for name, copies in datasets.items() for one in copies
        if one["md5"] in wanted
    ]  # fmt: skip
    assert sorted((row["key"], row["dataset"], row["path"]) for row in rows) == sorted(expected)
    for key in range(len(wanted)):
        mine = [row["chosen"] for row in rows if row["key"] == key]
        assert mine == [True] * min(1, len(mine)) + [False] * (len(mine) - 1)
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)


def test_an_index_of_nothing_matches_nothing(tmp_path: Path) -> None:
    matches = match_checksums(sums(A), index_of(tmp_path, {}))
    assert matches.chosen(1).column("n").to_pylist() == [0]
    assert match_checksums(sums(), index_of(tmp_path / "b", {"ds1": [copy(A)]})).copies.num_rows == 0


# --- what is published ---------------------------------------------------------------------------------------


def test_tables_say_who_is_public_and_where(tmp_path: Path) -> None:
    index = index_of(tmp_path / "index", {"ds1": [copy(A), copy(A, "sub-02/func/sub-02_task-x_bold.nii.gz")]})
    report = curated(tmp_path, "T1w", [valid("T1w", A), valid("T1w", B)], index)
    first, second = table(report, "csv/T1w_curated").to_dict("records")
    assert (first["public"], first["public_dataset"], first["public_version"]) == ("true", "ds1", "1.0.0")
    assert first["public_url"] == "https://example.org/sub-01/anat/sub-01_T1w.nii.gz"
    assert (first["n_public_copies"], first["public_doi"]) == ("2", "10.1/x")
    assert (second["public"], second["n_public_copies"], second["public_path"]) == ("false", "0", "")
    copies = table(report, "audit/matches")
    assert copies["chosen"].tolist() == ["true", "false"] and set(copies["md5sum"]) == {A}
    assert report.snapshot["public"]["T1w"] == {
        "images": 2, "public": 1, "by_dataset": {"ds1": 1}, "by_year": {"2020": {"images": 2, "public": 1}},
    }  # fmt: skip
    assert report.snapshot["versions"]["index"] == index.digest


def test_without_an_index_nothing_is_said(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", {"T1w": [record({"_id": "0" * 24} | valid("T1w", A))]})
    report = curate(store, tmp_path / "out")
    (row,) = table(report, "csv/T1w_curated").to_dict("records")
    assert {row[name] for name in row if "public" in name} == {""}
    assert report.snapshot["public"] == {} and report.snapshot["versions"]["index"] is None


def test_another_modality_is_matched_and_flagged(tmp_path: Path) -> None:
    index = index_of(tmp_path / "index", {"ds1": [copy(A, "sub-01/func/sub-01_task-x_bold.nii.gz")]})
    report = curated(tmp_path, "T1w", [valid("T1w", A)], index)
    (row,) = table(report, "csv/T1w_curated").to_dict("records")
    assert row["public"] == "true" and "modality_mismatch" in row["flags"].split()


# --- filling -------------------------------------------------------------------------------------------------

SIDECAR = {"EchoTime": 0.003, "FlipAngle": 8, "Manufacturer": "Siemens", "RepetitionTime": 2300, "PatientName": "DOE^J",
           "DeviceSerialNumber": "4711", "ProtocolName": "=cmd()", "ScanningSequence": ["GR", "IR"]}  # fmt: skip


def _row_and_ledger(
    tmp_path: Path, meta: dict[str, Any], sidecar: dict[str, Any], created: str = moment(1_600_000_000)
) -> tuple[dict[str, str], dict[str, dict[str, str]], CurationReport]:
    index = index_of(tmp_path / "index", {"ds1": [copy(A, sidecar=sidecar)]})
    document = valid("T1w", A) | {"_created": created}
    document["bids_meta"] |= meta
    report = curated(tmp_path, "T1w", [document], index)
    (row,) = table(report, "csv/T1w_curated").to_dict("records")
    ledger = table(report, "audit/repairs").to_dict("records")
    return row, {line["column"].removeprefix("bids_meta_"): line for line in ledger}, report


def test_what_was_not_received_is_filled_and_in_the_ledger(tmp_path: Path) -> None:
    row, ledger, report = _row_and_ledger(tmp_path, {}, SIDECAR)
    assert (row["bids_meta_EchoTime"], row["bids_meta_FlipAngle"]) == ("0.003", "8.0")
    # What is filled is repaired like what was received, and harmonised.
    assert (row["bids_meta_RepetitionTime"], row["manufacturer"]) == ("2.3", "Siemens")
    assert row["bids_meta_ScanningSequence"] == '["GR","IR"]'
    assert ledger["EchoTime"]["rule"] == "public-sidecar" and ledger["EchoTime"]["old"] == ""
    assert ledger["EchoTime"]["evidence"] == "sidecar ds1/1.0.0/T1w.json"
    assert ledger["RepetitionTime"]["rule"] == "public-sidecar repetition-time-milliseconds"
    assert row["bids_meta_DeviceSerialNumber"] == "" and row["bids_meta_ProtocolName"] == ""
    published = "".join(path.read_text() for path in report.folder.rglob("*.csv"))
    assert "DOE" not in published and "4711" not in published and "=cmd" not in published
    assert table(report, "audit/disagreements").empty


def test_what_was_received_stays_and_is_listed_where_it_disagrees(tmp_path: Path) -> None:
    meta = {"EchoTime": 0.004, "FlipAngle": 8.0000000001, "Manufacturer": "Philips", "RepetitionTime": 2.3}
    row, ledger, report = _row_and_ledger(tmp_path, meta, SIDECAR)
    assert (row["bids_meta_EchoTime"], row["bids_meta_Manufacturer"]) == ("0.004", "Philips")
    assert {"EchoTime", "FlipAngle", "Manufacturer", "RepetitionTime"}.isdisjoint(ledger)
    listed = table(report, "audit/disagreements").set_index("column")
    assert dict(listed["sidecar"]) == {
        "bids_meta_EchoTime": "0.003", "bids_meta_Manufacturer": "Siemens", "bids_meta_RepetitionTime": "2300.0",
    }  # fmt: skip
    assert listed.loc["bids_meta_EchoTime", "curated"] == "0.004"

    assert "sidecar_mismatch" in row["flags"].split()


def test_what_was_received_as_the_sidecar_says_does_not_disagree(tmp_path: Path) -> None:
    meta = {"RepetitionTime": 2300, "PhaseEncodingDirection": "AP"}
    row, ledger, report = _row_and_ledger(tmp_path, meta, meta)
    assert (row["bids_meta_RepetitionTime"], row["bids_meta_PhaseEncodingDirection"]) == ("2.3", "j-")
    assert set(ledger) == {"RepetitionTime", "PhaseEncodingDirection"}
    assert table(report, "audit/disagreements").empty and "sidecar_mismatch" not in row["flags"]


@pytest.mark.parametrize("said", [float("inf"), float("nan")])
def test_a_sidecar_without_numbers_says_nothing(said: float, tmp_path: Path) -> None:
    sidecar = {"MagneticFieldStrength": said, "EchoTime": said, "Manufacturer": "", "FlipAngle": None}
    meta = {"MagneticFieldStrength": 2, "InversionTime": float("nan")}
    row, ledger, _ = _row_and_ledger(tmp_path, meta, sidecar | {"InversionTime": 0.9}, moment(1_500_000_000))
    assert set(ledger) == {"MagneticFieldStrength"} and row["bids_meta_EchoTime"] == ""
    assert row["bids_meta_InversionTime"] == "nan"


def test_no_cell_of_a_public_copy_is_a_formula(tmp_path: Path) -> None:
    (tmp_path / "sums.md5").write_text(f'{A}  =HYPERLINK("http://example.org","x")/sub-01_T1w.nii.gz\n')
    index = Index(tmp_path / "index")
    add_sources(index, [str(tmp_path / "sums.md5")], dataset="ds1")
    report = curated(tmp_path, "T1w", [valid("T1w", A)], index)
    (row,) = table(report, "csv/T1w_curated").to_dict("records")
    assert row["public_path"].startswith('"=HYPERLINK')
    assert table(report, "audit/matches")["path"].tolist() == [row["public_path"]]


def test_what_could_not_be_read_is_not_overwritten(tmp_path: Path) -> None:
    row, ledger, _ = _row_and_ledger(tmp_path, {"EchoTime": [0.004, 0.005], "FLipAngle": 9}, SIDECAR)
    assert row["bids_meta_EchoTime"] == "" and ledger["EchoTime"]["rule"] == "cannot-be-held"
    assert (row["bids_meta_FlipAngle"], ledger["FlipAngle"]["rule"]) == ("9.0", "other-key")


@pytest.mark.parametrize(
    ("received", "said", "published", "evidence"),
    [
        (2, 2.89362, "2.89362", "sidecar ds1/1.0.0/T1w.json"),
        (1, 1.494, "1.494", "sidecar ds1/1.0.0/T1w.json"),
        # Evidence that is not cut to the received number is none.
        (1, 3, "", ""),
        (2, 3, "", ""),
        # What is filled was never cut.
        (None, 1, "1.0", "sidecar ds1/1.0.0/T1w.json"),
    ],
)
def test_the_sidecar_is_the_first_evidence_of_a_field(
    received: float | None, said: float, published: str, evidence: str, tmp_path: Path
) -> None:
    meta = {} if received is None else {"MagneticFieldStrength": received}
    row, ledger, _ = _row_and_ledger(tmp_path, meta, {"MagneticFieldStrength": said}, moment(1_500_000_000))
    assert row["bids_meta_MagneticFieldStrength"] == published
    assert ledger["MagneticFieldStrength"]["evidence"] == evidence


# --- real images ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_index(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("real") / "index"
    index = Index(folder)
    report = add_sources(index, [str(path) for path in sorted((shared / "annex").glob("*.bundle"))])
    assert report.failed == {} and len(report.read) == 13
    return Index(folder)


@pytest.mark.parametrize(
    ("accession", "images"), [("ds000114", 120), ("ds000006", 190), ("ds000009", 168), ("ds000017", 106)]
)
def test_real_records_are_found_and_filled(
    accession: str, images: int, real_index: Index, shared: Path, tmp_path: Path
) -> None:
    lines = gzip.decompress((shared / f"mriqc/{accession}.jsonl.gz").read_bytes()).decode().splitlines()
    whole = [json.loads(line) for line in lines]
    stripped: dict[str, list[dict[str, Any]]] = {"bold": [], "T1w": []}
    kept = {"modality", "subject_id", "session_id", "run_id", "task_id", "acq_id", "TaskName"}
    for one in whole:
        meta = {key: value for key, value in one["record"]["bids_meta"].items() if key in kept}
        stripped[meta["modality"]].append(one["record"] | {"bids_meta": meta})
    records, paths = {}, {one["record"]["provenance"]["md5sum"]: one for one in whole}
    for resource, found in stripped.items():
        start = 10_000 if resource == "bold" else 0
        records[resource] = [
            record({"_id": f"{start + n:024x}", "_created": moment(1_600_000_000 + n)} | d)
            for n, d in enumerate(found)
        ]
    report = curate(
        store_of(tmp_path / "store", records), tmp_path / "out", index=real_index, pseudonyms=PSEUDONYMS
    )
    assert len(whole) == images
    matched = filled = 0
    for resource in ("bold", "T1w"):
        rows = pd.read_csv(report.folder / f"csv/{resource}_curated.csv", low_memory=False)
        assert rows["public"].all() and set(rows["public_dataset"]) <= {accession}
        for row in rows.to_dict("records"):
            matched += row["n_records"]
            filled += _check_filled(row, paths[row["md5sum"]]["record"]["bids_meta"])
    assert matched == images
    # Of every run the repetition time at the least.
    assert filled >= len(pd.read_csv(report.folder / "csv/bold_curated.csv", usecols=["md5sum"]))
    assert table(report, "audit/disagreements").empty


def _check_filled(row: dict[str, Any], meta: dict[str, Any]) -> int:
    """Every acquisition parameter that MRIQC had of the image is in the row again, to the digit; how many there are."""
    had = [key for key in _PARAMETERS if key in meta]
    for key in had:
        assert row[f"bids_meta_{key}"] == meta[key], key
    return len(had)


_PARAMETERS = (
    *("EchoTime", "RepetitionTime", "FlipAngle", "MagneticFieldStrength", "Manufacturer"),
    "PhaseEncodingDirection",
)
