"""A published version is made again, byte for byte, after records, rules and index have moved on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from curation.code import copy_code
from curation.errors import DatasetError, UsageError
from curation.index.index import Index
from curation.publish import SnapshotDataset, publish
from curation.publish.commands import git
from curation.rebuild import rebuild
from curation.store import RecordStore
from tests.support.documents import record, seal
from tests.support.fast_api import make_document
from tests.support.index import copy, index_of
from tests.support.pseudonyms import PSEUDONYMS

# A night of whatever library comes first on the path.
NIGHT = """
import sys
from pathlib import Path
from curation.index.index import Index
from curation.publish import SnapshotDataset, publish
from curation.pseudonyms import Pseudonyms
from curation.store import RecordStore
folder = Path(sys.argv[1])
dataset = SnapshotDataset(folder / "dataset")
with dataset.lock():
    dataset.prepare()
    publish(RecordStore(folder / "store"), dataset, Pseudonyms.from_environment(), Index(folder / "index"))
"""


def documents(numbers: range) -> list:
    """T1w documents; a third of them have an echo time that was sent as text."""
    made = [make_document("T1w", number, second=number * 1000) for number in numbers]
    for document in made[::3]:
        document["bids_meta"]["EchoTime"] = "0.03"
    return [record(document) for document in made]


@dataclass
class Places:
    folder: Path

    @property
    def store(self) -> RecordStore:
        return RecordStore(self.folder / "store")

    @property
    def dataset(self) -> SnapshotDataset:
        return SnapshotDataset(self.folder / "dataset")

    @property
    def index(self) -> Index:
        return Index(self.folder / "index")

    def night(self) -> str:
        dataset = self.dataset
        with dataset.lock():
            dataset.prepare()
            commit = publish(self.store, dataset, PSEUDONYMS, self.index).commit
        assert commit is not None
        return commit

    def rebuild(self, version: str, **changed):
        asked = {"pseudonyms": PSEUDONYMS.fingerprint, "index": self.index, "workers": 1} | changed
        return rebuild(version, self.dataset, asked.pop("store", self.store), **asked)


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A night by older code with another rule, then one of this code, with more records and a newer index."""
    places = Places(tmp_path_factory.mktemp("nights"))
    first = documents(range(30))
    seal(places.store, "T1w", 1, first)
    public = [json.loads(one.document)["provenance"]["md5sum"] for one in first]
    index_of(places.folder / "index", {"ds1": [copy(public[0]), copy(public[1])]})
    places.dataset.prepare()
    old = places.folder / "old"
    copy_code(old)
    rules = old / "curation" / "repair" / "rules.yaml"
    text = rules.read_text()
    assert text.count("{name: the text, function: read_as_declared, confidence: high}") == 1
    rules.write_text(text.replace("read_as_declared, confidence: high", "read_as_declared, confidence: low"))
    subprocess.run(
        [sys.executable, "-c", NIGHT, str(places.folder)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(old)},
        cwd=old,
    )
    git(places.dataset.path, "tag", "-a", "-m", "first", "2026.11.23")
    seal(places.store, "T1w", 2, documents(range(30, 50)))
    places.store.record_deletions("T1w", 3, [first[4].id], "2026-11-24T00:00:00Z")
    for file in (places.folder / "index").rglob("*.parquet"):
        os.utime(file, (0, 0))  # old enough for an update to remove it
    index_of(places.folder / "index", {"ds1": [copy(public[2])]})
    places.night()
    return places


@pytest.fixture
def places(two_nights: Places, tmp_path: Path) -> Places:
    shutil.copytree(two_nights.folder, tmp_path / "nights", symlinks=True)
    return Places(tmp_path / "nights")


def test_an_old_version_is_made_again_after_rules_records_and_index_have_changed(places: Places) -> None:
    dataset = places.dataset
    old, new = (json.loads(dataset.published("snapshot.json", at) or b"") for at in ("2026.11.23", "HEAD"))
    for what in ("code", "rules", "index"):
        assert old["versions"][what] != new["versions"][what]
    assert old["tables"]["T1w"]["received"] == 30 and new["tables"]["T1w"]["received"] == 50
    report = places.rebuild("2026.11.23", out=places.folder / "again")
    assert (report.difference, report.run, report.libraries) == (None, 1, {})
    assert report.files == len(old["files"].keys() - {"datapackage.json"}) > 25
    assert b',"low"\n' in (places.folder / "again" / "audit" / "repairs.csv").read_bytes()
    assert not (dataset.private / "rebuild").exists()


