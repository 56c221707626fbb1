"""The list of requests: what is read, what is refused, and that nothing of it is repeated."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from curation.errors import UsageError
from curation.withdrawals import given_requests, read_requests

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
GOOD = f'[[request]]\nchecksum = "{"aB" * 16}"\ndate = 2026-11-23\nreference = "OSF-17"\n'


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "withdrawals.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_requests_are_read_in_their_order(tmp_path: Path) -> None:
    other = (
        GOOD.replace("aB", "0c").replace("2026-11-23", "2017-06-06").replace("OSF-17", "https://x.org/i/4")
    )
    first, second = read_requests(written(tmp_path, other + GOOD), NOW)
    assert (first.checksum, first.date, first.reference) == ("0c" * 16, date(2017, 6, 6), "https://x.org/i/4")
    assert (second.checksum, second.date, second.reference) == ("ab" * 16, date(2026, 11, 23), "OSF-17")


def test_an_entry_twice_is_one_and_no_entry_is_none(tmp_path: Path) -> None:
    assert len(read_requests(written(tmp_path, GOOD + GOOD.replace("aB", "Ab")), NOW)) == 1
    assert read_requests(written(tmp_path, "# nobody yet\n"), NOW) == ()
    assert given_requests(None) is None


def test_an_ended_request_stands_beside_another_of_another_day(tmp_path: Path) -> None:
    ended = f"{GOOD}ended = true\n"
    first, second = read_requests(written(tmp_path, ended + GOOD.replace("-23", "-22")), NOW)
    assert (first.ended, second.ended) == (True, False)
    with pytest.raises(UsageError, match="entry 2 has the checksum of entry 1 and is not the same"):
        read_requests(written(tmp_path, ended + GOOD), NOW)


def test_a_date_is_in_the_future_where_it_is_so_everywhere(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert read_requests(path, datetime(2026, 11, 22, 10, tzinfo=UTC))
    with pytest.raises(UsageError, match="not in the future"):
        read_requests(path, datetime(2026, 11, 22, 9, 59, tzinfo=UTC))


REFERENCES = [
    "jane@example.org 1", "jane(at)example.org 1", "Jane Doe", "Doe^Jane 7", "Dr. Jane Doe 17", "name: Jane Doe 3",
    "17\\u001b[31m", "1 | 2", "1" * 65, "", " 1", "\uff11",
]  # fmt: skip


@pytest.mark.parametrize("reference", REFERENCES)
def test_references_that_may_name_somebody_are_refused_and_not_repeated(
    reference: str, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"entry 2: reference is not what it has to be; expected a ticket's"
    ) as raised:
        read_requests(written(tmp_path, GOOD + GOOD.replace("OSF-17", reference).replace("aB", "cd")), NOW)
    said = str(raised.value).replace(str(tmp_path), "")
    assert not [word for word in ("jane", "doe", "example", "|", "\x1b") if word in said.lower()]


@pytest.mark.parametrize(
    "reference", ["OSF-17", "RT:123456", "2026-11-23/4", "GH 12", "#1234", "JIRA-20260102"]
)
def test_numbers_of_tickets_are_references(reference: str, tmp_path: Path) -> None:
    (request,) = read_requests(written(tmp_path, GOOD.replace("OSF-17", reference)), NOW)
    assert request.reference == reference


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"aBaB', '"aBa'), "checksum is not what it has to be; expected an MD5 in quotes, 32 hex"),
        (('"aBaB', '"gBaB'), "checksum is not what it has to be"),
        (('"aBaB', '" aBaB'), "checksum is not what it has to be"),
        (("2026-11-23", "2017-06-05"), "date is not what .* not before 2017-06-06 and not in the future"),
        (("2026-11-23", "2026-11-25"), "date is not what it has to be"),
        (("2026-11-23", '"2026-11-23"'), "date is not what .* without quotes"),
        (("2026-11-23", "2026-11-23T00:00:00"), "date is not what it has to be"),
        (("2026-11-23", "20261123"), "date is not what it has to be"),
        (('"OSF-17"', "17"), "reference is not what it has to be"),
        (('reference = "OSF-17"\n', ""), "reference is missing; expected a ticket's number"),
        (('"OSF-17"', '"OSF-17"\nended = "jane"'), "ended is not what it has to be; expected true, without quotes"),
        (("reference", "ticket"), "entry 1: reference is missing.*; has something else than checksum, date, reference"),
        (('reference = "OSF-17"\n', 'reference = "OSF-17"\njane = "doe"\n'), "entry 1: has something else than checks"),
    ],
)  # fmt: skip
def test_an_entry_that_is_none_is_named_with_what_was_expected(
    change: tuple[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=f"withdrawals.toml: entry 1: .*{said.removeprefix('entry 1: ')}"
    ) as raised:
        read_requests(written(tmp_path, GOOD.replace(*change)), NOW)
    said_all = str(raised.value)
    assert "jane" not in said_all.replace(str(tmp_path), "") and "aBaB" not in said_all


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff", "no UTF-8 at byte 0"),
        ("jane doe", r"no TOML \(at line 1, column 6\)"),
        ("jane = 1\njane = 2", r"no TOML \(at .*\)"),
        ('[[request]]\njane = "doe', r"no TOML \(at .*\)"),
        ("request = 3", r"has something beside \[\[request\]\]"),
        ("request = [3]", "entry 1: has something else than"),
        (f"jane = 1\n{GOOD}", r"has something beside \[\[request\]\]"),
        ("[request]\njane = 3", r"has something beside \[\[request\]\]"),
        (GOOD + GOOD.replace("17", "18"), "entry 2 has the checksum of entry 1 and is not the same"),
        (GOOD + GOOD.replace("-23", "-22").replace("aB", "ab"), "entry 2 has the checksum of entry 1"),
    ],
)
def test_a_file_that_is_none_is_named(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        read_requests(written(tmp_path, text), NOW)
    assert "jane" not in str(raised.value).replace(str(tmp_path), "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_requests(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_requests(tmp_path)
