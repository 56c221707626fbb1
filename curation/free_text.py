"""What is personal inside free text, how it is recognised, and what stands there instead.

Kinds of data are those of DICOM's basic confidentiality profile (PS3.15, annex E: names, numbers and dates of persons,
UIDs, telephone numbers), of HIPAA's list of identifiers (45 CFR 164.514(b)(2)), and passwords and keys. Texts come from
scanners, sidecars and people, so a rule asks for a form that acquisition parameters do not have: releases such as
``v1.0.20171215``, ratios of times and Siemens' ``Head^Brain`` stay. In doubt about a person's data the text loses.

A text of any length is read in linear time: runs of characters are possessive, everything else is bounded. Groups are
never possessive: Python before 3.11.5 matches them wrongly (https://github.com/python/cpython/issues/106052). What was
removed leaves nothing behind that a rule would take for personal: removing twice changes nothing more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from itertools import groupby

CREDENTIALS, EMAIL, UID, NUMBER = "credentials", "e-mail", "DICOM UID", "number of a person"
NAME, TELEPHONE, DATE, OBSTINATE = "name", "telephone", "date", "obstinate text"

# Words of acquisitions and studies, of makers and tools, of ratings and artifacts, what people write instead of a name,
# titles, and the words of the placeholders.
_NOT_NAMES = """
    abdomen acquisition anat anatomical angio asl axial baseline body bold brain breast cardiac cerebral cervical chest
    clinical coil contrast cor coronal cortex default diffusion dti dummy dwi echo epi eye face fast fat field fieldmap
    flair flip fmap fmri fse func functional gradient gre head heart hip inversion iso knee library libraries liver
    localizer lumbar map mag mapping mbep memory moco motor mprage mra mri mrs neck neuro norm pasl pcasl phase physio
    pilot planar pre post prescan promo protocol pulse quiet rage ref rest resting restingstate run sag sagittal sbref
    scan scans scout sense sequence series session shim shoulder slice sms space spectroscopy spin spine spiral stack
    state std stimulation stop structural survey swi tap task tfe tfl thoracic tof tra transversal transverse trufi tse
    turbo vessel visual vnav volume water weighted whole wip wrist abcd adni cmrr hcp mgh ukb
    bruker canon electric general healthineers hitachi imaging medical philips siemens toshiba united achieva aera
    allegra avanto biograph discovery espree fit ingenia intera magnetom premier prisma scanner signa skyra sola sonata
    symphony system systems terra trio triotim verio vida software afni ants bids dicom fmriprep freesurfer fsl
    heudiconv mriqc nifti spm
    acceptable aliasing around bad excellent exclude failure ghost global good inu local motion noise other perturbation
    poor processing rating spillover uncategorized variation wrap
    admin administrator anon anonymised anonymized anonymous asleep awake center centre confidential control controls
    data deidentified department empty false female group healthy hospital institute investigator investigators lab
    laboratory male moved nil nobody none not null operator operators participant participants patient patients person
    phantom physician project projects qa qc rater raters reader removed research researcher reviewer service staff
    standard student study studies subject subjects team tech technician technologist test tester testing the this
    trial true university unknown unnamed user users volunteer volunteers yes call cell contact email fax phone tel
    dr prof professor doctor mr ms miss herr frau med rer nat phil habil vet
    address credentials date label mail name number obstinate telephone text uid
"""
NOT_NAMES = frozenset(_NOT_NAMES.split())
"""What stands where a name could and is none, in lower case; else a person called Rest would cost all rest."""

REMOVED = re.compile(r"\[[\w -]{2,30} removed\]")
"""What stands where something was removed."""

_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def unescaped(text: str) -> str:
    """``text`` with JSON's escapes read, as in a comment that is itself JSON; those that JSON needs stay."""
    return _ESCAPES.sub(_read_escapes, text) if "\\u" in text else text


def _read_escapes(found: re.Match[str]) -> str:
    read = str(json.loads(f'"{found[0]}"'))
    plain = not any(
        character in '"\\' or character < " " or "\ud800" <= character <= "\udfff" for character in read
    )
    return read if plain else found[0]


# --- the words of patterns -----------------------------------------------------------------------------------

