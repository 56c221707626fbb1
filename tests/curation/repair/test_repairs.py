"""Every rule: what it repairs, with what evidence, and what it leaves alone."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.flatten.cells import MISFIT, READERS, could_be_formula
from curation.repair import rules
from curation.repair.engine import repair
from curation.repair.evidence import scaled
from schemas import table
from schemas.dictionary import Resource
from tests.support.documents import valid
from tests.support.repairs import AFTER_CUT, BEFORE_CUT, repaired, rows_of

EMPTY = "undecidable"


def one(
    resource: Resource, meta: dict[str, Any], created: datetime = AFTER_CUT, **top: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The acquisition parameters of one document after repair, and its rows of the ledger."""
    document = valid(resource, **top)
    document["bids_meta"] |= meta
    made = repaired(resource, [document], created)
    row = made.rows.to_pylist()[0]
    meta = {
        name.removeprefix("bids_meta_"): value for name, value in row.items() if name.startswith("bids_meta_")
    }
    return meta, made.ledger.to_pylist()


_CASES: list[tuple[str, Resource, dict[str, Any], str, Any, str, str]] = [
    # rule, table, received, column, new, confidence, old
    ("value-as-text", "T1w", {"FlipAngle": "9"}, "FlipAngle", 9.0, "high", '"9"'),
    ("value-as-text", "bold", {"NumberOfAverages": " 1"[1:]}, "NumberOfAverages", 1.0, "high", '"1"'),
    ("value-as-text", "T2w", {"PartialFourier": "True"}, "PartialFourier", True, "high", '"True"'),
    ("only-element", "T1w", {"FlipAngle": [9]}, "FlipAngle", 9.0, "high", "[9]"),
    ("only-element", "T1w", {"FlipAngle": ["9.5"]}, "FlipAngle", 9.5, "high", '["9.5"]'),
    ("only-element", "bold", {"Manufacturer": ["GE"]}, "Manufacturer", "GE", "high", '["GE"]'),
    ("other-key", "T1w", {"FLipAngle": 8}, "FlipAngle", 8.0, "high", ""),
    ("other-key", "T1w", {"ManufacturerModelName": "Allegra"}, "ManufacturersModelName", "Allegra", "high", ""),
    ("other-key", "bold", {"ParallelReductionFactorInPlan": 2}, "ParallelReductionFactorInPlane", 2.0, "high", ""),
    ("other-key", "bold", {"InplanePhaseEncodingDirection": "COL"},
     "InPlanePhaseEncodingDirection", "COL", "high", ""),
    ("other-key", "bold", {"Flip Angle": "90"}, "FlipAngle", 90.0, "high", ""),
    ("other-key", "bold", {"RepetitonTime": [2]}, "RepetitionTime", 2.0, "medium", ""),
    ("other-key", "bold", {"MagneticFieldStrenght": 7}, "MagneticFieldStrength", 7.0, "medium", ""),
    ("partial-fourier-fraction", "T1w", {"PartialFourier": 0.75}, "PartialFourier", True, "high", "0.75"),
    ("encoding-direction-letters", "bold", {"PhaseEncodingDirection": "AP"},
     "PhaseEncodingDirection", "j-", "medium", "AP"),
    ("encoding-direction-letters", "bold", {"PhaseEncodingDirection": "P >> A"},
     "PhaseEncodingDirection", "j", "medium", "P >> A"),
    ("encoding-direction-letters", "bold", {"PhaseEncodingDirection": "y-"},
     "PhaseEncodingDirection", "j-", "high", "y-"),
    ("encoding-direction-letters", "bold", {"PhaseEncodingDirection": "-y"},
     "PhaseEncodingDirection", "j-", "high", '"-y"'),
    ("encoding-direction-letters", "T1w", {"SliceEncodingDirection": "z"},
     "SliceEncodingDirection", "k", "high", "z"),
    ("encoding-direction-letters", "bold", {"PhaseEncodingDirection": "COL"},
     "PhaseEncodingDirection", None, EMPTY, "COL"),
    ("imaging-frequency-hertz", "T1w", {"ImagingFrequency": 123190917},
     "ImagingFrequency", 123.190917, "high", "123190917.0"),
    ("imaging-frequency-hertz", "T1w", {"ImagingFrequency": 600}, "ImagingFrequency", None, EMPTY, "600.0"),
    ("repetition-time-milliseconds", "T1w", {"RepetitionTime": 2300}, "RepetitionTime", 2.3, "medium", "2300.0"),
    ("repetition-time-milliseconds", "T2w", {"RepetitionTime": 90000}, "RepetitionTime", None, EMPTY, "90000.0"),
    ("echo-time-milliseconds", "bold", {"EchoTime": 30.0, "RepetitionTime": 2.0}, "EchoTime", 0.03, "high", "30.0"),
    ("echo-time-milliseconds", "T1w", {"EchoTime": 2.96}, "EchoTime", 0.00296, "high", "2.96"),
    ("echo-time-milliseconds", "bold", {"EchoTime": 30.0, "RepetitionTime": 0.02}, "EchoTime", None, EMPTY, "30.0"),
    ("echo-time-milliseconds", "bold", {"EchoTime": 400.0}, "EchoTime", None, EMPTY, "400.0"),
    ("inversion-time-milliseconds", "T1w", {"InversionTime": 900, "RepetitionTime": 2.3},
     "InversionTime", 0.9, "high", "900.0"),
    ("inversion-time-milliseconds", "T1w", {"InversionTime": 900, "RepetitionTime": 0.008}, "InversionTime", 0.9,
     "high", "900.0"),
    ("inversion-time-milliseconds", "T1w", {"InversionTime": 20}, "InversionTime", None, EMPTY, "20.0"),
    ("echo-spacing-unit", "bold", {"EffectiveEchoSpacing": 0.58}, "EffectiveEchoSpacing", 0.00058, "high", "0.58"),
    ("echo-spacing-unit", "bold", {"EffectiveEchoSpacing": 580}, "EffectiveEchoSpacing", 0.00058, "high", "580.0"),
    ("echo-spacing-unit", "bold", {"EffectiveEchoSpacing": 50}, "EffectiveEchoSpacing", None, EMPTY, "50.0"),
    ("readout-time-milliseconds", "bold", {"TotalReadoutTime": 59.7}, "TotalReadoutTime", 0.0597, "high", "59.7"),
    ("delay-time-milliseconds", "bold", {"DelayTime": 1500, "RepetitionTime": 3}, "DelayTime", 1.5, "high", "1500.0"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "resource", "meta", "column", "new", "confidence", "old"), _CASES)
