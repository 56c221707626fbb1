"""Siblings of the snapshot dataset: a bare repository for git, and storage for annexed content that clones reach."""

from curation.siblings.push import PushReport, push
from curation.siblings.siblings import Sibling, add_sibling, find_sibling, siblings
from curation.siblings.storage import STORAGE_TYPES, Storage, parse_storage

__all__ = [
    "STORAGE_TYPES",
    "PushReport",
    "Sibling",
    "Storage",
    "add_sibling",
    "find_sibling",
    "parse_storage",
    "push",
    "siblings",
]
