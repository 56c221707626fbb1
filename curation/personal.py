"""Keeps personal data out of what is published: e-mail addresses, unhashed ids, serial numbers, names of people.

Everything here works on one document and notes by which rule it changed something, so that counts can be published
without the values.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

# A dot-atom of RFC 5322 on either side of the sign, letters of all scripts (RFC 6531) included; the last label begins
# with a letter, so that "EPI@1.5T" stays. A run of local characters is entered at its start only and never given back:
# a text of any length is read once.
_LOCAL = r"[\w.!#$%&'*+/=?^`{|}~-]"
_EMAIL = re.compile(
    rf"(?<!{_LOCAL}){_LOCAL}++[@\uff20](?:(?:[\w-]++\.)+[^\W\d_][\w-]++|\[?[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}\]?)"
)
_EMAIL_GONE = "[e-mail address removed]"

# Attributes naming a person or one device, of DICOM's basic confidentiality profile (PS3.15, table E.1-1), as they
# are spelled once blanks, apostrophes and case are gone; the tags of the first of them (DICOM's JSON model has tags
# for keys); and what clients call a person.
_PERSONAL_KEYS = frozenset(
    {
        "deviceserialnumber", "gantryid", "issuerofpatientid", "nameofphysiciansreadingstudy",
        "operatorname", "operatorsname", "otherpatientids", "otherpatientnames", "patientaddress",
        "patientbirthdate", "patientbirthname", "patientbirthtime", "patientid", "patientmothersbirthname",
        "patientname", "patientsaddress", "patientsbirthdate", "patientsname", "patienttelephonenumbers",
        "performingphysicianname", "performingphysiciansname", "physiciansofrecord",
        "referringphysicianname", "referringphysiciansname", "requestingphysician",
        "scheduledperformingphysicianname", "stationname",
        "00080090", "00081050", "00081070", "00100010", "00100020", "00100030", "00181000",
        "contact", "contactinformation", "contactname", "contactperson", "rater", "raterid", "ratername",
        "submitter", "submittername", "username",
    }
)  # fmt: skip
_PERSONAL_PARTS = ("serialnumber", "email", "mailaddress")
_ID_KEYS = frozenset({"subjectid", "sessionid", "participantid", "subjectlabel", "sessionlabel"})
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")


def hash_id(value: str) -> str:
    """A subject or session id as MRIQC's client sends it: its SHA-256 in hex, unless it is one already."""
    if _SHA256.match(value):
        return value
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def normal_key(key: str) -> str:
    """A key without case, blanks and punctuation: ``Subject-ID`` and ``subject_id`` are the same."""
    return _NOT_ALPHANUMERIC.sub("", key.lower())


def is_personal_key(key: str) -> bool:
    """Whether a key, or a dotted segment of it, names a person or a device."""
    segments = {normal_key(segment) for segment in key.split(".")} if "." in key else {normal_key(key)}
    return not _PERSONAL_KEYS.isdisjoint(segments) or any(
        part in segment for part in _PERSONAL_PARTS for segment in segments
    )


def is_id_key(key: str) -> bool:
    """Whether a key, or its last dotted segment, is that of a subject's or session's id."""
    return normal_key(key.rsplit(".", 1)[-1]) in _ID_KEYS


@dataclass
class Scrubber:
    """Scrubs the values of one resource's documents.

    Attributes:
        withheld: keys, as :func:`normal_key` has them, that are personal in this resource at any depth.
        text_of: a value as text, for hashing what should have been a text.
        found: by rule and place, what was withheld or changed since the list was last replaced.
    """

    withheld: frozenset[str]
    text_of: Callable[[Any], str]
    found: list[str] = field(default_factory=list)

    def text(self, text: str, where: str) -> str:
        """``text`` without e-mail addresses."""
        if "@" not in text and "\uff20" not in text:
            return text
        scrubbed = _EMAIL.sub(_EMAIL_GONE, text)
        if scrubbed != text:
            self.found.append(f"e-mail in {where}")
        return scrubbed

    def id(self, value: Any, where: str) -> str:
        """A subject's or session's id, hashed unless it is."""
        text = value if type(value) is str else self.text_of(value)
        hashed = hash_id(text)
        if hashed != text:
            self.found.append(f"hashed {where}")
        return hashed

    def tree(self, value: Any, where: str) -> Any:
        """A JSON value without personal keys, plain ids and e-mail addresses, wherever they are in it."""
        if type(value) is dict:
            return self._object(value, where)
        if type(value) is list:
            return [self.tree(item, where) for item in value]
        return self.text(value, where) if type(value) is str else value

    def _object(self, value: dict[str, Any], where: str) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            if is_personal_key(key) or normal_key(key) in self.withheld:
                self.found.append(f"key in {where}")
                continue
            name = clean = self.text(key, where)
            number = 1
            while name in kept or (name != key and name in value):
                # Two keys that were addresses stay two keys.
                number += 1
                name = f"{clean} {number}"
            kept[name] = (
                self.id(item, where) if is_id_key(key) and item is not None else self.tree(item, where)
            )
        return kept
