"""The demo corpus, curated once for all tests of this room."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from curation.curate import CurationReport, curate
from flows.demo.corpus import Corpus, make_corpus
from flows.demo.load import load_documents
from flows.demo.server import database, make_app
from schemas import RESOURCES
from tests.support.documents import moment, record, store_of
from tests.support.pseudonyms import PSEUDONYMS


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return make_corpus()


@pytest.fixture(scope="session")
def documents(corpus: Corpus) -> dict[str, list[dict[str, Any]]]:
    """The corpus after it went through the embedded Web-API's database, as that renders it."""
    db = database(make_app(token="token-of-the-tests"))
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in RESOURCES:
        load_documents(db, resource, corpus.documents[resource])
        found[resource] = [json.loads(json.dumps(one, default=_rendered)) for one in db[resource].find()]
    return found


def _rendered(value: Any) -> str:
    # The database's time zone is UTC by another name than datetime's.
    return moment(int(value.timestamp())) if isinstance(value, datetime) else str(value)


@pytest.fixture(scope="session")
def night(
    documents: dict[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> CurationReport:
    folder = tmp_path_factory.mktemp("corpus")
    store = store_of(folder / "store", {r: [record(d) for d in found] for r, found in documents.items()}, 400)
    return curate(store, folder / "out", pseudonyms=PSEUDONYMS)
