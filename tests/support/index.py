"""Indexes of public images, for tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.flatten import canonical_json
from curation.index.index import Index, Source
from curation.index.model import COPIES, SourceRead


def copy(md5: str, path: str = "sub-01/anat/sub-01_T1w.nii.gz", **about: Any) -> dict[str, Any]:
    """One copy of an image; ``sidecar`` is its metadata."""
    suffix = path.rsplit("_", 1)[-1].split(".")[0]
    return {
        "md5": md5, "size": 1, "path": path, "in_newest": True, "last_version": "1.0.0", "first_version": "1.0.0",
        "url": f"https://example.org/{path}", "doi": "10.1/x", "entities": json.dumps({"suffix": suffix}),
    } | about  # fmt: skip


def index_of(folder: Path, datasets: dict[str, Sequence[dict[str, Any]]]) -> Index:
    """An index with a source a dataset, added in their order."""
    index = Index(folder)
    for name, copies in datasets.items():
        source = f"https://example.org/{name}"
        rows, sidecars = [], {}
        for one in copies:
            row = one | {"source": source, "dataset": name}
            if isinstance(metadata := row.pop("sidecar", None), dict):
                text = canonical_json(metadata)
                row["sidecar"] = hashlib.sha256(text.encode()).hexdigest()
                row.setdefault("sidecar_path", "T1w.json")
                sidecars[row["sidecar"]] = text
            rows.append(row)
        index.sources.append(Source(source, "repository"))
        index.put(SourceRead(source, name, pa.Table.from_pylist(rows, schema=COPIES), sidecars))
    index.save()
    return Index(folder)
