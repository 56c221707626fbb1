"""The record store: every document exactly as received, append-only, compressed, sealed part by part."""

from curation.store.files import write_atomically
from curation.store.known import Known
from curation.store.parts import Part, PartWriter, Record
from curation.store.store import RecordStore, existing_store, require_apart
from curation.store.withdrawals import Decided, Reason, Verdict

__all__ = [
    "Decided",
    "Known",
    "Part",
    "PartWriter",
    "Reason",
    "Record",
    "RecordStore",
    "Verdict",
    "existing_store",
    "require_apart",
    "write_atomically",
]
