"""Orders: paid once, issued once, or undone whole."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import grpc
import pytest
from scrip.points.v1 import points_pb2, points_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc
from scrip.vouchers.v1 import order_pb2, order_pb2_grpc, wallet_pb2, wallet_pb2_grpc

from services.common.db import Connection, execute, fetch_value
from services.common.ids import new_id
from services.vouchers.orders.queries import find_order
from services.vouchers.parts import build
from services.vouchers.tests.support import Create, Earn, Order
from tests import invariants
from tests.inprocess import InProcess, Member, Platform, bearer, eventually, reason, refusal

COMPLETED = order_pb2.ORDER_STATE_COMPLETED


@pytest.fixture(scope="module")
def grpc_stub_cls(grpc_channel: grpc.aio.Channel) -> type[order_pb2_grpc.OrderServiceStub]:
    return order_pb2_grpc.OrderServiceStub


async def balance(platform: Platform, member: Member) -> int:
    stub = points_pb2_grpc.PointsServiceStub(platform.channels["points"])
    return (await stub.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=bearer(member.token))).balance


async def issued(platform: Platform, voucher_id: str) -> int:
    query = "SELECT issued FROM vouchers WHERE id = %(id)s"
    return int(await platform.databases["vouchers"].read(fetch_value, query, id=voucher_id))


async def check_invariants(platform: Platform) -> None:
    """Finds all books in order, once the orders of other tests have ended too."""
    databases = {name: platform.postgres.url(name) for name in platform.databases}

    async def hold() -> None:
        invariants.check(databases, foreign_debits=True)

    await eventually(hold, seconds=60)


@pytest.mark.covers(
    "V3 OrderService.PlaceOrder",
    "V5 WalletService.GetMyVoucher",
    "V5 WalletService.ListMyVouchers",
)
async def test_points_become_a_coupon_in_the_wallet(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member, voucher = await platform.member(), await create()
    await earn(member, 510)
    placed = (await order(member, voucher.id)).order
    assert placed.state == COMPLETED
    assert await balance(platform, member) == 10
    wallet = wallet_pb2_grpc.WalletServiceStub(platform.channels["vouchers"])
    mine = await wallet.ListMyVouchers(wallet_pb2.ListMyVouchersRequest(), metadata=bearer(member.token))
    assert [owned.id for owned in mine.vouchers] == [placed.wallet_voucher_id]
    assert len(mine.vouchers[0].code) == 12
    assert mine.vouchers[0].state == wallet_pb2.WALLET_VOUCHER_STATE_USABLE


@pytest.mark.covers("V3 OrderService.PlaceOrder")
async def test_too_few_points_fail_the_order_and_move_nothing(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member, voucher = await platform.member(), await create()
    await earn(member, 499)
    key = str(new_id())
    name, code, metadata = await refusal(order(member, voucher.id, key))
    assert (name, code) == ("INSUFFICIENT_POINTS", grpc.StatusCode.FAILED_PRECONDITION)
    assert (metadata["required"], metadata["available"]) == ("500", "499")
    assert await refusal(order(member, voucher.id, key)) == (name, code, metadata)
    assert await balance(platform, member) == 499
    assert await issued(platform, voucher.id) == 0
    await check_invariants(platform)


@pytest.mark.covers("V3 OrderService.PlaceOrder")
async def test_the_same_key_gives_the_same_order_even_fifty_times_at_once(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member, voucher = await platform.member(), await create()
    await earn(member, 2_000)
    key = str(new_id())
    replies = await asyncio.gather(*(order(member, voucher.id, key) for _ in range(50)))
    assert len({reply.order.id for reply in replies}) == 1
    assert {reply.order.state for reply in replies} == {COMPLETED}
    assert await balance(platform, member) == 1_500
    assert await issued(platform, voucher.id) == 1


async def test_a_key_is_refused_for_another_voucher(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member, voucher, other = await platform.member(), await create(), await create()
    await earn(member, 1_000)
    key = str(new_id())
    await order(member, voucher.id, key)
    assert await reason(order(member, other.id, key)) == "IDEMPOTENCY_KEY_REUSED"


async def test_keys_of_different_members_do_not_meet(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    ada, grace, voucher = await platform.member(), await platform.member(), await create()
    for member in (ada, grace):
        await earn(member, 500)
    replies = [await order(member, voucher.id, "same-key") for member in (ada, grace)]
    assert replies[0].order.id != replies[1].order.id


async def test_an_order_without_a_key_is_refused(
    platform: Platform, create: Create, grpc_stub: order_pb2_grpc.OrderServiceStub
) -> None:
    member, voucher = await platform.member(), await create()
    request = order_pb2.PlaceOrderRequest(voucher_id=voucher.id)
    for metadata in (bearer(member.token), bearer(member.token, idempotency_key="x" * 129)):
        refused = reason(grpc_stub.PlaceOrder(request, metadata=metadata))
        assert await refused == "IDEMPOTENCY_KEY_REQUIRED"


async def ended(order: Order, member: Member, voucher_id: str) -> order_pb2.PlaceOrderResponse:
    """Returns an order once it has ended, repeated by its key as apps do when the services are slow."""
    key = str(new_id())

    async def when_ended() -> order_pb2.PlaceOrderResponse:
        try:
            placed = await order(member, voucher_id, key)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            raise AssertionError(error.details()) from error
        assert placed.order.state not in (order_pb2.ORDER_STATE_PENDING, order_pb2.ORDER_STATE_UNDOING)
        return placed

    return await eventually(when_ended)


@pytest.mark.covers("V4 OrderService.PlaceOrder")
async def test_200_members_for_50_coupons_get_exactly_50(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    voucher = await create(quantity=50, price_points=1)
    members = [await platform.member() for _ in range(200)]
    for start in range(0, 200, 20):
        await asyncio.gather(*(earn(member, 1) for member in members[start : start + 20]))

    async def outcome(member: Member) -> str:
        try:
            return order_pb2.OrderState.Name((await ended(order, member, voucher.id)).order.state)
        except grpc.aio.AioRpcError as error:
            return str(error.details())

    deadlocks = platform.deadlocks()
    outcomes = await asyncio.gather(*(outcome(member) for member in members))
    assert platform.deadlocks() == deadlocks
    assert outcomes.count("ORDER_STATE_COMPLETED") == 50
    assert len([text for text in outcomes if text == "nothing is left of this voucher"]) == 150
    assert await issued(platform, voucher.id) == 50
    await check_invariants(platform)


@pytest.mark.covers("V4 OrderService.PlaceOrder")
async def test_stock_that_comes_back_is_sold(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    voucher = await create(quantity=1)
    poor, rich = await platform.member(), await platform.member()
    await earn(rich, 500)
    assert await reason(order(poor, voucher.id)) == "INSUFFICIENT_POINTS"
    assert (await order(rich, voucher.id)).order.state == COMPLETED
    assert await reason(order(rich, voucher.id)) == "SOLD_OUT"


async def test_the_winner_of_the_last_piece_still_gets_its_order_by_its_key(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    voucher, member = await create(quantity=1), await platform.member()
    await earn(member, 500)
    placed = await order(member, voucher.id, "last-piece")
    assert await reason(order(member, voucher.id)) == "SOLD_OUT"
    assert await order(member, voucher.id, "last-piece") == placed


async def test_32_orders_of_one_member_at_once_never_overdraw(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    voucher, member = await create(quantity=100, price_points=100), await platform.member()
    await earn(member, 1_000)
    calls = (ended(order, member, voucher.id) for _ in range(32))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert len([result for result in results if not isinstance(result, BaseException)]) == 10
    assert await balance(platform, member) == 0
    assert await issued(platform, voucher.id) == 10
    await check_invariants(platform)


async def test_vouchers_outside_their_window_or_unknown_are_refused(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member = await platform.member()
    await earn(member, 500)
    assert await reason(order(member, str(new_id()))) == "VOUCHER_NOT_FOUND"
    voucher = await create()
    close = "UPDATE vouchers SET sale_ends_at = now() WHERE id = %(id)s"
    await platform.databases["vouchers"].run(execute, close, id=voucher.id)
    assert await reason(order(member, voucher.id)) == "VOUCHER_NOT_ON_SALE"
    assert await balance(platform, member) == 500


@pytest.mark.covers("V3 OrderService.GetMyOrder", "V5 WalletService.GetMyVoucher")
async def test_someone_elses_order_and_voucher_do_not_exist(
    platform: Platform, create: Create, earn: Earn, order: Order, grpc_stub: order_pb2_grpc.OrderServiceStub
) -> None:
    owner, stranger, voucher = await platform.member(), await platform.member(), await create()
    await earn(owner, 500)
    placed = (await order(owner, voucher.id)).order
    request = order_pb2.GetMyOrderRequest(order_id=placed.id)
    assert (await grpc_stub.GetMyOrder(request, metadata=bearer(owner.token))).order == placed
    assert await reason(grpc_stub.GetMyOrder(request, metadata=bearer(stranger.token))) == "ORDER_NOT_FOUND"
    wallet = wallet_pb2_grpc.WalletServiceStub(platform.channels["vouchers"])
    for call in (
        wallet.GetMyVoucher(
            wallet_pb2.GetMyVoucherRequest(wallet_voucher_id=placed.wallet_voucher_id),
            metadata=bearer(stranger.token),
        ),
        wallet.GetMyVoucherQr(
            wallet_pb2.GetMyVoucherQrRequest(wallet_voucher_id=placed.wallet_voucher_id),
            metadata=bearer(stranger.token),
        ),
    ):
        assert await reason(call) == "WALLET_VOUCHER_NOT_FOUND"


@pytest.mark.covers("V3 OrderService.ListMyOrders")
async def test_orders_are_listed_newest_first_in_pages(
    platform: Platform, create: Create, earn: Earn, order: Order, grpc_stub: order_pb2_grpc.OrderServiceStub
) -> None:
    member, voucher = await platform.member(), await create(price_points=1)
    await earn(member, 5)
    placed = [(await order(member, voucher.id)).order.id for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await grpc_stub.ListMyOrders(
            order_pb2.ListMyOrdersRequest(page_size=2, page_token=token), metadata=bearer(member.token)
        )
        seen += [listed.id for listed in page.orders]
        token = page.next_page_token
        if not token:
            break
    assert seen == placed[::-1]


async def state_of(stub: order_pb2_grpc.OrderServiceStub, member: Member, order_id: str) -> str:
    reply = await stub.GetMyOrder(
        order_pb2.GetMyOrderRequest(order_id=order_id), metadata=bearer(member.token)
    )
    return order_pb2.OrderState.Name(reply.order.state)


@pytest.mark.covers("V3 OrderService.PlaceOrder")
@pytest.mark.parametrize("away", ["points", "promos"])
async def test_an_order_waits_for_a_service_that_is_away_and_completes(
    in_process: InProcess, create: Create, earn: Earn, order: Order, away: str
) -> None:
    platform = in_process.platform
    member, voucher = await platform.member(), await create()
    await earn(member, 500)
    await codes_made(platform, voucher.id)
    await platform.stop(away)
    try:
        placed = (await order(member, voucher.id)).order
        assert placed.state == order_pb2.ORDER_STATE_PENDING
    finally:
        await in_process.start_service(away)

    async def completed() -> None:
        orders = order_pb2_grpc.OrderServiceStub(platform.channels["vouchers"])
        assert await state_of(orders, member, placed.id) == "ORDER_STATE_COMPLETED"

    await eventually(completed, seconds=20)
    assert await balance(platform, member) == 0
    await check_invariants(platform)


async def codes_made(platform: Platform, voucher_id: str) -> None:
    made = "SELECT count(*) FROM codes WHERE code_set_id = %(id)s"

    async def check() -> None:
        assert await platform.databases["promos"].read(fetch_value, made, id=voucher_id) > 0

    await eventually(check)


async def test_an_order_given_up_while_undoing_is_finished_by_the_sweep(
    platform: Platform, create: Create, earn: Earn, grpc_stub: order_pb2_grpc.OrderServiceStub
) -> None:
    """As if the process had died right after it had decided to undo, with everything taken."""
    member, voucher = await platform.member(), await create()
    await earn(member, 500)
    order_id = new_id()

    async def leave_behind(connection: Connection) -> None:
        await execute(
            connection,
            """
            INSERT INTO orders (
              id, member_id, idempotency_key, voucher_id, price_points, state, failure_reason, deadline_at
            ) VALUES (
              %(id)s, %(member_id)s, 'k', %(voucher_id)s, 500, 'UNDOING', 'INSUFFICIENT_POINTS', now()
            )
            """,
            id=order_id,
            member_id=member.id,
            voucher_id=UUID(voucher.id),
        )
        await execute(connection, "UPDATE vouchers SET issued = issued + 1 WHERE id = %(id)s", id=voucher.id)

    await platform.databases["vouchers"].run(leave_behind)

    async def failed() -> None:
        assert await state_of(grpc_stub, member, str(order_id)) == "ORDER_STATE_FAILED"

    await eventually(failed, seconds=10)
    assert await issued(platform, voucher.id) == 0
    promos = promos_pb2_grpc.PromosInternalServiceStub(platform.channels["promos"])
    late = promos_pb2.AssignCodesRequest(
        order_id=str(order_id), code_set_id=voucher.id, owner_member_id=str(member.id), quantity=1
    )
    token = await platform.service_token("vouchers")
    assert await reason(promos.AssignCodes(late, metadata=bearer(token))) == "ORDER_UNDONE"
    await check_invariants(platform)


@pytest.mark.parametrize(("points", "ended"), [(500, "COMPLETED"), (499, "FAILED")])
async def test_who_knows_an_order_as_pending_that_has_ended_changes_nothing(
    platform: Platform, create: Create, earn: Earn, order: Order, *, points: int, ended: str
) -> None:
    """As when the sweep takes an order over, and the process that had it goes on with what it knew."""
    member, voucher, key = await platform.member(), await create(), str(new_id())
    await earn(member, points)
    await asyncio.gather(order(member, voucher.id, key), return_exceptions=True)
    left = await balance(platform, member)
    async with build(platform.settings["vouchers"]) as parts:
        kept = await parts.db.read(find_order, member.id, key)
        assert kept is not None
        assert kept.state == ended
        stale = replace(kept, state="PENDING", wallet_voucher_ids=[])
        assert await parts.saga.start(stale) == kept
    assert await balance(platform, member) == left
    assert await issued(platform, voucher.id) == (ended == "COMPLETED")
    await check_invariants(platform)
