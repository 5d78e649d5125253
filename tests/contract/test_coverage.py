"""`docs/coverage.md` names what exists: every RPC, its route, and tests that are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from stack.settings import ROOT
from tests.contract.descriptors import Rpc, rpcs

DOCUMENT = ROOT / "docs" / "coverage.md"
HEADING = re.compile(r"^## ([IPVCE]\d) \S.*$", re.MULTILINE)
TEST = re.compile(r"`([^`]+\.py)::(\w+)`")
CAPABILITIES = {
    f"{group}{number}"
    for group, last in {"I": 8, "P": 8, "V": 7, "C": 7, "E": 9}.items()
    for number in range(1, last + 1)
}
ALL = "all"


@dataclass(frozen=True)
class Row:
    """A line of a capability's table."""

    capability: str
    rpc: str
    route: str
    tests: Sequence[tuple[str, str]]


@cache
def sections() -> dict[str, str]:
    """The text of each capability."""
    parts = HEADING.split(DOCUMENT.read_text().partition("## Not yet")[0])
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def rows() -> Sequence[Row]:
    """All lines of all tables."""
    return [
        Row(capability, cells[1].strip(), cells[2].strip(" `"), TEST.findall(cells[3]))
        for capability, text in sections().items()
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| RPC ")
        for cells in [line.split("|")]
    ]


@cache
def named_in(path: str) -> frozenset[str]:
    """The names of the tests of a file, those in classes among them."""
    tree = ast.parse((ROOT / path).read_text())
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    functions = (
        node for body in bodies for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def by_name() -> dict[str, Rpc]:
    """RPCs as the document calls them."""
    return {rpc.short_name: rpc for rpc in rpcs()}


def test_short_names_are_unambiguous() -> None:
    assert len(by_name()) == len(rpcs())


def test_every_capability_is_there_or_said_to_be_missing() -> None:
    present = HEADING.findall(DOCUMENT.read_text())
    missing = re.findall(r"[IPVCE]\d", DOCUMENT.read_text().partition("## Not yet")[2])
    assert sorted(present + missing) == sorted(CAPABILITIES)


@pytest.mark.parametrize("capability", sections())
def test_every_section_says_how_much_exists_and_has_rows(capability: str) -> None:
    said = sections()[capability].strip()
    assert said.startswith(("All of it", "In part: ")), said
    assert [row for row in rows() if row.capability == capability]


def test_every_rpc_of_the_contract_is_named() -> None:
    assert by_name().keys() - {row.rpc for row in rows()} == set()


def test_every_named_rpc_exists_with_its_route() -> None:
    for row in rows():
        if row.rpc == ALL:
            assert row.route == ALL
            continue
        assert row.rpc in by_name(), row
        rpc = by_name()[row.rpc]
        routes = [f"{binding.method} {binding.path}" for binding in rpc.bindings]
        routes = routes or ["gRPC alone" if rpc.takes_stream else "internal"]
        assert [row.route] == routes, row


def test_every_row_names_tests_and_they_exist() -> None:
    for row in rows():
        assert row.tests, row
        for path, name in row.tests:
            assert (ROOT / path).is_file(), f"{row.capability}: {path}"
            assert name in named_in(path), f"{row.capability}: {path}::{name}"


def test_no_rpc_is_named_twice_in_a_section() -> None:
    named = [(row.capability, row.rpc) for row in rows()]
    assert len(named) == len(set(named))


def test_every_table_row_is_understood() -> None:
    lines = [line for line in DOCUMENT.read_text().splitlines() if "::" in line and "path::" not in line]
    assert len(lines) == len(rows())
    for line, row in zip(lines, rows(), strict=True):
        assert line.count("::") == len(row.tests), line
