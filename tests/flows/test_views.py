"""What a night prints, in a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from flows.views import snapshot_table

KINDS = ("received", "representatives", "duplicates", "quarantined", "excluded", "withdrawn")


def test_of_millions_of_records_no_word_and_no_number_is_broken() -> None:
    counts = dict(zip(KINDS, (2_137_481, 1_180_224, 957_003, 251, 2, 1), strict=True))
    shown = io.StringIO()
    Console(file=shown, width=80).print(snapshot_table({"tables": {"T1w": counts, "rating": counts}}))
    lines = [line.split() for line in shown.getvalue().splitlines()]
    assert list(KINDS) in lines
    assert ["rating", *(f"{count:,}" for count in counts.values())] in lines