# Words may touch "_" and "-", which separate them in names of protocols and files.
_START, _END = r"(?<![^\W_])", r"(?![^\W_])"
_LETTER = r"[^\W\d_]"
_CAPITAL = r"[^\W\d_a-z\u00df-\u00f6\u00f8-\u00ff]"
_UPPER = r"[A-Z\u00c0-\u00d6\u00d8-\u00de]"
_IS = r"[\"']?\s{0,2}[:=]\s{0,3}[\"']?"  # between a label and its value, also in JSON
_OF = r"(?:['\u2019]?s)?"

_GONE_CREDENTIALS = "[credentials removed]"
# RFC 3986, 3.2.1: what stands before the last "@" of an authority.
_AUTHORITY = re.compile(r"://[^\s/?#@\uff20]++[@\uff20](?:[^\s/?#@\uff20]*+[@\uff20])*")
_QUERY = re.compile(
    r"([?&#](?:[\w.-]{0,30}[_.-])?(?:(?:access|auth|session)?token|(?:api|access)?key(?:id)?|sig|signature|"
    r"password|passwd|pwd|pass|secret|auth|credential|jwt|awsaccesskeyid)=)"
    rf"(?!{re.escape(_GONE_CREDENTIALS)})[^\s&#\"'<>]++",
    re.IGNORECASE,
)
_PASSWORD = re.compile(
    rf"({_START}(?:password|passwd|pwd|passphrase|api[ _-]?key|access[ _-]?token|client[ _-]?secret|authorization)"
    rf"{_IS}(?:(?:bearer|basic)\s{{1,2}}|(?!(?:bearer|basic)\s)))(?!{re.escape(_GONE_CREDENTIALS)})[^\s\"',;]{{3,}}+",
    re.IGNORECASE,
)

# A dot-atom of RFC 5322 on either side of the sign, letters of all scripts (RFC 6531) included; the last label begins
# with a letter, so that "EPI@1.5T" stays. A run of local characters is entered at its start only and never given back:
# a text of any length is read once.
_LOCAL = r"[\w.!#$%&'*+/=?^`{|}~-]"
_DOMAIN = r"(?:[\w-]++\.)+[^\W\d_][\w-]++"
_EMAIL = re.compile(
    rf"(?<!{_LOCAL}){_LOCAL}++[@\uff20](?:{_DOMAIN}|\[?[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}\]?)"
)
# As an address is written in a query, and where people hide it from machines.
_EMAIL_WRITTEN = re.compile(rf"(?<![\w.+-])[\w.+-]++(?:%40|\s?[(\[](?i:at)[)\]]\s?){_DOMAIN}")

# PS3.5, chapter 9: components of digits, the root is 0 to 2. Those that name one examination are long; shorter dotted
# numbers are versions, as "5.3.1_5.3.1.1".
_UID = re.compile(r"[0-2](?<![vV0-9].)(?<![0-9]\..)(?:\.[0-9]++){4,}")
_UID_LENGTH = 20

_PERSON = (
    r"(?:patient|subject|participant|volunteer|operator|technologist|technician|radiographer|radiologist|"
    r"physician|doctor|nurse|investigator|rater|reader|reviewer|referrer|contact|user)"
)
_TOKEN = r"[^\W_](?:[\w/-]|\.(?=[^\W_])){0,63}(?:[ ][0-9]{2,}+(?![\w.]))*"
_NUMBERED = (
    r"(?:mrn|ssn|(?:medical[ _-]?record|patient|subject|participant|volunteer|hospital|social[ _-]?security|"
    rf"insurance|passport|accession|nhs){_OF}[ _-]?(?:id|identifier|number|num|no|nr)\.?)(?!{_LETTER})"
)
_LABELLED_NUMBER = re.compile(
    rf"({_START}(?:{_NUMBERED}[\"']?\s{{0,2}}[:=#]\s{{0,3}}[\"']?"
    rf"|{_NUMBERED}[\s_-]{{0,3}}(?=[\w/-]{{0,40}}[0-9])"
    rf"|(?:patient|subject|participant|volunteer){_IS}(?=[\w/-]{{0,40}}[0-9])))({_TOKEN})",
    re.IGNORECASE,
)
_SOCIAL_SECURITY = re.compile(
    rf"[0-9](?<![^\W_].)(?<![0-9]-.)[0-9]{{2}}-[0-9]{{2}}-[0-9]{{4}}{_END}(?!-[0-9])"
)

