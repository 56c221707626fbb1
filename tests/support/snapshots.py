"""Small snapshot datasets made without a Web-API: nights of a few tables, releases."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from curation.publish import SnapshotDataset
from curation.publish.publish import STORE_ID, STORE_RUN
from curation.store.files import to_json

TABLES = ("csv/T1w.csv", "csv/bold.csv", "parquet/T1w.parquet", "audit/records.csv")


def content(night: int, name: str, size: int = 400) -> bytes:
    """Bytes of a table in a night."""
    return random.Random(f"{night} {name}").randbytes(size // 2).hex().encode()


def make_night(
    dataset: SnapshotDataset,
    night: int,
    *,
    same: Mapping[str, int] | None = None,
    code: bool = True,
    run: bool = True,
) -> str:
    """Commit a night.

    Args:
        dataset: locked by nobody.
        night: its number, which its tables' bytes follow from.
        same: tables whose bytes are those of an earlier night.
        code: whether it has ``code/``.
        run: whether its message names the record store's run.

    Returns:
        The commit.
    """
    with dataset.lock():
        dataset.prepare()
        names = [*TABLES, "snapshot.json", *(["code/curation/again.py"] if code else [])]
        texts = {name: content((same or {}).get(name, night), name) for name in TABLES}
        texts["snapshot.json"] = to_json(
            {"files": {name: {} for name in TABLES}, "tables": {}, "night": night}
        )
        texts["code/curation/again.py"] = b"# of this night\n"
        for name in names:
            (dataset.staging / name).parent.mkdir(parents=True, exist_ok=True)
            (dataset.staging / name).write_bytes(texts[name])
        message = f"night {night}" + (f"\n\n{STORE_ID}: a-store\n{STORE_RUN}: {night}" if run else "")
        return dataset.commit(names, message, None, [] if code else dataset.committed("code"))


def make_dataset(path: Path, nights: int = 1) -> SnapshotDataset:
    """A dataset with some nights."""
    dataset = SnapshotDataset(path)
    for night in range(nights):
        make_night(dataset, night)
    return dataset
