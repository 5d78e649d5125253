"""A till uses promo points for a member who shows the member code."""

from __future__ import annotations

import grpc
import pytest
from scrip.common.v1 import permission_pb2
from scrip.promos.internal.v1 import promos_pb2

from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.promo_points.tests.gifts import Gifts
from services.promos.tests.support import at_once, in_days
from tests.inprocess import Member, Platform, bearer, eventually, reason, refusal


def sale() -> str:
    """Returns a sale that nobody made yet."""
    return f"S-{new_id()}"


@pytest.mark.covers("C7 PromoService.UsePromos")
async def test_what_ends_first_is_used_first(gifts: Gifts, member: Member) -> None:
    lasting = await gifts.give(member, 100)
    soon = await gifts.give(member, 20, ends_at=timestamp(in_days(1)))
    later = await gifts.give(member, 20, ends_at=timestamp(in_days(2)))
    await gifts.give(member, 500, inactive=True)
    used = await gifts.at_till(member.code, 50, sale(), number="3")
    taken = {use.promo_id: (use.amount, use.remaining) for use in used.uses}
    assert taken == {soon.id: (20, 0), later.id: (20, 0), lasting.id: (10, 90)}
    assert {use.id for use in used.uses} == {used.promo_use_id}
    [use] = await gifts.uses(lasting.id)
    assert (use.till_number, use.used_by_role) == ("3", permission_pb2.ROLE_TILL)


async def test_a_sale_that_is_sent_again_counts_once(gifts: Gifts, member: Member) -> None:
    made, number = await gifts.give(member, 100), sale()
    replies, refused = await at_once(gifts.at_till(member.code, 30, number) for _ in range(50))
    assert len({reply.promo_use_id for reply in replies}) == 1
    assert not refused
    assert (await gifts.get(made.id)).used == 30
    name, code, metadata = await refusal(gifts.at_till(member.code, 31, number))
    assert (name, code) == ("PROMO_USE_CONFLICT", grpc.StatusCode.ALREADY_EXISTS)
    assert metadata == {"promo_use_id": replies[0].promo_use_id}
    # Another till of the same store server numbers its receipts for itself.
    assert (await gifts.at_till(member.code, 30, number, number="2")).promo_use_id != metadata["promo_use_id"]


async def test_fifty_tills_at_once_never_use_more_than_there_is(gifts: Gifts, member: Member) -> None:
    promos = [await gifts.give(member, 50), await gifts.give(member, 50, ends_at=timestamp(in_days(1)))]
    replies, refused = await at_once(gifts.at_till(member.code, 9, sale()) for _ in range(50))
    assert len(replies) == 100 // 9
    assert refused == {"PROMO_POINTS_INSUFFICIENT": 50 - 100 // 9}
    assert sum([(await gifts.get(promo.id)).used for promo in promos]) == 99


async def test_tills_members_and_returns_at_once_add_up(gifts: Gifts, member: Member) -> None:
    promos = [await gifts.give(member, 60) for _ in range(3)]
    first, _ = await at_once(gifts.at_till(member.code, 40, sale()) for _ in range(4))
    await at_once(
        [
            *(gifts.cancel(reply.promo_use_id) for reply in first for _ in range(3)),
            *(gifts.use(member, promo.id, 10) for promo in promos for _ in range(5)),
            *(gifts.at_till(member.code, 25, sale()) for _ in range(10)),
        ]
    )
    await gifts.assert_adds_up()


async def test_a_signed_code_serves_one_sale(gifts: Gifts, member: Member, platform: Platform) -> None:
    await gifts.give(member, 100)
    code, number = platform.signed_code(member), sale()
    used = await gifts.at_till(code, 30, number)
    assert await gifts.at_till(code, 30, number) == used
    assert await reason(gifts.at_till(code, 30, sale())) == "MEMBER_CODE_REPLAYED"


async def test_a_signed_code_is_good_for_its_time_alone(
    gifts: Gifts, member: Member, platform: Platform
) -> None:
    await gifts.give(member, 100)
    old = platform.signed_code(member, in_days(-1))
    assert await reason(gifts.at_till(old, 30, sale())) == "MEMBER_CODE_UNKNOWN"


async def test_unknown_codes_and_members_without_promos_are_refused(gifts: Gifts, member: Member) -> None:
    assert await reason(gifts.at_till("NOBODY", 1, sale())) == "MEMBER_CODE_UNKNOWN"
    assert await refusal(gifts.at_till(member.code, 1, sale())) == (
        "PROMO_POINTS_INSUFFICIENT",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"remaining": "0"},
    )


