"""Validation: planted breaches of the dictionary's rules are found exactly, in any number, by any record."""

from __future__ import annotations

import json
import math
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.flags import flag
from curation.flatten import flatten
from curation.harmonise import harmonise
from curation.validate import NO_OBJECT_ID, broken_rules, excluding_rules, faults_array
from schemas import RESOURCES, Column, table
from schemas.dictionary import Resource
from schemas.published import flag_meanings
from tests.support.documents import valid
from tests.support.repairs import repaired

ID = "5" * 24
Broken = dict[str, str]
"""Column to the rule that is broken there."""


def rules(resource: Resource, *documents: dict[str, Any], ids: list[str] | None = None) -> list[Broken]:
    made = flatten(table(resource), [json.dumps(document).encode() for document in documents])
    found = broken_rules(resource, ids or [ID] * len(documents), made)
    assert all(len({fault.column for fault in faults}) == len(faults) for faults in found)
    return [{str(fault.column): fault.rule for fault in faults} for faults in found]


def _breaches(column: Column) -> list[tuple[Any, str | None]]:
    """Values of a column and the rule that each breaks; ``None`` is none."""
    found: list[tuple[Any, str | None]] = [(None, "missing" if column.required else None)]
    unreadable = "unreadable" if column.strict else ("missing" if column.required else None)
    if column.personal is None:
        found += [({"a": 1}, unreadable), (True if column.type != "boolean" else 0.5, unreadable)]
        if not column.lists:
            found.append(([1.5], unreadable))
    if column.type in ("number", "integer"):
        found += [("no number", unreadable), ("0x1", unreadable), (10**400, unreadable)]
        # No integer column holds a number as large as that.
        beyond = "out of range" if column.type == "number" else unreadable
        low, high = column.hard or (None, None)
        if low is not None:
            found += [(low - 1, "out of range"), (str(low - 1), "out of range"), (-1e308, beyond)]
        if high is not None:
            found += [(high + 1, "out of range"), (1e308, beyond)]
        if column.type == "number":
            found += [(math.nan, None), (math.inf, None), ("-Infinity", None)]
    if column.accept is not None and column.accept.values and column.type == "text":
        found += [("other", column.accept.rule), ("", column.accept.rule)]
    if column.accept is not None and column.accept.pattern:
        found += [(text, column.accept.rule) for text in ("", "x" * 32, "a" * 33, "a" * 32 + "\n")]
    if column.accept is not None and column.type == "boolean":
        found += [(True, column.accept.rule), ("True", column.accept.rule), ("false", None)]
    return found


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_valid_record_breaks_nothing(resource: Resource) -> None:
    assert rules(resource, valid(resource)) == [{}]
    assert faults_array([[]]).null_count == 1


