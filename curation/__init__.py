"""The library behind mriqc-snapshot: one module or folder a stage, plain functions over records and tables.

Researchers need one of them, :func:`read_table`.
"""

import os
import sys

if sys.platform == "linux":
    # Read by Arrow when it is imported first. Of its allocators this one keeps the least of what was given back:
    # curating 500,000 records then peaks at three quarters of what it does with the default.
    # https://arrow.apache.org/docs/cpp/env_vars.html#envvar-ARROW_DEFAULT_MEMORY_POOL
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")

from curation.reading import read_table

__all__ = ["read_table"]
