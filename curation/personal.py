"""Keeps personal data out of what is published: unhashed ids, names, numbers and dates of people, serial numbers.

Everything here works on one document and notes by which rule it changed something, so that counts can be published
without the values. A document that tells a name under a key that is dropped, or an id in clear, may say it again in a
text: it is read a second time, with what the first reading learned (:meth:`Scrubber.begin`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, TypeVar
from unicodedata import combining, normalize

from curation.free_text import NOT_NAMES, PARTICLES, is_hash, scrub, unescaped
from schemas.spellings import one_slip

OWN_NAME, OWN_LABEL = "own name", "own label"
"""Rules: what a document says of itself under another key is removed from its texts."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")
_ID_KEYS = frozenset(
    {"subject", "session", "subjectid", "sessionid", "participantid", "subjectlabel", "sessionlabel"}
)

# --- keys ----------------------------------------------------------------------------------------------------
#
# Attributes of DICOM's basic confidentiality profile (PS3.15, table E.1-1) as sidecars, dcmstack and DICOM's JSON model
# have them for keys, and what clients call a person. Not withheld, although the profile lists them, are what BIDS has
# in sidecars (institution, department, protocol) and descriptions and comments, whose text is scrubbed.

Kind = Literal["person", "number", "address", "rest"]
"""What a personal key holds: a name; a number of a person, device or study; an e-mail address; something else."""

