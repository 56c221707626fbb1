"""The rooms of the design: what may import what."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conftest import REPOSITORY


def imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files(room: str) -> list[Path]:
    found = sorted((REPOSITORY / room).rglob("*.py"))
    assert found
    return found


def test_library_knows_neither_prefect_nor_flows() -> None:
    for path in [*files("curation"), *files("schemas")]:
        assert not {m for m in imports(path) if m.split(".")[0] in ("prefect", "flows")}, path


def test_dictionary_knows_no_stage() -> None:
    for path in files("schemas"):
        assert not {m for m in imports(path) if m.split(".")[0] == "curation"}, path


def test_embedded_web_api_is_imported_by_nothing_else() -> None:
    for path in [*files("curation"), *files("schemas"), *files("flows")]:
        if "demo" not in path.parts:
            assert not {m for m in imports(path) if m.startswith("flows.demo")}, path


def test_no_bare_assert_outside_tests() -> None:
    for path in [*files("curation"), *files("schemas"), *files("flows")]:
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)], (
            path
        )


def test_the_project_ships_no_large_files() -> None:
    for path in [*files("curation"), *files("schemas"), *files("flows"), *files("tests")]:
        assert path.stat().st_size < 100_000, path
