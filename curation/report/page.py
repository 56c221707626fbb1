"""Puts the page together from its template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from curation.report.before import Before
from curation.report.distributions import IQMS
from curation.report.drawing import percent
from curation.report.flow import FATES
from schemas.dictionary import table
from schemas.published import IMAGE_RESOURCES

SECTIONS = {
    "records": "Records",
    "changes": "Changes",
    "growth": "Growth",
    "metrics": "Quality metrics",
    "public": "Public images",
    "ratings": "Ratings",
    "quarantine": "Kept out",
    "repairs": "Repairs",
    "completeness": "Completeness",
    "flags": "Flags",
    "versions": "Versions",
}
"""Ids of the page's sections, and how its list of contents calls them."""
TITLE = "Nightly snapshot of the MRIQC Web-API"
_CODE = re.compile(r"`([^`]+)`")
_BLANK = re.compile(r"\n\s*\n+")
_COUNTED = ("received", *FATES)
_CHANGE_HEADS = ("rows added", "removed", "changed", "cells", "scale only")


def render(about: Mapping[str, Any]) -> bytes:
    """The page.

    Args:
        about: what the template asks for, see :func:`curation.report.write.write_report`; drawings are markup, all
            else is escaped.
    """
    from markupsafe import Markup

    tables = about["tables"]
    total = _sum(tables)
    figures = {name: Markup(svg) for name, svg in about["figures"].items()}
    style = (files("curation.report") / "templates" / "report.css").read_text("utf-8")
    derived = {
        "title": TITLE,
        "sections": SECTIONS.items(),
        "figures": figures,
        "kinds": _COUNTED,
        "images": IMAGE_RESOURCES,
        "style": Markup(style),
        "total": total,
        "meanings": _meanings(),
        "agreed": about["snapshot"]["agreement"].get("images", 0),
        "since": _since(total, about["night"], about["release"]),
        "withdrawn": _withdrawn(about["snapshot"]),
        "keys": _keys(about, total),
        "public": _public(about["snapshot"]),
        "change_heads": _CHANGE_HEADS,
        "completeness": {name: _filled(name, about["snapshot"]["coverage"]) for name in IMAGE_RESOURCES},
        "versions": _versions(about["snapshot"], about["release"]),
    }
    text = _template().render(**{**about, **derived})
    # Lines that the template's blocks leave empty.
    return (_BLANK.sub("\n", text).strip() + "\n").encode()


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("curation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda value: f"{value:,}",
        "delta": lambda value: f"{value:+,}" if value else "±0",
        "code": _with_code,
        "zip": lambda names, values: list(zip(names, values, strict=True)),
        "moment": lambda text: text.replace("T", " ")[:16] + " UTC",
    }
    environment.globals |= {"percent": percent}
    return environment.get_template("report.html.j2")