@pytest.mark.parametrize("resource", RESOURCES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_planted_breaches_are_found_exactly(resource: Resource, data: st.DataObject) -> None:
    columns = [column for column in table(resource).columns if column.personal is None]
    documents, expected = [], []
    for _ in range(data.draw(st.integers(1, 4))):
        chosen = data.draw(st.lists(st.sampled_from(columns), max_size=6, unique_by=lambda c: c.name))
        planted = {column: data.draw(st.sampled_from(_breaches(column))) for column in chosen}
        documents.append(valid(resource, **{column.name: value for column, (value, _) in planted.items()}))
        expected.append({column.name: rule for column, (_, rule) in planted.items() if rule})
    assert rules(resource, *documents) == expected


def test_an_id_that_is_no_object_id_is_a_reason_beside_others() -> None:
    good, bad = valid("T1w"), valid("T1w", cnr=-1)
    assert rules("T1w", good, bad, ids=[ID, "=cmd()"]) == [
        {},
        {"record_id": NO_OBJECT_ID, "cnr": "out of range"},
    ]


def test_a_document_that_is_none_breaks_one_rule_only() -> None:
    made = flatten(table("T1w"), [b"{", b"[]"])
    assert [len(faults) for faults in broken_rules("T1w", [ID, ID], made)] == [1, 1]


def test_what_is_shown_of_a_value_is_no_text_of_the_sender() -> None:
    document = valid("bold", provenance_software="jane", fd_perc=140.5, bids_meta_modality="=1+1", gcor="x")
    made = flatten(table("bold"), [json.dumps(document).encode()])
    found = {fault.column: fault.found for fault in broken_rules("bold", [ID], made)[0]}
    assert found == {
        "provenance_software": "text of 4 characters",
        "fd_perc": "140.5",
        "bids_meta_modality": "formula",
        "gcor": "text",
    }


def test_words_of_the_dictionary_are_shown() -> None:
    document = valid("bold", "1" * 31, provenance_software="fmriprep", bids_meta_modality="T1w")
    made = flatten(table("bold"), [json.dumps(document).encode()])
    found = {fault.column: fault.found for fault in broken_rules("bold", [ID], made)[0]}
    assert found == {
        "provenance_software": "fmriprep",
        "bids_meta_modality": "T1w",
        "provenance_md5sum": "text of 31 characters",
    }


def test_only_sound_records_are_excluded() -> None:
    assert excluding_rules() == {"not made by MRIQC", "marked as testing"}


@pytest.mark.parametrize("resource", ["T1w", "T2w", "bold"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_planted_implausible_values_are_flagged_exactly(resource: Resource, data: st.DataObject) -> None:
    ends = [(c, *end) for c in table(resource).columns for end in c.plausible_ends]
    chosen = data.draw(st.lists(st.sampled_from(ends), max_size=5, unique_by=lambda end: end[0].name))
    values: dict[str, Any] = {}
    expected = set()
    for column, name, bound, side in chosen:
        inside, beyond = (
            bound,
            bound - abs(bound) / 8 - 1e-9 if side == "below" else bound + abs(bound) / 8 + 1e-9,
        )
        if column.type == "integer":
            inside, beyond = int(bound), int(bound) + (1 if side == "above" else -1)
        values[column.name], flags = data.draw(st.sampled_from([(inside, set()), (beyond, {name})]))
        expected |= flags
    if data.draw(st.booleans()):
        values["cnr" if resource != "bold" else "gcor"] = math.nan
        expected = {f for f in expected if f not in ("implausible_cnr", "implausible_gcor")} | {"non_finite"}
    if resource == "bold" and not {"spacing_tr", "bids_meta_RepetitionTime"} & set(values):
        header, sidecar, differ = data.draw(
            st.sampled_from([(2.0, 2.0, False), (2.0, 2.019, False), (2.0, 2000.0, True), (0.7, 0.72, True)])
        )
        values |= {"spacing_tr": header, "bids_meta_RepetitionTime": sidecar}
        expected |= {"tr_mismatch"} if differ else set()
        expected |= {"implausible_RepetitionTime"} if sidecar == 2000.0 else set()
    if data.draw(st.booleans()):
        values["bids_meta_FlipAngle"] = [9.0]
        expected = expected - {"implausible_FlipAngle"} | {"unreadable_acquisition"}
    if data.draw(st.booleans()):
        values["bids_meta_ProtocolName"] = "=cmd()"
        expected |= {"formula_text"}
    times = (values.get(f"bids_meta_{name}", math.nan) for name in ("EchoTime", "RepetitionTime"))
    expected |= {"echo_after_repetition"} if operator.ge(*times) else set()
    made = repaired(resource, [valid(resource, **values)], by=[])
    (found,) = flag(resource, made, harmonise(resource, made.rows)).to_pylist()
    names = (found or "").split()
    if "spacing_tr" in values and "bids_meta_RepetitionTime" not in values:
        expected -= {"tr_mismatch"}
    assert names == sorted(names)
    ours = (
        set(names)
        if {"spacing_tr", "bids_meta_RepetitionTime"} <= set(values)
        else set(names) - {"tr_mismatch"}
    )
    assert ours == expected
    assert set(names) <= set(flag_meanings(resource))