_KEPT = frozenset({"patientposition", "patientorientation"})
_WHOLE: dict[Kind, str] = {
    "person": """
        author contact contacts contactinformation contactinfo currentobservertrial distributionname
        documentauthortrial evaluator experimenter fullname interpretationauthor interpretationrecorder
        interpretationtranscriber investigator login nurse operator operators orderenteredby participant
        participants person principalinvestigator rater raterid raters responsibleperson reviewer
        roiinterpreter scannedby subjects technician user verbalsourcetrial""",
    "number": """
        admissionid cassetteid detectorid deviceid fillerordernumberimagingservicerequest gantryid generatorid
        homecommunityid modifyingdeviceid mrn networkid performedprocedurestepid
        placerordernumberimagingservicerequest plateid repositoryuniqueid requestedprocedureid
        scheduledprocedurestepid serviceepisodeid ssn studyid""",
    "rest": """
        age allergies authorization branchofservice countryofresidence credentials date datetime dob ethnicity
        fax gender mail militaryrank mobile occupation phone phonenumber race regionofresidence secret sex
        smokingstatus specialneeds timestamp token""",
}
_PART: dict[Kind, str] = {
    "address": "email mailaddress",
    "rest": """
        telephone telecom birthdate birthday birthtime dateofbirth pregnan menstrual ethnicgroup insurance
        medicalalert admission discharge serviceepisode ordercallback orderenterer patienthistory
        patientlocation patientinstitution homeaddress postaladdress streetaddress personaddress
        physicianaddress physicianid password passwd apikey accesstoken clientsecret""",
    "person": """
        physician patname operator investigator patientname patientsname patientbirthname patientmother
        operatorname operatorsname operatoridentification personname personidentification responsibleperson
        performername observername reviewername evaluatorname creatorname ownername technologist radiographer
        firstname lastname familyname givenname surname maidenname subjectname participantname volunteername
        contactname contactperson ratername username submitter recipientsofresults""",
    "number": """
        serialnumber serialno scannerserial deviceserial patientid accessionnumber medicalrecord socialsecurity
        passport stationname aetitle macaddress hostname trialsubject instanceuid uidtrial""",
}
_NAMED = {name: kind for kind, names in _WHOLE.items() for name in names.split()}
_PARTS = [(kind, re.compile("|".join(parts.split()))) for kind, parts in _PART.items()]
# Clock times by name: most keys that end in "time" are durations (RepetitionTime, EchoTime).
_MOMENT = re.compile(
    r"(?<!up)(?<!vali)(?<!candi)(?<!man)(?:date|dates|datetime|datetimes|datestamp|timestamp|timestamps)\Z"
    r"|alternativecalendar\Z"
    r"|\A(?:date|time|datetime)of(?:last|secondary|gain|document|manufacture|installation|scan|acquisition|exam|study|death)"
    r"|(?:performed|scheduled|intended)(?:procedure|study|fraction)\w*time\Z|issue(?:date|time)of|(?:date|time)trial\Z"
    r"|\A(?:acquisition|study|series|content|instance|exam|examination|scan|session|visit|contrastbolus|radiopharmaceutical"
    r"|interventiondrug)(?:start|stop|end|begin|arrival|completion|verified|read)time\Z"
    r"|\A(?:acquisition|study|series|content|overlay|curve|modifiedimage|calibration|exam|examination|admitting"
    r"|observation|hl7documenteffective|interpretation(?:recorded|transcription|approval)|(?:secondary)?review)time\Z"
    r"|creationtime\Z"
)
_OF_SUBJECT = re.compile(
    r"(?:subject|participant|volunteer)s?(?:age|sex|gender|weight|height|size|birth\w*|dob|initials|address|comments?)\Z"
)
# Misspelled as often as others are.
_SLIPPED = (
    "deviceserialnumber", "subjectid", "sessionid", "participantid", "patientname", "patientid", "patientbirthdate",
    "operatorsname", "physicianname", "acquisitiontime", "acquisitiondate", "seriestime", "seriesdate", "studytime",
    "studydate", "emailaddress",
)  # fmt: skip
_UID_KEY = re.compile(r"(?<!fl)(?<!liq)(?<!sq)uid(?:s|list|infile|ofconcatenationsource)?\Z")
_OF_PATIENT = ("patient", "otherpatient", "issuerofpatient", "referencedpatient", "requesting")
_TAG = re.compile(r"(?:0x)?([0-9a-f]{4})([0-9a-f]{4})\Z")
# Groups of a patient and of a visit are personal as a whole.
_PERSONAL_GROUPS = frozenset({"0010", "0038"})
_TAGS: dict[Kind, str] = {
    "person": """
        00080090 0008009c 00081048 00081050 00081060 00081070 00100010 00101001 00101005 00101060 00102297 00321032
        00400006 00401010 00402008 00404037 0040a067 0040a075 0040a123 0040a307 0040a352""",
    "number": """
        00020003 00080014 00080017 00080018 00080019 00080050 00080054 00080055 00080058 00081010 00081155 00081167
        00081195 00083010 00083012 00100020 00101000 00120040 00120042 00181000 00181002 00181004 00181005 00181007
        00181008 0018991e 0020000d 0020000e 00200010 00200052 00200200 00200242 00209161 00209164 00209312 00209313
        00400241 00400242 00400253 00400009 00400554 00401001 00402016 00402017 00404023 0040a171 0040a172 0040a402""",
    "rest": """
        00080012 00080013 00080015 00080020 00080021 00080022 00080023 00080024 00080025 0008002a 00080030 00080031
        00080032 00080033 00080034 00080035 00080092 00080094 00080096 0008009d 00081049 00081052 00081062 00081072
        00180027 00180035 00181012 00181014 00181042 00181043 00181072 00181073 00181078 00181079 00181200 00181201
        00181202 00181203 00181204 00181205 0018700c 0018700e 00189074 00189151 00189369 0018936a 00189516 00189517
        00189701 00189804 00189919 0018a002 00203403 00203405 00320032 00320033 00320034 00320035 00321000 00321001
        00321010 00321011 00321033 00321040 00321041 00321050 00321051 00400002 00400003 00400004 00400005 00400244
        00400245 00400250 00400251 00401101 00401102 00401103 00401104 00402004 00402005 00402009 00402010 00402011
        00404005 00404008 00404010 00404011 00404050 00404051 00404052 0040a023 0040a024 0040a030 0040a032 0040a033
        0040a082 0040a110 0040a112 0040a120 0040a121 0040a122 0040a13a 0040a192 0040a193 0040e004""",
}
_TAGGED = {tag: kind for kind, tags in _TAGS.items() for tag in tags.split()}
_PIECES = re.compile(r"[a-z0-9]+")
_RELEASE = re.compile(r"software|firmware|release|(?<!con)(?<!in)version")
_LONGEST_KEY = 200
_T = TypeVar("_T")


def hash_id(value: str) -> str:
    """A subject or session id as MRIQC's client sends it: its SHA-256 in hex, unless it is one already."""
    if _SHA256.match(value):
        return value
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def normal_key(key: str) -> str:
    """A key without case, blanks and punctuation: ``Subject-ID`` and ``subject_id`` are the same."""
    return _NOT_ALPHANUMERIC.sub("", key.lower())


def is_personal_key(key: str) -> bool:
    """Whether a key, or a part of it, names a person, a device, or when one was examined."""
    return kind_of_key(key) is not None


def is_id_key(key: str) -> bool:
    """Whether a key, or its last dotted segment, is that of a subject's or session's id."""
    return normal_key(key.rsplit(".", 1)[-1]) in _ID_KEYS


