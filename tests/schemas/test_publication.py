"""What is published of the dictionary: every column of every file explained, for people and programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import frictionless
import pandas as pd
import pyarrow.parquet as pq
import pytest

from curation.curate import CurationReport, curate
from schemas import bids
from schemas.dictionary import ARROW_TYPES
from schemas.publication import documentation_page, sidecar
from schemas.published import CURATED_TABLES, LEDGERS, TABLES, published_table
from schemas.validation import table_schema
from tests.conftest import REPOSITORY
from tests.support.documents import record, store_of, valid


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> CurationReport:
    """Published files of a few odd but sound records, and of one that is not."""
    folder = tmp_path_factory.mktemp("published")
    odd = {"bids_meta_ProtocolName": 'a "b"\n,c', "bids_meta_EchoTime": "0.03", "bids_meta_run_id": "01"}
    images: dict[str, list[dict[str, Any]]] = {
        "T1w": [valid("T1w", "a" * 32, cnr=float("nan"), **odd), valid("T1w", "A" * 32, snr_csf=1e-300)],
        "T2w": [valid("T2w", fwhm_x=float("inf"), fwhm_y=float("-inf"), provenance_settings_testing=False)],
        "bold": [valid("bold", **odd), valid("bold", "none")],
        "rating": [valid("rating", comment='["inu"]', rating="2.5")],
    }
    records = {
        name: [record({"_id": f"{number:024x}", **document}) for number, document in enumerate(found)]
        for name, found in images.items()
    }
    return curate(store_of(folder / "store", records), folder / "out")


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_explained(name: str) -> None:
    for column, about in sidecar(published_table(name)).items():
        assert len(about["Description"]) > 10, column
        assert about["Source"], column
        if about["Type"] in ("number", "integer"):
            assert about["Units"], column
        if "PlausibleMinimum" in about or "PlausibleMaximum" in about:
            assert about["PlausibleSource"], column


@pytest.mark.parametrize("name", TABLES)
def test_ranges_make_sense(name: str) -> None:
    for column in published_table(name).columns:
        assert column.type in ARROW_TYPES
        hard, plausible = column.hard or (None, None), column.plausible or (None, None)
        assert hard == (None, None) or column.type in ("number", "integer")
        for low, high in (hard, plausible):
            assert low is None or high is None or low < high
        # What is plausible is possible.
        assert hard[0] is None or plausible[0] is None or plausible[0] >= hard[0]
        assert hard[1] is None or plausible[1] is None or plausible[1] <= hard[1]


def test_every_file_has_the_columns_of_the_dictionary_and_no_other(report: CurationReport) -> None:
    for name in TABLES:
        table = published_table(name)
        explained = json.loads((report.folder / "dictionary" / f"{name}.json").read_bytes())
        assert sorted(explained) == sorted(table.names)
        assert pd.read_csv(report.folder / table.path).columns.to_list() == table.names
        assert list(table_schema(table).columns) == table.names
        if name not in LEDGERS:
            assert pq.read_schema(report.folder / "parquet" / f"{name}.parquet").names == table.names
    files = {Path(name).name for name in report.files if name.startswith(("csv/", "audit/"))}
    assert files == {Path(published_table(name).path).name for name in TABLES}
    package = json.loads((report.folder / "datapackage.json").read_bytes())
    for resource in package["resources"]:
        names = [field["name"] for field in resource["schema"]["fields"]]
        assert names == published_table(resource["title"]).names


def test_frictionless_takes_the_data_package_and_every_table(report: CurationReport) -> None:
    found = frictionless.validate(str(report.folder / "datapackage.json"))
    assert found.valid, found.flatten(["name", "rowNumber", "fieldName", "message"])
    assert [task.name for task in found.tasks] == [name.lower() for name in TABLES]
    path = report.folder / "csv" / "T1w.csv"
    path.write_bytes(path.read_bytes().replace(b"0.14.2", b"0.14.3", 1))
    assert not frictionless.validate(str(report.folder / "datapackage.json")).valid


def test_flags_are_explained() -> None:
    for name in CURATED_TABLES:
        about = sidecar(published_table(name))["flags"]
        assert {"non_finite", "unreadable_acquisition"} <= set(about["Levels"])
        assert all(flag.isidentifier() and len(said) > 10 for flag, said in about["Levels"].items())


def test_terms_of_bids_are_read_from_its_schema() -> None:
    columns = {column.name: column for column in published_table("bold").columns}
    echo_time = columns["bids_meta_EchoTime"]
    assert bids.unit(echo_time) == "s"
    assert bids.description(echo_time).startswith("The echo time (TE) for the acquisition")
    assert "](" not in bids.description(echo_time)
    assert bids.term_url(echo_time).endswith("#objects.metadata.EchoTime")


def test_the_page_on_columns_is_that_of_the_dictionary() -> None:
    page = documentation_page({name: published_table(name) for name in TABLES})
    assert (REPOSITORY / "docs" / "columns.md").read_text() == page, "run python -m schemas > docs/columns.md"
