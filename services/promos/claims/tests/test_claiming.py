"""Members claim codes of brands' discounts."""

from __future__ import annotations

import asyncio
from typing import LiteralString
from uuid import UUID

import grpc
import pytest
from scrip.promos.v1 import claim_pb2

from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.tests.brands_help import Brands
from services.promos.tests.claims_help import Claims
from services.promos.tests.support import CLOSED, THIRTY_PERCENT, Promos, at_once, in_days
from tests.inprocess import bearer, reason, refusal


@pytest.mark.covers("C6 ClaimService.ClaimCode")
async def test_a_member_who_agrees_claims_a_code(claims: Claims) -> None:
    discount = await claims.open(name="30 % off bread", valid_days=10)
    [token] = await claims.sharing(1)
    claim = await claims.claim(discount.id, token)
    assert claim.discount_id == discount.id
    assert (claim.brand_id, claim.brand_name) == (claims.brand_id, "Golden Crust")
    assert claim.name == "30 % off bread"
    assert claim.benefit == THIRTY_PERCENT
    assert claim.state == claim_pb2.CLAIM_STATE_USABLE
    assert claim.expires_at.seconds - claim.claimed_at.seconds == 10 * 86_400
    assert (await claims.promos.verify(claim.code)).benefit == THIRTY_PERCENT
    assert (await claims.get(discount.id)).claimed == 1


async def test_the_same_key_gets_the_same_claim_and_another_is_refused(claims: Claims) -> None:
    discount = await claims.open()
    [token] = await claims.sharing(1)
    first = await claims.claim(discount.id, token, key="once")
    assert await claims.claim(discount.id, token, key="once") == first
    found = await refusal(claims.claim(discount.id, token, key="twice"))
    assert found == (
        "ALREADY_CLAIMED",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"claim_id": first.id},
    )
    assert (await claims.get(discount.id)).claimed == 1


async def test_a_key_is_for_one_discount(claims: Claims) -> None:
    one, other = await claims.open(), await claims.open()
    [token] = await claims.sharing(1)
    await claims.claim(one.id, token, key="mine")
    assert await reason(claims.claim(other.id, token, key="mine")) == "IDEMPOTENCY_KEY_REUSED"
    await claims.claim(other.id, token, key="another")


async def test_a_claim_needs_a_key(claims: Claims) -> None:
    discount = await claims.open()
    [token] = await claims.sharing(1)
    request = claim_pb2.ClaimCodeRequest(brand_id=claims.brand_id, discount_id=discount.id)
    call = claims.claims.ClaimCode(request, metadata=bearer(token))
    assert await reason(call) == "IDEMPOTENCY_KEY_REQUIRED"


@pytest.mark.parametrize("members", [50])
async def test_exactly_as_many_as_there_are_are_given_to_a_crowd(claims: Claims, members: int) -> None:
    discount = await claims.open(quantity=20)
    tokens = await claims.sharing(members)
    given, refused = await at_once(claims.claim(discount.id, token) for token in tokens)
    assert len(given) == len({claim.code for claim in given}) == 20
    assert refused == {"DISCOUNT_SOLD_OUT": members - 20}
    assert (await claims.get(discount.id)).claimed == 20


async def test_exactly_as_many_through_several_processes(claims: Claims) -> None:
    promos = claims.promos
    discounts = [await claims.open(quantity=15), await claims.open(quantity=15)]
    tokens = await claims.sharing(40)
    async with promos.another_process() as second, promos.another_process() as third:
        brands = [Claims(each, claims.brand_id, claims.manager) for each in (promos, second, third)]
        calls = [
            brands[number % 3].claim(discount.id, token)
            for number, token in enumerate(tokens)
            for discount in discounts
        ]
        given, refused = await at_once(calls)
    assert len({claim.code for claim in given}) == len(given) == 30
    assert refused == {"DISCOUNT_SOLD_OUT": 50}


async def test_a_member_who_claims_fifty_times_at_once_gets_one_code(claims: Claims) -> None:
    discount = await claims.open(quantity=100)
    [token] = await claims.sharing(1)
    async with claims.promos.another_process() as second:
        other = Claims(second, claims.brand_id, claims.manager)
        calls = [(claims, other)[n % 2].claim(discount.id, token) for n in range(50)]
        given, refused = await at_once(calls)
    assert len(given) == 1
    assert refused == {"ALREADY_CLAIMED": 49}


async def test_one_key_fifty_times_at_once_gets_one_claim(claims: Claims) -> None:
    discount = await claims.open(quantity=100)
    [token] = await claims.sharing(1)
    given, refused = await at_once(claims.claim(discount.id, token, key="k") for _ in range(50))
    assert len({claim.id for claim in given}) == 1
    assert len(given) == 50
    assert refused == {}


