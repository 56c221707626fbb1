"""The figure of the database's growth: records and images over time, as in the article of 2019."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import UsageError
from curation.ledger_reading import count_ledger
from curation.release.version import Version
from schemas import RESOURCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("created", "resource", "fate", "md5sum")
_TITLES = {"T1w": "T1-weighted images", "T2w": "T2-weighted images", "bold": "Functional (BOLD) images"}
_TITLES["rating"] = "Ratings"
_KINDS = {"records": "records received", "images": "distinct images"}
# Two of the colours that Okabe and Ito chose for all kinds of colour vision:
# https://jfly.uni-koeln.de/color/
_COLOURS = {"records": "#E69F00", "images": "#0072B2"}
_SIZE = (8.0, 5.6)  # inches


@dataclass(frozen=True)
class Growth:
    """How many records came and how many new images with them, month by month.

    Attributes:
        months: all months from the first to the last one with a record, as numbers of months since the year 0.
        records: of each resource, records received until the end of each month.
        images: of each resource, distinct images until the end of each month; of ratings, images that were rated.
    """

    months: tuple[int, ...]
    records: Mapping[str, tuple[int, ...]]
    images: Mapping[str, tuple[int, ...]]


def growth(records: Path) -> Growth:
    """Count the ledger of records; a few megabytes of it are in memory at once.

    Args:
        records: ``audit/records.csv``, with content. Records that were withdrawn are not in it, nor counted here.

    Raises:
        UsageError: the file is not there, or is not such a ledger.
    """
    received: Counter[tuple[str, int]] = Counter()
    images: Counter[tuple[str, int]] = Counter()
    rated: dict[str, int] = {}

    def count(batches: Iterable[pa.RecordBatch]) -> None:
        for counts in (received, images, rated):
            counts.clear()
        for batch in batches:
            _count(batch, received, images, rated)

    try:
        count_ledger(records, _COLUMNS, count)
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise UsageError(
            f"{records}: cannot be read ({error}); is its content there? See `datalad get`"
        ) from error
    images.update(("rating", month) for month in rated.values())
    months = tuple(month for _, month in received)
    every = tuple(range(min(months), max(months) + 1)) if months else ()
    return Growth(every, _cumulated(received, every), _cumulated(images, every))


def _count(
    batch: pa.RecordBatch,
    received: Counter[tuple[str, int]],
    images: Counter[tuple[str, int]],
    rated: dict[str, int],
) -> None:
    """Add the records of a batch. An image has one representative, its earliest record, so that no set of checksums
    is needed; images that were rated are few."""
    # A record that the service gave no time has none here, where its id has none either.
    batch = batch.filter(pc.is_valid(batch["created"]))
    month = pc.utf8_slice_codeunits(batch["created"], 0, 7)
    table = pa.table({"resource": batch["resource"], "month": month, "fate": batch["fate"]})
    for row in table.group_by(["resource", "month", "fate"]).aggregate([([], "count_all")]).to_pylist():
        place = row["resource"], _month(row["month"])
        received[place] += row["count_all"]
        if row["fate"] == "representative" and row["resource"] != "rating":
            images[place] += row["count_all"]
    ratings = pc.and_(pc.equal(batch["resource"], "rating"), pc.equal(batch["fate"], "representative"))
    for checksum, text in zip(
        batch["md5sum"].filter(ratings).to_pylist(), month.filter(ratings).to_pylist(), strict=True
    ):
        rated[checksum] = min(_month(text), rated.get(checksum, _month(text)))


def _month(text: str) -> int:
    return int(text[:4]) * 12 + int(text[5:7]) - 1


def _cumulated(counts: Counter[tuple[str, int]], months: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for resource in RESOURCES:
        total, sums = 0, []
        for month in months:
            total += counts[resource, month]
            sums.append(total)
        found[resource] = tuple(sums)
    return found


def draw(counts: Growth, version: Version) -> bytes:
    """Draw the growth as SVG: the same bytes for the same counts and version of matplotlib.

    Letters are drawn as outlines, so that it looks the same wherever it is shown; what it shows is said in its title
    and description, too.

    Args:
        counts: from :func:`growth`.
        version: of the release.
    """
    import matplotlib  # slow to import
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        # Whatever a user's matplotlibrc says.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.hashsalt": "mriqc-snapshot",
                "svg.fonttype": "path",
                "font.family": "DejaVu Sans",
                "font.size": 9,
            }
        )
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(2, 2, sharex=True)
        for resource, panel in zip(RESOURCES, axes.flat, strict=True):
            draw_panel(panel, resource, counts)
        figure.suptitle(f"Snapshot of the MRIQC Web-API, version {version}")
        figure.supxlabel("when the service took the record, by month (UTC)")
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return _with_text(content.getvalue(), _title(version), _description(counts))


def draw_panel(panel: Axes, resource: str, counts: Growth) -> None:
    """Draw the growth of one resource."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    # Sums are of the end of a month; the axis is in years.
    ends = [(month + 1) / 12 for month in counts.months]
    for kind, sums in (("records", counts.records[resource]), ("images", counts.images[resource])):
        if not ends:
            continue
        # From nothing at the beginning of the first month.
        x, y = [ends[0] - 1 / 12, *ends], [0, *sums]
        style = "--" if kind == "records" else "-"
        panel.plot(
            x, y, style, color=_COLOURS[kind], linewidth=1.8, label=f"{_name(kind, resource)}: {sums[-1]:,}"
        )
    panel.set_title(_TITLES[resource], loc="left", fontsize=10)
    panel.set_ylabel("cumulative number")
    panel.set_ylim(bottom=0, top=None if any(counts.records[resource]) else 1)
    panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    if ends:
        panel.legend(loc="upper left", frameon=False, fontsize=8.5)


def _name(kind: str, resource: str) -> str:
    if resource == "rating":
        return "ratings received" if kind == "records" else "distinct images rated"
    return _KINDS[kind]


def _title(version: Version) -> str:
    return f"Growth of the MRIQC Web-API's database, version {version}"


def _description(counts: Growth) -> str:
    if not counts.months:
        return "There are no records."
    first, last = (f"{month // 12:04}-{month % 12 + 1:02}" for month in (counts.months[0], counts.months[-1]))
    panels = [
        f"{_TITLES[resource]}: {counts.records[resource][-1]:,} {_name('records', resource)}, "
        f"{counts.images[resource][-1]:,} {_name('images', resource)}."
        for resource in RESOURCES
    ]
    return (
        f"Four panels with two lines each, cumulated from {first} to {last}. {' '.join(panels)} "
        "Records that were withdrawn are not counted."
    )


def _with_text(svg: bytes, title: str, description: str) -> bytes:
    """The drawing with a title and a description that screen readers tell."""
    head, tag, rest = svg.decode().partition("<svg ")
    attributes, _, content = rest.partition(">")
    spoken = f"\n <title>{escape(title)}</title>\n <desc>{escape(description)}</desc>"
    return f'{head}{tag}role="img" {attributes}>{spoken}{content}'.encode()
