"""Reads the declared rules, and refuses sets of them whose order would matter without anybody saying so."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from curation.flatten import AS_TEXT, FORMULA, OTHER_KEY, UNREADABLE
from schemas import table
from schemas.dictionary import Range, Resource
from schemas.published import IMAGE_RESOURCES
from schemas.reading import load_yaml

Confidence = Literal["high", "medium", "low"]
CONFIDENCES: tuple[Confidence, ...] = ("low", "medium", "high")
"""From the weakest to the strongest."""


_MADE_OF = {
    "curation": ("harmonise.py",),
    "curation.deduplicate": ("ranking.py",),
    "curation.flatten": ("cells.py",),
    "curation.repair": ("cells.py", "engine.py", "evidence.py", "rules.py", "rules.yaml"),
    "schemas": ("spellings.py", "vocabularies.py", "terms/manufacturers.yaml", "terms/scanners.yaml"),
}


_RECEIVED = {AS_TEXT, UNREADABLE, FORMULA, OTHER_KEY}


class RuleError(ValueError):
    """The rules are not what they have to be."""


@dataclass(frozen=True)
class Evidence:
    """One thing to ask about a cell; see ``rules.yaml``.

    Attributes:
        tables: the resources in which it is asked.
    """

    name: str
    confidence: Confidence
    scale: float | None = None
    map: Mapping[Any, Any] | None = None
    function: str | None = None
    near: str | None = None
    below: str | None = None
    tables: tuple[Resource, ...] = IMAGE_RESOURCES


@dataclass(frozen=True)
class When:
    """Which cells a rule looks at; see ``rules.yaml``.

    Attributes:
        created_before: in seconds since 1970.
        not_after: a rule whose results it does not look at.
    """

    created_before: int | None = None
    values: tuple[float, ...] | None = None
    above: float | None = None
    from_: float | None = None
    whole: bool = False
    unlisted: bool = False
    received: tuple[str, ...] | None = None
    missing: bool = False
    not_after: str | None = None


@dataclass(frozen=True)
class Rule:
    """One declared repair.

    Attributes:
        columns: by table, the columns whose cells it may change, by their full names.
        reads: columns that its evidence reads beside the cell itself.
        range: by table, what its results can be.
        one_of: of so many filled cells of its time it has to look at one at least; ``None`` for no such expectation.
    """

    id: str
    columns: Mapping[Resource, tuple[str, ...]]
    when: When
    evidence: tuple[Evidence, ...]
    otherwise: Literal["keep", "empty"]
    follows: tuple[str, ...]
    reads: tuple[str, ...]
    range: Mapping[Resource, Range]
    one_of: int | None
    reason: str
    reference: str
    since: str

    def touches(self, resource: Resource, names: Sequence[str]) -> bool:
        """Whether it may change a cell of one of these columns."""
        return not set(self.columns.get(resource, ())).isdisjoint(names)


@cache
def rules() -> tuple[Rule, ...]:
    """All rules, each after those that it follows."""
    content = load_yaml((files("curation.repair") / "rules.yaml").read_bytes())
    found = ordered([make_rule(row) for row in content["rules"]])
    for rule in found:
        check_functions(rule)
    return found


def check_functions(rule: Rule) -> None:
    """Check that the functions of a rule's evidence are there, and that it says which columns they read.

    Raises:
        RuleError: they are not, or it does not.
    """
    from curation.repair.evidence import FUNCTIONS  # which knows rules

    for one in rule.evidence:
        if one.function is None:
            continue
        if one.function not in FUNCTIONS:
            raise RuleError(f"rule {rule.id}: {one.function} is no function of evidence.py")
        unsaid = set(FUNCTIONS[one.function]) - set(rule.reads)
        if unsaid:
            raise RuleError(
                f"rule {rule.id}: {one.function} reads {', '.join(sorted(unsaid))}; name it under reads"
            )


@cache
def rules_digest() -> str:
    """SHA-256 (hex) of rules, evidence and vocabularies: what curated values depend on beside the records."""
    digest = hashlib.sha256()
    for room, names in _MADE_OF.items():
        for name in names:
            digest.update((files(room) / name).read_bytes())
    return digest.hexdigest()


def make_rule(row: Mapping[str, Any]) -> Rule:
    """A rule of a row of YAML.

    Raises:
        RuleError: a key is unknown or missing, or a column is not in the dictionary.
    """
    row = dict(row)
    try:
        expect = row.pop("expect", {})
        tables = tuple(row.pop("tables", IMAGE_RESOURCES))
        evidence = tuple(_evidence(one) for one in row.pop("evidence"))
        near = [name for one in evidence for name in (one.near, one.below) if name]
        rule = Rule(
            id=row.pop("id"),
            columns={resource: _columns(resource, row["columns"]) for resource in tables},
            when=_when(row.pop("when")),
            evidence=evidence,
            otherwise=row.pop("otherwise"),
            follows=tuple(row.pop("follows", ())),
            reads=tuple(_full_name(name) for name in (*row.pop("reads", ()), *near)),
            range=_ranges(expect.get("range")),
            one_of=expect.get("one_of"),
            **{name: row.pop(name) for name in ("reason", "reference", "since")},
        )
    except (KeyError, TypeError) as error:
        raise RuleError(f"rule {row.get('id', '')}: {error}") from error
    unknown = (set(row) - {"columns"}) | (set(expect) - {"range", "one_of"})
    if unknown:
        raise RuleError(f"rule {rule.id}: {', '.join(sorted(unknown))} is not known")
    if rule.otherwise not in ("keep", "empty"):
        raise RuleError(f"rule {rule.id}: otherwise is keep or empty, not {rule.otherwise}")
    return rule


def ordered(found: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules in an order in which each comes after those that it follows.

    Raises:
        RuleError: two have one id, one follows another that is not there or that follows it, or one changes what
            another reads or changes and neither follows the other.
    """
    by_id = {rule.id: rule for rule in found}
    if len(by_id) < len(found):
        raise RuleError("two rules have the same id")
    before: dict[str, set[str]] = {}
    done: list[Rule] = []

    def visit(rule: Rule, way: tuple[str, ...]) -> None:
        if rule.id in way:
            raise RuleError(f"rules follow each other in a circle: {', '.join(way)}")
        if rule.id in before:
            return
        before[rule.id] = set(rule.follows)
        for name in rule.follows:
            if name not in by_id:
                raise RuleError(f"rule {rule.id} follows {name}, which is no rule")
            visit(by_id[name], (*way, rule.id))
            before[rule.id] |= before[name]
        done.append(rule)

    for rule in found:
        visit(rule, ())
    for place, first in enumerate(done):
        for second in done[place + 1 :]:
            if first.id not in before[second.id] and (column := _shared(first, second)):
                raise RuleError(
                    f"rules {first.id} and {second.id} both work on {column}; one has to say that it follows the other"
                )
    return tuple(done)


