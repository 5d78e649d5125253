"""An order that fails by a defect is set aside, told and tried again; no other waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from scrip.common.v1 import set_aside_pb2
from scrip.promos.internal.v1 import promos_pb2
from scrip.vouchers.v1 import operations_pb2, operations_pb2_grpc, order_pb2

from services.common import channels
from services.common.db import Connection, execute, fetch_value
from services.common.errors import OutcomeUnknownError
from services.common.ids import new_id
from services.vouchers.orders.clients import OrderCodes
from services.vouchers.orders.queries import OrderRow, get_order
from services.vouchers.orders.tests.test_orders import balance, check_invariants, codes_made, issued
from services.vouchers.parts import Parts, build
from services.vouchers.tests.support import Create, Earn, Order
from tests.inprocess import InProcess, Member, Platform, bearer, eventually, reason

PENDING = order_pb2.ORDER_STATE_PENDING


@dataclass
class Codes:
    """Who gets no code: of these members the step raises, of those it never returns."""

    failing: set[UUID] = field(default_factory=set)
    hanging: set[UUID] = field(default_factory=set)
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    tries: list[UUID] = field(default_factory=list)


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> Codes:
    """Codes that fail or hang for some members, in every process."""
    state, assign = Codes(), OrderCodes.assign

    async def faulty(self: OrderCodes, order: OrderRow) -> list[UUID]:
        state.tries.append(order.member_id)
        if order.member_id in state.failing:
            raise IndexError("list index (0) out of range")
        if order.member_id in state.hanging:
            state.hung.set()
            await asyncio.Event().wait()
        return await assign(self, order)

    monkeypatch.setattr(OrderCodes, "assign", faulty)
    return state


@asynccontextmanager
async def sweeper(in_process: InProcess) -> AsyncIterator[Parts]:
    """What a worker of vouchers has, while the platform's own does nothing."""
    await in_process.stop_worker("vouchers")
    try:
        async with build(in_process.platform.settings["vouchers"]) as parts:
            yield parts
            await asyncio.wait([asyncio.ensure_future(parts.saga.drain())], timeout=0.1)
    finally:
        in_process.start_worker("vouchers")


async def leave_behind(platform: Platform, member: Member, voucher_id: str, state: str = "PENDING") -> UUID:
    """Returns an order that a process took no further, with its stock taken."""
    order_id = new_id()

    async def insert(connection: Connection) -> None:
        await execute(
            connection,
            """
            INSERT INTO orders (
              id, member_id, idempotency_key, voucher_id, price_points, state, failure_reason, deadline_at
            ) VALUES (
              %(id)s, %(member_id)s, %(key)s, %(voucher_id)s, 500, %(state)s,
              CASE %(state)s WHEN 'UNDOING' THEN 'INSUFFICIENT_POINTS' END, now()
            )
            """,
            id=order_id,
            key=str(order_id),
            member_id=member.id,
            voucher_id=UUID(voucher_id),
            state=state,
        )
        await execute(connection, "UPDATE vouchers SET issued = issued + 1 WHERE id = %(id)s", id=voucher_id)

    await platform.databases["vouchers"].run(insert)
    return order_id


async def state_of(platform: Platform, order_id: UUID | str) -> str:
    return (await platform.databases["vouchers"].read(get_order, UUID(str(order_id)))).state


async def kept_error(platform: Platform, order_id: UUID | str) -> str | None:
    """Returns the error with which an order is set aside, None when it is not."""
    query = "SELECT error FROM set_aside WHERE kind = 'ORDER' AND id = %(id)s"
    found: str | None = await platform.databases["vouchers"].read(fetch_value, query, id=str(order_id))
    return found


async def buyer(platform: Platform, earn: Earn) -> Member:
    """Returns a member who can pay for one order."""
    member = await platform.member()
    await earn(member, 500)
    return member


