"""Looks at `build/openapi.json` as its users do: by a linter, by types for TypeScript, and by their compiler.

Run by `make lint-api`. Says nothing when all is well.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tools import npm

FOLDER = Path(__file__).resolve().parent
DOCUMENT = FOLDER.parents[2] / "build" / "openapi.json"


def main() -> int:
    """Returns the exit status of the first check that fails, after what it says; else 0."""
    npm.install(FOLDER)
    with tempfile.TemporaryDirectory() as scratch:
        types = str(Path(scratch) / "scrip.ts")
        checks = (
            ("@redocly/cli/bin/cli.js", "lint", str(DOCUMENT), "--config", "redocly.yaml"),
            ("openapi-typescript/bin/cli.js", str(DOCUMENT), "--output", types),
            ("typescript/bin/tsc", "--strict", "--noEmit", types),
        )
        for check in checks:
            done = npm.run(FOLDER, *check)
            if done.returncode != 0:
                print(done.stdout, file=sys.stderr)
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
