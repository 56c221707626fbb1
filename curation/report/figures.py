"""The figures of the report, but for the flow of records and the growth, each with its numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.report.distributions import ALL, QUANTILES, Distribution, bin_edges
from curation.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    SKY,
    VERMILLION,
    WIDTH,
    bare,
    drawing,
    label_width,
    lay_out,
    number,
    percent,
    short_number,
    shown_name,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure
    from matplotlib.ticker import MaxNLocator

MOST_YEARS = 8
"""Years that have room below an axis."""
BETTER = {"higher": "higher is better", "lower": "lower is better"}


@dataclass(frozen=True)
class Figure:
    """A figure and what it is made of.

    Attributes:
        name: of its file in ``figures/``, without suffix.
        svg: the drawing.
        head: of the table of its numbers; rows: cells as shown.
    """

    name: str
    svg: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def draw_iqms(
    resource: str, night: Sequence[Distribution], before: Mapping[str, Distribution], release: str | None
) -> Figure:
    """The IQMs of a modality: the distribution of all images, and below it the spread by manufacturer.

    Args:
        resource: the modality.
        night: to draw.
        before: those of the last release, by column.
        release: its name.
    """
    name = f"iqms-{resource}"
    rows = sum(len(one.spreads) for one in night)
    # Two lines a group need more room than one.
    with drawing(0.99 * len(night) + (0.22 if before else 0.17) * rows + 0.3) as figure:
        panels = figure.subplots(len(night), 1, squeeze=False)[:, 0]
        for axes, one in zip(panels, night, strict=True):
            _draw_distribution(axes, one, before.get(one.column))
        lay_out(figure, label_width(group for one in night for group in one.spreads), 6, 26, 32, 45)
        _tell_marks(figure, release if before else None)
        said = "; ".join(f"{one.words} ({one.column}) {_middle(one)}" for one in night)
        compared = f" Grey: release {release}." if before else ""
        svg = to_svg(
            figure,
            name,
            f"Image quality metrics of {resource} images",
            f"Distributions of {len(night)} metrics, and their spread by manufacturer. Medians of all images: {said}."
            + compared,
        )
    head = ["metric", "images of", "number", *(f"{100 * q:.0f} %" for q in QUANTILES)]
    cells = [row for one in night for row in _spread_rows(one, "")]
    cells += [row for one in before.values() for row in _spread_rows(one, f" ({release})")]
    return Figure(name, svg, head, cells)


def _tell_marks(figure: MatplotlibFigure, release: str | None) -> None:
    """What lines, bars and dots are: a figure may be looked at alone."""
    than = f"; outline and grey: {shown_name(release)}" if release else ""
    words = f"line: 90 % of images, bar: 50 %, dot: median{than}"
    figure.text(2 / (72 * WIDTH), 0, words, ha="left", va="bottom", fontsize=7, color=GREY)


def _middle(one: Distribution) -> str:
    spread = one.spreads[ALL]
    return number(spread.quantiles[2]) if spread.images else "none"


def _spread_rows(one: Distribution, suffix: str) -> list[list[str]]:
    unit = f" ({one.unit})" if one.unit else ""
    return [
        [f"{one.column}{unit}", f"{group}{suffix}", f"{spread.images:,}", *map(number, spread.quantiles)]
        + [""] * (len(QUANTILES) - len(spread.quantiles))
        for group, spread in one.spreads.items()
    ]


def _draw_distribution(axes: Axes, one: Distribution, before: Distribution | None) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = one.limits
    edges = bin_edges(one.limits, one.logarithmic)
    top = max([*one.shares, *(before.shares if before else ())], default=0.0) or 1.0
    # Of a height with two rows of manufacturers and a half.
    heights = np.asarray(one.shares) / top * 2.6
    axes.stairs(heights, edges, fill=True, color=BLUE, alpha=0.35, linewidth=0)
    if before is not None:
        axes.stairs(np.asarray(before.shares) / top * 2.6, edges, color=INK, linewidth=0.8)
    groups = [ALL, *(group for group in one.spreads if group != ALL)]
    for place, group in enumerate(groups):
        y = -0.75 - place
        _draw_spread(axes, y, one, group, BLUE if group == ALL else GREEN)
        if before is not None and group in before.spreads:
            _draw_spread(axes, y - 0.4, before, group, GREY, 0.6)
    if one.logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(-0.75 - len(groups) + 0.25, 2.8)
    axes.set_yticks([-0.75 - place for place in range(len(groups))], groups)
    axes.tick_params(axis="y", labelsize=8)
    axes.xaxis.set_major_formatter(lambda value, _: short_number(round(value, 10)))
    if one.logarithmic:
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.minorticks_off()
    _name_panel(axes, one)
    bare(axes, "bottom")


def _name_panel(axes: Axes, one: Distribution) -> None:
    """The metric's name, whether more of it is better, and below, in words, what it is."""
    unit = f" ({one.unit})" if one.unit else ""
    axes.set_title(f"{one.column}{unit}", pad=13)
    small: dict[str, Any] = {"color": GREY, "fontweight": "normal"}
    axes.set_title(BETTER.get(one.direction, ""), loc="right", fontsize=8, pad=13, **small)
    axes.annotate(
        one.words, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=7.5, **small
    )