def test_what_a_rule_repairs(
    rule: str, resource: Resource, meta: dict[str, Any], column: str, new: Any, confidence: str, old: str
) -> None:
    found, ledger = one(resource, meta)
    assert found[column] == new and type(found[column]) is type(new)
    (row,) = [line for line in ledger if line["column"] == f"bids_meta_{column}"]
    assert (row["rule"], row["confidence"], row["old"] or "") == (rule, confidence, old)
    assert row["new"] == (None if new is None else new if type(new) is str else json.dumps(new))
    assert len(ledger) == 1
    assert (row["evidence"] is None) == (confidence == EMPTY)


_FIELDS: list[tuple[float, dict[str, Any], float | None, str | None]] = [
    # received before 2019-01-16, other parameters, new, confidence (None: not touched)
    (1, {}, 1.5, "low"),
    (1, {"ManufacturersModelName": "my own scanner"}, 1.5, "low"),
    (1.0, {"ManufacturersModelName": "Signa HDe"}, 1.5, "medium"),
    (1, {"ImagingFrequency": 63.68}, 1.5, "high"),
    (1, {"ImagingFrequency": 63_680_000}, 1.5, "high"),
    (1, {"ImagingFrequency": 42.58}, 1.0, None),
    # Evidence that is not cut to the received number says that the number is wrong, and not what is right.
    (1, {"ImagingFrequency": 123.25}, None, EMPTY),
    (1, {"ManufacturersModelName": "Prisma", "ImagingFrequency": 123.25}, None, EMPTY),
    (2, {"ImagingFrequency": 123.25}, 2.89, "high"),
    (2, {"ImagingFrequency": 100.06}, 2.35, "high"),
    (2, {"ManufacturersModelName": "TrioTim"}, 2.89, "medium"),
    (2, {"ManufacturersModelName": "DISCOVERY MR750"}, None, EMPTY),
    (2, {"Manufacturer": "Siemens"}, None, EMPTY),
    (2, {}, None, EMPTY),
    (0, {}, None, EMPTY),
    (0, {"ImagingFrequency": 23.65}, 0.55, "high"),
    (3, {"ImagingFrequency": 123.25}, 3.0, None),
    (3, {"ImagingFrequency": 127.7}, 3.0, None),
    (3, {}, 3.0, None),
    (7, {"ImagingFrequency": 297.2}, 7.0, None),
    (6, {"ImagingFrequency": 297.2}, 6.98, "high"),
    (6, {"ManufacturersModelName": "MAGNETOM 7T"}, 6.98, "medium"),
    (9, {"ImagingFrequency": 400.2}, 9.4, "high"),
    (9, {}, 9.0, None),
    (1.5, {"ImagingFrequency": 123.25}, 1.5, None),
]


