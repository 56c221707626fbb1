"""What a corpus is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Document = dict[str, Any]
"""A document as the service stores it."""


@dataclass(frozen=True)
class Planted:
    """One defect of one record.

    Attributes:
        defect: a name of ``flows.demo.corpus.DEFECTS``.
        detail: what was changed, JSON-serialisable: usually ``column`` (dotted path), ``true`` and ``sent``.
            Non-finite numbers are written as text. ``personal`` has the texts that must not be published.
    """

    record_id: str
    resource: str
    defect: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Corpus:
    """Documents by resource, sorted by ``_id``, and the truth: one entry per (record, defect, column)."""

    documents: dict[str, list[Document]]
    truth: list[Planted]


@dataclass(frozen=True)
class SecondNight:
    """What happens to the service between two nights, by resource.

    ``changed`` holds whole documents: same ``_id``, new ``_updated`` and ``_etag``.
    """

    added: dict[str, list[Document]]
    changed: dict[str, list[Document]]
    deleted: dict[str, list[str]]


def write_truth(corpus: Corpus, path: Path) -> None:
    """Write the truth to ``path``: JSON lines of ``record_id``, ``resource``, ``defect``, ``detail``."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for planted in corpus.truth:
            stream.write(json.dumps(vars(planted), sort_keys=True, allow_nan=False) + "\n")
