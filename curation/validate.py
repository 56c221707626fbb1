"""Stage 3, validate: the hard rules that each record breaks, all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa

from curation.flatten import UNREADABLE, Fault, Flattened
from curation.objectid import is_object_id
from schemas import RESOURCES, table
from schemas.dictionary import Resource
from schemas.validation import MISSING, record_schema

NO_OBJECT_ID = "not an ObjectId"
FAULTS_TYPE = pa.list_(pa.struct([("column", pa.string()), ("rule", pa.string()), ("found", pa.string())]))
"""How faults are kept beside typed columns; a missing list is none."""


@cache
def excluding_rules() -> frozenset[str]:
    """The rules whose breach leaves a record out of the tables though nothing is wrong with it."""
    accepts = [column.accept for name in RESOURCES for column in table(name).columns if column.accept]
    return frozenset(accept.rule for accept in accepts if accept.fate == "excluded")


def broken_rules(resource: Resource, ids: Sequence[str], flattened: Flattened) -> list[list[Fault]]:
    """The rules that each of some records breaks, in the order of the dictionary's columns.

    Args:
        resource: whose records they are.
        ids: their ``_id``, which has to be an ObjectId.
        flattened: their columns, and the faults found on the way.
    """
    faults = [list(found) for found in flattened.faults]
    for place, column, rule, found in _failures(resource, flattened.table):
        known = faults[place]
        # A document that cannot be read lacks everything, and what cannot be read is not missing.
        if not any(f.column is None or (f.column == column and f.rule == UNREADABLE) for f in known):
            known.append(Fault(column, rule, found))
    for record_id, known in zip(ids, faults, strict=True):
        if not is_object_id(record_id):
            known.append(Fault("record_id", NO_OBJECT_ID, "text"))
    order = {name: place for place, name in enumerate(["record_id", *flattened.table.column_names])}
    for known in faults:
        known.sort(key=lambda fault: (order.get(fault.column or "", -1), fault.rule))
    return faults


def _failures(resource: Resource, columns: pa.Table) -> Iterator[tuple[int, str, str, str | None]]:
    """What breaks the pandera schema: row, column, rule, and what is there instead.

    Its checks are called one by one: `DataFrameSchema.validate` takes five times as long to say which rows failed, and
    types, which it looks at too, are those that the columns were made with.
    """
    schema = record_schema(resource)
    frame = columns.select(list(schema.columns)).to_pandas(types_mapper=pd.ArrowDtype)
    levels = {column.name: frozenset(dict(column.levels)) for column in table(resource).columns}
    for name, column in schema.columns.items():
        series = frame[name]
        if not column.nullable:
            for place in np.flatnonzero(series.isna().to_numpy()):
                yield int(place), name, MISSING, None
        for check in column.checks:
            passed = check(series).check_output.to_numpy()
            for place in np.flatnonzero(~passed):
                yield int(place), name, str(check.name), _shown(series.iloc[place], levels[name])


def _shown(value: object, levels: frozenset[str] = frozenset()) -> str:
    """A number, a truth value or a word of the dictionary; of other texts, which may be anything, the length."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(float(str(value)))
    return value if value in levels else f"text of {len(value):,} character{'s' * (len(value) != 1)}"


def faults_array(faults: Sequence[Sequence[Fault]]) -> pa.Array:
    """Faults as a column, a row a record."""
    rows = [[vars(fault) for fault in found] or None for found in faults]
    return pa.array(rows, FAULTS_TYPE)
