"""Reports as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from curation.pull import PullReport

if TYPE_CHECKING:  # imports what curates, for which a pull need not wait
    from curation.withdrawals import Outcome


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


def snapshot_tables(snapshot: dict[str, Any]) -> list[Table]:
    """All that a person wants to see of a night's tables."""
    agreement = agreement_table(snapshot)
    public = public_table(snapshot)
    tables = [snapshot_table(snapshot), public, repair_table(snapshot), agreement]
    return [table for table in tables if table is not None]


def snapshot_table(snapshot: dict[str, Any]) -> Table:
    """What became of the records, a row a table; law 1 in figures."""
    table = Table(
        title="Records and what became of them",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=0,  # all seven columns within 80
    )
    table.add_column("")
    kinds = list(next(iter(snapshot["tables"].values())))
    for kind in kinds:
        table.add_column(kind, justify="right", overflow="fold")
    for name, counts in sorted(snapshot["tables"].items()):
        table.add_row(name, *(f"{counts[kind]:,}" for kind in kinds))
    return table


def repair_counts(snapshot: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Every rule that found something: its name, cells that it repaired, and cells that it left empty."""
    found = []
    for name, by_table in snapshot["repairs"].items():
        repaired, undecided = (sum(c[kind] for c in by_table.values()) for kind in ("repaired", "undecided"))
        if repaired or undecided:
            found.append((name, repaired, undecided))
    return found


def repair_table(snapshot: dict[str, Any]) -> Table:
    """What was repaired in the curated tables, a row a rule; below, what the rules expected and did not find."""
    table = Table(
        title="Cells of the curated tables that were repaired", box=box.SIMPLE_HEAD, title_justify="left",
        caption_justify="left",
    )  # fmt: skip
    table.add_column("")
    table.add_column("repaired", justify="right")
    table.add_column("left empty", justify="right")
    for name, repaired, undecided in repair_counts(snapshot):
        table.add_row(name, f"{repaired:,}", f"{undecided:,}")
    if snapshot["expectations"]:
        table.caption = "\n".join(snapshot["expectations"])
    return table


def agreement_table(snapshot: dict[str, Any]) -> Table | None:
    """How raters agree on images that two or more rated; nothing where no image was."""
    found = snapshot["agreement"]
    if not found.get("images"):
        return None
    table = Table(
        title=f"Agreement of raters on the {found['images']:,} image(s) that two or more rated",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    names = ("raters", "images", "same_label", "neighbouring_labels", "further", "mean_difference")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in found["by_raters"]:
        table.add_row(*(f"{row[name]:,}" for name in names))
    return table


def withdrawal_table(outcomes: list[Outcome]) -> Table:
    """What became of requests to withdraw records, a row a request."""
    table = Table(title="Requests to withdraw records", box=box.SIMPLE_HEAD, title_justify="left")
    for name in WITHDRAWAL_COLUMNS:
        table.add_column(name, overflow="fold")
    for row in withdrawal_rows(outcomes):
        table.add_row(*row)
    return table


WITHDRAWAL_COLUMNS = ("request", "decision", "records left", "records stay", "because")


def withdrawal_rows(outcomes: list[Outcome]) -> list[tuple[str, ...]]:
    """A row of texts a request, under :data:`WITHDRAWAL_COLUMNS`; no checksum is among them."""
    return [
        (one.reference, str(one.verdict), _by_table(one.left), _by_table(one.stay), one.why)
        for one in outcomes
    ]


def _by_table(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


MOST_DATASETS = 10
"""Datasets that a summary names; ``snapshot.json`` has all."""


def public_table(snapshot: dict[str, Any]) -> Table | None:
    """How many images are public: by table, by year, by dataset; nothing where no index was asked."""
    found = snapshot["public"]
    if not found:
        return None
    table = Table(title="Images that are public", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    for name in ("images", "public", "share"):
        table.add_column(name, justify="right")
    years: dict[str, list[int]] = {}
    datasets: dict[str, int] = {}
    for name, counts in found.items():
        _share_row(table, name, counts["images"], counts["public"])
        for year, both in counts["by_year"].items():
            years.setdefault(year, [0, 0])
            years[year] = [years[year][0] + both["images"], years[year][1] + both["public"]]
        for dataset, count in counts["by_dataset"].items():
            datasets[dataset] = datasets.get(dataset, 0) + count
    table.add_section()
    for year, (images, public) in sorted(years.items()):
        _share_row(table, f"created {year}", images, public)
    table.add_section()
    largest = sorted(datasets.items(), key=lambda one: (-one[1], one[0]))
    for dataset, count in largest[:MOST_DATASETS]:
        table.add_row(dataset, "", f"{count:,}", "")
    if len(largest) > MOST_DATASETS:
        rest = sum(count for _, count in largest[MOST_DATASETS:])
        table.add_row(f"{len(largest) - MOST_DATASETS:,} other datasets", "", f"{rest:,}", "")
    return table


def _share_row(table: Table, name: str, images: int, public: int) -> None:
    table.add_row(name, f"{images:,}", f"{public:,}", f"{public / images:.1%}" if images else "")
