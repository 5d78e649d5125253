"""A process dies before any statement of a write: all of the write is there or nothing of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message
from scrip.points.v1 import (
    earn_effect_pb2,
    earn_rule_pb2,
    earn_rule_pb2_grpc,
    purchase_pb2,
    purchase_pb2_grpc,
)

from services.common.ids import utc_now
from services.points.books.tests.test_check_books import check
from services.points.tests.dying import DiedError, Mortal, Mortals, mortals
from services.points.tests.manager import Manager, csv_file
from services.points.tests.own_service import OwnService, own_service
from services.points.tests.returns import change, claim, claim_mine, encoded, refund, unclaimed
from services.points.tests.support import item, receipt, sold
from tests import invariants
from tests.inprocess import Member, Platform, bearer

AHEAD = 3
MOST_STATEMENTS = 60
_COUNTED = (
    "count(*) FROM receipts",
    "count(*) FROM used_codes",
    "count(*) FROM purchase_items",
    "count(claimed_by) FROM unclaimed_purchases",
    "sum(points) FROM purchases",
    "sum(refunded) FROM purchase_items",
    "count(*) FROM refunds",
    "count(*) FROM lots",
    "sum(remaining) FROM lots",
    "sum(expired) FROM lots",
    "count(*) FROM ledger_entries",
    "sum(balance) FROM accounts",
    "sum(purchases) FROM accounts",
    "count(*) FROM accounts WHERE closed",
    "count(*) FROM members WHERE status = 'CLOSED'",
    "count(*) FROM debits",
    "count(*) FROM debits WHERE state = 'UNDONE'",
    "count(balance_after) FROM debits",
    "sum(points) FROM debit_lots",
    "count(*) FROM idempotency_keys",
    "count(*) FROM idempotency_keys WHERE reply = ''",
    "count(*) FROM outbox",
    "count(*) FROM procrastinate_jobs",
    "count(*) FROM earn_rules",
    "count(*) FROM earn_rule_sets",
    "sum(done) FROM adjustment_imports",
    "count(outcome) FROM adjustment_import_lines",
    "count(balance_after) FROM adjustment_import_lines",
    "sum(bonus) FROM purchases",
)
"""Everything that a write may leave, but for member codes that are kept, which nobody minds."""

_STATE = f"SELECT {', '.join(f'(SELECT {each})' for each in _COUNTED)}"

Call = Callable[[OwnService, Mortal], Awaitable[Any]]
"""Does the write: by a call of this service, or in this process."""


@dataclass
class World:
    """A service that lives, children that die, and staff."""

    points: OwnService
    mortals: Mortals
    immortal: Mortal
    admin: str

    async def member(self, points: int = 0) -> Member:
        """Returns a member that points knows, with so many points."""
        member = await self.points.platform.member()
        await self.points.send_event(member.id, 1, "REGISTERED")
        if points:
            await self.points.earn(member, points)
        return member

    async def state(self) -> Sequence[int]:
        """Returns what there is."""
        [found] = await self.points.rows(_STATE)
        return [int(each or 0) for each in found]

    async def balanced(self) -> None:
        """INV1 and INV3."""
        await self.points.assert_balanced()
        await asyncio.to_thread(invariants.check_ledger, self.points.database_url)
        await asyncio.to_thread(invariants.check_movements, self.points.database_url)


@pytest.fixture(scope="module")
async def world(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A service of its own, for other writes would be mistaken for those under test."""
    async with own_service(platform) as own, mortals(own, tmp_path_factory.mktemp("d"), ahead=AHEAD) as made:
        yield World(own, made, await made.next(), await platform.admin())


def purchases(points: OwnService) -> Any:
    """PurchaseService."""
    return purchase_pb2_grpc.PurchaseServiceStub(points.channel)


async def record_with_a_new_code(world: World) -> Call:
    member = await world.points.platform.member()
    request = receipt(member.code, item(7_000), item(900, 3))
    return lambda points, _: points.record(request)


