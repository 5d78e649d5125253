"""Writes `docs/coverage.md`: what exists of each capability, its RPCs and routes, and the tests of it.

A test declares what it proves by a marker, `@pytest.mark.covers("I1 AuthService.SendOtp")`, or by the
capability alone where no RPC is concerned. After a change of either, run
`make proto && .venv/bin/python -m tools.coverage`.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTORS = ROOT / "build" / "api.binpb"
DOCUMENT = ROOT / "docs" / "coverage.md"
CAPABILITIES = ROOT / "tools" / "capabilities.toml"
TESTS = ("services", "tests", "stack", "tools")

_HEAD = """\
# What exists, and which tests prove it

Written by `python -m tools.coverage` from `tools/capabilities.toml` and the markers `covers` of the tests:
change those, not this file. Internal RPCs have no route.
"""


@dataclass(frozen=True, order=True)
class Mark:
    """What a test proves: a capability, or one RPC as far as it belongs to it."""

    capability: str
    rpc: str
    path: str
    test: str


@dataclass(frozen=True)
class Rpc:
    """An RPC by its short name, such as `AuthService.SendOtp`, and where it is called."""

    name: str
    route: str


def rpcs() -> Sequence[Rpc]:
    """Returns all RPCs of the contract, in its order."""
    described = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    return [
        Rpc(f"{service.name}.{method.name}", _route(file.package, method))
        for file in described.file
        if file.package.startswith("scrip.")
        for service in file.service
        for method in service.method
    ]


def _route(package: str, method: descriptor_pb2.MethodDescriptorProto) -> str:
    http: Any = annotations_pb2.http  # its types do not know it as an extension
    rule = method.options.Extensions[http]
    verb = rule.WhichOneof("pattern")
    if verb:
        return f"`{verb.upper()} {getattr(rule, verb)}`"
    return "internal" if ".internal." in package else "gRPC alone"


def capabilities() -> dict[str, dict[str, str]]:
    """Returns title and state of each capability, by its id."""
    return tomllib.loads(CAPABILITIES.read_text())


def marks() -> list[Mark]:
    """Returns what all tests declare to prove. Raises ValueError for a marker that is not understood."""
    files = [path for folder in TESTS for path in (ROOT / folder).rglob("test_*.py")]
    return sorted(mark for path in files for mark in _marks_of(path))


def _marks_of(path: Path) -> Iterator[Mark]:
    tree = ast.parse(path.read_text())
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.covers":
                    for argument in decorator.args:
                        capability, _, rpc = str(ast.literal_eval(argument)).partition(" ")
                        yield Mark(capability, rpc, str(path.relative_to(ROOT)), node.name)


def document() -> str:
    """Returns the whole document. Raises ValueError for a marker of an unknown capability or RPC."""
    known, routes = capabilities(), {rpc.name: rpc.route for rpc in rpcs()}
    found: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks():
        if mark.capability not in known or (mark.rpc and mark.rpc not in routes):
            raise ValueError(
                f"{mark.path}::{mark.test} covers {mark.capability} {mark.rpc}, which does not exist"
            )
        found[mark.capability].append(mark)
    parts = [_HEAD]
    for name, told in known.items():
        parts.append(f"\n## {name} {told['title']}\n{textwrap.fill(told['state'], 118)}\n")
        parts += _section(found[name], routes)
    return "".join(parts)


def _section(found: Sequence[Mark], routes: dict[str, str]) -> Iterator[str]:
    by_rpc: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for mark in found:
        by_rpc[mark.rpc][mark.path].append(mark.test)
    for rpc, files in sorted(by_rpc.items(), key=lambda item: list(routes).index(item[0]) if item[0] else -1):
        yield f"\n**{rpc}** {routes[rpc]}\n\n" if rpc else "\n**All of it**\n\n"
        for path, tests in files.items():
            yield f"- `{path}`\n"
            yield from (f"  - `{test}`\n" for test in tests)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