def _draw_spread(axes: Axes, y: float, one: Distribution, group: str, colour: str, size: float = 1.0) -> None:
    spread = one.spreads[group]
    if not spread.images:
        return
    p05, p25, p50, p75, p95 = spread.quantiles
    axes.plot([p05, p95], [y, y], color=colour, linewidth=0.9 * size, solid_capstyle="butt")
    axes.plot([p25, p75], [y, y], color=colour, linewidth=3.4 * size, solid_capstyle="butt")
    axes.plot(
        [p50],
        [y],
        "o",
        color="white",
        markeredgecolor=colour,
        markersize=3.6 * size,
        markeredgewidth=1.1 * size,
    )


PARAMETERS = (
    "Manufacturer", "ManufacturersModelName", "MagneticFieldStrength", "ImagingFrequency", "EchoTime",
    "RepetitionTime", "InversionTime", "FlipAngle", "PhaseEncodingDirection", "EffectiveEchoSpacing",
    "TotalReadoutTime", "PixelBandwidth", "ParallelReductionFactorInPlane", "MultibandAccelerationFactor",
    "ScanningSequence", "SoftwareVersions", "TaskName",
)  # fmt: skip
"""Acquisition parameters that are drawn: what tells scanners, contrast and speed apart. Tables have all."""


def draw_completeness(resource: str, coverage: Mapping[str, Mapping], shown: Sequence[str]) -> Figure:
    """How many images have an acquisition parameter: as received, and in the curated table.

    Args:
        resource: the modality.
        coverage: of ``snapshot.json``.
        shown: the parameters that are drawn, without prefix.
    """
    received, curated = coverage[resource], coverage[f"{resource}_curated"]
    rows = [_completeness(name, received, curated) for name in shown]
    rows.sort(key=lambda row: (row[2], row[1], row[0]))
    name = f"completeness-{resource}"
    with drawing(0.215 * len(rows) + 0.75) as figure:
        axes = figure.subplots()
        for place, (_, before, after) in enumerate(rows):
            colour = SKY if after >= before else VERMILLION
            axes.plot([before, after], [place, place], color=colour, linewidth=2.4, zorder=1)
            axes.plot([before], [place], "o", color="white", markeredgecolor=GREY, markersize=5, zorder=2)
            axes.plot([after], [place], "o", color=BLUE, markersize=4.2, zorder=3)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_xlim(-3, 103)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("images with a value (%)")
        axes.grid(axis="x", color=PALE, linewidth=0.6)
        _title(figure, f"{resource}: {curated['rows']:,} images")
        bare(axes, "bottom")
        lay_out(figure, label_width(row[0] for row in rows), 10, 20, 32)
        svg = to_svg(
            figure,
            name,
            f"Completeness of acquisition parameters, {resource}",
            f"Share of {resource} images that have each parameter, as received and curated: "
            + "; ".join(f"{label} {a:.0f} % and {b:.0f} %" for label, a, b in reversed(rows))
            + ".",
        )
    return Figure(name, svg, (), ())


def _completeness(name: str, received: Mapping, curated: Mapping) -> tuple[str, float, float]:
    column = f"bids_meta_{name}"
    shares = (
        100 * one["filled"].get(column, 0) / one["rows"] if one["rows"] else 0.0
        for one in (received, curated)
    )
    before, after = shares
    return name, before, after