async def record_with_a_kept_code(world: World) -> Call:
    request = receipt((await world.member(5)).code, item(7_000), item(900, 3))
    return lambda points, _: points.record(request)


async def record_with_a_signed_code(world: World) -> Call:
    member = await world.member()
    now = utc_now()
    request = receipt(world.points.platform.signed_code(member, now), item(7_000), sold_at=sold(now))
    return lambda points, _: points.record(request)


async def record_for_nobody(world: World) -> Call:
    request = receipt("", item(7_000))
    return lambda points, _: points.record(request)


async def record_a_batch(world: World) -> Call:
    kept, new, now = await world.member(5), await world.points.platform.member(), utc_now()
    signed = world.points.platform.signed_code(await world.member(), now)
    receipts = [
        receipt(kept.code, item(7_000)),
        receipt(new.code, item(5_000)),
        receipt(""),
        receipt(signed, item(3_000), sold_at=sold(now)),
        receipt("NOBODY"),
        receipt(kept.code, item(2_000)),
    ]
    request = purchase_pb2.BatchRecordPurchasesRequest(purchases=[*receipts, receipts[0]])
    return lambda points, _: purchases(points).BatchRecordPurchases(request, metadata=bearer(points.till))


async def refund_a_part(world: World) -> Call:
    member = await world.member()
    sale = (await world.points.record(receipt(member.code, item(7_000), item(1_000, 3)))).purchase
    await world.points.debit(uuid4(), member, 8)
    return lambda points, _: refund(points, sale.id, "F-1", [(1, 1)], token=world.admin)


async def claim_at_the_till(world: World) -> Call:
    member = await world.member(3)
    sale = (await unclaimed(world.points, item(7_000))).purchase
    return lambda points, _: claim(points, sale.receipt_number, member.code)


async def claim_at_the_till_with_a_signed_code(world: World) -> Call:
    code = world.points.platform.signed_code(await world.member())
    sale = (await unclaimed(world.points, item(7_000))).purchase
    return lambda points, _: claim(points, sale.receipt_number, code)


async def claim_in_person(world: World) -> Call:
    member = await world.member(3)
    made = await unclaimed(world.points, item(7_000))
    return lambda points, _: claim_mine(points, member, made.claim.claim_code)


async def give(world: World) -> Call:
    member, key = await world.member(3), str(uuid4())
    return lambda points, _: Manager(points, world.admin).adjust(member.id, 9, key=key)


async def take(world: World) -> Call:
    member, key = await world.member(30), str(uuid4())
    return lambda points, _: Manager(points, world.admin).adjust(member.id, -9, key=key)


async def import_a_line(world: World) -> Call:
    member, manager = await world.member(3), Manager(world.points, world.admin)
    made = await manager.upload(csv_file((member.id, 9, "Goodwill")))

    async def run(_: OwnService, mortal: Mortal) -> list[tuple[str, str]]:
        await mortal.command(run_import=made.id)
        return [(line["outcome"], line["balance_after"]) for line in await manager.result(made.id)]

    return run


async def expire_a_batch(world: World) -> Call:
    members = [await world.member(20) for _ in range(2)]
    late = "UPDATE lots SET expires_at = now() - interval '1 hour' WHERE member_id = ANY(%(ids)s)"
    await change(world.points, late, ids=[member.id for member in members])

    async def run(_: OwnService, mortal: Mortal) -> list[tuple[Any, ...]]:
        await mortal.command(expire=True)
        balances = "SELECT balance FROM accounts WHERE member_id = ANY(%(ids)s)"
        return await world.points.rows(balances, ids=[member.id for member in members])

    return run


async def spend(world: World) -> Call:
    member, other, first = await world.member(20), await world.member(5), uuid4()
    await world.points.earn(member, 10)
    orders = [(first, member, 15), (uuid4(), other, 5), (uuid4(), member, 10), (first, member, 15)]
    return lambda points, _: points.debit_all(*orders, (uuid4(), member, 6))


