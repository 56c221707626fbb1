"""What a source of checksums tells: copies of images, the dataset they are in, and what it could not use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from curation.errors import SnapshotError

COPY_FIELDS = [
    pa.field("md5", pa.string(), nullable=False),  # 32 lower-case hexadecimal digits
    pa.field("size", pa.int64()),  # bytes
    pa.field("source", pa.string(), nullable=False),  # the address that was added
    pa.field("dataset", pa.string()),  # its accession, e.g. ds000114
    pa.field("path", pa.string(), nullable=False),  # within the dataset, with "/"
    pa.field("first_version", pa.string()),  # tags; missing where no tagged version has it
    pa.field("last_version", pa.string()),
    pa.field(
        "in_newest", pa.bool_(), nullable=False
    ),  # whether the newest version (or the head) has it there
    pa.field("url", pa.string()),  # where its bytes can be fetched
    pa.field("licence", pa.string()),
    pa.field("name", pa.string()),  # of the dataset
    pa.field("doi", pa.string()),  # of the dataset, bare: 10.18112/openneuro.ds000114.v1.0.2
    pa.field("entities", pa.string()),  # BIDS entities, suffix and datatype, as JSON with sorted keys
    pa.field("sidecar", pa.string()),  # SHA-256 (hex) of the sidecar metadata that applies, as canonical JSON
    pa.field("sidecar_path", pa.string()),  # of the sidecars that apply, the nearest first
]
COPIES = pa.schema(COPY_FIELDS)
"""A row a place (dataset, path) that ever held an image: several for one checksum, and for one path over time."""


class SourceFailed(SnapshotError):
    """A source of checksums could not be read; what was known of it stays."""


@dataclass
class SourceRead:
    """What was read of one dataset of one source.

    Attributes:
        source: the address that was added.
        dataset: accession; of a source without one, its name.
        copies: rows of :data:`COPIES`, sorted by path, then md5.
        sidecars: digest to the metadata that applies, merged by BIDS' inheritance principle, as canonical JSON.
        backends: git-annex backends (of other sources ``md5``, ``multipart``, ...) to numbers of image files.
        unusable: reason to how many image files gave no checksum for it.
        state: what tells a later update whether anything is new, e.g. ref to commit.
    """

    source: str
    dataset: str
    copies: pa.Table
    sidecars: Mapping[str, str] = field(default_factory=dict)
    backends: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    state: Mapping[str, Any] = field(default_factory=dict)
