"""Writes ``report.html`` and ``figures/`` beside finished tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.release.figure import growth
from curation.report.before import Before, Changes
from curation.report.distributions import Distributions, distributions
from curation.report.drawing import inline
from curation.report.figures import (
    PARAMETERS,
    Figure,
    draw_agreement,
    draw_bars,
    draw_completeness,
    draw_iqms,
    draw_public_years,
)
from curation.report.flow import draw_flow
from curation.report.growth import draw_growth, growth_rows
from curation.report.ledgers import Rated, faults, flags, rated, repairs
from curation.report.page import render
from curation.report.public import public_datasets, public_years
from schemas.dictionary import RESOURCES
from schemas.published import IMAGE_RESOURCES

REPORT, FIGURES = "report.html", "figures"
MOST_DATASETS = 12
"""Datasets that are drawn; a table has all."""


def write_report(
    folder: Path,
    snapshot: Mapping[str, Any],
    *,
    release: Before | None = None,
    night: Before | None = None,
    changes: Changes | None = None,
    notice: str | None = None,
) -> list[str]:
    """Write the page of a night and its figures; the same tables and versions before give the same bytes.

    Args:
        folder: with the finished tables and ledgers, contents and all.
        snapshot: what its ``snapshot.json`` says.
        release: the last one; without, the page says that there is none to compare with.
        night: the one before.
        changes: how the tables differ from the last release.
        notice: what a reader has to know before anything else, in a sentence.

    Returns:
        Names of the files written, relative to ``folder``.
    """
    now = distributions(lambda name: (folder / name).open("rb")) or {}
    before = distributions(release.open, now) if release is not None else None
    counts = growth(folder / "audit" / "records.csv")
    said = rated(folder)
    drawn = [
        Figure("flow", draw_flow(_by_resource(snapshot)), (), ()),
        *(draw_growth(counts, resource) for resource in RESOURCES),
        *_iqm_figures(now, before, release),
        *_completeness_figures(snapshot["coverage"]),
        *_rating_figures(said, snapshot["agreement"]),
        *_public_figures(snapshot["public"]),
    ]
    page = render(
        {
            "snapshot": snapshot,
            "tables": _by_resource(snapshot),
            "release": release,
            "night": night,
            "compared": before is not None,
            "changes": changes,
            "notice": notice,
            "figures": {figure.name: inline(figure.svg) for figure in drawn},
            "numbers": {figure.name: figure for figure in drawn if figure.head},
            "growth": growth_rows(counts),
            "faults": faults(folder),
            "repairs": repairs(folder),
            "flags": flags(folder),
            "rated": said,
            "datasets": public_datasets(snapshot["public"]),
        }
    )
    return [*_write_figures(folder, drawn), _write(folder, REPORT, page)]


def _write_figures(folder: Path, drawn: Sequence[Figure]) -> list[str]:
    (folder / FIGURES).mkdir(exist_ok=True)
    return sorted(_write(folder, f"{FIGURES}/{figure.name}.svg", figure.svg.encode()) for figure in drawn)


def _write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return name


def _by_resource(snapshot: Mapping[str, Any]) -> dict[str, Mapping[str, int]]:
    """Counts of records in the order of the dictionary, whatever that of the file."""
    return {resource: snapshot["tables"][resource] for resource in RESOURCES}


def _iqm_figures(
    now: Distributions, before: Distributions | None, release: Before | None
) -> Iterator[Figure]:
    for resource, measured in now.items():
        then = {one.column: one for one in before[resource]} if before else {}
        yield draw_iqms(resource, measured, then, release.name if release else None)


def _completeness_figures(coverage: Mapping[str, Any]) -> Iterator[Figure]:
    for resource in IMAGE_RESOURCES:
        known = [coverage[name]["filled"] for name in (resource, f"{resource}_curated")]
        some = [name for name in PARAMETERS if any(one.get(f"bids_meta_{name}") for one in known)]
        yield draw_completeness(resource, coverage, some or list(PARAMETERS[:1]))


def _rating_figures(said: Rated, agreement: Mapping[str, Any]) -> Iterator[Figure]:
    labels = [*said.labels.items(), *([("not readable", said.unread)] if said.unread else [])]
    yield draw_bars("ratings", "What raters said", "label", labels, "ratings", said.ratings)
    named = [one for one in said.artifacts.items() if one[1]]
    if named:
        yield draw_bars(
            "artifacts", "Artifacts that comments name", "artifact", named, "ratings", said.ratings
        )
    if agreement.get("images"):
        yield draw_agreement(agreement["by_raters"])


def _public_figures(public: Mapping[str, Any]) -> Iterator[Figure]:
    if years := public_years(public):
        yield draw_public_years(years)
    if datasets := public_datasets(public):
        yield draw_bars(
            "public-datasets", "Datasets with most images", "dataset", datasets[:MOST_DATASETS], "images"
        )