async def test_an_order_whose_step_raises_anything_is_set_aside_and_told(
    platform: Platform,
    create: Create,
    earn: Earn,
    *,
    order: Order,
    codes: Codes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    voucher, member = await create(), await buyer(platform, earn)
    codes.failing.add(member.id)
    placed = (await order(member, voucher.id)).order
    assert placed.state == PENDING
    assert await kept_error(platform, placed.id) == "IndexError"
    [told] = [r for r in caplog.records if r.exc_info and placed.id in r.getMessage()]
    assert told.exc_info is not None
    assert told.exc_info[0] is IndexError
    codes.failing.clear()


async def test_no_order_waits_for_others_that_fail_or_hang(
    in_process: InProcess, create: Create, earn: Earn, codes: Codes
) -> None:
    platform = in_process.platform
    voucher = await create()
    await codes_made(platform, voucher.id)
    bad = [await buyer(platform, earn) for _ in range(6)]
    stuck, well = await buyer(platform, earn), await buyer(platform, earn)
    codes.failing |= {member.id for member in bad}
    codes.hanging.add(stuck.id)
    async with sweeper(in_process) as parts:
        left = [await leave_behind(platform, member, voucher.id) for member in [*bad, stuck]]
        async with asyncio.timeout(20):
            await parts.saga.sweep()
            await codes.hung.wait()
        healthy = await leave_behind(platform, well, voucher.id)
        async with asyncio.timeout(20):
            await parts.saga.sweep()

        async def completed() -> None:
            assert await state_of(platform, healthy) == "COMPLETED"

        await eventually(completed)
        assert [await kept_error(platform, one) for one in left] == ["IndexError"] * 6 + [None]
        assert [await state_of(platform, one) for one in left] == ["PENDING"] * 7
        tries = len(codes.tries)
        await platform.databases["vouchers"].run(
            execute, "UPDATE orders SET deadline_at = now() WHERE id = ANY(%(ids)s)", ids=left[:6]
        )
        await parts.saga.sweep()
        await asyncio.sleep(0.3)
        assert len(codes.tries) == tries, "those that are set aside wait for their time"
        for task in list(parts.saga._running.values()):
            task.cancel()
    codes.failing.clear()
    codes.hanging.clear()


@pytest.mark.covers(
    "E9 VouchersOperationsService.ListSetAside",
    "E9 VouchersOperationsService.RetrySetAside",
)
async def test_staff_see_it_and_have_it_tried_when_it_is_mended(
    platform: Platform, create: Create, earn: Earn, order: Order, codes: Codes
) -> None:
    voucher, member, key = await create(), await buyer(platform, earn), str(new_id())
    codes.failing.add(member.id)
    placed = (await order(member, voucher.id, key)).order
    stub = operations_pb2_grpc.VouchersOperationsServiceStub(platform.channels["vouchers"])
    admin = bearer(await platform.admin())
    request = operations_pb2.ListSetAsideRequest(
        kind=set_aside_pb2.SET_ASIDE_KIND_ORDER, order_by="set_aside_at desc", with_total=True
    )
    reply = await stub.ListSetAside(request, metadata=admin)
    [found] = [one for one in reply.set_aside if one.id == placed.id]
    assert (found.kind, found.last_error) == (set_aside_pb2.SET_ASIDE_KIND_ORDER, "IndexError")
    assert found.attempts >= 1
    assert found.HasField("next_attempt_at")
    assert reply.total.count == len(reply.set_aside)
    codes.failing.clear()
    db = platform.databases["vouchers"]
    await db.run(
        execute,
        "UPDATE set_aside SET next_attempt_at = now() + interval '1 h' WHERE id = %(id)s",
        id=placed.id,
    )
    one = operations_pb2.RetrySetAsideRequest(kind=set_aside_pb2.SET_ASIDE_KIND_ORDER, id=placed.id)
    assert (await stub.RetrySetAside(one, metadata=admin)).retried == 1

    async def well() -> None:
        assert await state_of(platform, placed.id) == "COMPLETED"

    await eventually(well, seconds=30)
    assert await kept_error(platform, placed.id) is None
    assert await reason(stub.RetrySetAside(one, metadata=admin)) == "SET_ASIDE_NOT_FOUND"
    assert await balance(platform, member) == 0
    assert await issued(platform, voucher.id) == 1
    await check_invariants(platform)


@pytest.mark.parametrize("role", ["member", "till", "manager", "cashier"])
async def test_only_admins_see_it(platform: Platform, role: str) -> None:
    stub = operations_pb2_grpc.VouchersOperationsServiceStub(platform.channels["vouchers"])
    token = bearer(await platform.token(role))
    for call in (
        stub.ListSetAside(operations_pb2.ListSetAsideRequest(), metadata=token),
        stub.RetrySetAside(operations_pb2.RetrySetAsideRequest(), metadata=token),
    ):
        assert await reason(call) == "ROLE_NOT_ALLOWED"


async def test_an_order_that_can_not_be_failed_is_set_aside(
    in_process: InProcess, create: Create, earn: Earn
) -> None:
    """Its stock is gone already, so the database refuses to give it back."""
    platform = in_process.platform
    voucher, member = await create(), await buyer(platform, earn)
    db = platform.databases["vouchers"]
    async with sweeper(in_process) as parts:
        broken = await leave_behind(platform, member, voucher.id, "UNDOING")
        await db.run(execute, "UPDATE vouchers SET issued = 0 WHERE id = %(id)s", id=voucher.id)
        await parts.saga.sweep()

        async def kept() -> None:
            assert "UnforeseenError 23514" in (await kept_error(platform, broken) or "")

        await eventually(kept)
        await db.run(execute, "UPDATE vouchers SET issued = 1 WHERE id = %(id)s", id=voucher.id)
        await db.run(
            execute, "UPDATE set_aside SET next_attempt_at = now() WHERE id = %(id)s", id=str(broken)
        )
        await db.run(execute, "UPDATE orders SET deadline_at = now() WHERE id = %(id)s", id=broken)
        await parts.saga.sweep()

        async def failed() -> None:
            assert await state_of(platform, broken) == "FAILED"

        await eventually(failed)
    assert await kept_error(platform, broken) is None
    await check_invariants(platform)


@pytest.mark.parametrize("lacking", ["codes", "orders"])
async def test_a_reply_without_a_code_is_a_fault_of_promos(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    row = OrderRow(new_id(), new_id(), new_id(), 1, "PENDING", None, None, placed_at=None)  # type: ignore[arg-type]
    reply = promos_pb2.BatchAssignCodesResponse()
    if lacking == "codes":
        reply.outcomes.add(order_id=str(row.id)).assigned.SetInParent()

    async def empty(*_: object, **__: object) -> promos_pb2.BatchAssignCodesResponse:
        return reply

    monkeypatch.setattr(channels, "call", empty)
    client = OrderCodes(platform.channels["promos"], lambda: platform.service_token("vouchers"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.assign(row)
    assert caught.value.failed
