"""Stage 2, flatten: documents to typed columns."""

from curation.flatten.documents import KEY_TWICE, NOT_JSON, TOO_DEEP, canonical_json, parse_document
from curation.flatten.flatten import FORMULA, SET_ASIDE, UNREADABLE, Fault, Flattened, flat_schema, flatten

__all__ = [
    "FORMULA",
    "KEY_TWICE",
    "NOT_JSON",
    "SET_ASIDE",
    "TOO_DEEP",
    "UNREADABLE",
    "Fault",
    "Flattened",
    "canonical_json",
    "flat_schema",
    "flatten",
    "parse_document",
]
