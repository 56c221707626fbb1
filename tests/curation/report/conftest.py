"""The demo corpus, curated with an index of public images, and its page beside an earlier version of the tables."""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import pytest

from curation.curate import CurationReport, curate
from curation.diff import compare, open_version
from curation.report import Before, changes_of, write_report
from tests.support.documents import record, store_of
from tests.support.index import copy, index_of
from tests.support.pseudonyms import PSEUDONYMS


@dataclass(frozen=True)
class Made:
    """A folder with a page, and what it was made from."""

    folder: Path
    snapshot: dict[str, Any]
    before: Before
    before_folder: Path
    files: list[str]


@pytest.fixture(scope="session")
def made(
    night: CurationReport,
    documents: dict[str, list[dict[str, Any]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    folder = tmp_path_factory.mktemp("page")
    records = {name: [record(document) for document in found] for name, found in documents.items()}
    checksums = [found["provenance"].get("md5sum") for found in documents["T1w"]]
    sound = sorted({one for one in checksums if isinstance(one, str) and len(one) == 32})
    sidecar = {"FlipAngle": 9, "PixelBandwidth": 240.5}
    datasets = {
        "ds000030": [copy(one, sidecar=sidecar) for one in sound[::3]],
        "ds000114": [copy(one) for one in sound[1::9]],
    }
    index = index_of(folder / "index", datasets)
    # Less than there is now: some records were not sent yet.
    earlier = {name: found[: len(found) * 9 // 10] for name, found in records.items()}
    then = curate(store_of(folder / "store-then", earlier, 400), folder / "then", pseudonyms=PSEUDONYMS)
    now = curate(store_of(folder / "store", records, 400), folder / "now", pseudonyms=PSEUDONYMS, index=index)

    def opened(name: str) -> BufferedIOBase | None:
        return (folder / "then" / name).open("rb")

    before = Before("2026.11.23", then.snapshot, opened)
    changes = changes_of(compare(open_version(str(folder / "then")), open_version(str(folder / "now"))))
    files = write_report(now.folder, now.snapshot, release=before, changes=changes)
    return Made(now.folder, now.snapshot, before, folder / "then", files)
