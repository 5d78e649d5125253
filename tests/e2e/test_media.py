"""What is not plain JSON: QR images, and the quantity left as it changes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest
import zxingcpp
from PIL import Image

from tests.platform import Member, Platform, unique

PNG, SVG = b"\x89PNG\r\n\x1a\n", b"<svg"
CHANGE_SECONDS = 5.0


@pytest.mark.covers("V5 WalletService.GetMyVoucherQr")
@pytest.mark.parametrize("owned", ["me", "wallet", "reward"])
async def test_qr_images_come_as_png_and_svg_and_hold_the_code(live: Platform, till: str, owned: str) -> None:
    await live.campaign(1)
    member = await live.member()
    path, code = "/v1/members/me/qr", member.code
    if owned == "wallet":
        await live.give(till, member, 500)
        voucher = await live.bought(member, await live.voucher(1))
        path, code = f"/v1/members/me/vouchers/{voucher['id']}/qr", voucher["code"]
    if owned == "reward":
        won = (await live.rewards(member))[0]
        path, code = f"/v1/codes/{won['code_id']}/qr", won["code"]
    for query in ("", "?format=QR_FORMAT_PNG"):
        answer = await live.call("GET", f"{path}{query}", token=member.token)
        assert answer.headers["content-type"] == "image/png"
        assert answer.content.startswith(PNG)
        scanned = zxingcpp.read_barcodes(Image.open(io.BytesIO(answer.content)))
        assert [found.text for found in scanned] == [code]
    answer = await live.call("GET", f"{path}?format=QR_FORMAT_SVG", token=member.token)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert SVG in answer.content
    refused = await live.refused("GET", f"{path}?format=QR_FORMAT_GIF", token=member.token)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[int]:
    """Yields the quantity of each event; their ids grow."""
    last = 0
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            assert int(value) > last
            last = int(value)
        if name == "data":
            assert last
            yield json.loads(value)["quantity_left"]


@pytest.mark.covers("V4 ShopService.WatchQuantityEvents")
async def test_the_quantity_left_is_a_stream_of_events_that_sees_each_change(
    live: Platform, ada: Member, till: str
) -> None:
    buyer, voucher = await live.member(), await live.voucher(2)
    await live.give(till, buyer, 1_000)
    headers = {"authorization": f"Bearer {ada.token}"}
    async with live.http.stream("GET", f"/v1/offers/{voucher}/quantity:watch", headers=headers) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"] == "text/event-stream"
        events = _events(stream.aiter_lines())
        async with asyncio.timeout(CHANGE_SECONDS):
            assert await anext(events) == 2
        for left in (1, 0):
            await live.bought(buyer, voucher)
            async with asyncio.timeout(CHANGE_SECONDS):
                assert await anext(events) == left


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet", "C1 CodeSetService.WatchCodeSetEvents")
async def test_the_codes_of_a_set_are_made_while_staff_watch(live: Platform) -> None:
    body = {
        "name": "Flyer",
        "pattern": "######@@@@@",
        "quantity": 50_000,
        "benefit": {"percent_off": 10},
    }
    made = await live.ok("POST", "/v1/code-sets", body, token=live.admin, key=unique())
    code_set = made["code_set"]
    assert code_set["quantity"] == 50_000
    path, headers = f"/v1/code-sets/{code_set['id']}", {"authorization": f"Bearer {live.admin}"}
    seen = []
    async with live.http.stream("GET", f"{path}:watch", headers=headers, timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                shown = json.loads(line.removeprefix("data: "))["code_set"]
                seen.append((shown["made"], shown["state"]))
    assert seen == sorted(seen, key=lambda one: one[0])
    assert seen[-1] == (50_000, "CODE_SET_STATE_READY"), "the stream ends when all are there"
    changed = await live.ok("PATCH", path, {"etag": code_set["etag"], "enabled": False}, token=live.admin)
    assert changed["code_set"]["enabled"] is False
    listed = await live.ok("GET", "/v1/code-sets?query=flyer&page_size=1", token=live.admin)
    assert listed["code_sets"] == [changed["code_set"]]
    refused = await live.refused("POST", "/v1/code-sets", {**body, "pattern": "####"}, token=live.admin)
    assert (refused.status, refused.reason) == (400, "IDEMPOTENCY_KEY_REQUIRED")
