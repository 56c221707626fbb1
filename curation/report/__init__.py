"""The page of a night: ``report.html`` and the figures in it, made from finished tables and ledgers."""

from curation.report.before import Because, Before, Changes, TableChanges
from curation.report.changes import changes_of, changes_since
from curation.report.write import FIGURES, REPORT, write_report

__all__ = [
    "FIGURES",
    "REPORT",
    "Because",
    "Before",
    "Changes",
    "TableChanges",
    "changes_of",
    "changes_since",
    "write_report",
]
