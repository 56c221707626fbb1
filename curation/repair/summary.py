"""What the rules did, for the night's summary and ``snapshot.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from curation.repair.engine import Tally
from curation.repair.rules import Rule, rules


def summarize(tallies: Mapping[str, Mapping[str, Tally]]) -> dict[str, Any]:
    """What the rules are and did: ``rules``, their versions; ``repairs``, what each did in each table; and
    ``expectations``, a sentence on each that a rule failed.

    Args:
        tallies: by resource, by rule.
    """
    repairs: dict[str, dict[str, dict[str, int]]] = {}
    failed: list[str] = []
    for rule in rules():
        found = {name: by_rule[rule.id] for name, by_rule in tallies.items() if rule.id in by_rule}
        repairs[rule.id] = {name: _counts(tally) for name, tally in found.items() if tally.looked_at}
        failed += _failed(rule, sum(found.values(), Tally()))
    return {"rules": {rule.id: rule.since for rule in rules()}, "repairs": repairs, "expectations": failed}


def _counts(tally: Tally) -> dict[str, int]:
    return {name: count for name, count in vars(tally).items() if name != "in_window"}


def _failed(rule: Rule, tally: Tally) -> Iterator[str]:
    if rule.one_of is not None and tally.in_window >= rule.one_of and not tally.looked_at:
        yield (
            f"{rule.id} matched none of {tally.in_window} cells of its time; it has to match one of {rule.one_of}. "
            "Is the taint gone upstream, or does the rule look for it in the wrong place?"
        )
    if tally.out_of_range:
        yield (
            f"{rule.id}: evidence led out of the expected range for {tally.out_of_range} of {tally.looked_at} cells; "
            "audit/repairs.csv has those that were left empty"
        )
