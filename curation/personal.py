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
from typing import Any, Literal
from unicodedata import combining, normalize

from curation.free_text import NOT_NAMES, PARTICLES, is_hash, scrub, unescaped
from curation.personal_keys import Kind, judged, tells_release

OWN_NAME, OWN_LABEL = "own name", "own label"
"""Rules: what a document says of itself under another key is removed from its texts."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
# --- what a document tells of itself -------------------------------------------------------------------------

_MOST_SECRETS, _LONGEST_SECRET, _UNMISTAKABLE = 200, 200, 8
_MOST_KEYS = 10_000
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


def is_hashed_id(value: str) -> bool:
    """Whether an id is a SHA-256 in hex, as MRIQC's client sends them."""
    return _SHA256.match(value) is not None


def hash_id(value: str) -> str:
    """A subject or session id as MRIQC's client sends it: its SHA-256 in hex, unless it is one already."""
    if is_hashed_id(value):
        return value
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


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
def anchor(secret: str) -> str:
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
    # Keys that are kept as they are, in every document.
    _plain_keys: set[str] = field(default_factory=set, init=False, repr=False)
    _known: list[tuple[str, list[str], re.Pattern[str]]] = field(default_factory=list, init=False, repr=False)

    def begin(self, known: Mapping[str, str] | None = None) -> None:
        """Begin to read a document, or begin again with what is ``known`` of it: see :meth:`repeated`."""
        self.found, self.secrets = [], {}
        self._known = []
        for rule in dict.fromkeys((known or {}).values()):
            secrets = [secret for secret in known or {} if (known or {})[secret] == rule]
            self._known.append((rule, [anchor(secret) for secret in secrets], _finder(*secrets)))

    def learn(self, key: str, value: Any) -> None:
        """Remember what a personal key says of a person, so that :meth:`repeated` finds it elsewhere."""
        kind, normal, _ = judged(key)
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
        likely = {secret: rule for secret, rule in self.secrets.items() if anchor(secret) in lowered}
        return {secret: rule for secret, rule in likely.items() if any(map(_finder(secret).search, texts))}

    def text(self, text: str, where: str) -> str:
        """``text`` without what is personal in it."""
        return self._text(text, where, tells_release(where))

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
        return self._tree(value, where, tells_release(where))

    def _tree(self, value: Any, where: str, release: bool) -> Any:
        if type(value) is dict:
            return self._object(value, where, release)
        if type(value) is list:
            return [self._tree(item, where, release) for item in value]
        return self._text(value, where, release) if type(value) is str else value

    def _object(self, value: dict[str, Any], where: str, release: bool) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            if key in self._plain_keys and not self._known:
                texts = type(item) is str or type(item) is dict or type(item) is list
                kept[key] = self._tree(item, where, release or tells_release(key)) if texts else item
                continue
            kind, normal, is_id = judged(key)
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
            if name == key and not is_id and not release and len(self._plain_keys) < _MOST_KEYS:
                self._plain_keys.add(key)
            if is_id and item is not None:
                kept[name] = self.id(item, where)
            else:
                kept[name] = self._tree(item, where, release or tells_release(key))
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
