"""Every list of the contract, filled: its pages add up, and no page token can upset it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import pytest

from services.common.caller import ADMIN
from services.common.ids import new_id
from tests.contract.descriptors import Rpc, rpcs
from tests.contract.listed import ROWS, World
from tests.inprocess import Platform, eventually, reason

LISTS = [rpc for rpc in rpcs() if rpc.name.startswith("List")]
# A position is a text in JSON, of whatever kind the list has: an id, a number, a name.
HOSTILE_POSITIONS = ("", "\0", "x", "-1", "9" * 40, "1e9", "NaN", "'; --", "\N{PILE OF POO}" * 40, " ", "%")


@pytest.fixture(scope="module")
async def world(platform: Platform) -> AsyncIterator[World]:
    """Three rows in every list, when all jobs are done."""
    actor = new_id()
    world = World(platform, actor, await platform.token(ADMIN, actor), await platform.till())
    await world.fill()

    async def full() -> None:
        for rpc in LISTS:
            expected = 6 * ROWS if rpc.name == "ListAuditEntries" else ROWS
            assert len(rows(await world.call(rpc, size=200))) >= expected, rpc.path

    await eventually(full, seconds=15)
    yield world
    await world.clear()


@pytest.fixture(scope="module")
async def tokens(world: World) -> Mapping[str, str]:
    """A good token of each list."""
    return {rpc.path: (await world.call(rpc)).next_page_token for rpc in LISTS}


def rows(reply: Any) -> list[bytes]:
    """Returns the rows of a page."""
    [repeated] = [f.name for f in reply.DESCRIPTOR.fields if f.is_repeated]
    return [row.SerializeToString(deterministic=True) for row in getattr(reply, repeated)]


def forged(token: str, position: object) -> str:
    """Returns the token with another position."""
    scope, _ = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return base64.urlsafe_b64encode(orjson.dumps([scope, position])).rstrip(b"=").decode()


def changed(token: str) -> list[str]:
    """Tokens that are nearly good."""
    return [token[:-4], token + "AAAA", token[::-1], token.swapcase(), "A" + token, token[0] * 512]


@pytest.mark.covers("V1 CatalogueService.ListVouchers", "V5 WalletService.ListMyVouchers")
@pytest.mark.parametrize("rpc", LISTS, ids=lambda rpc: rpc.short_name)
async def test_pages_of_one_add_up_to_one_page(world: World, rpc: Rpc) -> None:
    whole = await world.call(rpc, size=200)
    expected, token = rows(whole)[:10], ""
    found: list[bytes] = []
    while len(found) < len(expected):
        page = await world.call(rpc, token)
        assert len(rows(page)) == 1
        found += rows(page)
        token = page.next_page_token
        assert bool(token) == (len(found) < len(rows(whole)))
    assert found == expected


@pytest.mark.parametrize("rpc", LISTS, ids=lambda rpc: rpc.short_name)
async def test_without_a_size_a_page_has_fifty_at_most(world: World, rpc: Rpc) -> None:
    whole, default = await world.call(rpc, size=200), await world.call(rpc, size=0)
    assert rows(default) == rows(whole)[:50]


@pytest.mark.parametrize("rpc", LISTS, ids=lambda rpc: rpc.short_name)
@pytest.mark.parametrize("size", [-1, 201])
async def test_sizes_out_of_range_are_refused(world: World, rpc: Rpc, size: int) -> None:
    assert await reason(world.call(rpc, size=size)) == "VALIDATION_FAILED"


@pytest.mark.parametrize("rpc", LISTS, ids=lambda rpc: rpc.short_name)
async def test_tokens_of_other_lists_are_refused(world: World, tokens: Mapping[str, str], rpc: Rpc) -> None:
    for path, token in tokens.items():
        if path != rpc.path:
            assert await reason(world.call(rpc, token)) == "PAGE_TOKEN_NOT_VALID", path


@pytest.mark.parametrize("rpc", LISTS, ids=lambda rpc: rpc.short_name)
async def test_tokens_that_were_tampered_with_harm_nothing(
    world: World, tokens: Mapping[str, str], rpc: Rpc
) -> None:
    good = tokens[rpc.path]
    positions: list[object] = [*HOSTILE_POSITIONS, 7, None, True, [], {}]
    hostile = [forged(good, position) for position in positions]
    for token in (*hostile, *changed(good), "x", "=", "e30", "W10", "bnVsbA"):
        try:
            await world.call(rpc, token)  # some are positions that could be, where nobody needs to be refused
        except Exception:  # noqa: BLE001  # judged below
            assert await reason(world.call(rpc, token)) == "PAGE_TOKEN_NOT_VALID", token
