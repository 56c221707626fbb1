"""Two nights of the demo corpus: every change between them has a cause, and those planted are found."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from typing import Any

import pytest

from curation.curate import CurationReport, curate
from curation.diff import Difference, compare, open_version
from curation.store import RecordStore
from flows.demo.corpus import Corpus, second_night
from flows.demo.corpus.model import SecondNight
from flows.demo.load import load_documents
from flows.demo.server import database, make_app
from tests.curation.diff.test_causes import cells
from tests.support.documents import moment, record, seal
from tests.support.pseudonyms import PSEUDONYMS


def _rendered(value: Any) -> str:
    return moment(int(value.timestamp())) if isinstance(value, datetime) else str(value)


@pytest.fixture(scope="module")
def changes(corpus: Corpus) -> SecondNight:
    return second_night(corpus)


@pytest.fixture(scope="module")
def found(
    corpus: Corpus, changes: SecondNight, night: CurationReport, tmp_path_factory: pytest.TempPathFactory
) -> Difference:
    """What changed from the first night to the second."""
    folder = tmp_path_factory.mktemp("second")
    shutil.copytree(night.folder.parent / "store", folder / "store")
    store, db = RecordStore(folder / "store"), database(make_app(token="token-of-the-tests"))
    for resource in corpus.documents:
        load_documents(db, resource, [*changes.changed[resource], *changes.added[resource]])
        new = [json.loads(json.dumps(one, default=_rendered)) for one in db[resource].find()]
        seal(store, resource, 2, [record(one) for one in new])
        store.record_deletions(resource, 2, changes.deleted[resource], "a test")
    curate(store, folder / "out", pseudonyms=PSEUDONYMS)
    return compare(open_version(str(night.folder)), open_version(str(folder / "out")))


def test_every_change_between_the_nights_is_explained(found: Difference) -> None:
    assert found.unexplained == 0
    assert {table.name for table in found.tables} >= {"T1w", "T1w_curated", "bold", "bold_curated", "rating"}


def test_what_happened_upstream_is_found(found: Difference, changes: SecondNight) -> None:
    every = cells(found)
    for resource in ("T1w", "T2w", "bold", "rating"):
        mine = [row for row in every if row["table"] == resource]
        gone = {row["old_record_id"] for row in mine if row["kind"] == "row removed"}
        assert gone == set(changes.deleted[resource])
        came = {row["record_id"] for row in mine if row["kind"] == "row added"}
        assert came <= {one["_id"] for one in changes.added[resource]}
        edited = {row["record_id"] for row in mine if row["cause"] == "record changed upstream"}
        assert edited == {one["_id"] for one in changes.changed[resource]}
