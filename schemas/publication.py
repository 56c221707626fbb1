"""What is published of the data dictionary: a JSON a table, a Frictionless data package, a page of documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas import bids
from schemas.dictionary import Column, ColumnType
from schemas.published import CURATED_TABLES, PublishedTable, flag_meanings

# https://specs.frictionlessdata.io/table-schema/#types-and-formats
_FIELD_TYPES: dict[ColumnType, str] = {
    "number": "number",
    "integer": "integer",
    "text": "string",
    "boolean": "boolean",
    "time": "datetime",
}
PACKAGE_NAME = "mriqc-snapshot"


def _levels(table: PublishedTable, column: Column) -> dict[str, str]:
    if column.name == "flags" and table.name in CURATED_TABLES:
        return flag_meanings(table.name.removesuffix("_curated"))  # type: ignore[arg-type]
    return dict(column.levels)


def sidecar(table: PublishedTable) -> dict[str, dict[str, Any]]:
    """What each column means, in the keys of a BIDS sidecar of a table.

    https://bids-specification.readthedocs.io/en/stable/common-principles.html#tabular-files; keys beyond these are
    ``Type``, ``Required``, ``PlausibleMinimum``, ``PlausibleMaximum``, ``PlausibleSource``, ``BetterValues`` and
    ``Source``.
    """
    return {column.name: _described(table, column) for column in table.columns}


def _described(table: PublishedTable, column: Column) -> dict[str, Any]:
    low, high = column.hard or (None, None)
    plausible_low, plausible_high = column.plausible or (None, None)
    found: dict[str, Any] = {
        "Description": bids.description(column),
        "Units": bids.unit(column),
        "Type": column.type,
        "Required": column.required or None,
        "Levels": _levels(table, column) or None,
        "Delimiter": " " if column.name == "flags" else None,
        "TermURL": bids.term_url(column),
        "Minimum": low,
        "Maximum": high,
        "PlausibleMinimum": plausible_low,
        "PlausibleMaximum": plausible_high,
        "PlausibleSource": column.plausible_source or None,
        "BetterValues": column.direction if column.direction != "neither" else None,
        "Source": list(column.source) or (["BIDS"] if column.bids else None),
    }
    return {key: value for key, value in found.items() if value is not None}


def datapackage(tables: Mapping[PublishedTable, Mapping[str, Any]]) -> dict[str, Any]:
    """A Frictionless data package of published tables.

    Args:
        tables: to what is known of each CSV file, ``bytes`` and ``sha256``.

    https://specs.frictionlessdata.io/tabular-data-package/
    """
    return {
        "profile": "tabular-data-package",
        "name": PACKAGE_NAME,
        "title": "Snapshot of the MRIQC Web-API",
        "description": "Image quality metrics and ratings of magnetic resonance images, sent by users of MRIQC.",
        "licenses": [
            {"name": "CC0-1.0", "path": "https://creativecommons.org/publicdomain/zero/1.0/legalcode"}
        ],
        "resources": [_resource(table, facts) for table, facts in tables.items()],
    }


def _resource(table: PublishedTable, facts: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"fields": [_field(column) for column in table.columns], "missingValues": [""]}
    if table.key:
        schema["primaryKey"] = list(table.key)
    return {
        "profile": "tabular-data-resource",
        "name": table.name.lower(),
        "title": table.name,
        "path": table.path,
        "description": table.description,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "dialect": {"delimiter": ",", "quoteChar": '"', "doubleQuote": True, "lineTerminator": "\n"},
        "bytes": facts["bytes"],
        "hash": f"sha256:{facts['sha256']}",
        "schema": schema,
    }


def _field(column: Column) -> dict[str, Any]:
    # An empty text is no missing one here, but is to Frictionless.
    filled = column.required and (column.type != "text" or column.accept is not None)
    constraints: dict[str, Any] = {"required": True} if filled else {}
    if column.accept is not None and column.accept.pattern is not None:
        constraints["pattern"] = column.accept.pattern
    elif column.accept is not None:
        constraints["enum"] = list(column.accept.values)
    field = {
        "name": column.name,
        "type": _FIELD_TYPES[column.type],
        "description": bids.description(column),
    }
    if unit := bids.unit(column):
        field["unit"] = unit
    return field | ({"constraints": constraints} if constraints else {})


def documentation_page(tables: Mapping[str, PublishedTable]) -> str:
    """The page on all columns, in Markdown; a column that several tables share is explained with the first of them."""
    lines = [
        "# Columns",
        "",
        "Made from the data dictionary (`schemas/columns`) by `python -m schemas`; a test fails where they differ.",
        "A column that several tables have is explained once. Where a term of BIDS is linked, the published",
        "`dictionary/` has the words of its schema.",
    ]
    shown: dict[Column, str] = {}
    for name, table in tables.items():
        lines += ["", f"## {name}", "", f"`{table.path}`. {table.description}", ""]
        others = {shown[column]: None for column in table.columns if column in shown}
        if others:
            lines += [f"Columns that are not listed here are those of {' and '.join(others)}.", ""]
        new = [column for column in table.columns if column not in shown]
        shown |= dict.fromkeys(new, name)
        if new:
            lines += [
                "| column | type | unit | can be | plausible | better | meaning |",
                "|---|---|---|---|---|---|---|",
            ]
        lines += [_row(column) for column in new]
    return "\n".join([*lines, *_flags_section()]) + "\n"


def _flags_section() -> list[str]:
    named = {
        flag: meaning
        for name in CURATED_TABLES
        for flag, meaning in flag_meanings(name.removesuffix("_curated")).items()  # type: ignore[arg-type]
        if not flag.startswith("implausible_")
    }
    lines = [f"- `{flag}`: {meaning}" for flag, meaning in sorted(named.items())]
    lines.append(
        "- `implausible_X`: the value of column X is outside the range that the tables above call plausible."
    )
    return ["", "## Flags", "", "What the column `flags` of the curated tables can hold:", "", *lines]


def _row(column: Column) -> str:
    url = bids.term_url(column)
    meaning = column.description or (f"[BIDS]({url})" if url else "")
    if column.levels:
        meaning += " " + "; ".join(f"`{value}`: {said}" for value, said in column.levels) + "."
    cells = [
        f"`{column.name}`" + (", required" if column.required else ""),
        column.type,
        bids.unit(column) or "",
        _range(column.hard),
        _range(column.plausible),
        column.direction if column.direction in ("higher", "lower") else "",
        meaning.replace("|", "\\|"),
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _range(bounds: tuple[float | None, float | None] | None) -> str:
    if bounds is None:
        return ""
    low, high = bounds
    if low is None or high is None:
        return f"≥ {low:g}" if low is not None else f"≤ {high:g}"
    return f"{low:g} to {high:g}"