async def test_what_a_member_who_is_suspended_or_gone_has_can_not_be_used(
    gifts: Gifts, member: Member
) -> None:
    """promos decides it by itself, whatever identity said a moment ago."""
    await gifts.give(member, 100)
    suspend = "UPDATE members SET status = 'SUSPENDED' WHERE member_id = %(id)s"
    await gifts.promos.execute(suspend, id=member.id)
    assert await reason(gifts.at_till(member.code, 1, sale())) == "PROMO_POINTS_INSUFFICIENT"
    restore = "UPDATE members SET status = 'ACTIVE' WHERE member_id = %(id)s"
    await gifts.promos.execute(restore, id=member.id)
    assert (await gifts.at_till(member.code, 1, sale())).uses[0].remaining == 99


@pytest.mark.covers("C7 PromosInternalService.GetUsablePromos")
async def test_a_look_up_is_told_what_ends_first_and_how_much_there_is_in_all(
    gifts: Gifts, member: Member
) -> None:
    await gifts.give(member, 7, inactive=True)
    soon = await gifts.give(member, 5, ends_at=timestamp(in_days(1)))
    used = await gifts.give(member, 3)
    await gifts.use(member, used.id, 3)
    await gifts.promos.execute(
        """
        INSERT INTO promos (id, member_id, type, code, description, starts_at, amount, active)
        SELECT uuidv7(), %(id)s, 'OTHER', uuidv7()::text, 'One of many', now(), 2, true
        FROM generate_series(1, 60)
        """,
        id=member.id,
    )

    async def told() -> promos_pb2.GetUsablePromosResponse:
        request = promos_pb2.GetUsablePromosRequest(member_id=str(member.id))
        identity = bearer(gifts.promos.identity)
        return await gifts.promos.internal.GetUsablePromos(request, metadata=identity)

    found = await told()
    assert (found.promos[0].remaining, found.promos[0].ends_at) == (5, soon.ends_at)
    assert (len(found.promos), found.remaining) == (50, 5 + 60 * 2)
    suspend = "UPDATE members SET status = 'SUSPENDED' WHERE member_id = %(id)s"
    await gifts.promos.execute(suspend, id=member.id)
    assert await told() == promos_pb2.GetUsablePromosResponse()


async def test_an_account_that_is_closed_has_nothing_to_use(
    gifts: Gifts, member: Member, platform: Platform
) -> None:
    made = await gifts.give(member, 100)
    await platform.close_account(member)

    async def unknown() -> None:
        assert await reason(gifts.at_till(member.code, 1, sale())) == "MEMBER_CODE_UNKNOWN"

    await eventually(unknown)
    assert (await gifts.get(made.id)).used == 0


@pytest.mark.covers("C7 PromoService.CancelPromoUse")
async def test_what_was_used_is_given_back_once(gifts: Gifts, member: Member, platform: Platform) -> None:
    made, number = await gifts.give(member, 100), sale()
    used = await gifts.at_till(member.code, 30, number)
    another_till = await platform.token("till")
    if another_till != gifts.promos.till:
        assert await reason(gifts.cancel(used.promo_use_id, another_till)) == "PROMO_USE_NOT_FOUND"
    for _ in range(3):
        [given_back] = await gifts.cancel(used.promo_use_id)
        assert given_back.HasField("cancelled_at")
    assert (await gifts.get(made.id)).remaining == 100
    assert await reason(gifts.at_till(member.code, 30, number)) == "PROMO_USE_CANCELLED"
    own = await gifts.use(member, made.id, 10)
    assert await reason(gifts.cancel(own.id)) == "PROMO_USE_NOT_FOUND"
    await gifts.cancel(own.id, gifts.promos.admin)
    assert (await gifts.get(made.id)).remaining == 100
    assert await reason(gifts.cancel(str(new_id()), gifts.promos.admin)) == "PROMO_USE_NOT_FOUND"
