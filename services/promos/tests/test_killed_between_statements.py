"""A process dies before any statement of a write: all of the write is there or nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import grpc
import pytest
from scrip.common.internal.v1 import member_events_pb2
from scrip.promos.internal.v1 import promos_pb2
from scrip.promos.v1 import basket_pb2, claim_pb2, code_pb2, promo_pb2

from services.common.db import fetch_values
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.promos.promo_points.tests.gifts import Gifts, keyed
from services.promos.tests.baskets_help import Baskets, line, new_sale, percent
from services.promos.tests.claims_help import Claims
from services.promos.tests.files_help import Files, handed_out, new_set, some_codes
from services.promos.tests.own_service import OwnPromos, own_promos
from services.promos.tests.support import FIRST_LOGIN, REGISTERED
from services.promos.tests.webhooks_help import BrandsWebhooks
from tests import invariants
from tests.dying import Call, Mortal, Mortals, all_deaths, assert_all_or_nothing, mortals
from tests.inprocess import Member, Platform, bearer
from tests.own_service import environment

_COUNTED = (
    "count(*) FROM codes",
    "count(*) FROM codes WHERE state = 'READY'",
    "count(*) FROM codes WHERE state = 'ASSIGNED'",
    "count(*) FROM codes WHERE state = 'VOID'",
    "count(order_id) FROM codes",
    "count(written) FROM codes",
    "sum(uses) FROM codes",
    "sum(version) FROM codes",
    "sum(made) FROM code_sets",
    "sum(wanted) FROM code_sets",
    "sum(voided) FROM code_sets",
    "count(*) FROM assignments",
    "count(*) FROM assignments WHERE state = 'RELEASED'",
    "count(*) FROM redemptions",
    "count(cancelled_at) FROM redemptions",
    "sum(uses) FROM member_uses",
    "count(*) FROM redeemed_baskets",
    "sum(cardinality(redemption_ids)) FROM first_purchases",
    "sum(claimed) FROM discounts",
    "count(*) FROM claims",
    "sum(places_taken) FROM campaigns",
    "count(*) FROM winners",
    "count(*) FROM known_phones",
    "count(*) FROM members",
    "sum(used) FROM promos",
    "count(*) FROM promo_uses",
    "count(cancelled_at) FROM promo_uses",
    "sum(amount) FROM promo_use_parts",
    "sum(imported) FROM code_imports",
    "count(*) FROM code_import_refusals",
    "count(*) FROM webhook_deliveries",
    "count(*) FROM webhook_deliveries WHERE state = 'SUCCEEDED'",
    "count(*) FROM webhook_attempts",
    "count(*) FROM idempotency_keys",
    "count(*) FROM idempotency_keys WHERE reply = ''",
    "count(*) FROM outbox",
    "count(*) FROM procrastinate_jobs",
)
"""Everything that a write may leave, but for a delivery that a worker took and did not live to send."""

_STATE = f"SELECT unnest(ARRAY[{', '.join(f'(SELECT {each})' for each in _COUNTED)}]::bigint[])".encode()


@dataclass
class World:
    """A service that lives, children that die, and who calls them."""

    promos: OwnPromos
    mortals: Mortals
    immortal: Mortal
    claims: Claims
    member: Member

    def reached_by(self, channel: grpc.aio.Channel | None) -> OwnPromos:
        """Returns promos, over this channel if there is one."""
        return replace(self.promos, channel=channel) if channel else self.promos

    async def state(self) -> Sequence[int]:
        """Returns what there is."""
        return [int(each or 0) for each in await self.promos.db.read(fetch_values, _STATE)]

    async def assert_sound(self) -> None:
        """INV3, INV4, INV8 and INV9, and that all counts agree."""
        await self.promos.assert_consistent()
        await asyncio.to_thread(invariants.check_promo_points, self.promos.url)
        await asyncio.to_thread(invariants.check_claims, self.promos.url)

    async def assert_settled(self) -> None:
        """Nothing more: what was repeated left all of it."""


@pytest.fixture(scope="module")
async def world(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A service of its own, for other writes would be mistaken for those under test."""
    folder, module = tmp_path_factory.mktemp("d"), "services.promos.tests.dying"
    async with (
        own_promos(platform) as own,
        mortals(module, environment(platform, "promos", own.url), folder) as made,
    ):
        claims, member = await Claims.of(own), await platform.member()
        await BrandsWebhooks(own, UUID(claims.brand_id), own.admin).create()
        await own.apply(member.id, version=1, event=REGISTERED)
        yield World(own, made, await made.next(), claims, member)


async def redeem_a_code(world: World) -> Call:
    code = await world.promos.assigned_code()
    request = code_pb2.RedeemCodeRequest(code=code.code, sale_reference=new_sale())
    return lambda promos, _: promos.codes.RedeemCode(request, metadata=bearer(promos.till))


async def redeem_a_basket(world: World) -> Call:
    baskets, member = Baskets(world.promos), new_id()
    codes = [
        await baskets.code(percent(10, first_purchase_only=True), owner=member),
        await baskets.code(percent(10), owner=member, uses_per_member=1),
    ]
    request = basket_pb2.RedeemBasketRequest(
        lines=[line(1_000), line(345)],
        codes=[code.text for code in codes],
        currency_code="USD",
        sale_reference=new_sale(),
    )
    return lambda promos, _: Baskets(promos).stub.RedeemBasket(request, metadata=bearer(promos.till))


async def cancel_a_redemption(world: World) -> Call:
    code = await world.promos.assigned_code()
    redeemed = await world.promos.redeem(code.code, new_sale())
    return lambda promos, _: promos.cancel(redeemed.id, promos.admin)


