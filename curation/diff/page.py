"""The result as one HTML file: no network, no script, nothing of the machine or the moment."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from curation.diff import words
from curation.diff.cells import NEAR_SHARE, NEAR_ULPS
from curation.diff.model import Difference


def html_page(difference: Difference) -> str:
    """The result as a page: the same result gives the same text."""
    return _template().render(d=difference, words=words, near_share=NEAR_SHARE, near_ulps=NEAR_ULPS)


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string((files("curation.diff") / "page.html.j2").read_text("utf-8"))
