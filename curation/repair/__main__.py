"""``python -m curation.repair > docs/repairs.md``: the rules on a page, for readers."""

from __future__ import annotations

import sys

from curation.repair.page import documentation_page

if __name__ == "__main__":
    sys.stdout.write(documentation_page())