def kind_of_key(key: str) -> Kind | None:
    """What a personal key holds; ``None`` where it is not personal."""
    return _judged(key)[0]


def _remembered(judge: Callable[[str], _T]) -> Callable[[str], _T]:
    """Judges each of the keys that are of a usual length once."""
    cached = lru_cache(1 << 12)(judge)
    return lambda key: cached(key) if len(key) <= _LONGEST_KEY else judge(key)


@_remembered
def _judged(key: str) -> tuple[Kind | None, str, bool]:
    """What a key holds, its normal form, and whether it is that of an id."""
    return _kind(key), normal_key(key), is_id_key(key)


@_remembered
def _tells_release(name: str) -> bool:
    """Whether what a column or a key holds tells a release of software."""
    return _RELEASE.search(name.lower()) is not None


def _kind(key: str) -> Kind | None:
    for segment in key.split("."):
        whole = normal_key(segment)
        if len(whole) < 3 or whole in _KEPT or whole in _ID_KEYS:
            continue
        kind = _NAMED.get(whole) or _kind_by_form(whole)
        pieces = _PIECES.findall(segment.lower()) if kind is None else []
        # "dcm_PatientName"; the pieces of "image_position_patient" are none of a person.
        found = (_kind_by_form(piece) for piece in pieces if piece not in _KEPT and piece != "patient")
        kind = kind or next(filter(None, found), None)
        if kind is not None:
            return kind
    return None


def _kind_by_form(name: str) -> Kind | None:
    tag = _TAG.match(name)
    if tag:
        return _TAGGED.get(tag[1] + tag[2]) or ("rest" if tag[1] in _PERSONAL_GROUPS else None)
    for kind, parts in _PARTS:
        if parts.search(name):
            return kind
    if _UID_KEY.search(name) or any(one_slip(name, known) for known in _SLIPPED):
        return "number"
    others = name.startswith(_OF_PATIENT) or _MOMENT.search(name) or _OF_SUBJECT.search(name)
    return "rest" if others else None


# --- what a document tells of itself -------------------------------------------------------------------------

_MOST_SECRETS, _LONGEST_SECRET, _UNMISTAKABLE = 200, 200, 8
_GONE = {OWN_NAME: "[name removed]", OWN_LABEL: "[label removed]"}
_PASSES = 4
# Backslash escapes of JSON.
_ESCAPED = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_PHRASE = re.compile(r"[,;:()\n]")
_PARTICLES = frozenset(PARTICLES.split("|"))
# Labels that say what a session is, not whose; years; fields in tesla.
_ENTITIES = frozenset({"bids_meta_task_id", "bids_meta_run_id", "bids_meta_acq_id", "bids_meta_TaskName"})
_GENERIC_LABEL = re.compile(
    r"(?:(?:ses|session|sub|subj|subject|run|rest|retest|task|scan|test|pre|post|visit|time|timepoint|tp|baseline|base|fu|"
    r"followup|week|month|day|year|wave|mri|t1w|t2w|bold|part|phase)[ _-]?[0-9]{1,2}|(?:19|20)[0-9]{2}|[0-9.]+t)\Z"
)


def _texts(value: Any) -> Iterator[str]:
    if type(value) is dict:
        value = list(value.values())
    if type(value) is list:
        for item in value:
            yield from _texts(item)
    elif type(value) in (str, int) and len(text := str(value).strip()) <= _LONGEST_SECRET:
        yield normalize("NFC", text)


def _name_parts(text: str) -> Iterator[str]:
    """What of a person's name is looked for: parts of three or more letters, and two parts beside each other."""
    parts: list[str] = []
    for piece in _PHRASE.split(text):
        words = [word for word in _WORD.findall(piece) if not any(map(str.isdigit, word))]
        prose = any(word.islower() and word not in _PARTICLES for word in words)
        if "^" in piece or len(words) < 3 or (len(words) < 6 and not prose):
            parts += [word.lower() for word in words if word.lower() not in NOT_NAMES]
    if len(text.strip()) < 4 and text.isupper():
        return  # initials
    yield from (part for part in parts if len(part) > 2 and part not in _PARTICLES)
    for one, other in pairwise(parts):
        if len(one) + len(other) > 3:
            yield from (f"{one} {other}", f"{other} {one}")


