"""Applies the declared rules to columns, and accounts for every cell that they change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.flatten import FORMULA, Aside, canonical_json
from curation.flatten.cells import could_be_formula
from curation.repair import evidence as functions
from curation.repair.cells import Cells
from curation.repair.rules import CONFIDENCES, Confidence, Evidence, Rule
from schemas.dictionary import Resource
from schemas.published import published_table

FILLING = "public-sidecar"
"""The rule that fills what was not received; its results are no evidence about what was."""
UNHELD = "cannot-be-held"
"""The rule that lists what no cell can hold; such cells have flags of their own."""
UNDECIDABLE = "undecidable"
"""What the ledger has instead of a confidence where no evidence could decide."""
NEAR_SECONDS, NEAR_SHARE = 0.001, 0.01
"""How far a result may be from the column it has to agree with: headers hold single precision, sidecars are rounded."""
_FROM_TO = re.compile(r"([a-z])(?:[\W_]*|\s+to\s+)([a-z])\Z")


@dataclass
class Change:
    """What became of a cell.

    Attributes:
        old: what was received, as the ledger has it.
        rules: that changed it, in their order.
        evidence: that decided, a name a rule.
        confidence: the weakest of it; ``None`` where nothing could decide and the cell is left empty.
    """

    old: str | None
    rules: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    confidence: Confidence | None = "high"


@dataclass
class Tally:
    """What a rule did.

    Attributes:
        in_window: filled cells that it could have looked at, were it for their time only; counted of rules that have to
            match some.
        looked_at: cells that it looked at.
        repaired: those that it changed.
        undecided: those that it left empty.
        out_of_range: those of which evidence led out of the range that it expects, and none decided.
    """

    in_window: int = 0
    looked_at: int = 0
    repaired: int = 0
    undecided: int = 0
    out_of_range: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: count + getattr(other, name) for name, count in vars(self).items()})


@dataclass
class Repaired:
    """Rows after all rules.

    Attributes:
        rows: the rows that were given, with repaired cells.
        ledger: rows of ``audit/repairs``, in the order of the rows and their columns.
        changed: the row that each row of ``ledger`` is of.
        by_rule: of each rule, the rows of the cells that it changed, by column.
        undecided: which rows have a cell that was left empty.
        left: what was received for cells and is in none, by column and row.
        notes: of each row, what each rule did: a list of texts, of which :func:`tallied` makes tallies.
    """

    rows: pa.Table
    ledger: pa.Table
    changed: np.ndarray
    by_rule: dict[str, dict[str, list[int]]]
    undecided: np.ndarray
    left: dict[str, dict[int, list[Aside]]]
    notes: pa.ListArray


def tallied(notes: pa.ChunkedArray) -> dict[str, Tally]:
    """What each rule did in some rows, of :attr:`Repaired.notes`; rules that did nothing are not in it."""
    found: dict[str, Tally] = {}
    for note in pc.value_counts(pc.list_flatten(notes)).to_pylist():
        what, _, rule = note["values"].partition(" ")
        found[rule] = found.get(rule, Tally()) + Tally(**{what: note["counts"]})
    return found


def repair(
    resource: Resource,
    rows: pa.Table,
    asides: pa.ChunkedArray,
    rules: Sequence[Rule],
    given: pa.Table | None = None,
) -> Repaired:
    """Apply rules, in the order given, to rows of one resource.

    Args:
        resource: whose rows they are.
        rows: columns of the dictionary's names, ``created``, ``record_id`` and the checksum as ``provenance_md5sum``.
        asides: what was received for their cells otherwise than these hold it.
        rules: of :func:`curation.repair.rules.rules`.
        given: what the sidecars of public images say of the rows; ``None`` if no images were matched.
    """
    cells = Cells(resource, rows, asides, given)
    run = _Run(resource, cells)
    for rule in rules:
        for name in rule.columns.get(resource, ()):
            run.apply(rule, name)
    run.forget_nothings()
    columns = {name: cells.arrow(name, np.array(sorted(places))) for name, places in run.touched().items()}
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    undecided = np.zeros(len(rows), dtype=bool)
    undecided[
        [place for (place, _), c in run.changes.items() if c.confidence is None and c.rules != [UNHELD]]
    ] = True
    left = {
        name: {place: found for place, found in received.items() if run.is_left(place, name)}
        for name, received in cells.asides.items()
    }
    by_rule: dict[str, dict[str, list[int]]] = {}
    for (place, name), change in run.changes.items():
        for rule_id in change.rules:
            by_rule.setdefault(rule_id, {}).setdefault(name, []).append(place)
    changed = np.array(sorted(place for place, _ in run.changes), dtype="int64")
    return Repaired(rows, run.ledger(rows), changed, by_rule, undecided, left, run.notes())


class _Run:
    """The rules at work on some rows."""

    def __init__(self, resource: Resource, cells: Cells) -> None:
        self._resource = resource
        self._cells = cells
        self.changes: dict[tuple[int, str], Change] = {}
        self._notes: list[tuple[str, np.ndarray]] = []

    def apply(self, rule: Rule, name: str) -> None:
        """Apply one rule to one column."""
        places = np.flatnonzero(_candidates(rule, self._cells, name))
        if rule.when.not_after is not None:
            changes = (self.changes.get((int(place), name)) for place in places)
            places = places[[c is None or rule.when.not_after not in c.rules for c in changes]]
        if rule.one_of is not None:
            before = rule.when.created_before
            window = np.inf if before is None else before
            in_window = (self._cells.created < window) & ~self._cells.empty(name)
            self._note("in_window", rule, np.flatnonzero(in_window))
        if not len(places):
            return
        self._note("looked_at", rule, places)
        received = self._cells.values(name)[places].tolist()
        waiting = np.arange(len(places))
        refused = np.zeros(len(places), dtype=bool)
        for one in rule.evidence:
            if self._resource not in one.tables or not len(waiting):
                continue
            answers = self._answers(one, name, places[waiting])
            fits = np.array(self._fits(rule, answers), dtype=bool)
            refused[waiting[~fits]] = True
            decided = fits & np.array([answer is not None for answer in answers], dtype=bool)
            # What confirms the received value decides, too, and changes nothing.
            differs = [answer != received[where] for answer, where in zip(answers, waiting, strict=True)]
            changed = np.flatnonzero(decided & np.array(differs, dtype=bool))
            self._change(rule, name, places[waiting[changed]], [answers[where] for where in changed], one)
            self._note("repaired", rule, places[waiting[changed]])
            waiting = waiting[~decided]
        self._note("out_of_range", rule, places[waiting[refused[waiting]]])
        if rule.otherwise == "empty":
            self._change(rule, name, places[waiting], [None] * len(waiting), None)
            self._note("undecided", rule, places[waiting])

    def _note(self, what: str, rule: Rule, places: np.ndarray) -> None:
        self._notes.append((f"{what} {rule.id}", places))

    def notes(self) -> pa.ListArray:
        """What was noted of each row."""
        places = np.concatenate([np.array([], dtype="int64"), *(found for _, found in self._notes)])
        order = np.argsort(places, kind="stable")
        numbers = np.repeat(np.arange(len(self._notes)), [len(found) for _, found in self._notes])
        texts = pa.array([text for text, _ in self._notes], pa.string()).take(pa.array(numbers[order]))
        offsets = np.searchsorted(places[order], np.arange(len(self._cells) + 1))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts)

    def _answers(self, one: Evidence, name: str, places: np.ndarray) -> list[Any]:
        values = self._cells.values(name)[places].tolist()
        if one.function is not None:
            answer: functions.Answer = getattr(functions, one.function)
            answers = answer(self._cells, name, [int(place) for place in places])
        elif one.scale is not None:
            answers = [functions.scaled(value, one.scale) for value in values]
        else:
            mapping = one.map or {}
            texts = (functions.formula_text(self._cells, name, int(place)) for place in places)
            answers = [
                mapping.get(_plain(value if value is not None else text))
                for value, text in zip(values, texts, strict=True)
            ]
        return self._agreeing(one, places, answers)

    def _agreeing(self, one: Evidence, places: np.ndarray, answers: list[Any]) -> list[Any]:
        """Answers, without those that another column contradicts."""
        if one.near is None and one.below is None:
            return answers
        numbers = functions.as_doubles(answers)
        with np.errstate(invalid="ignore"):
            if one.near is not None:
                other = self._cells.values(one.near)[places]
                agrees = np.abs(numbers - other) <= np.maximum(NEAR_SECONDS, NEAR_SHARE * np.abs(other))
            else:
                other = self._cells.values(str(one.below))[places]
                agrees = ~(numbers >= other)
        return [answer if agreed else None for answer, agreed in zip(answers, agrees, strict=True)]

    def _fits(self, rule: Rule, answers: Sequence[Any]) -> list[bool]:
        """Whether each answer is in the range that the rule expects; none is in any."""
        if self._resource not in rule.range:
            return [True] * len(answers)
        low, high = rule.range[self._resource]
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        return [answer is None or low <= answer <= high for answer in answers]

    def _change(
        self, rule: Rule, name: str, places: np.ndarray, new: Sequence[Any], one: Evidence | None
    ) -> None:
        for place in places.tolist():
            key = (place, name)
            change = self.changes.get(key)
            if change is None:
                change = self.changes[key] = Change(self._received(name, place))
            change.rules.append(rule.id)
            if one is None:
                change.confidence = None
            elif change.confidence is not None:
                change.evidence.append(functions.told_by(self._cells, one, place))
                change.confidence = min(change.confidence, one.confidence, key=CONFIDENCES.index)
        self._cells.put(name, places, new)

    def _received(self, name: str, place: int) -> str | None:
        """What was received for a cell that no rule has changed yet."""
        own = [
            one.value
            for one in self._cells.asides.get(name, {}).get(place, ())
            if one.why != functions.OTHER_KEY
        ]
        return own[0] if own else self._shown(name, place)

    def _shown(self, name: str, place: int) -> str | None:
        """A cell as the ledger has it: as in CSV, and as JSON where it could be a formula."""
        value = self._cells.values(name)[place]
        if value is None or value != value:
            return None
        if self._cells.column(name).type == "integer":
            return str(int(value))
        if isinstance(value, str):
            return canonical_json(value) if could_be_formula(value) else value
        return str(value).lower() if isinstance(value, bool) else repr(float(value))

    def forget_nothings(self) -> None:
        """Forget cells that held nothing under their own key, and hold nothing again."""
        for (place, name), change in list(self.changes.items()):
            if change.old is None and self._shown(name, place) is None:
                del self.changes[place, name]

    def is_left(self, place: int, name: str) -> bool:
        """Whether what was received for a cell aside of it is in no cell."""
        change = self.changes.get((place, name))
        return change is None or change.rules == [UNHELD]

    def touched(self) -> dict[str, list[int]]:
        """Column to its changed rows."""
        found: dict[str, list[int]] = {}
        for place, name in self.changes:
            found.setdefault(name, []).append(place)
        return found

    def ledger(self, rows: pa.Table) -> pa.Table:
        """The changes as rows of ``audit/repairs``."""
        names = {name: number for number, name in enumerate(rows.column_names)}
        order = np.lexsort(
            ([names[name] for _, name in self.changes], [place for place, _ in self.changes])
        ).tolist()
        every = list(self.changes)
        keys = [every[number] for number in order]
        places = pa.array([place for place, _ in keys], pa.int64())
        found = [self.changes[key] for key in keys]
        schema = published_table("repairs").arrow_schema
        columns = {
            "record_id": rows.column("record_id").take(places),
            "resource": [self._resource] * len(keys),
            "md5sum": rows.column("provenance_md5sum").take(places),
            "column": [name for _, name in keys],
            "old": [change.old for change in found],
            "new": [self._shown(name, place) for place, name in keys],
            "rule": [" ".join(change.rules) for change in found],
            "evidence": ["; ".join(change.evidence) or None for change in found],
            "confidence": [change.confidence or UNDECIDABLE for change in found],
        }
        arrays = [
            column.cast(pa.string()) if isinstance(column, pa.ChunkedArray) else pa.array(column, pa.string())
            for column in (columns[name] for name in schema.names)
        ]
        return pa.table(arrays, schema=schema)


def _candidates(rule: Rule, cells: Cells, name: str) -> np.ndarray:
    """Which cells of a column a rule looks at."""
    when = rule.when
    if when.received is not None and not cells.asides.get(name):
        return np.zeros(0, dtype=bool)  # most columns of most rows
    which = np.ones(len(cells), dtype=bool)
    for condition in _conditions(rule, cells, name):
        which &= condition(cells)
        if not which.any():
            break
    if when.received is None and not when.unlisted and not when.missing:
        which &= ~cells.empty(name)
    return which


def _conditions(rule: Rule, cells: Cells, name: str) -> Iterator[Callable[[Cells], np.ndarray]]:
    """The conditions that a rule has, the cheapest first."""
    when = rule.when
    if when.received is not None:
        yield lambda cells: _was_received(cells, name, *(when.received or ()))
    if when.unlisted:
        yield lambda cells: _is_unlisted(cells, name)
    if when.missing:
        yield lambda cells: _is_missing(cells, name)
    if when.created_before is not None:
        yield lambda cells: cells.created < when.created_before
    if when.above is not None:
        yield lambda cells: cells.values(name) > when.above
    if when.from_ is not None:
        yield lambda cells: cells.values(name) >= when.from_
    if when.whole:
        yield lambda cells: cells.values(name) == np.floor(cells.values(name))
    if when.values is not None:
        yield lambda cells: np.isin(cells.values(name), when.values or ())


def _is_missing(cells: Cells, name: str) -> np.ndarray:
    """Empty cells for which nothing at all was received, and of which a sidecar says something."""
    which = cells.said(name)
    if which.any():
        which &= cells.missing(name)
        which[list(cells.asides.get(name, ()))] = False
    return which


def _was_received(cells: Cells, name: str, *why: str) -> np.ndarray:
    """Empty cells for which something was received in one of some ways."""
    which = np.zeros(len(cells), dtype=bool)
    received = cells.asides.get(name)
    if received:
        which[[place for place, found in received.items() if any(one.why in why for one in found)]] = True
        which &= cells.empty(name)
    return which


def _is_unlisted(cells: Cells, name: str) -> np.ndarray:
    """Cells with a text that is none of the column's levels, or for which one was received that could be a formula."""
    levels = {value for value, _ in cells.column(name).levels}
    unlisted = np.array([text not in levels for text in cells.values(name)], dtype=bool) & ~cells.empty(name)
    return unlisted | _was_received(cells, name, FORMULA)


def _plain(value: Any) -> Any:
    """A text as maps have it: lower case, without blanks, and "A >> P" or "A to P" as "ap"."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower().replace("\u2212", "-")
    if found := _FROM_TO.match(text):
        return "".join(found.groups())
    return "".join(text.split())
