"""Pseudonyms: the same for ever, told by nobody without the key, and the key told by nothing."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import UsageError
from curation.pseudonyms import KEY_VARIABLE, Pseudonyms, required_pseudonyms

KEY = "0123456789abcdef"


def test_a_pseudonym_is_the_same_for_ever() -> None:
    made = Pseudonyms(KEY)
    assert made.of("rater", "Jane Doe") == "rater-a4dd41a91349e8e4"
    assert made.of("device", "35131") == "device-65d52785b70c1fa2"
    assert made.fingerprint == "153dcb61"
    assert pickle.loads(pickle.dumps(made)) == made


def test_spelling_makes_no_difference_where_people_type() -> None:
    made = Pseudonyms(KEY)
    assert len({made.of("rater", name) for name in ("Zo\u00eb X", " zoe\u0308  x ", "ZO\u00cb X")}) == 1
    assert made.of("device", "a1") != made.of("device", "A1")
    assert made.of("rater", "a1")[6:] != made.of("device", "a1")[7:]


@given(st.text(min_size=4), st.text(min_size=16))
def test_neither_name_nor_key_is_in_what_is_shown(name: str, key: str) -> None:
    made = Pseudonyms(key)
    assert key not in repr(made) and key not in str(made)
    assert len(made.of("rater", name)) == 22
    assert made.of("rater", name) != Pseudonyms(key + "x").of("rater", name)


@pytest.mark.parametrize("value", ["", "   "])
def test_without_a_key_nothing_is_published(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, value)
    assert Pseudonyms.from_environment() is None
    with pytest.raises(UsageError, match=r"is not set.*openssl"):
        required_pseudonyms()


def test_a_short_key_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "s3cret")
    with pytest.raises(UsageError, match="6 characters, at least 16") as caught:
        required_pseudonyms()
    assert "s3cret" not in str(caught.value)