PARTICLES = "von|van|vom|zu|zur|de|der|den|del|della|di|da|dos|du|la|le|bin|ibn|al|el|ten|ter|af|av"
_PARTICLE = rf"(?:{PARTICLES})"
_LETTERS = rf"(?:{_LETTER}|['\u2019](?={_LETTER})){{0,40}}"
_WORD = rf"(?:{_PARTICLE}[ _]){{0,3}}{_CAPITAL}(?:\.|{_LETTERS}{_END})"
_WORDS = rf"{_WORD}(?:(?:[ _\u00a0-]{{1,2}}|(?<=\.)){_WORD}){{0,4}}"
# "MR" is magnetic resonance and "ms" are milliseconds: these titles are told by their case.
_TITLE = (
    r"(?:(?:[Dd]r|[Pp]rof|Professor|Doctor|Mr|Mrs|Ms|Miss|Herr|Frau)(?:\.[ _\u00a0]{0,2}|[ _\u00a0]{1,2})"
    r"|(?:DR|PROF|MRS)\.[ _\u00a0]{0,2}){1,3}(?:(?:med|rer|nat|phil|habil|vet|h\. ?c)\.[ ]?){0,4}"
)
_TITLED = re.compile(rf"{_START}(?P<label>{_TITLE})(?P<name>{_WORDS})")
_STREET = re.compile(r"[0-9][^,;]{0,40}\s\Z")  # "9500 Example Dr. La Jolla"
_LABELLED_NAME = re.compile(
    rf"{_START}(?P<label>(?i:{_PERSON}{_OF}[ _-]?name{_OF}|(?:first|last|family|given|full|maiden|middle)[ _-]?name"
    rf"|surname|name){_IS})(?P<name>{_WORDS}(?:, ?{_WORDS})?"
    rf"|{_LETTER}{{2,30}}+(?:[ _,-]{{1,2}}{_LETTER}{{2,30}}+){{0,2}}{_END})"
)
_BY = r"(?:scanned|operated|rated|reviewed|reported|signed|referred) by[ ]{1,2}"
_LABELLED_PERSON = re.compile(rf"{_START}(?P<label>(?i:{_PERSON}{_OF}{_IS}|{_BY}))(?P<name>{_WORDS})")
# PS3.5, 6.2: family name, given name, middle name, prefix and suffix of a PN, with "^" between them.
_PN_PART = rf"{_LETTER}++(?:['\u2019.-]{_LETTER}++)*\.?+"
_PN = re.compile(
    rf"{_START}(?<!{_LETTER}['\u2019.-])(?P<before>(?:(?:{_PARTICLE}|{_CAPITAL}{_LETTERS})[ ]){{0,3}})"
    rf"(?P<core>{_PN_PART}(?:\^++(?:{_PN_PART})?)+)(?P<after>(?:[ ]{_CAPITAL}{_LETTERS}{_END})?)"
)

# ITU-T E.123 and its relatives: a country code of one to three digits, and eight to fifteen digits in all (E.164).
_INTERNATIONAL = re.compile(
    r"(?<![^\W_])(?<!\+)(?<![0-9]\.)(?:\+[1-9][0-9]{8,14}+(?!\.?[0-9])"
    r"|(?:\+[1-9][0-9]{0,2}[ \u00a0-]?|00[1-9][0-9]{0,2}[ \u00a0-](?=[(1-9]))"
    r"(?:\(0?[0-9]{0,5}\)[ \u00a0-]?)?[0-9]{1,5}(?:[ \u00a0/-][0-9]{2,8}){1,5}(?!\.?[0-9])"
    r"|\+[1-9][0-9]{0,2}(?:\.[0-9]{1,5}){2,5}(?!\.?[0-9]))"
)
# The North American plan: neither area code nor exchange begins with 0 or 1.
_AMERICAN = re.compile(
    r"(?<![^\W_])(?<![0-9][.-])(?:1[ .-])?\([2-9][0-9]{2}\)[ .-]?[2-9][0-9]{2}[ .-][0-9]{4}(?![^\W_])"
    r"|(?<![^\W_])(?<![0-9][.-])(?:1[.-])?[2-9][0-9]{2}([.-])[2-9][0-9]{2}\1[0-9]{4}(?![^\W_])(?![.-][0-9])"
)
_PHONE = r"(tel(?:ephone|efon|nr|no)?|(?:cell|mobile[ _-]?)?phone|ph|fax|pager)"
_CALLED = re.compile(
    rf"({_START}(?:{_PHONE}|call|mobile|mobil|cell|handy|sms|whatsapp)(?!{_LETTER})[\s.:#=_\"'-]{{0,4}}"
    r"(?:(?:number|no|nr|num|me|us|him|her|at|on|is|under)[\s.:#_-]{1,3}){0,3})"
    r"(\+?\(?[0-9](?:[ \u00a0()./_-]{0,2}[0-9]){3,18})(?![0-9])",
    re.IGNORECASE,
)

