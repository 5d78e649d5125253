"""The README's first purchase, and the calls of docs/calling.md about points, run as they stand there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.platform import Platform

ROOT = Path(__file__).resolve().parents[2]
CALLS = ROOT / "docs" / "calling.md"
SCRIPT = re.compile(r"```sh\n(.*?)```", re.DOTALL)
ME = """MEMBER_ID=$(curl -sS "$BASE/v1/members/me" -H "authorization: Bearer $MEMBER" | field member.id)\n"""

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")


async def _run(live: Platform, script: str, folder: Path) -> str:
    """Returns what a script prints, which must succeed in a plain POSIX shell."""
    endpoints = live.stack.endpoints
    shell = await asyncio.create_subprocess_exec(
        "sh",
        "-euc",
        script,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "BASE": endpoints.edge_url,
            "PASSWORD": endpoints.admin_password,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode == 0, err.decode()
    return out.decode()


def _first_purchase() -> str:
    return str(SCRIPT.findall((ROOT / "README.md").read_text())[0])


async def test_the_first_purchase_of_the_readme_gives_60_points_each_time(
    live: Platform, tmp_path: Path
) -> None:
    for _ in range(2):
        first, second, balance = _answers(await _run(live, _first_purchase(), tmp_path))
        assert first == second
        assert first["purchase"]["points"] == 60
        assert balance == {"balance": 60, "debt": 0}


async def test_the_calls_about_points_do_what_the_document_says(live: Platform, tmp_path: Path) -> None:
    text = CALLS.read_text()
    begin, end = text.index("## Receipts at volume"), text.index("## Offers, orders and rewards")
    scripts = SCRIPT.findall(text, begin, end)
    printed = await _run(live, _first_purchase() + ME + "".join(scripts), tmp_path)
    header = '\ufeff"line","member_id","delta","reason","outcome","balance_after"'
    told, _, result = printed.partition(header)
    batch, weighed, refund, voided, rule, tried, done = _answers(told)[3:]
    assert [next(iter(one)) for one in batch["results"]] == ["recorded", "refused"]
    assert batch["results"][0]["recorded"]["balance_after"] == 120
    assert batch["results"][1]["refused"]["message"] == "receipts must be in USD"
    assert (weighed["purchase"]["total"]["amount_minor"], weighed["balance_after"]) == ("1690", 121)
    assert (refund["refund"]["points"], refund["balance_after"]) == (30, 91)
    assert (voided["refund"]["voids_purchase"], voided["balance_after"]) == (True, 61)
    assert (tried["points"], tried["lines"][0]["multiplying_earn_rule_id"]) == (30, rule["rule"]["id"])
    assert done["adjustment_import"]["lines"] == 1
    lines, _, exported = result.partition('"#end","1"')
    assert "Sorry for the wait" in lines
    assert '"#end","' in exported
    await live.ok("DELETE", f"/v1/earn-rules/{rule['rule']['id']}", token=live.admin)


async def test_the_calls_about_offers_and_orders_do_what_the_document_says(
    live: Platform, tmp_path: Path
) -> None:
    await live.voucher(1)
    campaign = await live.campaign(1_000)
    text = CALLS.read_text()
    begin, end = text.index("## Offers, orders and rewards"), text.index("## A live stream")
    looking, *others = SCRIPT.findall(text, begin, end)
    wait = f"""for try in $(seq 100); do
      curl -sS "$BASE/v1/members/me/rewards" -H "authorization: Bearer $MEMBER" | grep -q {campaign} && break
      sleep 0.1
    done\n"""
    printed = await _run(live, _first_purchase() + wait + looking + "".join(others), tmp_path)
    told, _, table = printed.partition("\ufeff")
    offers, exchange, rewards, orders = _answers(told)[3:]
    assert len(offers["offers"]) == 1
    assert exchange["balance"] >= 0
    assert campaign in [reward["campaign_id"] for reward in rewards["rewards"]]
    assert orders["total"]["more"] is False
    assert table.splitlines()[0].startswith('"id","code_id","code_set_id","redeemed_by"')
    assert table.splitlines()[-1].startswith('"#end",')
    await live.ok("POST", f"/v1/campaigns/{campaign}:end", {}, token=live.admin)


def _answers(printed: str) -> list[Any]:
    """Returns what curl printed, one response after the other with nothing between them."""
    decoder, rest, found = json.JSONDecoder(), printed.strip(), []
    while rest:
        answer, end = decoder.raw_decode(rest)
        found.append(answer)
        rest = rest[end:].strip()
    return found