def _shared(first: Rule, second: Rule) -> str | None:
    """A column that one of two rules changes and the other changes or reads."""
    for resource in first.columns.keys() & second.columns.keys():
        mine, theirs = set(first.columns[resource]), set(second.columns[resource])
        for column in sorted((mine & theirs) | (mine & set(second.reads)) | (theirs & set(first.reads))):
            return column
    return None


def _full_name(name: str) -> str:
    """The column of an acquisition parameter or, by its own name, any other."""
    full = f"bids_meta_{name}"
    known = {column.name for resource in IMAGE_RESOURCES for column in table(resource).columns}
    if full in known or name in known:
        return full if full in known else name
    raise RuleError(f"{name} is no column of the dictionary")


def _columns(resource: Resource, wanted: str | Sequence[str]) -> tuple[str, ...]:
    columns = [column for column in table(resource).columns if column.personal is None]
    if wanted == "all":
        return tuple(column.name for column in columns)
    if wanted == "acquisition":
        return tuple(c.name for c in columns if c.path[0] == "bids_meta" and not c.required)
    return tuple(_full_name(name) for name in wanted)


def _evidence(row: Mapping[str, Any]) -> Evidence:
    row = dict(row)
    for key in ("near", "below"):
        if key in row:
            row[key] = _full_name(row[key])
    if "tables" in row:
        row["tables"] = tuple(row["tables"])
    evidence = Evidence(**row)
    if sum(way is not None for way in (evidence.scale, evidence.map, evidence.function)) != 1:
        raise RuleError(f"evidence {evidence.name}: exactly one of scale, map and function is expected")
    if evidence.confidence not in CONFIDENCES:
        raise RuleError(f"evidence {evidence.name}: {evidence.confidence} is no confidence")
    return evidence


def _when(row: Mapping[str, Any]) -> When:
    row = {key if key != "from" else "from_": value for key, value in row.items()}
    if unknown := set(row) - {field.name for field in fields(When)}:
        raise RuleError(f"{', '.join(sorted(unknown))} is no condition")
    if isinstance(day := row.get("created_before"), date):
        row["created_before"] = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    if "values" in row:
        row["values"] = tuple(map(float, row["values"]))
    if "received" in row:
        received = row["received"]
        row["received"] = (received,) if isinstance(received, str) else tuple(received)
        if unknown := set(row["received"]) - _RECEIVED:
            raise RuleError(f"nothing is received {', '.join(sorted(unknown))}")
    if not row:
        raise RuleError("a rule without a condition would look at every cell")
    return When(**row)


def _ranges(declared: Any) -> dict[Resource, Range]:
    if declared is None:
        return {}
    if isinstance(declared, Mapping):
        return {resource: (low, high) for resource, (low, high) in declared.items()}
    return dict.fromkeys(IMAGE_RESOURCES, (declared[0], declared[1]))
