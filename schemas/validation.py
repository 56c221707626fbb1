"""pandera schemas made of the data dictionary: the hard rules of records, and of finished tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pandera.pandas as pandera

from schemas.dictionary import Column, Range, Resource, table
from schemas.published import PublishedTable

MISSING = "missing"
OUT_OF_RANGE = "out of range"


@cache
def record_schema(resource: Resource) -> pandera.DataFrameSchema:
    """The hard rules of a resource's records, over typed columns (Arrow-backed); other columns are let pass.

    The name of each check is that of the rule.
    """
    ruled = (column for column in table(resource).columns if column.personal != "dropped")
    return pandera.DataFrameSchema(
        {column.name: _column(column) for column in ruled if column.required or _checks(column)}
    )


@cache
def table_schema(published: PublishedTable) -> pandera.DataFrameSchema:
    """What (a chunk of) a finished table has to be: these columns and no other, in this order."""
    return pandera.DataFrameSchema(
        {column.name: _column(column) for column in published.columns},
        strict=True,
        ordered=True,
    )


def _column(column: Column) -> pandera.Column:
    return pandera.Column(
        pd.ArrowDtype(column.arrow.type),
        checks=_checks(column),
        nullable=not column.required,
        name=column.name,
    )


def _checks(column: Column) -> list[pandera.Check]:
    """The checks of a column; a missing value passes them, it is for ``nullable`` to refuse it."""
    rules: list[tuple[Callable[[pd.Series], pd.Series], str]] = []
    if column.hard is not None:
        rules.append((_Within(column.hard), OUT_OF_RANGE))
    if column.accept is not None and column.accept.pattern is not None:
        rules.append((_Matches(column.accept.pattern), column.accept.rule))
    elif column.accept is not None:
        rules.append((_OneOf(column.accept.values), column.accept.rule))
    return [pandera.Check(rule, name=name, ignore_na=False) for rule, name in rules]


class _Within:
    """Whether finite values are in a closed range; others are no matter of ranges."""

    def __init__(self, bounds: Range) -> None:
        low, high = bounds
        self._low = -np.inf if low is None else low
        self._high = np.inf if high is None else high

    def __call__(self, series: pd.Series) -> pd.Series:
        values = series.to_numpy(dtype="float64", na_value=np.nan)
        within = ~np.isfinite(values) | ((values >= self._low) & (values <= self._high))
        return pd.Series(within, index=series.index)


class _OneOf:
    def __init__(self, values: tuple[str | bool, ...]) -> None:
        self._values = list(values)

    def __call__(self, series: pd.Series) -> pd.Series:
        return series.isin(self._values) | series.isna()


class _Matches:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __call__(self, series: pd.Series) -> pd.Series:
        return series.str.fullmatch(self._pattern).fillna(True).astype(bool)
