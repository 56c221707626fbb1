"""Stage 4, deduplicate: every record ends as representative of its image, duplicate of one, or in quarantine."""

from curation.deduplicate.fates import IMAGE_KEY_COLUMNS, KEY_COLUMNS, Decision, Fate, decide, live_records
from curation.deduplicate.ledger import quarantine_ledger, records_ledger
from curation.deduplicate.ranking import parse_version
from curation.deduplicate.repeats import Repeats, compare_repeats
from curation.deduplicate.similar import count_similar

__all__ = [
    "IMAGE_KEY_COLUMNS",
    "KEY_COLUMNS",
    "Decision",
    "Fate",
    "Repeats",
    "compare_repeats",
    "count_similar",
    "decide",
    "live_records",
    "parse_version",
    "quarantine_ledger",
    "records_ledger",
]
