"""Reports as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from curation.pull import PullReport


def pull_table(report: PullReport) -> Table:
    """What a pull did, a row a resource."""
    table = Table(title=f"Pull {report.sequence}", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    for name in ("service", "store", "new", "changed", "deleted", "unretrievable"):
        table.add_column(name, justify="right")
    for name, r in sorted(report.resources.items()):
        broken = sum(spot["count"] for spot in r.unretrievable)
        numbers = (r.total, r.live, r.new, r.changed, r.deleted, broken)
        table.add_row(name, *(f"{number:,}" for number in numbers))
    traffic = report.traffic
    table.caption = (
        f"{traffic['requests']:,} requests, {traffic['retries']:,} retries, {traffic['bytes']:,} bytes"
    )
    return table


def snapshot_table(snapshot: dict[str, Any]) -> Table:
    """What became of the records, a row a table; law 1 in figures."""
    table = Table(
        title="Records and what became of them",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("")
    kinds = list(next(iter(snapshot["tables"].values())))
    for kind in kinds:
        table.add_column(kind, justify="right", overflow="fold")
    for name, counts in sorted(snapshot["tables"].items()):
        table.add_row(name, *(f"{counts[kind]:,}" for kind in kinds))
    return table
