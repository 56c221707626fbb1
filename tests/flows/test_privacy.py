"""Law 7 from end to end: nothing personal that the corpus plants is in anything that a night writes or says."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.demo.corpus import Corpus, make_corpus
from flows.demo.load import load_documents
from flows.demo.server import DemoServer, database, make_app
from tests.conftest import REPOSITORY
from tests.support.pseudonyms import KEY


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus()


def _run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """A command at its most talkative; its exit code and all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "MRIQC_SNAPSHOT_TASK_RETRIES": "0",
            **variables,
        },
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def written(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that nights and their failures wrote and said, by where it was; as text."""
    folder = tmp_path_factory.mktemp("privacy")
    app = make_app(token="t")
    db = database(app)
    for resource, documents in corpus.documents.items():
        load_documents(db, resource, documents)
    found: dict[str, str] = {}
    with DemoServer(app) as server:
        night = ["nightly", "--api-url", server.url, "--store", "store", "--dataset", "data"]
        code, found["a night"] = _run(folder, *night)
        assert code == 0, found["a night"][-2000:]
        code, found["its figures"] = _run(folder, *night, "--json")
        assert code == 0
        code, found["a night without a key"] = _run(folder, *night, MRIQC_SNAPSHOT_PSEUDONYM_KEY="")
        assert code == 2 and "MRIQC_SNAPSHOT_PSEUDONYM_KEY is not set" in found["a night without a key"]
        code, found["a short key"] = _run(folder, *night, MRIQC_SNAPSHOT_PSEUDONYM_KEY="jane:s3cret")
        assert code == 2 and "at least 16" in found["a short key"]
        code, found["verify"] = _run(folder, "verify", "--api-url", server.url, "--store", "store")
        assert code == 0
        # All ratings and most images lose their checksum: a gate that names records, their rules and columns.
        for resource, column in (("rating", "md5sum"), ("bold", "provenance.md5sum")):
            now = datetime.now(UTC).replace(microsecond=0)
            db[resource].update_many(
                {}, {"$set": {column: "jane:s3cret", "_updated": now, "_etag": "5" * 40}}
            )
        code, found["a gate"] = _run(folder, *night)
        assert code == 5 and "not a checksum" in found["a gate"]
    code, found["a folder of tables"] = _run(folder, "curate", "--store", "store", "--out", "out", "--json")
    assert code == 0
    for part in folder.glob("store/T1w/typed/*.parquet"):
        part.write_bytes(part.read_bytes()[:-9] + b"jane:s3cr")
    for part in folder.glob("store/T1w/parts/*"):
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    code, found["a damaged part"] = _run(folder, "curate", "--store", "store", "--out", "out")
    assert code == 1
    return found | dict(_files(folder))


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file that is not the private store's: as it is, Parquet by its columns, git by all its objects."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name.startswith("store/") or "/.git/objects/" in name or "/.git/annex/" in name:
            continue
        if path.suffix == ".parquet":
            columns = pq.read_table(path).to_pydict()
            yield f"{name}, columns", json.dumps(columns, default=str, ensure_ascii=False)
        else:
            yield name, path.read_bytes().decode("utf-8", "replace")
    objects = subprocess.run(
        ["git", "cat-file", "--batch", "--batch-all-objects"],
        cwd=folder / "data",
        capture_output=True,
        check=True,
    )
    yield "git's objects", objects.stdout.decode("utf-8", "replace")


def _forms(secret: str) -> set[str]:
    """A text in every way that it could be written."""
    escaped = json.dumps(secret)[1:-1]
    forms = {secret, escaped, json.dumps(escaped)[1:-1], html.escape(secret), urllib.parse.quote(secret)}
    return forms | {secret.replace('"', '""'), secret.encode("unicode_escape").decode(), secret.lower()}


def _search(secrets: set[str]) -> re.Pattern[str]:
    """Finds any of the texts in any form, as words of their own: 20211029 may be among the digits of a number."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    return re.compile(rf"(?<![0-9A-Za-z])(?:{'|'.join(map(re.escape, forms))})(?![0-9A-Za-z])")


def test_nothing_personal_is_written_or_said(corpus: Corpus, written: dict[str, str]) -> None:
    secrets = {text for planted in corpus.truth for text in planted.detail.get("personal", ())} | {KEY}
    assert len(secrets) > 70 and len(written) > 40
    search = _search(secrets)
    assert {
        (where, found.group()) for where, text in written.items() for found in search.finditer(text)
    } == set()


def test_the_search_finds_what_was_planted(corpus: Corpus) -> None:
    sent = (
        json.dumps(corpus.documents, default=str),
        json.dumps(corpus.documents, default=str, ensure_ascii=False),
    )
    secrets = {text for planted in corpus.truth for text in planted.detail.get("personal", ())}
    found = {secret for secret in secrets if any(_search({secret}).search(text) for text in sent)}
    assert len(secrets - found) <= 1  # digits behind a country's code are no word of their own


def test_what_was_scrubbed_is_counted(written: dict[str, str]) -> None:
    lines = written["data/audit/scrubbed.csv"].splitlines()
    assert lines[0] == '"resource","rule","column","count"'
    counted = {tuple(line.split(",")[:3]) for line in lines[1:]}
    for expected in (
        ("T1w", "hashed", "bids_meta_subject_id"), ("rating", "rater", "name"), ("bold", "removed", "provenance_email"),
        ("T2w", "device", "bids_meta_DeviceSerialNumber"),
    ):  # fmt: skip
        assert tuple(f'"{part}"' for part in expected) in counted


def test_pseudonyms_stand_where_names_and_numbers_were(corpus: Corpus, written: dict[str, str]) -> None:
    names = {document["name"] for document in corpus.documents["rating"]}
    found = set(re.findall(r"rater-[0-9a-f]{16}", written["data/csv/rating.csv"]))
    assert len(found) == len(names)
    assert re.search(r"device-[0-9a-f]{16}", written["data/csv/T1w_curated.csv"])
