"""The rules in words: a page of documentation, and what ``dictionary/repairs.json`` says of them."""

from __future__ import annotations

from datetime import UTC, datetime

from curation.repair.rules import Evidence, Rule, rules
from schemas.published import IMAGE_RESOURCES


def rule_meanings() -> dict[str, str]:
    """Every rule and why it is there, sorted by name."""
    return {rule.id: rule.reason for rule in sorted(rules(), key=lambda rule: rule.id)}


def documentation_page() -> str:
    """All rules, in Markdown, in the order in which they are applied."""
    lines = [
        "# Repairs",
        "",
        "Made from the declared rules (`curation/repair/rules.yaml`) by `python -m curation.repair`; a test fails if",
        "they differ. Rules work on the curated tables only, in this order; the unique tables keep values as received.",
        "Every cell that a rule changes is a row of `audit/repairs.csv`. Evidence is asked in the order given, and the",
        "first that answers decides. A cell that nothing decides is kept as it is or, where its value is known to be",
        "wrong, left empty, flagged `undecidable_value`, and in the ledger.",
    ]
    for rule in rules():
        lines += ["", f"## {rule.id}", "", rule.reason, "", *_facts(rule)]
    return "\n".join(lines) + "\n"


def _facts(rule: Rule) -> list[str]:
    facts = {
        "Columns": _columns(rule),
        "Tables": "" if len(rule.columns) == len(IMAGE_RESOURCES) else ", ".join(rule.columns),
        "When": _when(rule),
        "Evidence": "none is asked"
        if not rule.evidence
        else "; ".join(_evidence(one) for one in rule.evidence),
        "Results": _ranges(rule),
        "Without evidence": "left empty" if rule.otherwise == "empty" else "kept as received",
        "Reference": rule.reference,
        "Since": rule.since,
    }
    return [f"- {name}: {text}" for name, text in facts.items() if text]


def _columns(rule: Rule) -> str:
    names = max(rule.columns.values(), key=len)
    if len(names) > 4:
        return "all acquisition parameters" if all(n.startswith("bids_meta_") for n in names) else "all"
    return ", ".join(f"`{name}`" for name in names)


def _when(rule: Rule) -> str:
    when = rule.when
    said = []
    if when.created_before is not None:
        said.append(f"created before {datetime.fromtimestamp(when.created_before, UTC):%Y-%m-%d}")
    if when.values is not None:
        said.append(f"the value is one of {', '.join(f'{value:g}' for value in when.values)}")
    if when.above is not None:
        said.append(f"the value is above {when.above:g}")
    if when.from_ is not None:
        said.append(f"the value is {when.from_:g} or more")
    if when.whole:
        said.append("the value is whole")
    if when.unlisted:
        said.append("the text is none that BIDS has")
    if when.missing:
        said.append("nothing was received, and the sidecar of the public image has something")
    if when.not_after is not None:
        said.append(f"the value is not of {when.not_after}")
    if when.received is not None:
        said.append(" or ".join(_RECEIVED[why] for why in when.received))
    return ", and ".join(said)


_RECEIVED = {
    "as text": "it was received as text",
    "possible formula": "a spreadsheet would take the text for a formula",
    "other key": "the parameter is missing, and a misspelling of its key is there",
    "unreadable": "the column cannot hold the value",
}


def _evidence(one: Evidence) -> str:
    checks = [f"`{one.near}` agrees"] if one.near else [f"it is less than `{one.below}`"] if one.below else []
    if len(one.tables) < len(IMAGE_RESOURCES):
        checks.append(f"in {', '.join(one.tables)}")
    if one.scale is not None:
        checks.insert(0, f"times {one.scale:g}")
    return f"{one.name} ({', '.join([*checks, f'{one.confidence} confidence'])})"


def _ranges(rule: Rule) -> str:
    ranges = {
        name: f"{low:g} to {high:g}" for name, (low, high) in rule.range.items() if None not in (low, high)
    }
    if len(set(ranges.values())) <= 1:
        return next(iter(ranges.values()), "")
    return "; ".join(f"{name}: {text}" for name, text in ranges.items())
