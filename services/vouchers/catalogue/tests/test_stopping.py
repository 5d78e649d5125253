"""A stop of the service and those who watch a quantity."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from scrip.vouchers.v1 import shop_pb2, shop_pb2_grpc

from services.common.channels import open_channel
from services.common.server import RunningService
from services.vouchers.server import compose
from services.vouchers.tests.support import Create
from tests.inprocess import Platform, bearer, refusal

WATCHERS, DRAIN_SECONDS = 5, 60.0


@pytest.mark.covers("V4 ShopService.WatchQuantity")
async def test_open_streams_end_at_once_with_a_status_that_says_try_again(
    platform: Platform, create: Create
) -> None:
    voucher, token = await create(), (await platform.member()).token
    changes = {"listen": "127.0.0.1:0", "drain_seconds": DRAIN_SECONDS}
    settings = platform.settings["vouchers"].model_copy(update=changes)
    async with compose(settings) as service:
        running = RunningService(service, settings)
        channel = open_channel(f"ipv4:127.0.0.1:{await running.start()}")
        try:
            shop = shop_pb2_grpc.ShopServiceStub(channel)
            request = shop_pb2.WatchQuantityRequest(voucher_id=voucher.id)
            streams = [
                aiter(shop.WatchQuantity(request, metadata=bearer(token), wait_for_ready=True))
                for _ in range(WATCHERS)
            ]
            for stream in streams:
                await anext(stream)
            async with asyncio.timeout(DRAIN_SECONDS / 2):  # far from the time that calls have to end
                await running.stop()
            for stream in streams:
                told = await refusal(_next(stream))
                assert told == (
                    "DEPENDENCY_UNAVAILABLE",
                    grpc.StatusCode.UNAVAILABLE,
                    {"dependency": "vouchers"},
                )
        finally:
            await channel.close()


async def _next(stream: Any) -> object:
    return await anext(stream)
