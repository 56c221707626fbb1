"""The order of MRIQC's versions."""

from __future__ import annotations

import pandas as pd
from packaging.version import InvalidVersion, Version


def rank_versions(versions: pd.Series) -> pd.Series:
    """A whole number for each version: higher is newer, as releases are ordered (PEP 440).

    What is no version (a git SHA, nothing) is 0, before every version.
    """
    parsed = {text: parse_version(text) for text in versions.dropna().unique()}
    ordered = sorted({version for version in parsed.values() if version is not None})
    ranks = {version: rank for rank, version in enumerate(ordered, 1)}
    by_text = {text: ranks[version] for text, version in parsed.items() if version is not None}
    return versions.map(by_text).fillna(0).astype("int64")


def parse_version(text: str) -> Version | None:
    """A version as PEP 440 orders them; ``None`` for what is none.

    A release of MRIQC has a dot: a SHA of seven decimal digits is none.
    https://peps.python.org/pep-0440/#version-scheme
    """
    try:
        return Version(text) if "." in text else None
    except InvalidVersion:
        return None
