"""Stage 1, import: from dumps of the service's database to the record store."""

from curation.dumps.load import FileReport, ImportReport, import_dumps
from curation.dumps.problems import Problem
from curation.dumps.sink import Imported
from curation.dumps.sources import Dump, find_dumps

__all__ = ["Dump", "FileReport", "ImportReport", "Imported", "Problem", "find_dumps", "import_dumps"]
