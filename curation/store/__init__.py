"""The record store: every document exactly as received, append-only, compressed, sealed part by part."""

from curation.store.files import write_atomically
from curation.store.known import Known
from curation.store.parts import Part, PartWriter, Record
from curation.store.store import RecordStore, existing_store

__all__ = ["Known", "Part", "PartWriter", "Record", "RecordStore", "existing_store", "write_atomically"]
