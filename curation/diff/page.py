"""Results as HTML, one file each: no network, no script, nothing of the machine or the moment."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from curation.diff import life_words, words
from curation.diff.cells import NEAR_SHARE, NEAR_ULPS
from curation.diff.life import Life
from curation.diff.model import Difference


def html_page(difference: Difference) -> str:
    """A comparison as a page: the same result gives the same text."""
    template = _templates().get_template("difference.html.j2")
    return template.render(d=difference, words=words, near_share=NEAR_SHARE, near_ulps=NEAR_ULPS)


def life_page(life: Life) -> str:
    """The life of a record or image as a page: the same life gives the same text."""
    return _templates().get_template("life.html.j2").render(life=life, words=life_words)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("curation.diff"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