@pytest.mark.parametrize(("received", "meta", "new", "confidence"), _FIELDS)
def test_field_strengths_that_were_cut(
    received: float, meta: dict[str, Any], new: float | None, confidence: str | None
) -> None:
    for resource in ("T1w", "T2w", "bold"):
        found, ledger = one(resource, {"MagneticFieldStrength": received, **meta}, BEFORE_CUT)
        assert found["MagneticFieldStrength"] == new
        rows = [line for line in ledger if line["column"] == "bids_meta_MagneticFieldStrength"]
        assert [line["confidence"] for line in rows] == ([] if confidence is None else [confidence])
        # From that day on numbers are what was sent, and where nobody knows the day nothing is done.
        for created in (AFTER_CUT, None):
            found, _ = one(resource, {"MagneticFieldStrength": received, **meta}, created)  # type: ignore[arg-type]
            assert found["MagneticFieldStrength"] == received


@pytest.mark.parametrize(
    ("spacing_tr", "confidence", "evidence"),
    [(2.0, "high", "spacing_tr"), (1.0, "medium", "seconds are impossible"), (2.0005, "high", "spacing_tr")],
)
def test_the_header_tells_of_the_repetition_time(spacing_tr: float, confidence: str, evidence: str) -> None:
    found, (row,) = one("bold", {"RepetitionTime": 2000.0}, spacing_tr=spacing_tr)
    assert (found["RepetitionTime"], row["confidence"], row["evidence"]) == (2.0, confidence, evidence)


def test_one_cell_is_one_row_whatever_many_rules_do() -> None:
    found, ledger = one(
        "bold", {"EchoTime": ["30.0"], "RepetitionTime": "2000", "PhaseEncodingDirection": ["AP"]}
    )
    assert (found["EchoTime"], found["RepetitionTime"], found["PhaseEncodingDirection"]) == (0.03, 2.0, "j-")
    assert [(row["column"], row["rule"], row["old"], row["new"], row["confidence"]) for row in ledger] == [
        ("bids_meta_EchoTime", "only-element echo-time-milliseconds", '["30.0"]', "0.03", "high"),
        (
            "bids_meta_PhaseEncodingDirection",
            "only-element encoding-direction-letters",
            '["AP"]',
            "j-",
            "medium",
        ),
        ("bids_meta_RepetitionTime", "value-as-text repetition-time-milliseconds", '"2000"', "2.0", "medium"),
    ]


def test_misspelled_keys_that_contradict_each_other_say_nothing() -> None:
    found, ledger = one("T1w", {"FLipAngle": 8, "flipAngle": 9})
    assert found["FlipAngle"] is None and ledger == []
    found, ledger = one("T1w", {"FLipAngle": 8, "flipAngle": "8"})
    assert found["FlipAngle"] == 8.0 and len(ledger) == 1
    found, ledger = one("T1w", {"FLipAngle": 8, "FlipAngle": 9})
    assert found["FlipAngle"] == 9.0 and ledger == []


