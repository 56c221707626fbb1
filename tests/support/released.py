"""Small datasets with released versions: annexed tables, texts in git, an annotated tag each."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random

from curation.deposit.files import TABLES
from curation.publish import SnapshotDataset
from curation.publish.commands import git, run
from curation.store.files import to_json

CITATION = """\
cff-version: 1.2.0  # the maintainer's own words stay
message: Please cite the paper and this dataset.
title: Snapshot of the MRIQC Web-API
type: dataset
abstract: |
  Image quality metrics <IQMs> & ratings
  of magnetic resonance images.

  Made every night.
authors:
  - given-names: Oscar
    family-names: Esteban
    orcid: https://orcid.org/0000-0001-8435-6191
    email: somebody@example.org
  - name: MRIQC users
keywords: [MRI, quality control]
license: CC0-1.0
version: {version}
date-released: 2026-11-23
preferred-citation:
  type: article
  title: Crowdsourced MRI quality metrics and expert quality annotations
  authors: [{{family-names: Esteban}}]
  doi: 10.1038/s41597-019-0035-4
"""
ORCID = "0000-0001-8435-6191"


def texts(version: str) -> dict[str, bytes]:
    """Files that git holds."""
    dated = CITATION.format(version=version).encode()
    changes = f"# Changes\n\n## {version}\n\nRecords: 3 new.\n"
    return {
        "CITATION.cff": dated,
        "CHANGES.md": changes.encode(),
        "dictionary/T1w.json": to_json({"md5sum": {"Description": "of the image"}}),
        "dictionary/bold.json": to_json({"md5sum": {"Description": "of the image, too"}}),
        "datapackage.json": to_json({"name": "mriqc-snapshot", "version": version}),
        "isatab/i_investigation.txt": b"ONTOLOGY SOURCE REFERENCE\n",
    }


def tables(seed: str, rows: int = 60) -> dict[str, bytes]:
    """The seven tables, with other values for another seed; some of one part, some of several."""
    found = {}
    for place, name in enumerate(TABLES):
        random = Random(f"{seed}/{name}")
        lines = [f"{random.randrange(10**12)},{random.random()}\n" for _ in range(1 + place * rows // 4)]
        found[name] = ("md5sum,cjv\n" + "".join(lines)).encode()
    return found


def release(dataset: Path, version: str, files: Mapping[str, bytes | None] | None = None) -> str:
    """Write files, commit them as a night and a release, and tag it; returns the commit.

    Args:
        dataset: laid out.
        version: of the release.
        files: beside or instead of the usual ones; ``None`` for one that is not there.
    """
    wanted = {**tables(version), **texts(version), **(files or {})}
    content = {name: text for name, text in wanted.items() if text is not None}
    if (dataset / "CHANGES.md").exists() and "CHANGES.md" not in (files or {}):
        before = (dataset / "CHANGES.md").read_text().removeprefix("# Changes\n")
        content["CHANGES.md"] = content["CHANGES.md"] + before.encode()
    night = {name: text for name, text in content.items() if name.startswith(("csv/", "dictionary/"))}
    snapshot = {
        "version": version,
        "last_release": {"version": version, "date": "2026-11-23"},
        "files": {name: {"sha256": sha256(text), "bytes": len(text)} for name, text in night.items()},
    }
    content = {"snapshot.json": to_json(snapshot), **content}
    lines = [f"{sha256(text)}  {name}\n" for name, text in sorted(content.items())]
    content = {"SHA256SUMS": "".join(lines).encode(), **content}
    for name, text in content.items():
        target = dataset / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(text)
    for name, text in wanted.items():
        if text is None:
            (dataset / name).unlink(missing_ok=True)
    run(["git", "annex", "add", "--quiet", "."], dataset)
    git(dataset, "add", "--all")
    git(dataset, "commit", "--quiet", "-m", f"Release {version}")
    git(dataset, "tag", "-a", version, "-m", f"Release {version}")
    return git(dataset, "rev-parse", "HEAD").strip()


def laid_out(path: Path) -> Path:
    """A dataset without a version."""
    SnapshotDataset(path).prepare()
    return path


def copied(dataset: Path, path: Path) -> Path:
    """A dataset of its own that is like another one."""
    shutil.copytree(dataset, path, symlinks=True)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def released_content(dataset: Path, version: str) -> dict[str, bytes]:
    """Names at FigShare to bytes of what a version has, read by nothing of the deposit's own."""
    found = {}
    wanted = ("README.md", "LICENSE", "snapshot.json", *texts(version), *TABLES)
    for name in wanted:
        if not git(dataset, "ls-tree", version, "--", name):
            continue
        text = git(dataset, "show", f"{version}:{name}")
        if name in TABLES:
            key = text.rpartition("/")[2]
            text = (dataset / run(["git", "annex", "contentlocation", key], dataset).strip()).read_text()
        found[name.rpartition("/")[2]] = text.encode()
    if git(dataset, "ls-tree", version, "--", "SHA256SUMS"):
        # As `sha256sum *` prints it in a folder with what was downloaded, as far as the release lists it.
        listed = git(dataset, "show", f"{version}:SHA256SUMS").splitlines()
        names = {line.rpartition("/")[2].rpartition("  ")[2] for line in listed} & found.keys()
        sums = sorted(names, key=str.encode)
        found["SHA256SUMS"] = "".join(f"{sha256(found[name])}  {name}\n" for name in sums).encode()
    return found


def snapshot(dataset: Path) -> dict:
    return json.loads((dataset / "snapshot.json").read_bytes())
