"""Stopping leaves nothing running, and starting again finds everything."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from scrip.vouchers.v1 import shop_pb2, shop_pb2_grpc

from stack.testing import RunningStack
from tests import invariants
from tests.edge.refusals import reason_over_grpc
from tests.platform import Member, Platform, purchase, start_platform, unique

STOP_SECONDS = 10.0


def _processes_of(folder: Path) -> Iterator[str]:
    """Every process that has something to do with this folder: command, working folder or environment."""
    text = str(folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            told += str((process / "cwd").readlink()).encode()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if text in told:
            yield f"{process.name}: {told[:200]!r}"


def _stop(stack: RunningStack) -> None:
    """Stops the stack, and checks that it did so in time and leaves nothing."""
    pids = [process.pid for process in stack.folder.processes().values()]
    assert len(pids) >= 10
    assert list(_processes_of(stack.folder.path))
    began = time.monotonic()
    assert stack.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS
    assert list(_processes_of(stack.folder.path)) == []
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


async def _buy(live: Platform) -> tuple[Member, str, str, dict[str, Any]]:
    till, member = await live.till(), await live.member()
    await live.give(till, member, 700)
    voucher, key = await live.voucher(5), unique()
    return member, voucher, key, await live.completed(member, voucher, key)


@pytest.mark.timeout(240)
async def test_a_second_start_keeps_everything_and_a_stop_leaves_no_process(tmp_path: Path) -> None:
    stack = start_platform(tmp_path)
    try:
        async with Platform(stack) as live:
            member, voucher, key, order = await _buy(live)
            jwks = (await live.call("GET", "/.well-known/jwks.json")).json()
    finally:
        _stop(stack)

    stack = start_platform(tmp_path)
    try:
        async with Platform(stack) as live:  # the admin's password is the same
            assert (await live.call("GET", "/.well-known/jwks.json")).json() == jwks
            assert await live.balance(member) == 200  # with the token of before
            assert (await live.order(member, voucher, key)).json()["order"] == order
            path = f"/v1/members/me/vouchers/{order['wallet_voucher_id']}"
            owned = (await live.ok("GET", path, token=member.token))["voucher"]
            till = await live.till()
            sale = {"code": owned["code"], "sale_reference": unique()}
            await live.ok("POST", "/v1/codes:redeem", sale, token=till)
            await live.ok("POST", "/v1/purchases", purchase(member, 1_000), token=till)
            assert await live.balance(member) == 201
            invariants.check(live.databases)
    finally:
        _stop(stack)


@pytest.mark.timeout(240)
async def test_open_streams_end_with_a_status_when_all_stops(tmp_path: Path) -> None:
    stack = start_platform(tmp_path)
    async with Platform(stack) as live, grpc.aio.insecure_channel(live.target) as channel:
        member, voucher = await live.member(), await live.voucher(5)
        metadata = {"authorization": f"Bearer {member.token}"}
        watch = shop_pb2_grpc.ShopServiceStub(channel).WatchQuantity(
            shop_pb2.WatchQuantityRequest(voucher_id=voucher), metadata=tuple(metadata.items())
        )
        updates = aiter(watch)
        assert (await anext(updates)).quantity_left == 5
        path = f"/v1/offers/{voucher}/quantity:watch"
        async with live.http.stream("GET", path, headers=metadata) as over_rest:
            pieces = over_rest.aiter_bytes()
            while b"quantity_left" not in await anext(pieces):
                pass  # how the stream begins
            stopping = asyncio.create_task(asyncio.to_thread(_stop, stack))
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await anext(updates)
            assert reason_over_grpc(ended.value) == "DEPENDENCY_UNAVAILABLE"
            rest = [piece async for piece in pieces]  # which raises when it is cut
            assert len(rest) < 2, "nothing had changed"
        await stopping