_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12][0-9]|3[01])"
_HHMM, _SS = r"(?:[01][0-9]|2[0-3])[0-5][0-9]", r"(?:[0-5][0-9]|60)(?:[.,][0-9]{1,9}+)?"
_CLOCK = (
    rf"(?:(?:(?:,?[ ]{{1,2}}|[T_-])[0-2]?[0-9]:[0-5][0-9](?::{_SS})?(?:[ ]?[AaPp][Mm]{_END})?"
    rf"|[T_-]{_HHMM}(?:{_SS})?(?![0-9])|[T_-][0-2][0-9][.-][0-5][0-9][.-]{_SS}(?![0-9]))"
    r"(?:Z|[ ]?[+-][0-9]{2}:?[0-9]{2}(?![0-9]))?)?"
)
# Each begins with a digit, so that nothing else is looked at: 2011-07-25, 25.07.2011, 20110725 and with a time of day.
# Eight digits are none where they are part of a release or of a decimal number.
_DATE = re.compile(
    r"[0-9](?:"
    rf"(?P<iso>(?<=[12])(?<![vV0-9].))[0-9]{{3}}([-/\u2010\u2011]){_MONTH}\2{_DAY}(?![0-9]){_CLOCK}"
    r"|(?P<dmy>(?<![vV0-9].)(?<![0-9][./-].))[0-9]?([./-])[0-3]?[0-9]\4[12][0-9]{3}(?![0-9]|[./-][0-9])"
    rf"{_CLOCK}|(?P<ymd>(?<=[12])(?<![^\W_].)(?<![0-9][.,].))[0-9]{{3}}{_MONTH}{_DAY}"
    rf"(?:[T_-]?{_HHMM}(?:{_SS})?(?![0-9])|\.{_HHMM}{_SS}(?![0-9])|[ T_]{{1,2}}[0-2]?[0-9]:[0-5][0-9](?::{_SS})?)?"
    rf"(?:Z|[+-][0-9]{{4}}(?![0-9]))?{_END}(?!\.[0-9]))"
)
_NAMED_MONTH = (
    r"(?i:jan(?:uary?)?|feb(?:ruary?)?|mar(?:ch)?|m\u00e4rz|apr(?:il)?|ma[iy]|june?|juni|july?|juli|aug(?:ust)?|"
    r"sep(?:t(?:ember)?)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_NTH, _YEAR = r"[0-3]?[0-9](?:st|nd|rd|th)?", r"(?:1[89]|20)[0-9]{2}(?![0-9])"
_WORDED_DATE = re.compile(
    rf"{_START}(?:{_NTH}\.?[ ._-]{{0,2}}{_NAMED_MONTH}[ .,_-]{{0,3}}{_YEAR}"
    rf"|{_NAMED_MONTH}[ ._-]{{1,2}}{_NTH}(?:,[ ]?|[ _-]{{1,2}}){_YEAR}"
    rf"|(?:1[89]|20)[0-9]{{2}}[ ._-]{{1,2}}{_NAMED_MONTH}[ ._-]{{1,2}}{_NTH}(?![0-9])){_CLOCK}"
)
# Two names or more that touch a date, in capitals or joined as in the name of a file: "head_KIM_MOORE_2011-07-25".
_NAME_BEFORE = re.compile(
    rf"{_START}(?:(?:{_UPPER}{{2,}}+[_ ^-]{{1,2}}){{2,5}}|(?:{_UPPER}[a-z]++[_^-]){{2,5}})\Z"
)
_NAME_AFTER = re.compile(
    rf"(?:(?:[_ ^-]{{1,2}}{_UPPER}{{2,}}+){{2,5}}|(?:[_^-]{_UPPER}[a-z]++){{2,5}}){_END}"
)
_NEAR = 80

# --- whether to look at all ----------------------------------------------------------------------------------

_HASHES = frozenset({32, 40, 64})
_HASH = re.compile(r"[0-9a-f]+\Z")
# What each rule needs to be anywhere in a text in lower case, and what any of them needs: told without looking back.
_AT, _SIGN, _CARET, _ASSIGNED = r"[@\uff20]", r"%40|[(\[]at[)\]]", r"\^", "[:=]"
_DIGITS = r"[0-9](?:[^0-9]{0,3}[0-9]){3}"
_TITLES = r"(?:dr|prof|professor|doctor|mrs?|ms|miss|herr|frau)[._ \u00a0]"
_BY_WHOM = r"[:=]|ed by "
_NUMBERS = (
    "mrn|ssn|record|patient|subject|participant|volunteer|hospital|security|insurance|passport|accession|nhs"
)
_MONTHS = "jan|feb|mar|m\u00e4r|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_SUSPECT = re.compile("|".join((_AT, _SIGN, _CARET, _DIGITS, _TITLES, _BY_WHOM, _NUMBERS)))
_PASSES = 4


def is_hash(text: str) -> bool:
    """Whether a text is an MD5, SHA-1 or SHA-256 in hex, in which nothing personal can be read."""
    return len(text) in _HASHES and _HASH.match(text) is not None


def scrub(text: str, release: bool = False) -> tuple[str, tuple[str, ...]]:
    """``text`` without what is personal in it, and the names of the rules that changed it.

    Args:
        text: any text.
        release: it tells a release of software, where a date is that of the release.
    """
    size = len(text)
    if is_hash(text):  # no two records have the same: nothing to remember
        return text, ()
    if size > _LONGEST:
        return _scrub(text, release)
    remembered = _SHORT if size <= _SHORTEST else _LONG
    return remembered[release](text)


def _scrub(text: str, release: bool) -> tuple[str, tuple[str, ...]]:
    if _SUSPECT.search(text.lower()) is None:
        return text, ()
    rules: list[str] = []
    for _ in range(_PASSES):
        before = text
        lowered = text.lower()
        for rule in _DATELESS if release else _RULES:
            text = rule(text, lowered, rules)
        if text == before:
            return text, tuple(dict.fromkeys(rules))
    # What is left of a text may look personal once more. It does not, for any text that was seen; should one go on
    # and on, nothing of it stays.
    return f"[{OBSTINATE} removed]", (*dict.fromkeys(rules), OBSTINATE)


def _remember(release: bool, entries: int) -> Callable[[str], tuple[str, tuple[str, ...]]]:
    return lru_cache(entries)(lambda text: _scrub(text, release))


# A few texts are sent by almost every record. At most some 10 million characters are remembered.
_SHORTEST, _LONGEST = 200, 20_000
_SHORT = {release: _remember(release, 1 << 14) for release in (False, True)}
_LONG = {release: _remember(release, 128) for release in (False, True)}


# --- the rules -----------------------------------------------------------------------------------------------

_Rule = Callable[[str, str, list[str]], str]


def _rule(
    name: str, pattern: re.Pattern[str], instead: str | Callable[[re.Match[str]], str], needed: str
) -> _Rule:
    needs = re.compile(needed)

    def apply(text: str, lowered: str, rules: list[str]) -> str:
        if needs.search(lowered) is None:
            return text
        scrubbed = pattern.sub(instead, text)
        if scrubbed != text:
            rules.append(name)
        return scrubbed

    return apply


def _uid(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) < _UID_LENGTH else f"[{UID} removed]"


def _names(words: str) -> str:
    """The part of ``words`` that names somebody: up to the first that does not."""
    for word in re.finditer(rf"{_LETTER}+", words):
        if word[0].casefold() in NOT_NAMES:
            return words[: word.start()].rstrip(" _-,\u00a0")
    return words


def _named(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - _NEAR) : found.start()]
    label = found["label"].lower()
    if label.startswith("dr") and _STREET.search(before):
        return found[0]
    # A "task name" is none of a person.
    if label.startswith("name") and before.rstrip(" _-")[-1:].isalnum():
        return found[0]
    name = _names(found["name"])
    return f"{found['label']}[{NAME} removed]{found['name'][len(name) :]}" if name else found[0]


