"""The figure of what became of the records: bands from the resources to the fates, as wide as there are records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curation.report.drawing import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    WIDTH,
    drawing,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FATES = ("representatives", "duplicates", "quarantined", "excluded", "withdrawn")
COLOURS = dict(zip(FATES, (BLUE, SKY, VERMILLION, ORANGE, PURPLE), strict=True))
# Points.
_BANDS = 150.0
"""Height of all records together."""
_SLOT, _GAP, _TOP = 25.0, 7.0, 16.0
_LEFT, _RIGHT, _NODE = 62.0, 176.0, 6.0
_THINNEST = 0.7


@dataclass(frozen=True)
class _Node:
    top: float
    height: float


def draw_flow(tables: Mapping[str, Mapping[str, int]]) -> str:
    """Draw it.

    Args:
        tables: of each resource: ``received``, and how many records had each fate.
    """
    total = sum(counts["received"] for counts in tables.values())
    scale = _BANDS / total if total else 0.0
    sums = {fate: sum(counts[fate] for counts in tables.values()) for fate in FATES}
    left = _stack({name: counts["received"] * scale for name, counts in tables.items()})
    right = _stack({fate: count * scale for fate, count in sums.items()})
    height = max(_end(left), _end(right)) + 4
    with drawing(height / 72) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, WIDTH * 72)
        axes.set_ylim(height, 0)
        axes.text(_LEFT, 9, "received", ha="right", fontsize=8, color=GREY)
        axes.text(_RIGHT, 9, "became", ha="left", fontsize=8, color=GREY)
        _draw_bands(axes, tables, left, right, scale)
        for name, node in left.items():
            _draw_node(axes, _LEFT, node, INK)
            _label(axes, _LEFT - 5, node, name, tables[name]["received"], "right")
        for fate, node in right.items():
            _draw_node(axes, _RIGHT - _NODE, node, COLOURS[fate])
            _label(axes, _RIGHT + 5, node, fate, sums[fate], "left")
        said = ", ".join(f"{sums[fate]:,} {fate}" for fate in FATES)
        return to_svg(
            figure,
            "flow",
            "What became of the records",
            f"Bands from the four resources to what became of their records. Of {total:,} records received: {said}.",
        )


def _stack(heights: Mapping[str, float]) -> dict[str, _Node]:
    """Nodes one below the other, with room for a label each."""
    nodes, place = {}, _TOP
    for name, height in heights.items():
        slot = max(height, _SLOT)
        nodes[name] = _Node(place + (slot - height) / 2, height)
        place += slot + _GAP
    return nodes


def _end(nodes: Mapping[str, _Node]) -> float:
    last = list(nodes.values())[-1]
    return last.top + last.height + max(0.0, _SLOT - last.height) / 2


def _draw_bands(
    axes: Axes,
    tables: Mapping[str, Mapping[str, int]],
    left: Mapping[str, _Node],
    right: Mapping[str, _Node],
    scale: float,
) -> None:
    begins = {name: node.top for name, node in left.items()}
    ends = {fate: node.top for fate, node in right.items()}
    for name, counts in tables.items():
        for fate in FATES:
            if not counts[fate]:
                continue
            width = counts[fate] * scale
            _draw_band(axes, begins[name], ends[fate], width, COLOURS[fate])
            begins[name] += width
            ends[fate] += width


def _draw_band(axes: Axes, begin: float, end: float, width: float, colour: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    start, stop = _LEFT + _NODE, _RIGHT - _NODE
    middle = (start + stop) / 2
    points: Sequence[tuple[float, float]] = [
        (start, begin), (middle, begin), (middle, end), (stop, end),
        (stop, end + width), (middle, end + width), (middle, begin + width), (start, begin + width),
    ]  # fmt: skip
    codes = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3]
    # A band of a handful of records is a line.
    edge = _THINNEST if width < _THINNEST else 0.0
    axes.add_patch(
        PathPatch(Outline(points, codes), facecolor=colour, edgecolor=colour, linewidth=edge, alpha=0.55)
    )


def _draw_node(axes: Axes, x: float, node: _Node, colour: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((x, node.top), _NODE, max(node.height, _THINNEST), facecolor=colour, linewidth=0)
    )


def _label(axes: Axes, x: float, node: _Node, name: str, count: int, side: str) -> None:
    middle = node.top + node.height / 2
    axes.text(x, middle - 1, name, ha=side, va="bottom", fontsize=8.5, fontweight="bold")
    axes.text(x, middle + 1, f"{count:,}", ha=side, va="top", fontsize=8.5)
