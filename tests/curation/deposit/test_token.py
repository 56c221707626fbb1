"""The token goes to the metadata host, and appears nowhere."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from curation.deposit import FigShare, read_token
from curation.deposit.problems import Refused
from curation.errors import UsageError
from tests.support.depositing import HASTE, run_deposit
from tests.support.figshare import FigShareServer
from tests.support.figshare_http import TOKEN


def test_no_log_journal_or_representation_has_it(
    server: FigShareServer, dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    report = run_deposit(server.url, dataset, publish=True)
    with FigShare(server.url, SecretStr(TOKEN), HASTE) as client:
        shown = f"{client!r} {client} {vars(client)}"
    assert caplog.records
    assert TOKEN not in caplog.text + repr(report) + shown
    journals = list((dataset / ".git" / "mriqc-snapshot" / "deposits").rglob("*.json"))
    assert journals
    for path in (p for p in dataset.rglob("*") if p.is_file() and not p.is_symlink()):
        assert TOKEN.encode() not in path.read_bytes(), path
    uploads = [file.token for file in server.account.files.values()]
    assert not any(token in journals[0].read_text() for token in uploads)


def test_a_refused_token_is_told_without_it(server: FigShareServer, dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"does not accept FIGSHARE_TOKEN \(HTTP 403\)") as told:
        client = FigShare(server.url, SecretStr(f"{TOKEN}x"), HASTE)
        from curation.deposit import Options, deposit

        deposit(client, dataset, "2026.11.23", Options())
    whole = "".join(traceback.format_exception(told.value))
    assert f"{TOKEN}x" not in whole and f"{TOKEN}x" not in repr(told.value)


def test_an_error_that_repeats_it_is_told_without_it(server: FigShareServer) -> None:
    """The test server's message has the token that it got."""
    with FigShare(server.url, SecretStr(f"{TOKEN}x"), HASTE) as client, pytest.raises(Refused) as told:
        client.get("/account")
    assert "Invalid token [FIGSHARE_TOKEN], OAuthInvalidToken" in str(told.value)
    assert told.value.__context__ is None or TOKEN not in repr(told.value.__context__)


def test_redirects_are_not_followed(server: FigShareServer, dataset: Path) -> None:
    with FigShareServer() as elsewhere:
        server.redirect_account_to = f"{elsewhere.url}/account?x=secret"
        with pytest.raises(
            Refused, match=r"HTTP 302, a redirect to 127.0.0.1, which is not followed"
        ) as told:
            run_deposit(server.url, dataset)
        assert elsewhere.requests == [] and "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["http://api.figshare.com/v2", "ftp://api.figshare.com", "https:///v2"])
def test_it_is_not_sent_in_clear(url: str) -> None:
    with pytest.raises(UsageError, match="FigShare is only talked to over https"):
        FigShare(url, SecretStr(TOKEN), HASTE)


def test_bytes_go_to_no_unsafe_host() -> None:
    with FigShare("https://api.figshare.com/v2", SecretStr(TOKEN), HASTE) as client:
        for url in ("http://uploads.figshare.com/upload/1", "http://127.0.0.1:1/upload/1"):
            with pytest.raises(UsageError):
                client.upload_get(url)
            with pytest.raises(UsageError):
                client.upload_part(url, iter([b"x"]), 1)


@pytest.mark.parametrize(("value", "said"), [(None, "is not set"), (" ", "is not set"), ("a b", "blanks")])
def test_what_is_no_token(value: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        read_token({} if value is None else {"FIGSHARE_TOKEN": value})
    assert "a b" not in str(told.value)
    assert repr(read_token({"FIGSHARE_TOKEN": TOKEN})) == "SecretStr('**********')"


def test_it_is_in_no_command(server: FigShareServer, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children get neither an argument nor a variable with it."""
    import subprocess

    seen: list[str] = []
    original = subprocess.Popen.__init__

    def watched(self, command, *rest, env=None, **more):
        seen.append(f"{command} {os.environ if env is None else env}")
        original(self, command, *rest, env=env, **more)

    monkeypatch.setenv("FIGSHARE_TOKEN", TOKEN)
    monkeypatch.setattr(subprocess.Popen, "__init__", watched)
    assert read_token().get_secret_value() == TOKEN
    run_deposit(server.url, dataset, publish=True)
    assert "FIGSHARE_TOKEN" not in os.environ
    monkeypatch.undo()
    assert seen and not [one for one in seen if TOKEN in one]
