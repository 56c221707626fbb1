"""What Prefect keeps of a night for its operator."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from curation.curate import curate
from curation.errors import UsageError
from curation.publish import PublishReport
from curation.pull import PullReport
from curation.report import Because, Changes, TableChanges
from curation.store import RecordStore
from flows.nightly import NightReport, night_markdown, nightly
from flows.settings import load_settings
from flows.sharing import NightNotPushed

TRAFFIC = {"requests": 20, "retries": 1, "bytes": 300}


def test_it_tells_of_withdrawals_of_the_last_release_and_of_the_page(tmp_path: Path) -> None:
    made = curate(RecordStore(tmp_path / "store"), tmp_path / "out").snapshot
    snapshot = json.loads(json.dumps(made)) | {"last_release": {"version": "2026.11.23"}}
    snapshot["tables"]["bold"] |= {"received": 7, "withdrawn": 7}
    table = TableChanges("T1w", 4, 0, 0, 0, 0, (Because("rows", "new record", 4),))
    changes = Changes(("`T1w`: 4 added",), (table,), 2)
    pulled = PullReport(3, {}, TRAFFIC)
    text = night_markdown(pulled, PublishReport("0123456789abcdef", snapshot, {}, changes=changes))
    head = next(line for line in text.splitlines() if "withdrawn" in line).split("|")
    row = next(line for line in text.splitlines() if line.startswith("| bold")).split("|")
    assert len(head) == len(row) and row[[one.strip() for one in head].index("withdrawn")].strip() == "7"
    verdict = "2 changes without a cause: errors of ours; please report them."
    assert f"Since release 2026.11.23: **{verdict}**\n\n- `T1w`: 4 added\n" in text
    assert "`report.html` of commit 0123456789" in text
    quiet = night_markdown(pulled, PublishReport(None, snapshot, snapshot))
    assert "report.html" not in quiet and "Since release" not in quiet


def test_what_a_night_raises_may_be_kept_by_prefect() -> None:
    report = NightReport(PullReport(1), PublishReport(None, {}, {}))
    raised = pickle.loads(pickle.dumps(NightNotPushed("not pushed", report)))
    assert (str(raised), raised.report) == ("not pushed", report)


@pytest.mark.parametrize(("store", "dataset"), [("data/store", "data"), ("store", "store/data"), ("a", "a")])
def test_a_store_and_a_dataset_in_each_other_are_refused_before_anything_is_made(
    tmp_path: Path, store: str, dataset: str
) -> None:
    settings = load_settings(
        api_url="http://127.0.0.1:9/", store=tmp_path / store, dataset=tmp_path / dataset
    )
    with pytest.raises(UsageError, match="which is private"):
        nightly(settings)
    assert not list(tmp_path.iterdir())
