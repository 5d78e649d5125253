"""The features of the services as packages: what they import from each other, and which tables they name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stack.settings import ROOT

SERVICES = ("identity", "points", "promos", "vouchers")
_FOLDER = ROOT / "services"
_NAMED = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|USING)\s+(?:ONLY\s+)?([a-z_][a-z_0-9]*)")
_WRITTEN = re.compile(r"\b(?:INSERT\s+INTO|DELETE\s+FROM|UPDATE)\s+([a-z_][a-z_0-9]*)")
_TABLE = re.compile(r'__tablename__ = "(\w+)"|\bTable\(\s*"(\w+)"')


@dataclass(frozen=True)
class Room:
    """A feature: a package of a service."""

    service: str
    name: str

    @property
    def folder(self) -> Path:
        """Where it stands."""
        return _FOLDER / self.service / self.name

    @property
    def package(self) -> str:
        """How it is imported."""
        return f"services.{self.service}.{self.name}"


@dataclass(frozen=True)
class Import:
    """A module of a room imports from another room of its service."""

    importer: Path
    room: Room
    other: Room
    module: str

    @property
    def of_encoding(self) -> bool:
        """Whether handlers or an encoding import how another feature encodes its values.

        A face loads no protobuf, so this is a module of its own.
        """
        encodes = self.importer.name.endswith("handlers.py") or self.importer.name == "encoding.py"
        return encodes and self.module == f"{self.other.package}.encoding"

    def __str__(self) -> str:
        return f"{self.importer.relative_to(ROOT)} imports {self.module}"


@cache
def rooms() -> Sequence[Room]:
    """Returns all features of all services."""
    return [
        Room(service, folder.name)
        for service in SERVICES
        for folder in sorted((_FOLDER / service).iterdir())
        if (folder / "__init__.py").exists() and folder.name not in ("migrations", "tests")
    ]


def modules(room: Room) -> Iterator[Path]:
    """Yields the files of a room, without its tests."""
    for path in sorted(room.folder.rglob("*.py")):
        if "tests" not in path.relative_to(room.folder).parts:
            yield path


def imports() -> Iterator[Import]:
    """Yields what rooms import from other rooms; tables excepted, which only migrations and tests load."""
    by_package = {room.package: room for room in rooms()}
    for room in rooms():
        for path in modules(room):
            if path.name == "tables.py":
                continue
            for module in _imported(path):
                other = by_package.get(".".join(module.split(".")[:3]))
                if other and other != room:
                    yield Import(path, room, other, module)


def _imported(path: Path) -> Iterator[str]:
    """Yields modules as a file names them; `from package import module` is that module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = ROOT / node.module.replace(".", "/") / f"{alias.name}.py"
                package = ROOT / node.module.replace(".", "/") / alias.name / "__init__.py"
                nested = submodule.exists() or package.exists()
                yield f"{node.module}.{alias.name}" if nested else node.module


@cache
def owners(service: str) -> dict[str, str]:
    """Returns the room that owns each table of a service; `common` owns those that several services have."""
    found = dict.fromkeys(_tables(_FOLDER / "common" / "tables.py"), "common")
    for room in rooms():
        tables = room.folder / "tables.py"
        if room.service == service and tables.exists():
            found |= dict.fromkeys(_tables(tables), room.name)
    return found


def _tables(path: Path) -> Iterator[str]:
    return (one or other for one, other in _TABLE.findall(path.read_text()))


@dataclass(frozen=True, order=True)
class Naming:
    """A file of a room names a table of another room in a statement."""

    path: str
    room: str
    table: str
    owner: str
    writes: bool


def foreign_tables(service: str) -> Iterator[Naming]:
    """Yields which tables of other rooms the statements of a service name."""
    owned = owners(service)
    for room in (one for one in rooms() if one.service == service):
        for path in modules(room):
            text = "\n".join(_texts(path))
            written = set(_WRITTEN.findall(text))
            for table in sorted(set(_NAMED.findall(text)) & owned.keys()):
                if owned[table] != room.name:
                    shown = str(path.relative_to(ROOT))
                    yield Naming(shown, room.name, table, owned[table], table in written)


def _texts(path: Path) -> Iterator[str]:
    """Yields the texts of a file, without its docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