def draw_bars(
    name: str,
    title: str,
    kind: str,
    bars: Sequence[tuple[str, int]],
    unit: str,
    whole: int | None = None,
    colour: str = BLUE,
) -> Figure:
    """Bars with a name and a number each, the first on top.

    Args:
        name: of the figure.
        title: of the figure.
        kind: what each bar is one of.
        bars: their names and counts.
        unit: of the counts.
        whole: that they are a share of, where that makes sense.
        colour: of the bars.
    """
    labels = [shown_name(label) for label, _ in bars]
    left, right = label_width(labels), 8
    room = 56 if whole else 30  # points, of the longest number
    with drawing(0.215 * len(bars) + 0.7) as figure:
        axes = figure.subplots()
        counts = [count for _, count in bars]
        places = range(len(bars))
        axes.barh(places, counts, color=colour, height=0.62)
        for place, count in zip(places, counts, strict=True):
            share = f" ({percent(count, whole)})" if whole else ""
            axes.annotate(
                f"{count:,}{share}",
                (count, place),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.set_yticks(places, labels)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        width = 72 * WIDTH - left - right
        axes.set_xlim(0, max([*counts, 1]) * width / (width - room))
        axes.xaxis.set_major_locator(_few_integers())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel(unit)
        _title(figure, title)
        bare(axes, "bottom")
        lay_out(figure, left, right, 20, 32)
        said = "; ".join(f"{label}: {count:,} {unit}" for label, count in zip(labels, counts, strict=True))
        svg = to_svg(figure, name, title, f"{said}.")
    head = [kind, unit] + (["share"] if whole else [])
    rows = [[label, f"{count:,}"] + ([percent(count, whole)] if whole else []) for label, count in bars]
    return Figure(name, svg, head, rows)


def draw_agreement(by_raters: Sequence[Mapping]) -> Figure:
    """How raters of an image agree: the share of images with the same label, neighbouring ones, and others."""
    kinds = (
        ("same_label", "same label", BLUE),
        ("neighbouring_labels", "neighbouring", ORANGE),
        ("further", "further apart", VERMILLION),
    )
    with drawing(0.32 * len(by_raters) + 1.15) as figure:
        axes = figure.subplots()
        for place, row in enumerate(by_raters):
            left = 0.0
            for kind, label, colour in kinds:
                share = 100 * row[kind] / row["images"]
                axes.barh(
                    place, share, left=left, color=colour, height=0.62, label=label if not place else None,
                    edgecolor="white", linewidth=0.8,
                )  # fmt: skip
                left += share
        axes.set_yticks(
            range(len(by_raters)), [f"{row['raters']} raters ({row['images']:,})" for row in by_raters]
        )
        axes.set_ylim(len(by_raters) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("images (%)")
        _title(figure, "Raters of one image")
        height = 72 * float(figure.get_size_inches()[1])
        figure.legend(
            loc="upper left", bbox_to_anchor=(0, 1 - 16 / height), ncols=3, frameon=False, fontsize=8,
            handlelength=1, borderaxespad=0,
        )  # fmt: skip
        bare(axes, "bottom")
        lay_out(figure, label_width(label.get_text() for label in axes.get_yticklabels()), 12, 37, 32)
        said = "; ".join(
            f"{row['raters']} raters: of {row['images']:,} images {row['same_label']:,} have the same label, "
            f"{row['neighbouring_labels']:,} neighbouring ones"
            for row in by_raters
        )
        svg = to_svg(figure, "agreement", "Agreement of raters", f"{said}.")
    head = ["raters", "images", "same label", "neighbouring", "further apart", "mean difference"]
    names = ("raters", "images", "same_label", "neighbouring_labels", "further", "mean_difference")
    rows = [[number(row[key]) for key in names] for row in by_raters]
    return Figure("agreement", svg, head, rows)


def draw_public_years(years: Mapping[str, tuple[int, int]]) -> Figure:
    """The share of images that are public, by the year in which their record was made."""
    with drawing(2.05) as figure:
        axes = figure.subplots()
        _title(figure, "Public images by year")
        shares = [100 * public / images if images else 0.0 for images, public in years.values()]
        axes.bar(range(len(years)), shares, color=GREEN, width=0.7)
        # Every second year where all would touch.
        step = 1 + (len(years) > MOST_YEARS)
        axes.set_xticks(range(0, len(years), step), list(years)[::step])
        axes.set_ylabel("public images (%)")
        axes.set_xlabel("year of the record")
        axes.set_ylim(0, max([*shares, 1.0]) * 1.1)
        axes.grid(axis="y", color=PALE, linewidth=0.6)
        bare(axes, "bottom", "left")
        lay_out(figure, 40, 8, 22, 34)
        said = "; ".join(f"{year}: {public:,} of {images:,}" for year, (images, public) in years.items())
        svg = to_svg(figure, "public-years", "Public images by year", f"{said}.")
    rows = [[year, f"{i:,}", f"{p:,}", percent(p, i)] for year, (i, p) in years.items()]
    return Figure("public-years", svg, ["year", "images", "public", "share"], rows)


def _title(figure: MatplotlibFigure, title: str) -> None:
    """A title at the left edge of the figure, where long names of bars leave it room."""
    figure.text(2 / (72 * WIDTH), 1, title, ha="left", va="top", fontsize=9, fontweight="bold")


def _few_integers() -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, integer=True, steps=[1, 2, 5, 10])
