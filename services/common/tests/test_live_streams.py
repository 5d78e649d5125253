"""Streams that are watched: woken by what changes, ended with their service."""

from __future__ import annotations

import asyncio

import pytest

from services.common.errors import DomainError
from services.common.live_streams import LiveStreams

LONG = 60.0


async def test_a_stream_that_is_woken_looks_again_at_once() -> None:
    async with LiveStreams("vouchers", most=1).open() as stream:
        stream.wake()
        async with asyncio.timeout(LONG / 2):
            assert await stream.goes_on(LONG)


@pytest.mark.parametrize("opened", ["before", "while it stops"])
async def test_a_stream_ends_with_its_service_whenever_it_was_opened(opened: str) -> None:
    streams = LiveStreams("vouchers", most=1)
    if opened == "while it stops":
        streams.close()
    async with streams.open() as stream:
        if opened == "before":
            streams.close()
        async with asyncio.timeout(LONG / 2):
            with pytest.raises(DomainError) as ended:
                await stream.goes_on(LONG)
        assert ended.value.reason == "DEPENDENCY_UNAVAILABLE"


async def test_only_so_many_are_open_at_a_time() -> None:
    streams = LiveStreams("vouchers", most=1)
    async with streams.open():
        with pytest.raises(DomainError) as refused:
            async with streams.open():
                pass
        assert refused.value.reason == "TOO_MANY_WATCHERS"
    async with streams.open():
        pass
