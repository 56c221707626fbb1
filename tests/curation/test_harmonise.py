"""Harmonised columns: what they say of scanners, fields, releases and tasks as records have them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.flags import flag
from curation.harmonise import harmonise, task
from tests.support.documents import valid
from tests.support.repairs import BEFORE_CUT, repaired


def harmonised(
    meta: dict[str, Any], version: str = "0.14.2", **options: Any
) -> tuple[dict[str, Any], set[str]]:
    """The harmonised columns of one bold record, and its flags."""
    document = valid("bold", provenance_version=version)
    document["bids_meta"] |= meta
    made = repaired("bold", [document], **options)
    found = harmonise("bold", made.rows)
    flags = flag("bold", made, found)[0].as_py() or ""
    return {name: column[0].as_py() for name, column in found.items()}, set(flags.split())


@pytest.mark.parametrize(
    ("sent", "manufacturer"),
    [
        ("SIEMENS", "Siemens"), ("Siemens Healthineers", "Siemens"), ("GE_MEDICAL_SYSTEMS", "GE"), ("GE", "GE"),
        ("General Electric", "GE"), ("Philips Medical Systems", "Philips"), ("PHILIPS", "Philips"),
        ("UIH", "United Imaging"), ("TOSHIBA_MEC", "Canon"), ("acme", None), (None, None),
    ],
)  # fmt: skip
def test_manufacturers(sent: str | None, manufacturer: str | None) -> None:
    found, flags = harmonised({"Manufacturer": sent})
    assert found["manufacturer"] == manufacturer
    assert ("unknown_manufacturer" in flags) == (sent == "acme")


@pytest.mark.parametrize("sent", ["TrioTim", "TRIOTIM", "Magnetom Trio", "MAGNETOM TrioTim"])
def test_the_model_tells_of_its_maker_and_its_field(sent: str) -> None:
    found, _ = harmonised({"ManufacturersModelName": sent})
    assert (found["scanner_model"], found["manufacturer"], found["field_strength_nominal"]) == (
        "Trio",
        "Siemens",
        3.0,
    )


@pytest.mark.parametrize(
    ("meta", "field", "mismatch"),
    [
        ({"MagneticFieldStrength": 2.89362}, 3.0, False),
        ({"MagneticFieldStrength": 3}, 3.0, False),
        ({"MagneticFieldStrength": 1.494}, 1.5, False),
        ({"MagneticFieldStrength": 6.98}, 7.0, False),
        ({"ImagingFrequency": 123.2}, 3.0, False),
        ({"ImagingFrequency": 63.8}, 1.5, False),
        # What was received comes before what follows from it, and a contradiction is flagged.
        ({"MagneticFieldStrength": 1.5, "ImagingFrequency": 123.2}, 1.5, True),
        ({"MagneticFieldStrength": 1.5, "ManufacturersModelName": "Prisma"}, 1.5, True),
        ({"ManufacturersModelName": "Achieva"}, None, False),
        ({"MagneticFieldStrength": 2.3}, None, False),
        ({}, None, False),
    ],
)
def test_nominal_fields(meta: dict[str, Any], field: float | None, mismatch: bool) -> None:
    found, flags = harmonised(meta)
    assert found["field_strength_nominal"] == field
    assert ("field_strength_mismatch" in flags) == mismatch


def test_the_field_is_that_after_repair() -> None:
    found, _ = harmonised({"MagneticFieldStrength": 1}, created=BEFORE_CUT)
    assert found["field_strength_nominal"] == 1.5
    found, flags = harmonised({"MagneticFieldStrength": 2}, created=BEFORE_CUT)
    assert found["field_strength_nominal"] is None and "undecidable_value" in flags


@pytest.mark.parametrize(
    ("sent", "version", "series"),
    [
        ("0.9.8-1", "0.9.8.post1", "0.9.x"), ("0.9.7-rc5", "0.9.7rc5", "0.9.x"), ("21.0.0rc2", "21.0.0rc2", "21.0.x"),
        ("22.1.0.dev12+g9f8e7d6", None, "22.1.x"), ("0.10.0", "0.10.0", "0.10.x"), ("c41d7e9", None, None),
        ("1234567", None, None),
    ],
)  # fmt: skip
def test_releases(sent: str, version: str | None, series: str | None) -> None:
    found, _ = harmonised({}, sent)
    assert (found["mriqc_version"], found["mriqc_series"]) == (version, series)


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"task_id": "rest", "TaskName": "Eyes open"}, "rest"),
        ({"TaskName": "Resting state"}, "rest"),
        ({"task_id": "rs-fMRI"}, "rest"),
        ({"task_id": "nback", "TaskName": "N-back"}, "nback"),
        ({"TaskName": "N-Back"}, "nback"),
        ({"TaskName": "mixed_gambles task"}, "mixedgamblestask"),
        ({"TaskName": "--"}, None),
    ],
)
def test_tasks(meta: dict[str, Any], expected: str | None) -> None:
    found, _ = harmonised(meta)
    assert found["task"] == expected


@given(st.text())
def test_a_task_is_its_own_task(text: str) -> None:
    label = task(text)
    assert label is None or task(label) == label


def test_a_mapped_column_keeps_its_length() -> None:
    made = repaired("T1w", [])
    assert all(len(column) == 0 for column in harmonise("T1w", made.rows).values())
    assert isinstance(harmonise("T1w", made.rows)["manufacturer"], pa.Array | pa.ChunkedArray)
