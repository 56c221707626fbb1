"""Pseudonyms of raters and scanners: a keyed hash, so that nobody without the key can try names until one fits."""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from curation.errors import UsageError

KEY_VARIABLE = "MRIQC_SNAPSHOT_PSEUDONYM_KEY"
LEAST_KEY = 16
"""Characters; 64 bits if they are hexadecimal digits, which nobody tries out."""
PSEUDONYM_DIGITS = 16
"""Hexadecimal digits of a pseudonym: among a million names two share one with a probability of 3e-8."""
_MAKE_ONE = "`openssl rand -hex 32` makes one; keep it, as only the same key gives the same pseudonyms"


@dataclass(frozen=True)
class Pseudonyms:
    """Makes pseudonyms with one key.

    Attributes:
        key: the secret; never shown.
    """

    key: str = field(repr=False)

    @classmethod
    def from_environment(cls) -> Pseudonyms | None:
        """Those of the key in the environment; ``None`` if there is none.

        Raises:
            UsageError: the key is too short to be one.
        """
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            return None
        if len(key) < LEAST_KEY:
            raise UsageError(
                f"{KEY_VARIABLE}: {len(key)} characters, at least {LEAST_KEY} are expected; {_MAKE_ONE}"
            )
        return cls(key)

    def of(self, kind: Literal["rater", "device"], value: str) -> str:
        """The pseudonym of a name or serial number, e.g. ``rater-5d41402abc4b2a76``.

        Blanks and the form of Unicode characters make no difference, nor does the case of a name, which people type
        now so and now so; that of a serial number does.
        """
        plain = " ".join(unicodedata.normalize("NFC", value).split())
        plain = plain.casefold() if kind == "rater" else plain
        digest = self._digest(f"{kind}\0{plain}")
        return f"{kind}-{digest[:PSEUDONYM_DIGITS]}"

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits by which two keys can be told apart; guesses at a key can be tried on them."""
        return self._digest("fingerprint")[:8]

    def _digest(self, text: str) -> str:
        return hmac.new(self.key.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def required_pseudonyms() -> Pseudonyms:
    """Those of the key in the environment, without which nothing is published.

    Raises:
        UsageError: there is no key, or it is too short to be one.
    """
    pseudonyms = Pseudonyms.from_environment()
    if pseudonyms is None:
        raise UsageError(
            f"{KEY_VARIABLE} is not set: names of raters and serial numbers of scanners are published as pseudonyms, "
            f"made with a secret key; set it in the environment. {_MAKE_ONE}"
        )
    return pseudonyms