async def claim(world: World) -> Call:
    discount, [token] = await world.claims.open(quantity=1), await world.claims.sharing(1)
    request = claim_pb2.ClaimCodeRequest(brand_id=world.claims.brand_id, discount_id=discount.id)
    metadata = bearer(token, idempotency_key=str(new_id()))
    return lambda promos, _: replace(world.claims, promos=promos).claims.ClaimCode(request, metadata=metadata)


def _order(code_set_id: UUID, quantity: int) -> promos_pb2.AssignCodesRequest:
    return promos_pb2.AssignCodesRequest(
        order_id=str(new_id()),
        code_set_id=str(code_set_id),
        owner_member_id=str(new_id()),
        quantity=quantity,
    )


async def assign_codes(world: World) -> Call:
    request = _order(await world.promos.code_set(3), 2)
    return lambda promos, _: promos.internal.AssignCodes(request, metadata=bearer(promos.vouchers))


async def assign_a_batch(world: World) -> Call:
    code_set_id = await world.promos.code_set(3)
    orders = [_order(code_set_id, 1), _order(code_set_id, 2)]
    request = promos_pb2.BatchAssignCodesRequest(orders=orders)
    return lambda promos, _: promos.internal.BatchAssignCodes(request, metadata=bearer(promos.vouchers))


async def release_codes(world: World) -> Call:
    order = new_id()
    await world.promos.assign(await world.promos.code_set(2), order=order, quantity=2)
    return lambda promos, _: promos.release(order)


async def withdraw_a_code(world: World) -> Call:
    """One that nobody has yet, so that another one is made for it."""
    code_set_id = await world.promos.code_set(1)
    [code] = await Files(world.promos, world.promos.admin).codes(code_set_id)
    return lambda promos, _: Files(promos, promos.admin).void(code.id)


async def use_promo_points(world: World) -> Call:
    promo = await Gifts(world.promos).give(world.member)
    request = promo_pb2.UsePromoPointsRequest(promo_id=promo.id, amount=30)
    metadata = keyed(world.member.token)
    return lambda promos, _: Gifts(promos).mine.UsePromoPoints(request, metadata=metadata)


def _use_at_the_till(world: World) -> promo_pb2.UsePromosRequest:
    return promo_pb2.UsePromosRequest(
        member_code=world.member.code, amount=30, sale_reference=new_sale(), till_number="7"
    )


async def use_promo_points_at_the_till(world: World) -> Call:
    await Gifts(world.promos).give(world.member)
    request = _use_at_the_till(world)
    return lambda promos, _: Gifts(promos).staff.UsePromos(request, metadata=bearer(promos.till))


async def cancel_a_use(world: World) -> Call:
    gifts = Gifts(world.promos)
    await gifts.give(world.member)
    used = await gifts.staff.UsePromos(_use_at_the_till(world), metadata=bearer(world.promos.till))
    return lambda promos, _: Gifts(promos).cancel(used.promo_use_id)


async def first_login(world: World) -> Call:
    await world.promos.execute("UPDATE campaigns SET state = 'ENDED'")
    await world.promos.campaign(places=1)
    request = member_events_pb2.ApplyRequest(
        event_id=str(new_id()),
        member_id=str(new_id()),
        version=2,
        type=FIRST_LOGIN,
        occurred_at=timestamp(utc_now()),
        phone_hash=new_id().bytes * 2,
    )
    return lambda promos, _: promos.events.Apply(request, metadata=bearer(promos.identity))


async def import_a_file(world: World) -> Call:
    taken = await handed_out(world.promos, some_codes(1))
    [elsewhere] = await Files(world.promos, world.promos.admin).codes(taken)
    code_set_id, key = await new_set(world.promos), str(new_id())
    content = "\n".join(["code", *(f"oil-{code}" for code in some_codes(2)), elsewhere.code])
    return lambda promos, _: Files(promos, promos.admin).upload(code_set_id, content, key=key)


async def make_a_batch(world: World) -> Call:
    code_set_id = await new_set(world.promos, quantity=20)

    async def run(promos: OwnPromos, mortal: Mortal) -> int:
        await mortal.command(make=str(code_set_id))
        count = "SELECT count(*) FROM codes WHERE code_set_id = %(id)s"
        return int(await promos.value(count, id=code_set_id))

    return run


async def send_a_delivery(world: World) -> Call:
    await world.promos.execute("DELETE FROM webhook_deliveries")
    webhooks = await BrandsWebhooks.of_new_brand(world.promos)
    delivery = UUID(await webhooks.ping((await webhooks.create())[0]))

    async def run(promos: OwnPromos, mortal: Mortal) -> str:
        # The worker that died has it for 45 s.
        await promos.execute(
            "UPDATE webhook_deliveries SET next_attempt_at = now(), sending_until = NULL"
            " WHERE event_id = %(id)s AND state = 'PENDING'",
            id=delivery,
        )
        await mortal.command(deliver=True)
        return str(
            await promos.value("SELECT state FROM webhook_deliveries WHERE event_id = %(id)s", id=delivery)
        )

    return run


WRITES = [
    redeem_a_code,
    redeem_a_basket,
    cancel_a_redemption,
    claim,
    assign_codes,
    assign_a_batch,
    release_codes,
    withdraw_a_code,
    use_promo_points,
    use_promo_points_at_the_till,
    cancel_a_use,
    first_login,
    import_a_file,
    make_a_batch,
    send_a_delivery,
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
async def test_all_or_nothing(world: World, write: Callable[[World], Awaitable[Call]]) -> None:
    async def prepare() -> Call:
        await world.promos.execute("DELETE FROM procrastinate_jobs")  # nobody does them here
        return await write(world)

    assert_all_or_nothing(await all_deaths(world, prepare))
