"""A night of the demo corpus with what a dataset has beside it."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

import pytest

from curation.curate import CurationReport
from curation.release import ReleaseFacts, Version, describe_release

README = "# Snapshot of the MRIQC Web-API\n\nWhat a person wrote.\n"


def put(folder: Path, contents: dict[str, bytes]) -> None:
    """Write what a release writes; files of the night are links to one copy, which is left as it is."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def dataset(night: CurationReport, tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    shutil.copytree(night.folder, folder, copy_function=os.link)
    put(folder, {"README.md": README.encode(), "LICENSE": b"CC0\n", ".gitattributes": b"* -text\n"})
    return folder


@pytest.fixture
def facts(dataset: Path) -> ReleaseFacts:
    files = sorted(str(path.relative_to(dataset)) for path in dataset.rglob("*") if path.is_file())
    return ReleaseFacts(
        Version(2026, 11, 23), date(2026, 11, 23), ["T1w: 3 records more"], "Words of a person.", files
    )


@pytest.fixture(scope="session")
def release(night: CurationReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that a release has."""
    folder = tmp_path_factory.mktemp("release") / "dataset"
    shutil.copytree(night.folder, folder, copy_function=os.link)
    put(folder, {"README.md": README.encode()})
    about = ReleaseFacts(Version(2026, 11, 23), date(2026, 11, 23), ["a line"], None, ["README.md"])
    put(folder, describe_release(folder, about))
    return folder