def _person_name(found: re.Match[str]) -> str:
    family, given, *others = (part.strip(" .-").casefold() for part in found["core"].split("^"))
    if len(family) < 2 or not (given + "".join(others)) or not NOT_NAMES.isdisjoint({family, given}):
        return found[0]  # a region and a study ("Head^Brain")
    if len(given) == 1 and found["core"].endswith(f"^{given}"):
        return found[0]  # a unit ("mm^s")
    before = found["before"].split(" ")
    kept = next(
        (place for place in range(len(before), 0, -1) if before[place - 1].casefold() in NOT_NAMES), 0
    )
    after = found["after"] if found["after"].strip().casefold() in NOT_NAMES else ""
    return "".join(f"{word} " for word in before[:kept]) + f"[{NAME} removed]{after}"


def _american(found: re.Match[str]) -> str:
    # Times of a protocol are round: "300-600-1200".
    round_ones = found[1] is not None and all(part.endswith("0") for part in re.split(r"[.-]", found[0]))
    return found[0] if round_ones else f"[{TELEPHONE} number removed]"


def _international(found: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in found[0])
    return f"[{TELEPHONE} number removed]" if 8 <= digits <= 17 else found[0]


def _called(found: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in found[3])
    if digits < (4 if found[2] else 5) or _DATE.match(found[3]):
        return found[0]
    return f"{found[1]}[{TELEPHONE} number removed]"


