"""``python -m benchmarks``: measure, print a table, write JSON."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import matching, pulling, validating


def main() -> None:
    """Measure, and show what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="records (default: 100,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, whose medians are told (default: 5)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()

    figures = {
        "pull": asdict(pulling.measure(options.records, options.rounds)),
        "match": asdict(matching.measure(options.records, options.rounds)),
        "validate": asdict(validating.measure(options.records, options.rounds)),
    }
    console = Console()
    for what, found in figures.items():
        table = Table(title=what)
        table.add_column("figure")
        table.add_column("median", justify="right")
        for name, value in found.items():
            table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
        console.print(table)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
