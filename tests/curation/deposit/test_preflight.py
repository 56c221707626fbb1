"""What is checked before the first byte: nothing was sent and no article made when it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from curation.errors import DatasetError, LawBroken, UsageError
from curation.publish.commands import git, run
from tests.support.depositing import VERSION, run_deposit
from tests.support.figshare import FigShareServer
from tests.support.released import CITATION, release, snapshot

NEXT = "2026.12.01"


@pytest.fixture
def server(server: FigShareServer):
    yield server
    assert {method for method, path in server.requests if not path.endswith("/search")} <= {"GET"}
    assert server.account.articles == {}


def cite(old: str, new: str) -> dict[str, bytes | None]:
    text = CITATION.format(version=NEXT)
    assert old in text
    return {"CITATION.cff": text.replace(old, new).encode()}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (cite("title: Snapshot of the MRIQC Web-API\n", ""), r"title \(missing\): expected a text; Put it right"),
        (cite("title: Snapshot of the MRIQC Web-API\n", "title: S\n"), "its title has 1 characters, FigShare takes"),
        (cite("keywords: [MRI, quality control]\nlicense: CC0-1.0", "license: MIT"), "no keywords; its license is MIT"),
        (cite("  Made every night.", "  " + "x" * 20_000), "of 20[0-9]{3} characters, FigShare takes 20000"),
        (cite("  - name: MRIQC users\n", "  - orcid: none\n"), r"authors \(line [0-9]+\): .* of author 2"),
        (cite(f"version: {NEXT}", "version: 1.0"), "is of version 1.0; make the release again"),
        (cite("doi: 10.1038/s41597-019-0035-4", "doi: none"), r"preferred-citation \(line [0-9]+\): expected a DOI"),
        ({"CITATION.cff": b"title: [\n"}, "not valid YAML"),
        ({"CITATION.cff": b"title: \xff\n"}, "codec can't decode byte 0xff"),
        ({"CITATION.cff": None}, "CITATION.cff of 2026.12.01: not there"),
        ({"SHA256SUMS": b"0 README.md\n"}, "SHA256SUMS, line 1: expected a SHA-256, two blanks and a path"),
        ({"csv/bold.csv": b""}, r"csv/bold.csv of 2026.12.01: FigShare takes no empty files"),
    ],
)  # fmt: skip
def test_releases_that_cannot_be_published(
    files: dict[str, bytes | None], said: str, server: FigShareServer, dataset: Path
) -> None:
    release(dataset, NEXT, files)
    with pytest.raises(UsageError, match=said):
        run_deposit(server.url, dataset, NEXT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda account: setattr(account, "quota", 1000), "upload, and this FigShare account has 1,000 of 1,000"),
        (lambda account: setattr(account, "largest", 2000), r"[\d,]+ bytes, this FigShare account takes 2,000 a file"),
    ],
)  # fmt: skip
def test_accounts_without_room(change: Callable, said: str, server: FigShareServer, dataset: Path) -> None:
    change(server.account)
    with pytest.raises(UsageError, match=said):
        run_deposit(server.url, dataset)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ((), "publishes nothing without a category"),
        (("Neurosciense",), "no category 'Neurosciense' for this account; near ones: 101 Neuroscience"),
        (("imaging",), "near ones: 201 Medical Imaging"),
        (
            ("Biological Sciences",),
            "cannot be chosen itself; near ones: 101 Neuroscience; 102 Bioinformatics",
        ),
        (("200",), "'200' cannot be chosen itself; near ones: 201 Medical Imaging; 202 Other"),
        (("Other",), r"is the title of 202 \(below 200\), 103 \(below 100\); name the id"),
        (("999",), "no category '999'"),
    ],
)
def test_categories(wanted: tuple[str, ...], said: str, server: FigShareServer, dataset: Path) -> None:
    with pytest.raises(UsageError, match=said):
        run_deposit(server.url, dataset, categories=wanted)


def test_a_licence_that_is_not_offered(
    server: FigShareServer, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support import figshare

    monkeypatch.setattr(figshare, "LICENSES", {1: "CC BY 4.0"})
    with pytest.raises(UsageError, match=r"offers no licence CC0, but CC BY 4.0"):
        run_deposit(server.url, dataset)


def test_an_article_that_is_not_there(server: FigShareServer, dataset: Path) -> None:
    with pytest.raises(UsageError, match="this account has no article 77"):
        run_deposit(server.url, dataset, article=77)


def test_versions_that_are_none(server: FigShareServer, dataset: Path, tmp_path: Path) -> None:
    git(dataset, "tag", "2026.12.24")
    for odd in ("2026.02.30", "2026.11.23.0"):
        git(dataset, "tag", "-a", odd, "-m", odd)
    for version, said in (
        ("2026.12.25", "has no tag 2026.12.25"),
        ("2026.12.24", "a lightweight tag"),
        ("2026.02.30", "no such day"),
        ("2026.11.23.0", "is spelt '2026.11.23'"),
        ("../../x", "is not a version"),
        ("HEAD", "is not a version"),
    ):
        with pytest.raises(UsageError, match=said):
            run_deposit(server.url, dataset, version)
    with pytest.raises(UsageError, match="no snapshot dataset"):
        run_deposit(server.url, tmp_path / "nowhere")


def test_content_that_is_not_here(server: FigShareServer, dataset: Path) -> None:
    run(["git", "annex", "drop", "--force", "csv/T1w.csv"], dataset)
    with pytest.raises(DatasetError, match=r"datalad get csv/T1w.csv \(or.*--branch=2026.11.23"):
        run_deposit(server.url, dataset)


def test_content_that_is_damaged(server: FigShareServer, dataset: Path) -> None:
    key = git(dataset, "show", f"{VERSION}:csv/T1w.csv").rpartition("/")[2]
    place = dataset / run(["git", "annex", "contentlocation", key], dataset).strip()
    text = bytearray(place.read_bytes())
    text[-2] ^= 1
    place.chmod(0o600)
    place.write_bytes(text)
    with pytest.raises(LawBroken, match=r"csv/T1w.csv: .*its key is MD5E-s"):
        run_deposit(server.url, dataset)


def test_sums_that_say_something_else(server: FigShareServer, dataset: Path) -> None:
    manifest = snapshot(dataset)
    release(dataset, NEXT, {"snapshot.json": json.dumps(manifest).encode()})
    with pytest.raises(LawBroken, match=f"snapshot.json of the tag {NEXT} is of version {VERSION}"):
        run_deposit(server.url, dataset, NEXT)
    manifest["version"] = "2026.12.02"
    release(dataset, "2026.12.02", {"snapshot.json": json.dumps(manifest).encode()})
    with pytest.raises(LawBroken, match=r"SHA-256 [0-9a-f]{64}, but snapshot.json of 2026.12.02 says"):
        run_deposit(server.url, dataset, "2026.12.02")
    (dataset / "snapshot.json").write_text("{}")
    (dataset / "SHA256SUMS").write_text(f"{'0' * 64}  README.md\n")
    git(dataset, "commit", "--quiet", "-a", "-m", "sums")
    git(dataset, "tag", "-f", "-a", "2026.12.02", "-m", "again")
    with pytest.raises(
        LawBroken, match=r"README.md: SHA-256 [0-9a-f]{64}, but SHA256SUMS of 2026.12.02 says 000"
    ):
        run_deposit(server.url, dataset, "2026.12.02")


def test_names_that_clash(server: FigShareServer, dataset: Path) -> None:
    release(dataset, NEXT, {"isatab/README.md": b"another one\n"})
    with pytest.raises(DatasetError, match=r"isatab/README.md of 2026.12.01 would both be README.md"):
        run_deposit(server.url, dataset, NEXT)
