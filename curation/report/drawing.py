"""Drawings as SVG: the same bytes for the same numbers, small, readable in a page and alone.

Letters stay letters, so that they can be searched, read aloud and printed sharply, and take no room. They are set in
Helvetica or Arial, or Liberation Sans, which has the same widths, and laid out for DejaVu Sans, which is wider:
what fits there fits everywhere.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours that Okabe and Ito chose for all kinds of colour vision: https://jfly.uni-koeln.de/color/
BLUE, SKY, GREEN, ORANGE, VERMILLION, PURPLE = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
)
INK, GREY, PALE = "#222222", "#666666", "#DDDDDD"
LONGEST_LABEL = 28
"""Characters that a name at an axis may have."""
WIDTH = 3.75
"""Inches; 360 pixels on a screen: a figure fills a telephone, and two or three stand side by side elsewhere."""

_FONTS = "Helvetica, Arial, 'Liberation Sans', sans-serif"
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.parse_math": False,  # a dollar sign in a name is one
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
}
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_HEAD = re.compile(r"\A.*?(?=<svg )", re.DOTALL)
_ID = re.compile(r'\s+id="([^"]*)"')
_USED = re.compile(r'(?:url\(#|href="#)([^)"]+)')
_PLACED = re.compile(r'\b(d|x|y|width|height|transform|points|viewBox)="([^"]*)"')
_LONG = re.compile(r"-?\d+\.\d{2,}")
_XML = '<?xml version="1.0" encoding="utf-8"?>\n'


@contextmanager
def drawing(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A figure to draw on, whatever a user's matplotlibrc says; matplotlib is imported here.

    Args:
        height: inches.
        width: inches.
    """
    import matplotlib  # slow to import
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        yield figure


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The drawing as a file of its own.

    Args:
        figure: from :func:`drawing`, whose context is still open.
        name: of the figure; no two figures of a page may share it, as ids are made of it.
        title: read aloud for it.
        description: what it shows, in words; read aloud as well.
    """
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = _METADATA.sub("", _HEAD.sub("", content.getvalue().decode(), count=1))
    text = re.sub(r"\s*<!--.*?-->", "", text, flags=re.DOTALL)
    text = _with_ids(text, name)
    text = _PLACED.sub(lambda found: f'{found[1]}="{_LONG.sub(_rounded, found[2])}"', text)
    text = text.replace("'DejaVu Sans', sans-serif", _FONTS).replace("'DejaVu Sans'", _FONTS)
    tag, _, rest = text.partition(">")
    # The page and the browser know how large it may be.
    tag = re.sub(r'\s(?:width|height)="[^"]*pt"', "", tag)
    spoken = f'<title id="{name}-title">{escape(title)}</title>\n <desc id="{name}-desc">{escape(description)}</desc>'
    labels = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    return f"{_XML}{tag} {labels}>\n {spoken}{rest}"


def inline(svg: str) -> str:
    """A drawing as it stands in a page."""
    return svg.removeprefix(_XML)


def _with_ids(text: str, name: str) -> str:
    """Only ids that something refers to, each beginning with the figure's name."""
    used = set(_USED.findall(text))
    text = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)


def _rounded(found: re.Match[str]) -> str:
    """Hundredths of a point are finer than any screen or printer."""
    return f"{float(found[0]):.2f}".rstrip("0").rstrip(".")


def lay_out(
    figure: Figure, left: float, right: float, top: float, bottom: float, between: float = 0.0
) -> None:
    """Lay panels out: matplotlib's own layouts draw every figure twice to find out.

    Args:
        figure: with panels.
        left: points between its edge and the panels; right, top and bottom: likewise.
        between: points from one panel to the next below.
    """
    width, height = (72 * inches for inches in figure.get_size_inches())
    rows = max(len({round(axes.get_position().y0, 6) for axes in figure.axes}), 1)
    panel = (height - top - bottom - between * (rows - 1)) / rows
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, hspace=between / panel
    )


def shown_name(name: str) -> str:
    """A name as it stands at an axis: of printable characters, and no longer than there is room for."""
    printable = "".join(letter if letter.isprintable() else "�" for letter in name)
    return printable if len(printable) <= LONGEST_LABEL else f"{printable[: LONGEST_LABEL - 1]}…"


def label_width(labels: Iterable[str]) -> float:
    """Points that labels of an axis take at most, and the room around them."""
    return 12 + 4.9 * max((len(label) for label in labels), default=0)


def bare(axes: Axes, *kept: str) -> None:
    """Only some of the lines around a panel: ``left``, ``bottom``."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in kept)
    if "left" not in kept:
        axes.tick_params(left=False)
    if "bottom" not in kept:
        axes.tick_params(bottom=False)
    axes.set_axisbelow(True)


def number(value: float) -> str:
    """Three digits that matter, thousands told apart."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def short_number(value: float) -> str:
    """As :func:`number`, for axes: from 10,000 on in thousands (k), millions (M) and billions (G)."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{number(value / size)}{letter}"
    return number(value)


def percent(part: float, whole: float) -> str:
    """A share in percent, with one digit behind the point."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
