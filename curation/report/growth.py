"""The growth of the database over time: a panel a resource, as in the figure of a release."""

from __future__ import annotations

from curation.release.figure import Growth, draw_panel
from curation.report.drawing import drawing, lay_out, to_svg
from curation.report.figures import Figure
from schemas.dictionary import Resource


def draw_growth(counts: Growth, resource: Resource) -> Figure:
    """How records and images of a resource became more, and how many there were at the end of each year."""
    name = f"growth-{resource}"
    with drawing(2.5) as figure:
        axes = figure.subplots()
        draw_panel(axes, resource, counts)
        axes.set_xlabel("when the service took the record (UTC)")
        lay_out(figure, 54, 8, 20, 34)
        svg = to_svg(figure, name, f"Growth: {resource}", _description(counts, resource))
    return Figure(name, svg, (), ())


def _description(counts: Growth, resource: Resource) -> str:
    if not counts.months:
        return "There are no records."
    records, images = counts.records[resource][-1], counts.images[resource][-1]
    kind = "images that were rated" if resource == "rating" else "distinct images"
    return f"Two lines that rise over time, to {records:,} records and {images:,} {kind}."


def growth_rows(counts: Growth) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: of each year's end, how many records and images there were of each resource."""
    head = ["end of"]
    for resource in counts.records:
        images = "images rated" if resource == "rating" else "images"
        head += [f"{resource} records", f"{resource} {images}"]
    rows = []
    for place, month in enumerate(counts.months):
        if month % 12 == 11 or place == len(counts.months) - 1:
            row = [f"{month // 12}-{month % 12 + 1:02}"]
            for resource in counts.records:
                row += [f"{counts.records[resource][place]:,}", f"{counts.images[resource][place]:,}"]
            rows.append(row)
    return head, rows
