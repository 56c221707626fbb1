"""Tables for a person: ratios with what is aimed at first, then every figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from benchmarks.targets import MEMORY_RECORDS, Ratio
from benchmarks.whole import Work

_WORDS: dict[bool | None, str] = {True: "yes", False: "no", None: ""}


def ratio_table(ratios: Sequence[Ratio], records: int) -> Table:
    """Ratios, what is aimed at, and whether it is reached."""
    small = "In a small corpus what every run costs weighs more." if records < MEMORY_RECORDS else None
    table = Table(title=f"ratios, {records:,} records", caption=small)
    table.add_column("of what")
    for name in ("measured", "aimed at", "reached"):
        table.add_column(name, justify="right", no_wrap=True)
    for ratio in ratios:
        found = "not measured" if ratio.found is None else _shown(ratio.found, ratio.unit)
        bound = "" if ratio.bound is None else _shown(ratio.bound, ratio.unit)
        sign = ("≤ " if ratio.at_most else "≥ ") if bound else ""
        table.add_row(ratio.what, found, sign + bound, _WORDS[ratio.reached])
    return table


def detail_tables(figures: Mapping[str, Any]) -> Iterator[Table]:
    """All that was measured, by the names of :mod:`benchmarks.__main__`."""
    for what, found in figures.items():
        yield _works_table(what, found) if isinstance(found, Mapping) else _plain_table(what, asdict(found))


def _works_table(title: str, works: Mapping[Any, Work]) -> Table:
    table = Table(title=title)
    table.add_column("work")
    for name in ("records", "seconds", "records/s", "peak MB", "images and ratings"):
        table.add_column(name, justify="right")
    for name, work in works.items():
        table.add_row(
            f"{name:,}" if isinstance(name, int) else name,
            f"{work.records:,}",
            f"{work.seconds:,.2f}",
            f"{work.records_a_second:,.0f}",
            f"{work.peak_mb:,.0f}",
            f"{sum(work.rows.values()):,}" if work.rows else "",
        )
    return table


def _plain_table(title: str, found: Mapping[str, Any]) -> Table:
    table = Table(title=title)
    table.add_column("figure")
    table.add_column("median", justify="right")
    for name, value in found.items():
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    return table


def _shown(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}".rstrip() if unit != "x" else f"{value:,.2f} {unit}"
