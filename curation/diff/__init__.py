"""Stage 8, audit: what changed between two versions, cell by cell, and why."""

from curation.diff.cells_file import write_cells
from curation.diff.compare import compare
from curation.diff.life import Life, life_of_record
from curation.diff.model import Cause, ColumnDifference, Difference, TableDifference
from curation.diff.page import html_page, life_page
from curation.diff.version import Version, open_version
from curation.diff.words import summary_lines

__all__ = [
    "Cause",
    "ColumnDifference",
    "Difference",
    "Life",
    "TableDifference",
    "Version",
    "compare",
    "html_page",
    "life_of_record",
    "life_page",
    "open_version",
    "summary_lines",
    "write_cells",
]