def _label_parts(text: str) -> Iterator[str]:
    """What of a clear label is looked for: one of four or more characters with a digit, and not said of others too."""
    for label in dict.fromkeys((text, re.sub(r"\A(?:sub|ses)-", "", text, flags=re.IGNORECASE))):
        generic = _SHA256.match(label) or _GENERIC_LABEL.match(label.lower())
        if len(label) > 3 and not generic and any(map(str.isdigit, label)):
            yield label.lower()


@lru_cache(1 << 12)
def _secrets(kind: Kind | Literal["label"], of_patient: bool, text: str) -> tuple[tuple[str, str], ...]:
    """What other texts must not say again of what stands under a personal key, with the rule that removes it."""
    made = {}
    for secret, rule in _own_parts(kind, of_patient, text):
        # Accents are written as letters of their own, as marks, or not at all.
        marked = "" if secret.isascii() else normalize("NFD", secret)
        for form in (secret, marked, "".join(mark for mark in marked if not combining(mark))):
            if _WORD.search(form):
                made[form] = rule
    return tuple(made.items())


def _word_labels(text: str) -> Iterator[str]:
    """A clear label of five or more letters, without digits: perhaps a name."""
    label = re.sub(r"\Asub-", "", text, flags=re.IGNORECASE)
    if len(label) > 4 and label.isalpha() and label.casefold() not in NOT_NAMES:
        yield label.lower()


def _own_parts(kind: Kind | Literal["label"], of_patient: bool, text: str) -> Iterator[tuple[str, str]]:
    has_digit = any(map(str.isdigit, text))
    if kind == "label":
        yield from ((label, OWN_LABEL) for label in _label_parts(text))
        # People may be labelled by their names; what sessions are called is said of their scans, too.
        yield from ((label, OWN_LABEL) for label in _word_labels(text) if of_patient)
    elif kind == "address":
        # One word may be anything; "jane.doe" is a name.
        yield from ((part, OWN_NAME) for part in _name_parts(re.split("[@\uff20]", text)[0]) if " " in part)
    elif kind == "person" or (kind == "number" and of_patient and not has_digit):
        yield from ((part, OWN_NAME) for part in _name_parts(text))
        # Sites write labels where the name should be.
        labels = (label for token in re.split(r"[\s^,;]+", text) for label in _label_parts(token))
        yield from ((label, OWN_LABEL) for label in labels)
    elif kind == "rest" or scrub(text)[0][:1] == "[":
        return  # what is no name, and UIDs, which go in every text
    elif has_digit and (of_patient or len(text) > 4):
        yield from ((label, OWN_LABEL) for label in _label_parts(text))
    elif not has_digit and len(text) > 4 and not NOT_NAMES.issuperset(map(str.lower, _WORD.findall(text))):
        yield text.lower(), OWN_LABEL


@lru_cache(1 << 10)
def _finder(*secrets: str) -> re.Pattern[str]:
    """Finds secrets; of those that begin at one place the longest, "Jane Doe" before "Jane"."""
    longest = sorted(secrets, key=lambda secret: (-len(secret), secret))
    return re.compile("|".join(map(_pattern, longest)), re.IGNORECASE)


def _pattern(secret: str) -> str:
    """A secret that stands for itself, however its words are joined; "_" and "-" are ends of words."""
    words = _WORD.findall(secret)
    start, end = words[0][0], words[-1][-1]
    before = after = r"[^\W_]"
    if len(secret) >= _UNMISTAKABLE and any(map(str.isdigit, secret)):
        # A number that stands in no text by chance: "MR123456789".
        before, after = ("[0-9]" if edge.isdigit() else r"[^\W\d_]" for edge in (start, end))
    # Digits are not looked for inside a longer number: "0.1234".
    before = f"(?<!{before})" + (r"(?<![0-9][.,])" if start.isdigit() else "")
    after = f"(?!{after})" + (r"(?![.,][0-9])" if end.isdigit() else "")
    return before + r"[\W_]{0,3}".join(map(re.escape, words)) + after


@lru_cache(1 << 12)
def _anchor(secret: str) -> str:
    """The longest word of a secret: without it the secret is not there."""
    return max(_WORD.findall(secret), key=len)