def _with_code(text: str) -> Any:
    """A sentence whose words in backticks are names."""
    from markupsafe import Markup, escape

    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def _sum(tables: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {kind: sum(counts.get(kind, 0) for counts in tables.values()) for kind in _COUNTED}


def _meanings() -> dict[str, str]:
    """What the metrics that are shown measure, by name."""
    columns = {column.name: column for name in reversed(IMAGE_RESOURCES) for column in table(name).iqms}
    shown = dict.fromkeys(name for names in IQMS.values() for name in names)
    return {name: columns[name].description for name in shown}


def _since(
    total: Mapping[str, int], night: Before | None, release: Before | None
) -> list[tuple[str, dict[str, int]]]:
    """What became more since versions before: their names, and the differences."""
    found = []
    for before in (night, release):
        if before is not None:
            then = _sum(before.snapshot.get("tables", {}))
            found.append((before.name, {kind: total[kind] - then[kind] for kind in _COUNTED}))
    return found


def _withdrawn(snapshot: Mapping[str, Any]) -> dict[str, int] | None:
    """Why records were withdrawn, over all resources; ``None`` where it is not told, or none was."""
    split = snapshot.get("withdrawn")
    if not split or not any(sum(one.values()) for one in split.values()):
        return None
    return {kind: sum(one[kind] for one in split.values()) for kind in ("deleted_upstream", "on_request")}


def _public(snapshot: Mapping[str, Any]) -> dict[str, int]:
    """How many images there are, and how many of them are public, over all modalities."""
    found = snapshot["public"].values()
    return {kind: sum(one[kind] for one in found) for kind in ("images", "public")}


def _keys(about: Mapping[str, Any], total: Mapping[str, int]) -> list[dict[str, str]]:
    """The numbers that the page begins with: what is done, what is counted, how much, and what more there is to say."""
    snapshot, repairs, changes = about["snapshot"], about["repairs"], about["changes"]
    tables = [snapshot["tables"][name] for name in IMAGE_RESOURCES]
    images, ratings = sum(one["representatives"] for one in tables), about["rated"].ratings
    sound = images + sum(one["duplicates"] for one in tables)
    out = total["quarantined"] + total["excluded"]
    since = _since(total, about["night"], about["release"])
    told = " and ".join(f"{deltas['received']:+,} since {name}" for name, deltas in since[:1])
    each = f"{sound / images:.2f} records each; " if images else ""
    done = ((repairs.filled, "filled"), (repairs.emptied + repairs.unheld, "left empty"))
    more = "".join(f", {count:,} {what}" for count, what in done if count)
    keys = [
        ("received", "Collected", "records", f"{total['received']:,}", told or "since the beginning"),
        ("images", "Told apart", "images", f"{images:,}", f"{each}{ratings:,} ratings by people"),
        ("out", "Checked", "records kept out", f"{out:,}", f"{percent(out, total['received'])} of all"),
        ("repaired", "Repaired", "cells", f"{repairs.repaired:,}", f"by {len(repairs.rules):,} rules{more}"),
    ]
    if snapshot["public"]:
        public = _public(snapshot)["public"]
        keys.append(
            ("public", "Matched", "public images", f"{public:,}", f"{percent(public, images)} of all images")
        )
    if changes is not None:
        whole = changes.added + changes.removed + changes.cells + changes.rescaled + changes.columns
        keys.append(
            (
                "changes",
                "Explained",
                "changes",
                f"{whole - changes.unexplained:,}",
                f"of {whole:,} rows{', columns' if changes.columns else ''} and cells since {about['release'].name}",
            )
        )
    return [dict(zip(("kind", "verb", "name", "value", "more"), key, strict=True)) for key in keys]


def _filled(resource: str, coverage: Mapping[str, Any]) -> list[list[str]]:
    """Acquisition parameters that some image has: how many images in the unique and in the curated table."""
    received, curated = coverage[resource], coverage[f"{resource}_curated"]
    rows = []
    for column, after in curated["filled"].items():
        before = received["filled"].get(column, 0)
        if column.startswith("bids_meta_") and (before or after):
            shares = percent(before, received["rows"]), percent(after, curated["rows"])
            rows.append((after, [column.removeprefix("bids_meta_"), f"{before:,}", f"{after:,}", *shares]))
    return [row for _, row in sorted(rows, key=lambda one: (-one[0], one[1]))]


def _versions(snapshot: Mapping[str, Any], release: Before | None) -> list[tuple[str, str | None]]:
    from importlib.metadata import version

    names = {
        "mriqc-snapshot": "mriqc-snapshot",
        "code": "code (SHA-256)",
        "rules": "rules of repair (SHA-256)",
        "dictionary": "data dictionary (SHA-256)",
        "index": "index of public images (SHA-256)",
        "pseudonyms": "key for pseudonyms (fingerprint)",
        "bids": "BIDS schema",
    }
    versions = snapshot["versions"]
    found = [
        (names.get(name, name), versions[name]) for name in [*names, *sorted(versions.keys() - names.keys())]
    ]
    # What the page itself is made with; tables do not depend on them.
    found += [("matplotlib (figures)", version("matplotlib"))]
    return [("last release", release.name if release else None), *found]
