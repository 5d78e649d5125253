"""Members use their promo points: keyed, and never more than there are."""

from __future__ import annotations

import grpc
import pytest
from scrip.promos.v1 import promo_pb2

from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.promo_points.tests.gifts import Gifts
from services.promos.tests.support import at_once, in_days
from tests.inprocess import Member, Platform, bearer, reason, refusal

USED_UP = promo_pb2.PROMO_STATE_USED_UP


@pytest.mark.covers(
    "C7 MyPromoService.UsePromoPoints", "C7 MyPromoService.GetMyPromo", "C7 MyPromoService.ListMyPromos"
)
async def test_a_member_uses_part_of_a_promo_and_sees_what_is_left(gifts: Gifts, member: Member) -> None:
    made = await gifts.give(member, 100)
    used = await gifts.use(member, made.id, 30)
    assert (used.promo_id, used.amount, used.remaining) == (made.id, 30, 70)
    request = promo_pb2.GetMyPromoRequest(promo_id=made.id)
    mine = (await gifts.mine.GetMyPromo(request, metadata=bearer(member.token))).promo
    assert (mine.amount, mine.used, mine.remaining) == (100, 30, 70)
    assert mine.etag == made.etag
    assert [promo.id for promo in await gifts.list_mine(member)] == [made.id]
    assert await gifts.list_mine(member, state=USED_UP) == []
    await gifts.use(member, made.id, 70)
    assert [promo.id for promo in await gifts.list_mine(member, state=USED_UP)] == [made.id]
    assert [(use.amount, use.remaining) for use in await gifts.uses(made.id)] == [(70, 0), (30, 70)]


async def test_a_use_that_is_repeated_counts_once(gifts: Gifts, member: Member) -> None:
    made, key = await gifts.give(member, 100), str(new_id())
    uses, refused = await at_once(gifts.use(member, made.id, 30, key=key) for _ in range(50))
    assert len({use.id for use in uses}) == 1
    assert not refused
    assert (await gifts.get(made.id)).used == 30
    assert await reason(gifts.use(member, made.id, 31, key=key)) == "IDEMPOTENCY_KEY_REUSED"


async def test_fifty_at_once_never_use_more_than_there_is(gifts: Gifts, member: Member) -> None:
    made = await gifts.give(member, 100)
    uses, refused = await at_once(gifts.use(member, made.id, 7) for _ in range(50))
    assert len(uses) == 100 // 7
    assert refused == {"PROMO_POINTS_INSUFFICIENT": 50 - 100 // 7}
    assert sorted(use.remaining for use in uses) == list(range(100 - 98, 100, 7))
    assert (await gifts.get(made.id)).used == 98


async def test_each_refusal_tells_why(gifts: Gifts, member: Member) -> None:
    few = await gifts.give(member, 10)
    assert await refusal(gifts.use(member, few.id, 11)) == (
        "PROMO_POINTS_INSUFFICIENT",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"remaining": "10"},
    )
    later = await gifts.give(member, starts_at=timestamp(in_days(1)))
    assert await reason(gifts.use(member, later.id, 1)) == "PROMO_NOT_STARTED"
    switched_off = await gifts.give(member, inactive=True)
    assert await reason(gifts.use(member, switched_off.id, 1)) == "PROMO_NOT_ACTIVE"
    over = await gifts.give(member, ends_at=timestamp(in_days(1)))
    await gifts.promos.execute(
        "UPDATE promos SET starts_at = now() - interval '2 d', ends_at = now() - interval '1 d'"
        " WHERE id = %(id)s::uuid",
        id=over.id,
    )
    assert await reason(gifts.use(member, over.id, 1)) == "PROMO_EXPIRED"
    for promo in (later, switched_off, over):
        assert (await gifts.get(promo.id)).used == 0


async def test_other_peoples_promos_do_not_exist(gifts: Gifts, member: Member, platform: Platform) -> None:
    made, stranger = await gifts.give(member), await platform.member()
    assert await reason(gifts.use(stranger, made.id, 1)) == "PROMO_NOT_FOUND"
    request = promo_pb2.GetMyPromoRequest(promo_id=made.id)
    call = gifts.mine.GetMyPromo(request, metadata=bearer(stranger.token))
    assert await reason(call) == "PROMO_NOT_FOUND"
    assert await gifts.list_mine(stranger) == []


@pytest.mark.parametrize("amount", [0, -1, 1_000_000_001])
async def test_bad_amounts_are_refused(gifts: Gifts, member: Member, amount: int) -> None:
    made = await gifts.give(member)
    assert await reason(gifts.use(member, made.id, amount)) == "VALIDATION_FAILED"
    assert await reason(gifts.at_till(member.code, amount, "S-1")) == "VALIDATION_FAILED"


async def test_only_members_use_their_own(gifts: Gifts, member: Member, platform: Platform) -> None:
    made = await gifts.give(member)
    for role in ("till", "admin", "manager", "cashier", "brand_manager"):
        caller = Member(new_id(), "", await platform.token(role), "", "")
        assert await reason(gifts.use(caller, made.id, 1)) == "ROLE_NOT_ALLOWED"
