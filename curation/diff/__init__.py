"""Stage 8, audit: what changed between two versions, cell by cell, and why."""

from curation.diff.compare import compare
from curation.diff.model import Cause, ColumnDifference, Difference, TableDifference
from curation.diff.version import Version, open_version

__all__ = ["Cause", "ColumnDifference", "Difference", "TableDifference", "Version", "compare", "open_version"]
