"""What the life of a record says in words, for the terminal and the page."""

from __future__ import annotations

from curation.diff.life import Event, Life, RecordFate
from curation.diff.words import number_of, told_of

NO_FATE = "no record in the ledgers"


def verdict(life: Life) -> str:
    """How long the life is, and whether all that happened has a cause."""
    happened = sum(len(stage.events) for stage in life.stages)
    said = f"{number_of(len(life.stages), 'version')}, {number_of(happened, 'event')}"
    if life.unexplained:
        files = "look at the files that were changed or are gone"
        why = files if life.strays else "an error of ours, please report it"
        return f"{said}; {life.unexplained:,} without a cause: {why}."
    if life.strays:
        return f"{said}; a ledger is gone, and what only it tells is not known."
    if life.by_code:
        return f"{said}; {life.by_code:,} with no other cause than that code, dictionary or rules changed."
    return f"{said}, each with its cause." if happened else f"{said}."


def edited(life: Life) -> list[str]:
    """What is to be said of files that are not those that their version lists, and what to do."""
    return told_of(life.strays)


def left_out(life: Life) -> str:
    """Nights that were not looked at, and why."""
    return (
        "Left out, as their content was dropped and nobody has it (`rebuild` makes it again): "
        + ", ".join(life.left_out)
    )


def fate_words(fate: RecordFate) -> str:
    """What became of a record in one version."""
    more = [fate.reason or ""]
    if fate.representative not in (None, fate.record_id):
        more.append(f"represented by {fate.representative}")
    if fate.curated_representative == fate.record_id:
        more.append("represents the image in the curated table")
    elif fate.curated_representative is not None:
        more.append(f"in the curated table by {fate.curated_representative}: {fate.curated_reason}")
    return f"{fate.resource} {fate.record_id}: {'; '.join(filter(None, [fate.fate or 'no fate', *more]))}"


def event_cause(event: Event) -> str:
    """Why something happened, and the rules of repair that did it."""
    return ", ".join(filter(None, [event.cause, event.rule]))
