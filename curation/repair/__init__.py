"""Stage 6, repair: declared rules with evidence, and a ledger of every cell that they change."""

from curation.repair.engine import (
    FILLING,
    NEAR_SECONDS,
    NEAR_SHARE,
    UNDECIDABLE,
    UNHELD,
    Repaired,
    Tally,
    repair,
    tallied,
)
from curation.repair.rules import Rule, rules, rules_digest
from curation.repair.summary import summarize

__all__ = [
    "ASIDES_TYPE",
    "FILLING",
    "NEAR_SECONDS",
    "NEAR_SHARE",
    "UNDECIDABLE",
    "UNHELD",
    "Repaired",
    "Rule",
    "Tally",
    "asides_array",
    "repair",
    "rules",
    "rules_digest",
    "summarize",
    "tallied",
]
