"""Writes `build/openapi.json`. `python -m tools.proto` runs this when the contract or this has changed."""

import json

from tools.openapi.contract import ROOT
from tools.openapi.document import build

DOCUMENT = ROOT / "build" / "openapi.json"

if __name__ == "__main__":
    fresh = DOCUMENT.with_suffix(".new")
    fresh.write_text(json.dumps(build(), ensure_ascii=False, separators=(",", ":")))
    fresh.replace(DOCUMENT)