async def undo(world: World) -> Call:
    member, order = await world.member(20), uuid4()
    await world.points.earn(member, 10)
    await world.points.debit(order, member, 25)
    return lambda points, _: points.undo(order, member)


async def close(world: World) -> Call:
    member, event = await world.member(20), uuid4()
    return lambda points, _: points.send_event(member.id, 2, "CLOSED", event_id=event)


async def make_a_rule(world: World) -> Call:
    request = earn_rule_pb2.CreateEarnRuleRequest(
        name="Long ago",
        base_rate=earn_effect_pb2.BaseRate(points=2, per_minor=1_000),
        ends_at=sold(utc_now() - timedelta(days=20)),
    )
    metadata = bearer(world.admin, idempotency_key=str(uuid4()))

    def call(points: OwnService, _: Mortal) -> Any:
        return earn_rule_pb2_grpc.EarnRuleServiceStub(points.channel).CreateEarnRule(
            request, metadata=metadata
        )

    return call


BY_NOBODY = (import_a_line, expire_a_batch)
"""Done by the worker, last here: the next one finds nothing to do, and the cache may be old for 60 s."""
WRITES = [
    record_with_a_new_code,
    record_with_a_kept_code,
    record_with_a_signed_code,
    record_for_nobody,
    record_a_batch,
    refund_a_part,
    claim_at_the_till,
    claim_at_the_till_with_a_signed_code,
    claim_in_person,
    give,
    take,
    spend,
    undo,
    close,
    make_a_rule,
    *BY_NOBODY,
]


_NONE = object()
_OWN = re.compile(r"(id|reference|receipt_number|claim_code|seconds|nanos|name|etag|message|value): .*")


def repeatable(answer: Any) -> str:
    """Returns a reply without what differs each time: ids, codes, times."""
    return _OWN.sub("", str(answer))


def content(answer: Any) -> Any:
    """Returns a reply byte for byte."""
    return encoded(answer) if isinstance(answer, Message) else answer


@dataclass
class Seen:
    """What a write left when a process died of it, and after it was repeated."""

    survived: bool
    half: tuple[int, ...]
    whole: tuple[int, ...]
    repeatable: str


async def killed(world: World, prepare: Callable[[World], Awaitable[Call]], statement: int) -> Seen:
    """Does a write in a process that dies before a statement of it, and then again in one that lives."""
    call, first = await prepare(world), _NONE
    before, mortal = await world.state(), await world.mortals.next()
    await mortal.command(die=statement)
    try:
        first = await call(replace(world.points, own_channel=mortal.channel), mortal)
    except DiedError:
        pass
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error  # noqa: PT017  # or it survived
        await mortal.died()
    half = await world.state()
    await world.balanced()
    answer = await call(world.points, world.immortal)
    whole = await world.state()
    again = await call(world.points, world.immortal)
    assert content(again) == content(answer)
    assert await world.state() == whole
    if prepare not in BY_NOBODY:
        agree, differences = await check(world.points)
        assert agree, differences
    if survived := first is not _NONE:
        assert content(first) == content(answer)
        assert half == whole
    await mortal.close()
    return Seen(survived, _more(before, half), _more(before, whole), repeatable(answer))


def _more(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    return tuple(now - then for then, now in zip(before, after, strict=True))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
async def test_all_or_nothing(world: World, write: Callable[[World], Awaitable[Call]]) -> None:
    seen: list[Seen] = []
    while not (seen and seen[-1].survived):
        assert len(seen) < MOST_STATEMENTS
        seen.append(await killed(world, write, len(seen) + 1))
    await world.balanced()
    undisturbed = seen[-1]
    assert any(undisturbed.whole), "the write leaves nothing"
    for one in seen:
        assert one.whole == undisturbed.whole
        assert one.repeatable == undisturbed.repeatable
        assert write is record_a_batch or one.half in ((0,) * len(one.half), one.whole), one
    halves = [one.half for one in seen[:-1]]
    assert (0,) * len(undisturbed.half) in halves
    assert undisturbed.whole in halves, "none died after the commit"