@dataclass
class Scrubber:
    """Scrubs the values of one resource's documents.

    Attributes:
        withheld: keys, as :func:`normal_key` has them, that are personal in this resource at any depth; they name
            people.
        text_of: a value as text, for hashing what should have been a text.
        found: by rule and place, what was withheld or changed since the document was begun.
        secrets: names and labels that the document tells under keys which are withheld or hashed, with the rule that
            removes them from its texts.
    """

    withheld: frozenset[str]
    text_of: Callable[[Any], str]
    found: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _known: list[tuple[str, list[str], re.Pattern[str]]] = field(default_factory=list, init=False, repr=False)

    def begin(self, known: Mapping[str, str] | None = None) -> None:
        """Begin to read a document, or begin again with what is ``known`` of it: see :meth:`repeated`."""
        self.found, self.secrets = [], {}
        self._known = []
        for rule in dict.fromkeys((known or {}).values()):
            secrets = [secret for secret in known or {} if (known or {})[secret] == rule]
            self._known.append((rule, [_anchor(secret) for secret in secrets], _finder(*secrets)))

    def learn(self, key: str, value: Any) -> None:
        """Remember what a personal key says of a person, so that :meth:`repeated` finds it elsewhere."""
        kind, normal, _ = _judged(key)
        if kind is None and normal in self.withheld:
            kind = "person"
        if kind is not None:
            self._remember(kind, "patient" in normal, value)

    def repeated(self, cells: Iterable[Any]) -> dict[str, str]:
        """Those of the secrets that stand in the texts of ``cells``: what the document was made into."""
        if not self.secrets:
            return {}
        texts = [cell for cell in cells if type(cell) is str]
        # What JSON escapes is no letter of the word beside it.
        texts += [unescaped(text) for text in texts if "\\u" in text]
        texts += [_ESCAPED.sub(" ", text) for text in texts if "\\" in text]
        lowered = "\n".join(texts).lower()
        likely = {secret: rule for secret, rule in self.secrets.items() if _anchor(secret) in lowered}
        return {secret: rule for secret, rule in likely.items() if any(map(_finder(secret).search, texts))}

    def text(self, text: str, where: str) -> str:
        """``text`` without what is personal in it."""
        return self._text(text, where, _tells_release(where))

    def id(self, value: Any, where: str) -> str:
        """A subject's or session's id, hashed unless it is."""
        text = value if type(value) is str else self.text_of(value)
        hashed = hash_id(text)
        if hashed != text:
            self.found.append(f"hashed in {where}")
            self._remember("label", "session" not in where, value)
        return hashed

    def tree(self, value: Any, where: str) -> Any:
        """A JSON value without personal keys, plain ids and what is personal in texts, wherever they are in it."""
        return self._tree(value, where, _tells_release(where))

    def _tree(self, value: Any, where: str, release: bool) -> Any:
        if type(value) is dict:
            return self._object(value, where, release)
        if type(value) is list:
            return [self._tree(item, where, release) for item in value]
        return self._text(value, where, release) if type(value) is str else value

    def _object(self, value: dict[str, Any], where: str, release: bool) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            kind, normal, is_id = _judged(key)
            if kind is not None or normal in self.withheld:
                self.found.append(f"key in {where}")
                self.learn(key, item)
                continue
            name = clean = self._text(key, where, release)
            number = 1
            while name in kept or (name != key and name in value):
                # Two keys that were addresses stay two keys.
                number += 1
                name = f"{clean} {number}"
            if is_id and item is not None:
                kept[name] = self.id(item, where)
            else:
                kept[name] = self._tree(item, where, release or _tells_release(key))
        return kept

    def _text(self, text: str, where: str, release: bool) -> str:
        received = text
        text, rules = scrub(unescaped(text), release)
        # A session may be called as its task is.
        if self._known and not is_hash(text) and where not in _ENTITIES:
            text, rules = self._without_own(text, rules, release)
        if not rules:
            return received
        self.found += [f"{rule} in {where}" for rule in rules]
        return text

    def _without_own(self, text: str, rules: tuple[str, ...], release: bool) -> tuple[str, tuple[str, ...]]:
        found = dict.fromkeys(rules)
        for _ in range(_PASSES):
            before, lowered = text, text.lower()
            for rule, anchors, finder in self._known:
                if any(anchor in lowered for anchor in anchors):
                    text, times = finder.subn(_GONE[rule], text)
                    found |= {rule: None} if times else {}
            if text == before:
                break
            text, more = scrub(text, release)
            found |= dict.fromkeys(more)
        return text, tuple(found)

    def _remember(self, kind: Kind | Literal["label"], of_patient: bool, value: Any) -> None:
        for text in _texts(value):
            for secret, rule in _secrets(kind, of_patient, text):
                if len(self.secrets) < _MOST_SECRETS:
                    self.secrets.setdefault(secret, rule)
