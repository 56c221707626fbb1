"""Stage 6, repair: declared rules with evidence, and a ledger of every cell that they change."""

from curation.repair.cells import ASIDES_TYPE, asides_array
from curation.repair.engine import Repaired, Tally, repair
from curation.repair.rules import Rule, rules, rules_digest
from curation.repair.summary import summarize

__all__ = [
    "ASIDES_TYPE",
    "Repaired",
    "Rule",
    "Tally",
    "asides_array",
    "repair",
    "rules",
    "rules_digest",
    "summarize",
]
