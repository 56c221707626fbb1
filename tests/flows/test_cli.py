"""The command line: exit codes, settings and their order, help and examples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from curation.errors import UsageError
from curation.store import RecordStore
from flows import cli
from flows.settings import POLITE_RATE, load_settings
from tests.conftest import REPOSITORY
from tests.support.fast_api import FastApi, make_document, random_faults

HASTY = {
    "MRIQC_SNAPSHOT_ATTEMPTS": "2",
    "MRIQC_SNAPSHOT_FIRST_WAIT": "0",
    "MRIQC_SNAPSHOT_TASK_RETRIES": "0",
}
_TOP = get_command(cli.app).commands  # type: ignore[attr-defined]
COMMANDS = {name: command for name, command in _TOP.items() if not hasattr(command, "commands")}
COMMANDS |= {
    f"{group} {name}": command
    for group in ("index", "sibling")
    for name, command in _TOP[group].commands.items()
}


def run(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **HASTY, **(env or {})},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def service():
    with FastApi({"T1w": [make_document("T1w", i, second=i) for i in range(120)]}) as api:
        yield api


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_a_sentence_an_example_and_is_in_the_readme(name: str) -> None:
    command = COMMANDS[name]
    assert command.help and command.help.strip().endswith(".")
    assert f"Example: mriqc-snapshot {name}" in (command.epilog or "")
    assert f"mriqc-snapshot {name}" in (REPOSITORY / "README.md").read_text()
    assert all(parameter.help for parameter in command.params if parameter.name != "help")


def test_pull_and_curate_print_what_came_and_what_became_of_it(service: FastApi, tmp_path: Path) -> None:
    pulled = run("pull", "--api-url", service.url, "--store", "store", "--json", cwd=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
    assert json.loads(pulled.stdout)["resources"]["T1w"]["new"] == 120
    curated = run("curate", "--store", "store", "--out", "tables", "--json", cwd=tmp_path)
    assert curated.returncode == 0, curated.stderr
    counts = json.loads(curated.stdout)["tables"]["T1w"]
    assert counts.pop("received") == 120 == sum(counts.values())
    assert (tmp_path / "tables" / "csv" / "T1w.csv").is_file()
    assert sorted(p.name for p in (tmp_path / "tables").iterdir()) == [
        "audit",
        "csv",
        "datapackage.json",
        "dictionary",
        "figures",
        "parquet",
        "report.html",
        "snapshot.json",
    ]


def test_nothing_to_do_is_0(service: FastApi, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("pull", "--api-url", service.url, "--store", "store", cwd=tmp_path).returncode == 0


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    for arguments in (
        ["pull", "--api-url", "ftp://example.org"],
        ["pull", "--resource", "dwi"],
        ["pull", "--connections", "none"],
        ["pull", "--no-such-option"],
        ["no-such-command"],
        ["curate", "--store", "nowhere", "--out", "tables"],
        ["curate", "--store", "nowhere"],
        ["verify", "--store", "nowhere"],
        ["pull", "T1w"],
    ):
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 2, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_held_lock_is_3(service: FastApi, tmp_path: Path) -> None:
    with RecordStore(tmp_path / "store").lock():
        done = run("pull", "--api-url", service.url, "--store", "store", cwd=tmp_path)
    assert done.returncode == 3
    assert "another run works on this store" in done.stderr


def test_an_unavailable_service_is_4_and_loses_nothing(service: FastApi, tmp_path: Path) -> None:
    assert run("pull", "--api-url", "http://127.0.0.1:9/api/v1", "--store", "s", cwd=tmp_path).returncode == 4
    service.fault = lambda number: "503" if number > 6 else None
    done = run("pull", "--api-url", service.url, "--store", "store", cwd=tmp_path)
    assert done.returncode == 4
    assert "503" in done.stderr and "nothing that was stored is lost" in done.stderr
    assert sum(part.manifest["documents"] for part in RecordStore(tmp_path / "store").parts("T1w")) > 0
    outcome = json.loads((tmp_path / "store" / "runs" / "000001.json").read_bytes())["outcome"]
    assert outcome == "ServiceUnavailable"


def test_a_broken_law_is_5(service: FastApi, tmp_path: Path) -> None:
    assert run("pull", "--api-url", service.url, "--store", "store", cwd=tmp_path).returncode == 0
    for record_id in service.ids("T1w")[5:]:
        service.delete("T1w", record_id)
    done = run("pull", "--api-url", service.url, "--store", "store", cwd=tmp_path)
    assert done.returncode == 5
    assert "--accept-deletions" in done.stderr
    done = run("verify", "--api-url", service.url, "--store", "store", "--accept-deletions", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(RecordStore(tmp_path / "store").deletions("T1w")) == 115


def test_corruption_is_1_and_names_the_file(service: FastApi, tmp_path: Path) -> None:
    run("pull", "--api-url", service.url, "--store", "store", cwd=tmp_path)
    part = RecordStore(tmp_path / "store").parts("T1w")[0].path
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    for arguments in (["verify", "--api-url", service.url], ["curate", "--out", "tables"]):
        done = run(*arguments, "--store", "store", cwd=tmp_path)
        assert done.returncode == 1
        assert part.name in done.stderr and "sha256" in done.stderr and "Traceback" not in done.stderr


def test_pull_under_faults_ends_well(service: FastApi, tmp_path: Path) -> None:
    faults = random_faults(7, 0.2)
    service.fault = lambda number: None if faults(number) == "timeout" else faults(number)
    done = run(
        "pull",
        "--api-url",
        service.url,
        "--store",
        "store",
        cwd=tmp_path,
        env={"MRIQC_SNAPSHOT_ATTEMPTS": "9"},
    )
    assert done.returncode == 0, done.stderr
    assert RecordStore(tmp_path / "store").known("T1w").count("0" * 24, "f" * 24) == 120


def test_options_before_environment_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mriqc-snapshot.toml").write_text('connections = 2\ntimeout = 5.0\nstore = "from-file"\n')
    monkeypatch.setenv("MRIQC_SNAPSHOT_CONNECTIONS", "3")
    settings = load_settings(store=Path("from-option"), rate=None)
    assert (settings.connections, settings.timeout, settings.store) == (3, 5.0, Path("from-option"))


def test_settings_errors_name_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mriqc-snapshot.toml").write_text("conections = 2\n")
    with pytest.raises(UsageError, match="conections"):
        load_settings()
    (tmp_path / "mriqc-snapshot.toml").write_text("not toml")
    with pytest.raises(UsageError, match=r"mriqc-snapshot\.toml"):
        load_settings()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheduler": "127.0.0.1:8786"}, "scheduler: the address of a Dask scheduler such as tcp://"),
        ({"partitions": "s3://key:geheim@bucket/x"}, "partitions: a URL of partitions without user name"),
        ({"workers": 0}, "workers: "),
    ],
)
def test_settings_of_a_cluster(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        load_settings(**options)
    assert "geheim" not in str(told.value)


def test_partitions_do_not_go_among_published_tables(service: FastApi, tmp_path: Path) -> None:
    run("pull", "--api-url", service.url, "--store", "store", cwd=tmp_path)
    command = ("curate", "--store", "store", "--out", "tables", "--partitions", "tables/typed")
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 2 and "which is published" in done.stderr
    assert not (tmp_path / "tables").exists()


def test_politeness_is_for_services_that_others_use() -> None:
    assert load_settings(api_url="https://mriqc.nimh.nih.gov/api/v1").politeness.per_second == POLITE_RATE
    for url in ("http://127.0.0.1:5000/api/v1", "http://localhost/api/v1", "http://[::1]:80/api/v1"):
        assert load_settings(api_url=url).politeness.per_second == 0
    assert load_settings(api_url="http://localhost/api/v1", rate=2).politeness.per_second == 2


def test_several_resources_and_no_others(service: FastApi, tmp_path: Path) -> None:
    done = run(
        "pull",
        "--api-url",
        service.url,
        "--store",
        "store",
        "--json",
        "--resource",
        "T1w",
        "bold",
        cwd=tmp_path,
    )
    assert sorted(json.loads(done.stdout)["resources"]) == ["T1w", "bold"]


def test_tables_do_not_go_into_the_private_store(service: FastApi, tmp_path: Path) -> None:
    run("pull", "--api-url", service.url, "--store", "store", cwd=tmp_path)
    done = run("curate", "--store", "store", "--out", "store/tables", cwd=tmp_path)
    assert done.returncode == 2 and "private" in done.stderr


def test_a_folder_that_is_a_file_is_named(service: FastApi, tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    done = run("pull", "--api-url", service.url, "--store", "afile/store", cwd=tmp_path)
    assert done.returncode == 1 and "afile" in done.stderr and "Traceback" not in done.stderr


def test_help_and_wrong_usage_need_not_wait_for_what_curates() -> None:
    """Every command imports what it needs when it runs: these take longer than all else of a short one."""
    heavy = {"pandas", "prefect", "matplotlib", "curation.curate", "curation.diff", "curation.publish"}
    asked = f"import sys, flows.cli; print(*({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", asked], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
