"""Where the code makes refusals, read from its syntax trees."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stack.settings import ROOT

_NOT_METADATA = {"fields", "retry_after"}
_ERROR = "DomainError"


@dataclass(frozen=True)
class Raised:
    """One place that makes a refusal."""

    where: str
    reasons: tuple[str, ...]
    """More than one when the expression chooses; none when it hands on a reason from elsewhere."""
    metadata: frozenset[str] | None
    """Names of its metadata; None when they are only known when it runs."""
    made_by: str
    """The module's function that only makes this refusal, or an empty text."""


def sources() -> Iterator[Path]:
    """The code of the services, without tests and migrations."""
    for path in sorted((ROOT / "services").rglob("*.py")):
        if not {"tests", "migrations"} & set(path.relative_to(ROOT).parts[:-1]):
            yield path


@cache
def raised() -> Sequence[Raised]:
    """Returns every place that makes a refusal."""
    return [found for path in sources() for found in _in_module(path)]


@cache
def mentions() -> Counter[str]:
    """Returns how often each name is used, definitions and imports aside."""
    used: Counter[str] = Counter()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name):
                used[node.id] += 1
            elif isinstance(node, ast.Attribute):
                used[node.attr] += 1
    return used


def _in_module(path: Path) -> Iterator[Raised]:
    tree = ast.parse(path.read_text())
    makers: dict[ast.AST, str] = {}
    heirs = {_ERROR}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            makers |= dict.fromkeys(ast.walk(node), node.name)
        elif isinstance(node, ast.ClassDef) and heirs & {_name(base) for base in node.bases}:
            heirs.add(node.name)
            makers |= dict.fromkeys(ast.walk(node), node.name)
            for call in _calls(node):
                if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__":
                    yield _raised(path, call, node.name)
    for call in _calls(tree):
        if _name(call.func) == _ERROR:
            yield _raised(path, call, makers.get(call, ""))


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _raised(path: Path, call: ast.Call, made_by: str) -> Raised:
    constants = (node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant))
    names = [keyword.arg for keyword in call.keywords]
    fixed = None not in names  # a `**` gives names that nobody sees here
    return Raised(
        where=f"{path.relative_to(ROOT)}:{call.lineno}",
        reasons=tuple(str(value) for value in constants),
        metadata=frozenset(name for name in names if name) - _NOT_METADATA if fixed else None,
        made_by=made_by,
    )