@pytest.mark.covers("C6 ClaimService.ClaimCode")
async def test_sold_out_is_said_again_and_a_repetition_still_gets_its_claim(claims: Claims) -> None:
    discount = await claims.open(quantity=1)
    first, second = await claims.sharing(2)
    claim = await claims.claim(discount.id, first, key="first")
    for _ in range(3):
        found = await refusal(claims.claim(discount.id, second))
        assert found == (
            "DISCOUNT_SOLD_OUT",
            grpc.StatusCode.FAILED_PRECONDITION,
            {"discount_id": discount.id},
        )
    assert await claims.claim(discount.id, first, key="first") == claim


async def test_more_codes_can_be_claimed_at_once_when_there_are_some(claims: Claims) -> None:
    discount = await claims.open(quantity=1)
    first, second = await claims.sharing(2)
    await claims.claim(discount.id, first)
    assert await reason(claims.claim(discount.id, second)) == "DISCOUNT_SOLD_OUT"
    await claims.update(discount.id, quantity=2)
    await claims.promos.until_made(UUID(discount.id), 1)
    await claims.claim(discount.id, second)


async def test_codes_that_are_still_being_made_are_waited_for(claims: Claims) -> None:
    discount = await claims.open(quantity=1)
    first, second = await claims.sharing(2)
    await claims.claim(discount.id, first)
    # As if the worker were slow: one more is wanted, and not yet made.
    await claims.promos.execute(
        "UPDATE code_sets SET wanted = wanted + 1 WHERE id = %(id)s", id=UUID(discount.id)
    )
    assert await reason(claims.claim(discount.id, second)) == "DISCOUNT_NOT_READY"
    await claims.promos.execute(
        "UPDATE code_sets SET wanted = wanted - 1 WHERE id = %(id)s", id=UUID(discount.id)
    )


async def test_drafts_and_other_brands_discounts_are_not_there(claims: Claims) -> None:
    draft = await claims.create()
    [token] = await claims.sharing(1)
    assert await reason(claims.claim(draft.id, token)) == "DISCOUNT_NOT_FOUND"
    assert await reason(claims.claim(str(new_id()), token)) == "DISCOUNT_NOT_FOUND"
    discount = await claims.open()
    others = claims.claim(discount.id, token, brand_id=str(new_id()))
    assert await reason(others) == "DISCOUNT_NOT_FOUND"
    assert await reason(claims.claim("no id", token)) == "VALIDATION_FAILED"


async def test_a_brand_that_is_not_published_gives_nothing(claims: Claims) -> None:
    discount = await claims.open()
    first, second = await claims.sharing(2)
    claim = await claims.claim(discount.id, first)
    await Brands(claims.promos).unpublish(claims.brand_id)
    assert await reason(claims.claim(discount.id, second)) == "DISCOUNT_NOT_FOUND"
    assert await claims.open_ones() == []
    assert await claims.mine(first) == [claim]


@pytest.mark.covers("C6 DiscountService.PauseDiscount", "C6 DiscountService.EndDiscount")
async def test_paused_and_ended_discounts_give_nothing_more(claims: Claims) -> None:
    discount = await claims.open()
    first, second = await claims.sharing(2)
    claim = await claims.claim(discount.id, first)
    await claims.pause(discount.id)
    found = await refusal(claims.claim(discount.id, second))
    assert found == (
        "DISCOUNT_NOT_OPEN",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"discount_id": discount.id},
    )
    await claims.activate(discount.id)
    await claims.claim(discount.id, second)
    await claims.end(discount.id)
    [third] = await claims.sharing(1)
    assert await reason(claims.claim(discount.id, third)) == "DISCOUNT_NOT_OPEN"
    await claims.promos.verify(claim.code)


@pytest.mark.parametrize(
    "change",
    [
        "starts_at = now() + interval '1 hour'",
        "starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'",
    ],
)
async def test_outside_of_its_window_a_discount_gives_nothing(claims: Claims, change: LiteralString) -> None:
    discount = await claims.open()
    [token] = await claims.sharing(1)
    await claims.promos.execute(f"UPDATE discounts SET {change} WHERE id = %(id)s", id=UUID(discount.id))
    assert await reason(claims.claim(discount.id, token)) == "DISCOUNT_NOT_OPEN"
    assert await claims.open_ones() == []


