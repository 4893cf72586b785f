"""Size budgets: what grows beyond them is cut, or gets a record in docs/decisions that says why not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("operator", "serving", "deploy/local", "deploy/demo")
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_TEST = 300, 40, 500

#: File, or file::function -> (its budget, the record that allows it).
RAISED: dict[str, tuple[int, str]] = {}


def budget(what: str, usual: int) -> int:
    return RAISED.get(what, (usual, ""))[0]


def sources(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Every function of a file with its length, from `def` to its last line."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{file.relative_to(ROOT)}::{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(
    ("folders", "usual"),
    [pytest.param(CODE, LONGEST_FILE, id="code"), pytest.param(("tests",), LONGEST_TEST, id="tests")],
)
def test_no_file_is_longer_than_its_budget(folders: tuple[str, ...], usual: int):
    files = [(str(file.relative_to(ROOT)), lines(file)) for file in sources(*folders)]
    assert len(files) > 10
    assert [f"{name}: {length} lines" for name, length in files if length > budget(name, usual)] == []


def test_no_function_is_longer_than_its_budget():
    found = [entry for file in sources(*CODE) for entry in functions(file)]
    assert len(found) > 100
    assert [f"{name}: {length} lines" for name, length in found if length > budget(name, LONGEST_FUNCTION)] == []


def test_every_raise_is_recorded_and_needed():
    for what, (_, record) in RAISED.items():
        text = (ROOT / "docs/decisions" / record).read_text(encoding="utf-8")
        assert what.partition("::")[0] in text, f"{record} does not speak of {what}"
        assert (ROOT / what.partition("::")[0]).is_file(), f"{what} is gone: remove its raise"
