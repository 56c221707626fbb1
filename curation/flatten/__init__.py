"""Stage 2, flatten: documents to typed columns."""

from curation.flatten.asides import ASIDES_TYPE, asides_array
from curation.flatten.documents import KEY_TWICE, NOT_JSON, TOO_DEEP, canonical_json, parse_document
from curation.flatten.flatten import (
    AS_TEXT,
    FORMULA,
    OTHER_KEY,
    SET_ASIDE,
    UNREADABLE,
    Aside,
    Fault,
    Flattened,
    flat_schema,
    flatten,
)

__all__ = [
    "ASIDES_TYPE",
    "AS_TEXT",
    "FORMULA",
    "KEY_TWICE",
    "NOT_JSON",
    "OTHER_KEY",
    "SET_ASIDE",
    "TOO_DEEP",
    "UNREADABLE",
    "Aside",
    "Fault",
    "Flattened",
    "asides_array",
    "canonical_json",
    "flat_schema",
    "flatten",
    "parse_document",
]
