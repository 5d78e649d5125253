"""A part that is away: 503 that names it alone, and the same call with the same key works later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import httpx
import pytest
from scrip.points.v1 import points_pb2, points_pb2_grpc

from tests import invariants
from tests.edge.refusals import reason_over_grpc
from tests.hanging import hanging, unattended
from tests.platform import Member, Platform, at_once, eventually, purchase, refusal, unique

BACK_SECONDS = 20.0
Call = Callable[[], Awaitable[httpx.Response]]


def _is_away(answer: httpx.Response) -> None:
    refused = refusal(answer)
    assert (refused.status, refused.reason) == (503, "DEPENDENCY_UNAVAILABLE")
    assert refused.metadata.keys() == {"dependency"}


async def _reason(call: Any) -> str:
    """Returns the reason of a refusal over gRPC; an empty text when there is none."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_over_grpc(error)
    return ""


async def _works(call: Call) -> httpx.Response:
    """Returns the response to a call that is repeated while its dependency is away."""

    async def once() -> httpx.Response:
        answer = await call()
        if answer.status_code != 200:
            _is_away(answer)
        assert answer.status_code == 200
        order = answer.json().get("order", {})
        assert order.get("state") != "ORDER_STATE_PENDING", "it goes on in the background"
        return answer

    return await eventually(once, BACK_SECONDS)


@pytest.mark.parametrize("service", ["identity", "points", "vouchers", "promos"])
async def test_a_service_that_is_away_is_503_and_the_same_key_works_when_it_is_back(
    live: Platform, till: str, member: Member, service: str
) -> None:
    await live.give(till, member, 1_000)
    voucher, key, receipt = await live.voucher(2), unique(), purchase(member, 1_000)
    sale = {"code": (await live.bought(member, voucher))["code"], "sale_reference": unique()}
    calls: dict[str, Call] = {
        "identity": partial(live.call, "GET", "/v1/members/me", token=member.token),
        "points": partial(live.call, "POST", "/v1/purchases", receipt, token=till),
        "vouchers": partial(live.order, member, voucher, key),
        "promos": partial(live.call, "POST", "/v1/codes:redeem", sale, token=till),
    }
    await live.kill(service)
    _is_away(await calls[service]())
    first = await _works(calls[service])
    assert (await calls[service]()).content == first.content
    await _works(partial(live.call, "GET", "/v1/members/me/points", token=member.token))
    assert await live.balance(member) == {"points": 501, "vouchers": 0}.get(service, 500)
    invariants.check(live.databases)


async def test_a_new_member_code_needs_identity_and_a_known_one_does_not(
    live: Platform, till: str, ada: Member, member: Member
) -> None:
    with hanging(live.stack, "identity"):
        known = await live.call("POST", "/v1/purchases", purchase(ada, 0), token=till)
        assert known.status_code == 200, known.text
        receipt = purchase(member, 1_000)
        new = await live.call("POST", "/v1/purchases", receipt, token=till)
    _is_away(new)
    assert refusal(new).metadata == {"dependency": "identity"}
    await _works(partial(live.call, "POST", "/v1/purchases", receipt, token=till))


@pytest.mark.parametrize("service", ["points", "promos"])
async def test_an_order_waits_for_what_it_needs(
    live: Platform, till: str, member: Member, service: str
) -> None:
    await live.give(till, member, 500)
    voucher, key = await live.voucher(1), unique()
    await live.kill(service)

    async def completed() -> None:
        answer = await live.order(member, voucher, key)
        assert answer.status_code == 200, answer.text
        assert answer.json()["order"]["state"] == "ORDER_STATE_COMPLETED"

    await eventually(completed, BACK_SECONDS)
    wallet = await live.ok("GET", "/v1/members/me/vouchers", token=member.token)
    assert len(wallet["vouchers"]) == 1
    invariants.check(live.databases)


async def test_a_database_that_is_away_is_503_without_a_word_of_the_driver(
    live: Platform, channel: grpc.aio.Channel, till: str, member: Member
) -> None:
    await live.give(till, member, 500)
    order = partial(live.order, member, await live.voucher(1), unique())
    receipt = purchase(member, 1_000)
    calls: list[Call] = [
        partial(live.call, "GET", "/v1/members/me", token=member.token),
        partial(live.call, "POST", "/v1/purchases", receipt, token=till),
        order,
        partial(live.call, "GET", "/v1/members/me/rewards", token=member.token),
    ]
    entries = points_pb2_grpc.PointsServiceStub(channel).ListMyEntries
    metadata = (("authorization", f"Bearer {member.token}"),)
    workers = {name: live.stack.pid(name) for name in live.stack.endpoints.workers.values()}
    with unattended(live.stack):
        await live.kill("postgres")
        for answer in await at_once([call() for call in calls]):
            _is_away(answer)
            assert refusal(answer).metadata == {"dependency": "database"}
        told = await _reason(entries(points_pb2.ListMyEntriesRequest(), metadata=metadata))
        assert told == "DEPENDENCY_UNAVAILABLE"
    for call in calls:
        await _works(call)
    assert (await order()).json()["order"]["state"] == "ORDER_STATE_COMPLETED"
    assert await live.balance(member) == 1
    assert {name: live.stack.pid(name) for name in workers} == workers, "they waited for it"
    invariants.check(live.databases)
