"""What the BIDS schema says of acquisition parameters: read from ``bidsschematools``, not retyped."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from bidsschematools.schema import load_schema

from schemas.dictionary import Column

GLOSSARY = "https://bids-specification.readthedocs.io/en/stable/glossary.html#objects."
# Markdown links whose targets only mean something inside the specification, or are long.
_LINK = re.compile(r"\[([^\]]*)\]\((?:[^()]|\([^()]*\))*\)")


@cache
def _schema() -> Any:
    return load_schema()


def schema_version() -> str:
    """The version of BIDS whose schema is read."""
    return str(_schema().bids_version)


def _term(reference: str) -> dict[str, Any]:
    group, name = reference.split(".", 1)
    try:
        return dict(_schema().objects[group][name])
    except KeyError:
        raise KeyError(
            f"the data dictionary names {reference}, which the BIDS schema does not have"
        ) from None


def description(column: Column) -> str:
    """What a column means: the dictionary's words or, for a term of BIDS, those of its schema.

    Raises:
        KeyError: the BIDS schema does not have the term.
    """
    if column.description or column.bids is None:
        return column.description
    text = _LINK.sub(r"\1", str(_term(column.bids)["description"]))
    return " ".join(text.replace("`", "").split())


def unit(column: Column) -> str | None:
    """The unit of a column's values; ``None`` where they have none."""
    if column.unit or column.bids is None or column.type not in ("number", "integer"):
        return column.unit
    return _unit_in(_term(column.bids))


def _unit_in(term: dict[str, Any]) -> str | None:
    if "unit" in term:
        return str(term["unit"])
    choices = (choice for key in ("anyOf", "oneOf") for choice in term.get(key, ()))
    return next((found for choice in choices if (found := _unit_in(dict(choice)))), None)


def term_url(column: Column) -> str | None:
    """Where the specification explains a term of BIDS."""
    return f"{GLOSSARY}{column.bids}" if column.bids else None
