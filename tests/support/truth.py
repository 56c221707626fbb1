"""What curation has to find in the demo corpus, by its truth."""

from __future__ import annotations

from collections import defaultdict

from flows.demo.corpus import Corpus

Rules = dict[tuple[str, str], set[tuple[str, str]]]
"""(resource, record id) to the (column, rule) pairs that the record breaks."""

_FIXED = {
    "missing-checksum": ("md5sum", "missing"),
    "malformed-checksum": ("md5sum", "not a checksum"),
    "wrong-modality": ("bids_meta_modality", "wrong modality"),
    "testing-flag": ("provenance_settings_testing", "marked as testing"),
    "not-mriqc": ("provenance_software", "not made by MRIQC"),
}
_OF_COLUMN = {"missing-required-field": "missing", "out-of-hard-range": "out of range"}
EXCLUDING = ("testing-flag", "not-mriqc")
FLAGS = {
    "non-finite": "non_finite",
    "scout-spacing": "scout",
    "implausible-motion": "implausible_fd_mean",
    "tr-mismatch": "tr_mismatch",
}
REPAIRED = (
    *("EchoTime", "RepetitionTime", "InversionTime", "DelayTime", "TotalReadoutTime", "EffectiveEchoSpacing"),
    *("ImagingFrequency", "MagneticFieldStrength"),
)
"""Parameters that are planted in wrong units or cut: once repaired they are plausible."""
WATCHED = {
    *FLAGS.values(), "unreadable_acquisition", "undecidable_value", "field_strength_mismatch", "unknown_manufacturer",
    "unknown_scanner_model", *(f"implausible_{name}" for name in REPAIRED),
}  # fmt: skip
"""Flags that are raised where the truth says so and nowhere else."""


def broken_rules(corpus: Corpus) -> Rules:
    """The rules that records of the corpus break."""
    found: Rules = defaultdict(set)
    for planted in corpus.truth:
        column = str(planted.detail.get("column", "")).replace(".", "_")
        who = (planted.resource, planted.record_id)
        if planted.defect in _FIXED:
            found[who].add(_FIXED[planted.defect])
        elif planted.defect in _OF_COLUMN:
            found[who].add((column, _OF_COLUMN[planted.defect]))
        elif planted.defect == "one-element-list" and not column.startswith("bids_meta"):
            found[who].add((column, "unreadable"))
    return dict(found)


def flags(corpus: Corpus) -> set[tuple[str, str, str]]:
    """(resource, record id, flag) of what curation has to flag, of those that :data:`WATCHED` has."""
    found = {(p.resource, p.record_id, FLAGS[p.defect]) for p in corpus.truth if p.defect in FLAGS}
    return found | {
        (p.resource, p.record_id, "undecidable_value")
        for p in corpus.truth
        if p.defect == "field-strength-cast" and not p.detail["evidence"] and p.detail["sent"] in (0, 2)
    }


def kept_out(corpus: Corpus, resource: str) -> dict[str, int]:
    """How many records of a resource are quarantined and excluded."""
    excluded = {p.record_id for p in corpus.truth if p.resource == resource and p.defect in EXCLUDING}
    broken = {record_id for name, record_id in broken_rules(corpus) if name == resource}
    return {"quarantined": len(broken - excluded), "excluded": len(excluded)}