async def test_codes_that_have_expired_are_not_given(claims: Claims) -> None:
    discount = await claims.open(codes_expire_at=timestamp(in_days(1)))
    [token] = await claims.sharing(1)
    await claims.promos.execute(
        "UPDATE code_sets SET expires_at = now() - interval '1 second' WHERE id = %(id)s",
        id=UUID(discount.id),
    )
    assert await reason(claims.claim(discount.id, token)) == "DISCOUNT_NOT_OPEN"
    assert await claims.open_ones() == []


async def test_without_consent_nothing_is_claimed(claims: Claims) -> None:
    discount = await claims.open()
    member = await claims.promos.platform.member()
    found = await refusal(claims.claim(discount.id, member.token))
    assert found == ("CONSENT_REQUIRED", grpc.StatusCode.FAILED_PRECONDITION, {})
    await claims.agree(member)
    await claims.claim(discount.id, member.token)


async def test_consent_of_which_promos_has_not_heard_yet_is_asked_of_identity(claims: Claims) -> None:
    discount = await claims.open()
    member = await claims.promos.platform.member()
    await claims.agree(member)
    await claims.until_known(member.id, agrees=True)
    await claims.promos.execute(
        "UPDATE member_consents SET shares_contact = false WHERE member_id = %(id)s", id=member.id
    )
    await claims.claim(discount.id, member.token)


async def test_consent_is_that_of_the_newest_event(claims: Claims) -> None:
    member = new_id()
    await claims.consents(member, version=3)
    await claims.consents(member, agrees=False, version=5)
    await claims.consents(member, agrees=True, version=4)
    discount = await claims.open()
    token = await claims.promos.platform.token("member", member)
    assert await reason(claims.claim(discount.id, token)) == "CONSENT_REQUIRED"


@pytest.mark.parametrize(
    ("status", "expected"), [("SUSPENDED", "ACCOUNT_SUSPENDED"), ("CLOSED", "ACCOUNT_CLOSED")]
)
async def test_members_who_are_out_claim_nothing(claims: Claims, status: str, expected: str) -> None:
    discount = await claims.open()
    member = new_id()
    await claims.consents(member)
    token = await claims.promos.platform.token("member", member)
    await claims.promos.execute(
        "UPDATE members SET status = %(status)s WHERE member_id = %(id)s", id=member, status=status
    )
    assert await reason(claims.claim(discount.id, token)) == expected


async def test_closing_the_account_voids_what_was_not_used(claims: Claims) -> None:
    one, other = await claims.open(), await claims.open()
    member = new_id()
    await claims.consents(member)
    token = await claims.promos.platform.token("member", member)
    unused = await claims.claim(one.id, token)
    used = await claims.claim(other.id, token)
    await claims.promos.redeem(used.code, "sale-1")
    await claims.promos.apply(member, version=9, event=CLOSED)
    states = {claim.id: claim.state for claim in (await claims.claimed()).claims}
    assert states == {unused.id: claim_pb2.CLAIM_STATE_VOID, used.id: claim_pb2.CLAIM_STATE_USED}
    assert await reason(claims.promos.verify(unused.code)) == "CODE_VOID"
    assert (await claims.get(one.id)).claimed == 1, "what was given was given"


@pytest.mark.parametrize("role", ["admin", "manager", "cashier", "till"])
async def test_only_members_claim(claims: Claims, role: str) -> None:
    discount = await claims.open()
    token = await claims.promos.platform.token(role)
    assert await reason(claims.claim(discount.id, token)) == "ROLE_NOT_ALLOWED"


async def test_claims_of_many_discounts_that_come_together_do_not_mix(claims: Claims) -> None:
    discounts = [await claims.open(name=f"Discount {number}") for number in range(4)]
    tokens = await claims.sharing(3)
    given = await asyncio.gather(
        *(claims.claim(discount.id, token) for token in tokens for discount in discounts)
    )
    assert [claim.name for claim in given] == [discount.name for discount in discounts] * 3


@pytest.mark.covers("C6 ClaimService.ListMyClaims", "C6 ClaimService.GetMyClaim")
async def test_members_see_their_own_claims(claims: Claims, promos: Promos) -> None:
    one, other = await claims.open(name="One"), await claims.open(name="Other")
    token, stranger = await claims.sharing(2)
    first = await claims.claim(one.id, token)
    second = await claims.claim(other.id, token)
    assert await claims.mine(token) == [second, first]
    assert await claims.get_mine(first.id, token) == first
    await promos.redeem(first.code, "sale-2")
    assert [claim.id for claim in await claims.mine(token, state=claim_pb2.CLAIM_STATE_USED)] == [first.id]
    assert await claims.mine(stranger) == []
    found = await refusal(claims.get_mine(first.id, stranger))
    assert found == ("CLAIM_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"claim_id": first.id})
