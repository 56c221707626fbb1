"""Two nights of the demo corpus: every change between them has a cause, and what is planted in them has none."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.curate import CurationReport, curate
from curation.diff import Difference, open_version, summary_lines
from curation.diff.cell_rows import UNEXPLAINED
from curation.diff.cells import texts
from curation.diff.compare import evidence_of
from curation.diff.disproof import Shown, counterpart, received_columns
from curation.diff.evidence import Wanted
from curation.diff.reading import COMPARED, LEDGERS_READ, TableFile, open_table, whole
from curation.diff.recomputed import Recomputed
from curation.diff.words import headline
from curation.store import RecordStore
from flows.demo.corpus import Corpus, second_night
from flows.demo.corpus.model import SecondNight
from flows.demo.load import load_documents
from flows.demo.server import database, make_app
from schemas import RESOURCES
from tests.curation.diff.test_causes import between, cells, why
from tests.support.documents import moment, record, seal
from tests.support.pseudonyms import PSEUDONYMS
from tests.support.tamper import edit_snapshot, flip


def _rendered(value: Any) -> str:
    return moment(int(value.timestamp())) if isinstance(value, datetime) else str(value)


@pytest.fixture(scope="module")
def changes(corpus: Corpus) -> SecondNight:
    return second_night(corpus)


@pytest.fixture(scope="module")
def second(
    corpus: Corpus, changes: SecondNight, night: CurationReport, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tables of the second night."""
    folder = tmp_path_factory.mktemp("second")
    shutil.copytree(night.folder.parent / "store", folder / "store")
    store, db = RecordStore(folder / "store"), database(make_app(token="token-of-the-tests"))
    for resource in corpus.documents:
        load_documents(db, resource, [*changes.changed[resource], *changes.added[resource]])
        new = [json.loads(json.dumps(one, default=_rendered)) for one in db[resource].find()]
        seal(store, resource, 2, [record(one) for one in new])
        store.record_deletions(resource, 2, changes.deleted[resource], "a test")
    curate(store, folder / "out", pseudonyms=PSEUDONYMS)
    return folder / "out"


@pytest.fixture(scope="module")
def found(night: CurationReport, second: Path) -> Difference:
    """What changed from the first night to the second."""
    return between(night.folder, second)


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


def test_what_changed_only_in_scale_is_counted_apart(found: Difference) -> None:
    every = [row for row in cells(found) if row["column"] is not None]
    scaled = [row for row in every if row["column"] == "iqm_spread" and row["cause"] == "the whole table"]
    otherwise = {(row["table"], row["key"]) for row in every if row not in scaled}
    rows = {(row["table"], row["key"]) for row in scaled} - otherwise
    counts = found.to_json()["counts"]
    assert (counts["only_scaled_cells"], counts["only_scaled_rows"]) == (len(scaled), len(rows))
    assert 0 < len(rows) <= len(scaled) < counts["cells"]
    told = f"({len(rows):,} of the rows and {len(scaled):,} of the cells only in the scale of iqm_spread)"
    assert told in headline(found)
    for table in found.tables:
        lines = [line for line in summary_lines(found) if line.startswith(f"- `{table.name}`")]
        told = f"changed, {table.only_scaled_rows:,} of them only in scale"
        assert (told in lines[0]) == (table.only_scaled_rows > 0)


def test_no_cell_of_a_version_contradicts_it(second: Path, tmp_path: Path) -> None:
    """Tables, ledgers and what this code makes of cells agree in every cell, of odd records, too."""
    version = open_version(str(second))
    files = {name: open_table(version, name, tmp_path) for name in COMPARED}
    records, checksums = (
        {name: _texts(file, column) for name, file in files.items()} for column in ("record_id", "md5sum")
    )
    shown = {
        name: pa.concat_arrays([records[n] for n in COMPARED if n.startswith(name)]) for name in RESOURCES
    }
    wanted = {name: Wanted(shown[name].unique(), checksums[name].unique()) for name in RESOURCES}
    ledgers = evidence_of(version, version, wanted, LEDGERS_READ).a
    compared = 0
    for name, file in files.items():
        rows, resource, other = np.arange(file.rows), name.removesuffix("_curated"), counterpart(name)
        own = Recomputed(name, resource, file, records[name], ledgers, rows, rows, rows)  # type: ignore[arg-type]
        received = dict.fromkeys(sorted(received_columns(name)), rows)
        beside = None if other is None else files[other]
        side = Shown(name, file, beside, ledgers, records[name], rows, received, own)
        for column in file.kinds:
            held = _texts(file, column)
            assert not side.contradicts(column, rows, held).any(), (name, column)
            # And it would be seen.
            if column in received and other is not None:
                planted = pa.array(["planted"] * len(held))
                compared += int(side.contradicts(column, rows, planted).sum())
    assert compared > 100_000


def _texts(file: TableFile, column: str) -> pa.Array:
    found = whole(file.read([column]).column(column))
    return texts(found.dictionary_decode() if pa.types.is_dictionary(found.type) else found)


@pytest.mark.parametrize("code", ["ours", "the same other", "another"])
def test_planted_cells_have_no_cause(
    night: CurationReport, second: Path, found: Difference, tmp_path: Path, code: str
) -> None:
    before, after = tmp_path / "a", tmp_path / "b"
    shutil.copytree(night.folder, before)
    shutil.copytree(second, after)
    mine = [row for row in cells(found) if row["table"] == "bold_curated"]
    (moved, *_), (image, *_) = (
        [row["key"] for row in mine if row["column"] == column] for column in ("iqm_spread", "record_id")
    )
    (spread,) = (row["new"] for row in mine if (row["key"], row["column"]) == (moved, "iqm_spread"))
    planted = {
        (moved, "iqm_spread"): float(spread) * 2,
        (image, "mriqc_series"): "9.9.x",
        (image, "task"): "x",
    }
    for (key, column), value in planted.items():
        flip(after, "bold_curated", key, column, value)
    for folder in (before, after) if code == "the same other" else (after,) if code == "another" else ():
        edit_snapshot(folder, lambda said: said["versions"].update(code="another"))
    told = between(before, after)
    causes = {column: why(told, "bold_curated", key, column)[0] for key, column in planted}
    spreads = "code changed" if code == "another" else UNEXPLAINED
    assert causes == {"iqm_spread": spreads, "mriqc_series": UNEXPLAINED, "task": UNEXPLAINED}
    assert told.unexplained + told.by_code == 3
