"""Which images are public, put together over modalities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any


def public_datasets(public: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Datasets and how many images each has, most first.

    Args:
        public: of ``snapshot.json``.
    """
    counts: Counter[str] = Counter()
    for by_table in public.values():
        counts.update(by_table["by_dataset"])
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def public_years(public: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Of each year, how many images' records were made in it, and how many of them are public.

    Args:
        public: of ``snapshot.json``.
    """
    images: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for by_table in public.values():
        for year, both in by_table["by_year"].items():
            images[year] += both["images"]
            found[year] += both["public"]
    return {year: (images[year], found[year]) for year in sorted(images)}
