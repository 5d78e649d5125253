"""The README's first purchase, run as it stands there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.platform import Platform, new_phone

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's example needs curl")
async def test_the_first_purchase_of_the_readme_gives_60_points(live: Platform) -> None:
    script = re.search(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert script is not None
    endpoints = live.stack.endpoints
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euc",
        script[1],
        env={
            "PATH": os.environ["PATH"],
            "BASE": endpoints.edge_url,
            "PASSWORD": endpoints.admin_password,
            "PHONE": new_phone(),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode == 0, err.decode()
    first, second, balance = _answers(out.decode())
    assert first == second
    assert first["purchase"]["points"] == 60
    assert balance == {"balance": 60}


def _answers(printed: str) -> list[Any]:
    """What curl printed, one answer after the other with nothing between them."""
    decoder, rest, found = json.JSONDecoder(), printed.strip(), []
    while rest:
        answer, end = decoder.raw_decode(rest)
        found.append(answer)
        rest = rest[end:].strip()
    return found
