"""The declared rules themselves, and what is refused of such."""

from __future__ import annotations

from typing import Any

import pytest

from curation.repair import evidence, rules
from curation.repair.page import documentation_page, rule_meanings
from curation.repair.rules import RuleError, check_functions, make_rule, ordered
from schemas import table
from schemas.published import IMAGE_RESOURCES
from tests.conftest import REPOSITORY


def rule(name: str, **changed: Any) -> Any:
    row: dict[str, Any] = {
        "id": name,
        "columns": ["EchoTime"],
        "when": {"above": 1},
        "evidence": [{"name": "ms", "scale": 0.001, "confidence": "high"}],
        "otherwise": "keep",
        "reason": "a test",
        "reference": "a test",
        "since": "2026.11.25",
    }
    return make_rule(row | changed)


def test_every_rule_says_why_and_names_what_there_is() -> None:
    assert len(rules()) > 10
    for one in rules():
        assert one.reason and one.reference and one.since
        assert one.columns and all(one.columns.values())
        for way in one.evidence:
            assert way.function is None or callable(getattr(evidence, way.function))
    assert len({one.id for one in rules()}) == len(rules())


def test_no_rule_but_reading_touches_a_measure() -> None:
    for resource in IMAGE_RESOURCES:
        measures = [column.name for column in table(resource).iqms]
        # What a measure's cell cannot hold is in no table: such records are quarantined.
        touching = {one.id for one in rules() if one.touches(resource, measures)}
        assert touching == {"value-as-text", "cannot-be-held"}


def test_rules_come_after_those_they_follow() -> None:
    first, second = rule("a", follows=["b"]), rule("b")
    assert [one.id for one in ordered([first, second])] == ["b", "a"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([rule("a"), rule("b")], "rules a and b both work on bids_meta_EchoTime"),
        ([rule("a"), rule("b", columns=["DelayTime"], reads=["EchoTime"])], "both work on bids_meta_EchoTime"),
        (
            [rule("a"), rule("b", columns=["DelayTime"],
                             evidence=[{"name": "ms", "scale": 0.001, "confidence": "high", "below": "EchoTime"}])],
            "both work on bids_meta_EchoTime",
        ),
        ([rule("a", follows=["b"]), rule("b", follows=["a"])], "follow each other in a circle"),
        ([rule("a", follows=["c"])], "rule a follows c, which is no rule"),
        ([rule("a"), rule("a")], "same id"),
    ],
)  # fmt: skip
def test_an_order_that_matters_has_to_be_said(found: list[Any], expected: str) -> None:
    with pytest.raises(RuleError, match=expected):
        ordered(found)


def test_rules_that_share_no_cell_need_no_order() -> None:
    assert len(ordered([rule("a"), rule("b", columns=["DelayTime"])])) == 2
    assert len(ordered([rule("a", tables=["T1w"]), rule("b", tables=["bold"])])) == 2
    # Both only read.
    assert (
        len(ordered([rule("a", reads=["FlipAngle"]), rule("b", columns=["DelayTime"], reads=["FlipAngle"])]))
        == 2
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"columns": ["EchoTme"]}, "EchoTme is no column"),
        ({"when": {"abov": 1}}, "abov is no condition"),
        ({"unknown": 1}, "unknown is not known"),
        ({"evidence": [{"name": "x", "confidence": "high"}]}, "exactly one of scale, map and function"),
        ({"evidence": [{"name": "x", "scale": 1, "confidence": "sure"}]}, "sure is no confidence"),
        ({"evidence": [{"name": "x", "scale": 1, "confidence": "high", "nearby": "EchoTime"}]}, "nearby"),
        ({"tables": ["PDw"]}, "PDw"),
        ({"otherwise": "emtpy"}, "keep or empty"),
        ({"when": {"received": "as txt"}}, "as txt"),
        ({"when": {}}, "without a condition"),
        ({"expect": {"rnge": [1, 2]}}, "rnge is not known"),
    ],
)
def test_what_is_no_rule(changed: dict[str, Any], expected: str) -> None:
    with pytest.raises(RuleError, match=expected):
        rule("a", **changed)


def test_the_page_on_rules_is_up_to_date() -> None:
    assert (REPOSITORY / "docs/repairs.md").read_text() == documentation_page()
    assert list(rule_meanings()) == sorted(one.id for one in rules())


@pytest.mark.parametrize(
    ("function", "expected"),
    [("nope", "no function of evidence.py"), ("field_of_frequency", "reads bids_meta_ImagingFrequency")],
)
def test_functions_are_there_and_what_they_read_is_said(function: str, expected: str) -> None:
    made = rule("a", evidence=[{"name": "x", "function": function, "confidence": "high"}])
    with pytest.raises(RuleError, match=expected):
        check_functions(made)


def test_every_function_of_evidence_says_what_it_reads() -> None:
    used = {one.function for rule in rules() for one in rule.evidence if one.function}
    assert used == set(evidence.FUNCTIONS)