def _dates(text: str, lowered: str, rules: list[str]) -> str:
    """Removes dates, and names that touch them."""
    pieces: list[str] = []
    end = 0
    for found in _DATE.finditer(text):
        if not _is_date(found):
            continue
        before = text[max(end, found.start() - _NEAR) : found.start()]
        pieces.append(text[end : found.start() - len(before)])
        name = _NAME_BEFORE.search(before)
        pieces += [before[: name.start()], _anonymous(name[0], rules)] if name else [before]
        pieces.append(f"[{DATE} removed]")
        rules.append(DATE)
        end = found.end()
        name = _NAME_AFTER.match(text, end, end + _NEAR)
        if name:
            pieces.append(_anonymous(name[0], rules))
            end = name.end()
    return "".join(pieces) + text[end:] if pieces else text


def _is_date(found: re.Match[str]) -> bool:
    text = found[0]
    if found["dmy"] is not None:
        one, other, year = re.split(r"[./-]", text, maxsplit=2)
        return _exists(year[:4], other, one) or _exists(year[:4], one, other)
    if found["iso"] is not None:
        return _exists(text[:4], text[5:7], text[8:10])
    return text >= "19" and _exists(text[:4], text[4:6], text[6:8])


def _exists(year: str, month: str, day: str) -> bool:
    try:
        return 1800 <= date(int(year), int(month), int(day)).year <= 2100
    except ValueError:
        return False


def _anonymous(words: str, rules: list[str]) -> str:
    """``words``, where two and more in a row that mean nothing else are a name."""
    made = ""
    # Words at even places, what is between them at odd ones.
    pieces = re.split(r"([_ ^-]+)", words)
    for named, group in groupby(
        range(0, len(pieces), 2),
        lambda place: pieces[place] != "" and pieces[place].casefold() not in NOT_NAMES,
    ):
        places = list(group)
        is_name = named and len(places) > 1
        made += f"[{NAME} removed]" if is_name else "".join(pieces[places[0] : places[-1] + 1])
        made += "".join(pieces[places[-1] + 1 : places[-1] + 2])
        rules += [NAME] if is_name else []
    return made


_DATELESS: tuple[_Rule, ...] = (
    _rule(CREDENTIALS, _AUTHORITY, f"://{_GONE_CREDENTIALS}@", _AT),
    _rule(CREDENTIALS, _QUERY, rf"\1{_GONE_CREDENTIALS}", "="),
    _rule(CREDENTIALS, _PASSWORD, rf"\1{_GONE_CREDENTIALS}", _ASSIGNED),
    _rule(EMAIL, _EMAIL, "[e-mail address removed]", _AT),
    _rule(EMAIL, _EMAIL_WRITTEN, "[e-mail address removed]", _SIGN),
    _rule(UID, _UID, _uid, _DIGITS),
    _rule(NUMBER, _LABELLED_NUMBER, rf"\1[{NUMBER} removed]", _NUMBERS),
    _rule(NUMBER, _SOCIAL_SECURITY, f"[{NUMBER} removed]", _DIGITS),
    _rule(NAME, _PN, _person_name, _CARET),
    _rule(NAME, _TITLED, _named, _TITLES),
    _rule(NAME, _LABELLED_NAME, _named, _ASSIGNED),
    _rule(NAME, _LABELLED_PERSON, _named, _BY_WHOM),
    _rule(TELEPHONE, _INTERNATIONAL, _international, _DIGITS),
    _rule(TELEPHONE, _AMERICAN, _american, _DIGITS),
    _rule(TELEPHONE, _CALLED, _called, _DIGITS),
)
_RULES = (*_DATELESS, _rule(DATE, _WORDED_DATE, f"[{DATE} removed]", _MONTHS), _dates)
