"""``python -m schemas``: print the page on all columns (``docs/columns.md``)."""

import sys

from schemas.publication import documentation_page
from schemas.published import TABLES, published_table

if __name__ == "__main__":
    sys.stdout.write(documentation_page({name: published_table(name) for name in TABLES}))
