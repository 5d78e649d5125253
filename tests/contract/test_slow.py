"""`tests/slow.txt` names tests that are there: what was renamed is measured anew."""

from __future__ import annotations

import ast
from pathlib import Path

from stack.settings import ROOT
from tests.slow import SLOW

FOLDERS = ("bench", "services", "stack", "tests", "tools")


def _tests(path: Path) -> set[str]:
    """Returns the names of a file's tests, those in classes among them."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


def test_every_slow_test_is_there() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("test_*.py")]
    assert set().union(*map(_tests, paths)) >= SLOW