@pytest.mark.parametrize(
    "meta",
    [
        {"EchoTime1": 0.004, "EchoTime2": 0.006}, {"FlipAngle": [8, 9]}, {"FlipAngle": "eight"}, {"FLipAngle": "eight"},
        {"EchoTime": {"a": 1}}, {"PartialFourier": 1.0}, {"InversionTime": 0}, {"RepetitionTime": 30.0},
        {"EchoTime": 0.4}, {"EchoTime": 1.0}, {"InversionTime": 8.5}, {"ImagingFrequency": 500.0}, {"EchoTme": None},
        {"EffectiveEchoSpacing": 6.5e-06}, {"PhaseEncodingDirection": "k-"}, {"Manufacturer": ["=cmd()"]},
        {"SoftwareVersion": {"a": 1}}, {"FlipAngle": "=9"}, {"modalty": "T1w"}, {"subject": "x"},
    ],
)  # fmt: skip
def test_what_is_left_alone(meta: dict[str, Any]) -> None:
    for resource in ("T1w", "T2w"):
        before, _ = rows_of(resource, [{"bids_meta": meta}])
        made = repaired(resource, [{"bids_meta": meta}])
        # What no cell can hold is listed.
        assert {row["rule"] for row in made.ledger.to_pylist()} <= {"cannot-be-held"}
        assert made.rows == before


# --- laws ------------------------------------------------------------------------------------------------------

_PLAUSIBLE = {
    "T1w": {"EchoTime": (0.001, 0.2), "RepetitionTime": (0.003, 30)},
    "T2w": {"EchoTime": (0.005, 1), "RepetitionTime": (0.05, 30)},
    "bold": {"EchoTime": (0.005, 0.2), "RepetitionTime": (0.1, 30)},
}
_OTHERS = {"InversionTime": (0, 10), "EffectiveEchoSpacing": (0.00005, 0.02), "TotalReadoutTime": (0.001, 1)}
_OTHERS |= {"ImagingFrequency": (0.4, 500), "FlipAngle": (0.1, 180), "DelayTime": (0, 30)}


@st.composite
def sound(draw: st.DrawFn) -> tuple[Resource, dict[str, Any]]:
    """Acquisition parameters in BIDS' units and letters."""
    resource: Resource = draw(st.sampled_from(["T1w", "T2w", "bold"]))
    meta: dict[str, Any] = {}
    for name, (low, high) in (_PLAUSIBLE[resource] | _OTHERS).items():
        if draw(st.booleans()):
            meta[name] = draw(st.floats(low, high) | st.floats(low, high).map(lambda x: float(f"{x:.3g}")))
    meta["PhaseEncodingDirection"] = draw(st.sampled_from([None, "i", "i-", "j", "j-", "k", "k-"]))
    meta["MagneticFieldStrength"] = draw(
        st.sampled_from([None, 0.2, 0.55, 1.5, 2.35, 2.89362, 3.0, 7.0, 9.4])
    )
    return resource, {name: value for name, value in meta.items() if value is not None}


@settings(max_examples=150, deadline=None)
@given(sound(), st.sampled_from([BEFORE_CUT, AFTER_CUT]))
def test_no_sound_cell_is_touched(found: tuple[Resource, dict[str, Any]], created: datetime) -> None:
    resource, meta = found
    if "ImagingFrequency" in meta and "MagneticFieldStrength" in meta:
        meta["ImagingFrequency"] = meta["MagneticFieldStrength"] * 42.577
    if (
        created == BEFORE_CUT
        and "MagneticFieldStrength" in meta
        and not meta["MagneticFieldStrength"].is_integer()
    ):
        del meta["MagneticFieldStrength"]  # the service had cut it
    document = valid(resource)
    document["bids_meta"] |= meta
    made = repaired(resource, [document], created)
    assert made.ledger.num_rows == 0
    assert made.rows == rows_of(resource, [document], created)[0]


_units = st.sampled_from([1.0, 1e-3, 1e3, 1e6])
_forms = st.sampled_from([lambda x: x, lambda x: [x], lambda x: str(x), lambda x: [str(x)], lambda x: int(x)])
_names = st.sampled_from(
    ["EchoTime", "RepetitionTime", "InversionTime", "EffectiveEchoSpacing", "TotalReadoutTime", "DelayTime",
     "ImagingFrequency", "MagneticFieldStrength", "FlipAngle", "FLipAngle", "EchoTme", "repetition time",
     "NumberOfAverages", "PartialFourier"]
)  # fmt: skip
_texts = st.sampled_from(
    ["AP", "j-", "-y", ["k"], "z+", "COL", "", "=1", None, "Prisma", ["TrioTim"], {"a": 1}, True]
)
_text_names = st.sampled_from(
    ["PhaseEncodingDirection", "SliceEncodingDirection", "ManufacturersModelName", "ManufacturerModelName",
     "PartialFourier", "phaseencodingdirection"]
)  # fmt: skip


