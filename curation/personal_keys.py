"""Keys under which documents have what is personal: names and numbers of people and devices, and moments."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeVar

from schemas.spellings import one_slip

_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")
_ID_KEYS = frozenset(
    {"subject", "session", "subjectid", "sessionid", "participantid", "subjectlabel", "sessionlabel"}
)

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
    return judged(key)[0]


def _remembered(judge: Callable[[str], _T]) -> Callable[[str], _T]:
    """Judges each of the keys that are of a usual length once."""
    cached = lru_cache(1 << 12)(judge)
    return lambda key: cached(key) if len(key) <= _LONGEST_KEY else judge(key)


@_remembered
def judged(key: str) -> tuple[Kind | None, str, bool]:
    """What a key holds, its normal form, and whether it is that of an id."""
    return _kind(key), normal_key(key), is_id_key(key)


@_remembered
def tells_release(name: str) -> bool:
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
