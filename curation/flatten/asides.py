"""What was received for cells that do not hold it, as a column beside the typed ones."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from curation.flatten.flatten import Aside

ASIDES_TYPE = pa.list_(pa.struct([(name, pa.string()) for name in ("column", "key", "why", "value")]))
"""How asides are kept beside typed columns; a missing list is none."""


def asides_array(asides: Sequence[Sequence[Aside]]) -> pa.Array:
    """Asides as a column, a row a record."""
    return pa.array([[vars(one) for one in found] or None for found in asides], ASIDES_TYPE)
