"""``python -m benchmarks``: measure the pipeline beside plain alternatives, print tables, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import diff, matching, pulling, scaling, starting, validating, whole
from benchmarks.alone import StepFailedError, run_alone
from benchmarks.tables import detail_tables, ratio_table
from benchmarks.targets import ratios

MEASURES: dict[str, Callable[[int, int], Any]] = {
    "whole": whole.measure,
    "pull": lambda records, rounds: pulling.Pulling(**_alone(pulling.measure, records, rounds)),
    "match": lambda records, rounds: matching.Figures(**_alone(matching.measure, records, rounds)),
    "validate": lambda records, rounds: validating.Validating(**_alone(validating.measure, records, rounds)),
    "diff": diff.measure,
    "start": lambda records, rounds: starting.measure(rounds),
}
"""What may be asked for with ``--only``: each is called with the numbers of records and rounds."""
LEAST = 100
"""Records of which every resource has some, and a night brings one."""
_LIBRARIES = ("mriqc-snapshot", "duckdb", "pandas", "pyarrow", "dask", "prefect", "datalad")


def _alone(measure: Callable[..., Any], records: int, rounds: int) -> dict[str, Any]:
    return run_alone(measure, records=records, rounds=rounds).figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--records",
        type=_at_least(LEAST),
        default=100_000,
        metavar="N",
        help="records of the corpus (default: 100,000)",
    )
    parser.add_argument(
        "--rounds",
        type=_at_least(1),
        default=3,
        metavar="N",
        help="rounds, whose medians are told (default: 3)",
    )
    parser.add_argument(
        "--only",
        type=_names,
        default=tuple(MEASURES),
        metavar="NAME,...",
        help=f"some of {','.join(MEASURES)}",
    )
    parser.add_argument(
        "--scaling",
        type=_sizes,
        nargs="?",
        default=(),
        const=scaling.SIZES,
        metavar="N,...",
        help=f"also curate stores of these sizes (without a value: {','.join(map(str, scaling.SIZES))})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    return parser.parse_args()


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        found = int(text)
        if found < least:
            raise argparse.ArgumentTypeError(f"{found} is less than {least}")
        return found

    return number


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in MEASURES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(MEASURES)}")
    return names


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted({_at_least(LEAST)(size) for size in text.split(",")}))
    if len(sizes) < 2:
        raise argparse.ArgumentTypeError("at least two sizes are compared")
    return sizes


def _measured(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in options.only:
        say(f"{name} ...")
        figures[name] = MEASURES[name](options.records, options.rounds)
    if options.scaling:
        say("scaling ...")
        figures["scaling"] = scaling.measure(options.scaling, options.rounds)
    return figures


def _document(options: argparse.Namespace, figures: dict[str, Any]) -> dict[str, Any]:
    """All figures, and what they were measured with and on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "records": options.records,
        "rounds": options.rounds,
        "processors": len(os.sched_getaffinity(0)),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        "ratios": [asdict(ratio) | {"reached": ratio.reached} for ratio in ratios(figures)],
        "figures": {name: _plain(found) for name, found in figures.items()},
    }


def _plain(found: Any) -> Any:
    if is_dataclass(found) and not isinstance(found, type):
        return asdict(found)
    return {str(name): asdict(work) for name, work in found.items()}


def main() -> None:
    """Measure, and show what came of it; the exit code is 1 where something that was to be measured failed."""
    options = _options()
    try:
        figures = _measured(options, Console(stderr=True, highlight=False).print)
    except StepFailedError as error:
        sys.exit(f"benchmark: {error}")
    console = Console()
    for table in (ratio_table(ratios(figures), options.records), *detail_tables(figures)):
        console.print(table)
    if options.json is not None:
        options.json.write_text(json.dumps(_document(options, figures), indent=2) + "\n")


if __name__ == "__main__":
    main()
