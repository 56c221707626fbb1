"""Keeps personal data out of what is published: e-mail addresses, unhashed ids, serial numbers, names of people.

Everything here works on one value and says by which rule it changed it, so that counts can be published without
the values.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
# RFC 5322's dot-atom on either side, which covers the addresses that people have.
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z0-9-]{2,}")
_EMAIL_GONE = "[e-mail address removed]"

# Attributes naming a person or one device, of DICOM's basic confidentiality profile (PS3.15, table E.1-1), as they
# are spelled once blanks, apostrophes and case are gone.
_PERSONAL_KEYS = frozenset(
    {
        "deviceserialnumber", "email", "gantryid", "issuerofpatientid", "nameofphysiciansreadingstudy",
        "operatorname", "operatorsname", "otherpatientids", "otherpatientnames", "patientaddress",
        "patientbirthdate", "patientbirthname", "patientbirthtime", "patientid", "patientmothersbirthname",
        "patientname", "patientsaddress", "patientsbirthdate", "patientsname", "patienttelephonenumbers",
        "performingphysicianname", "performingphysiciansname", "physiciansofrecord",
        "referringphysicianname", "referringphysiciansname", "requestingphysician",
        "scheduledperformingphysicianname",
    }
)  # fmt: skip
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")


def hash_id(value: str) -> str:
    """A subject or session id as MRIQC's client sends it: its SHA-256 in hex, unless it is one already."""
    if _SHA256.match(value):
        return value
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def scrub_text(text: str, where: str, counts: Counter[str]) -> str:
    """``text`` without e-mail addresses; each text that had one counts as ``e-mail in <where>``."""
    if "@" not in text:
        return text
    scrubbed = _EMAIL.sub(_EMAIL_GONE, text)
    if scrubbed != text:
        counts[f"e-mail in {where}"] += 1
    return scrubbed


def scrub_tree(value: Any, where: str, counts: Counter[str]) -> Any:
    """A JSON value without the keys that name a person or a device, and without e-mail addresses."""
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            if is_personal_key(key):
                counts[f"key in {where}"] += 1
            else:
                kept[scrub_text(key, where, counts)] = scrub_tree(item, where, counts)
        return kept
    if isinstance(value, list):
        return [scrub_tree(item, where, counts) for item in value]
    if isinstance(value, str):
        return scrub_text(value, where, counts)
    return value


def is_personal_key(key: str) -> bool:
    """Whether a key, or its last dotted segment, is one of DICOM's attributes for a person or a device."""
    return _NOT_ALPHANUMERIC.sub("", key.rsplit(".", 1)[-1].lower()) in _PERSONAL_KEYS