def test_the_newest_version_is_made_again(places: Places) -> None:
    assert places.rebuild("HEAD").difference is None


def bring_others(places: Places) -> None:
    """As if the first run had brought one record with another value."""
    (part,) = [part for part in places.store.parts("T1w") if part.sequence == 1]
    brought = documents(range(30))
    brought[7] = record(json.loads(brought[7].document) | {"efc": 0.5})
    seal(RecordStore(places.store.path), "T1w", 1, brought)
    assert [p.name for p in places.store.parts("T1w") if p.sequence == 1] == [part.name]


def test_the_first_difference_is_named_with_line_and_content(places: Places) -> None:
    bring_others(places)
    found = places.rebuild("2026.11.23").difference
    assert found is not None and found.startswith("csv/T1w.csv, line 9: published '")
    assert "made now '" in found


def test_a_record_that_is_gone_from_the_store_is_noticed(places: Places) -> None:
    for path in (places.folder / "store" / "T1w" / "parts").glob("000001-*.json"):
        path.unlink()
    found = places.rebuild("2026.11.23").difference
    assert found is not None and "30 records of T1w then, 0 in this store" in found


def test_content_that_is_not_here_does_not_hide_the_difference(places: Places) -> None:
    bring_others(places)
    git(places.dataset.path, "annex", "drop", "--force", "--quiet", "--all")
    found = places.rebuild("2026.11.23").difference
    assert found is not None and "`datalad get` fetches" in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pseudonyms": "12345678"}, "found 12345678; set MRIQC_SNAPSHOT_PSEUDONYM_KEY"),
        ({"pseudonyms": None}, "found none"),
        ({"index": None}, "name it with --index"),
    ],
)
def test_another_key_or_index_is_told(change: dict, said: str, places: Places) -> None:
    with pytest.raises(UsageError, match=said):
        places.rebuild("2026.11.23", **change)


def test_another_store_is_told(places: Places, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was made from"):
        places.rebuild("2026.11.23", store=RecordStore(tmp_path / "other"))


def test_a_store_that_ends_too_early_is_told(places: Places) -> None:
    with pytest.raises(UsageError, match="ends with run 1, HEAD was made from runs up to 3"):
        places.rebuild("HEAD", store=places.store.at(1))


def test_an_index_that_never_was_so_is_told(places: Places, tmp_path: Path) -> None:
    other = index_of(tmp_path / "other", {"ds9": [copy("0" * 32)]})
    with pytest.raises(UsageError, match="knows nothing of itself"):
        places.rebuild("2026.11.23", index=other)


def test_a_version_that_is_not_there_is_told_with_near_ones(places: Places) -> None:
    with pytest.raises(UsageError, match=r"2026\.11\.32: no version .* is one of 2026\.11\.23 meant"):
        places.rebuild("2026.11.32")


def test_nothing_is_made_inside_the_store(places: Places) -> None:
    before = sorted(places.store.path.rglob("*"))
    with pytest.raises(UsageError, match="inside the record store, which is private"):
        places.rebuild("HEAD", out=places.store.path / "T1w" / "out")
    assert sorted(places.store.path.rglob("*")) == before


def test_a_version_without_code_is_told(places: Places) -> None:
    first = git(places.dataset.path, "rev-list", "--max-parents=0", "HEAD").strip()
    with pytest.raises(UsageError, match="does not say which code"):
        places.rebuild(first)


def test_code_that_fails_is_told(places: Places) -> None:
    path = places.dataset.path
    (path / "code" / "curation" / "again.py").write_text("raise SystemExit('it is broken')\n")
    git(path, "commit", "--quiet", "-a", "-m", "break it")
    with pytest.raises(DatasetError, match="exit code 1: it is broken"):
        places.rebuild("HEAD")


def test_code_that_was_edited_makes_nothing(places: Places) -> None:
    path = places.dataset.path
    rules = path / "code" / "curation" / "repair" / "rules.yaml"
    rules.write_text(rules.read_text() + "# edited\n")
    git(path, "commit", "--quiet", "-a", "-m", "edit it")
    with pytest.raises(DatasetError, match="is not the one that made the version"):
        places.rebuild("HEAD")


def test_what_a_night_was_published_with_stays_in_the_index(places: Places) -> None:
    digest = json.loads(places.dataset.published("snapshot.json", "2026.11.23") or b"")["versions"]["index"]
    then = places.index.at(digest)
    assert then.digest == digest != places.index.digest
    assert then.copies(["md5"]).num_rows == 2 and places.index.copies(["md5"]).num_rows == 1