@st.composite
def tainted(draw: st.DrawFn) -> dict[str, Any]:
    """Acquisition parameters in any unit, form and spelling."""
    numbers = draw(
        st.dictionaries(_names, st.tuples(st.floats(0, 600, allow_nan=False), _units, _forms), max_size=8)
    )
    meta = {name: form(value * unit) for name, (value, unit, form) in numbers.items()}
    return meta | draw(st.dictionaries(_text_names, _texts, max_size=4))


_documents = st.lists(tainted(), min_size=1, max_size=4)
_resources = st.sampled_from(["T1w", "T2w", "bold"])
_times = st.sampled_from([BEFORE_CUT, AFTER_CUT, None])


def _same(first: Any, second: Any) -> bool:
    return first == second and type(first) is type(second)


@settings(max_examples=200, deadline=None)
@given(_resources, _documents, _times)
def test_published_differs_from_received_where_the_ledger_has_a_row(
    resource: Resource, metas: list[dict[str, Any]], created: datetime | None
) -> None:
    documents = [{"bids_meta": meta} for meta in metas]
    made = repaired(resource, documents, created)
    ledger = {(row["record_id"], row["column"]): row for row in made.ledger.to_pylist()}
    assert len(ledger) == made.ledger.num_rows
    checked = 0
    for row, meta in zip(made.rows.to_pylist(), metas, strict=True):
        for column in table(resource).columns:
            if column.path[0] != "bids_meta" or column.personal:
                continue
            received, published = meta.get(column.path[1]), row[column.name]
            line = ledger.pop((row["record_id"], column.name), None)
            checked += 1
            if line is None:
                # As received, or as it could not be held and nothing was made of it.
                held = READERS[column.type](received) if received is not None else None
                assert held is not MISFIT and not (isinstance(held, str) and could_be_formula(held))
                assert _same(published, held)
                continue
            shown = json.dumps(published) if column.type in ("number", "boolean") else published
            assert line["new"] == (None if published is None else shown)
            assert line["old"] is None or json.loads(_as_json(line["old"])) == received
            assert line["old"] is not None or line["new"] is not None
            assert not (type(received) is float and received == published)
    assert not ledger and checked > 50


def _as_json(text: str) -> str:
    """What the ledger shows of a received value, as JSON."""
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text)
    return text


@settings(max_examples=200, deadline=None)
@given(_resources, _documents, _times)
def test_repaired_data_need_no_repair(
    resource: Resource, metas: list[dict[str, Any]], created: datetime | None
) -> None:
    made = repaired(resource, [{"bids_meta": meta} for meta in metas], created)
    listed = {(int(row["record_id"], 16), row["column"]) for row in made.ledger.to_pylist()}
    left = pa.array(
        [
            [
                vars(aside)
                for name, received in made.left.items()
                for aside in received.get(place, ())
                if (place, name) not in listed
            ]
            for place in range(len(metas))
        ],
        rows_of(resource, [{}])[1].type,
    )
    again = repair(resource, made.rows, pa.chunked_array([left]), rules())
    assert again.ledger.num_rows == 0
    assert again.rows == made.rows


@settings(max_examples=200, deadline=None)
@given(_resources, _documents, _times)
def test_results_are_in_the_expected_range(
    resource: Resource, metas: list[dict[str, Any]], created: datetime | None
) -> None:
    made = repaired(resource, [{"bids_meta": meta} for meta in metas], created)
    by_id = {rule.id: rule for rule in rules()}
    for row in made.ledger.to_pylist():
        rule = by_id[row["rule"].split()[-1]]
        if row["new"] is not None and resource in rule.range:
            low, high = rule.range[resource]
            assert (low or -math.inf) <= float(row["new"]) <= (high or math.inf)


@given(st.floats(1, 30000).map(lambda x: round(x, 3)))
def test_units_are_changed_to_the_last_digit(value: float) -> None:
    whole, _, fraction = f"{value:.3f}".partition(".")
    digits = whole.zfill(4) + fraction
    assert scaled(value, 0.001) == float(f"{digits[:-6]}.{digits[-6:]}")
