"""Puts into `build/docs` what the edge serves: the OpenAPI document and its viewer.

Large files are there compressed as well, so that the edge need not compress them for every reader. Done as a
part of `python -m tools.proto`.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from tools import npm

ROOT = Path(__file__).resolve().parent.parent
VIEWER = ROOT / "edge" / "docs"
TARGET = ROOT / "build" / "docs"

_PACKAGE = VIEWER / "node_modules" / "swagger-ui-dist"
SMALL = {"index.html": VIEWER / "index.html", "start.js": VIEWER / "start.js"}
LARGE = {
    "openapi.json": ROOT / "build" / "openapi.json",
    "viewer.css": _PACKAGE / "swagger-ui.css",
    "viewer.js": _PACKAGE / "swagger-ui-bundle.js",
}


def collect() -> None:
    """Brings `build/docs` up to date, the viewer from npm. Raises NpmError."""
    npm.install(VIEWER)
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, source in (SMALL | LARGE).items():
        content = source.read_bytes()
        if _differs(TARGET / name, content):
            _write(TARGET / name, content)
        if name in LARGE and _is_older(TARGET / f"{name}.gz", TARGET / name):
            _write(TARGET / f"{name}.gz", gzip.compress(content, mtime=0))


def _differs(path: Path, content: bytes) -> bool:
    return not path.is_file() or path.read_bytes() != content


def _is_older(path: Path, than: Path) -> bool:
    return not path.is_file() or path.stat().st_mtime_ns < than.stat().st_mtime_ns


def _write(path: Path, content: bytes) -> None:
    """Replaces a file as a whole: the edge may start meanwhile."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
