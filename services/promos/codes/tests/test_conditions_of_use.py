"""When a code can be redeemed, by whom, and how often: windows, switches, owners, limits per member."""

from __future__ import annotations

import asyncio
from uuid import UUID

import grpc
import pytest
from scrip.common.internal.v1 import member_events_pb2

from services.common.ids import new_id
from services.promos.tests.redemption_help import CLOSED, RESTORED, SUSPENDED, Tills
from services.promos.tests.support import Promos, at_once, in_days
from tests.inprocess import reason, refusal


@pytest.fixture
def tills(promos: Promos) -> Tills:
    """Calls of tills."""
    return Tills(promos)


@pytest.mark.covers("C2 CodeService.RedeemCode", "C2 CodeService.VerifyCode")
async def test_a_code_that_is_handed_out_is_good_for_whoever_brings_it(promos: Promos, tills: Tills) -> None:
    code = await tills.bearer_code(uses=2)
    text = await tills.text(code.code_id)
    assert (code.uses_left, code.member_required, code.basket_required) == (2, False, False)
    assert (await promos.verify(text, await promos.platform.token("member"))).code_id == code.code_id
    first = await promos.redeem(text, "R-1")
    assert first.member_id == ""
    ada = await promos.platform.member()
    second = await tills.redeem(text, "R-2", member_code=ada.code)
    assert second.member_id == str(ada.id)
    assert await reason(promos.redeem(text, "R-3")) == "CODE_ALREADY_USED"
    stranger = await promos.platform.token("member")
    assert await reason(promos.verify(text, stranger)) == "CODE_NOT_VALID"


async def test_a_sale_sent_again_keeps_its_member_whatever_is_shown_then(
    promos: Promos, tills: Tills
) -> None:
    ada = await promos.platform.member()
    code = await tills.bearer_code(uses=5)
    text = await tills.text(code.code_id)
    first = await tills.redeem(text, "R-1", member_code=promos.platform.signed_code(ada))
    assert first.member_id == str(ada.id)
    for member_code in ("", "ZZZZZZZZZZZZ", promos.platform.signed_code(ada, in_days(-1))):
        assert await tills.redeem(text, "R-1", member_code=member_code) == first
    assert await reason(tills.redeem(text, "R-2", member_code="ZZZZZZZZZZZZ")) == "MEMBER_CODE_UNKNOWN"
    assert await reason(tills.verify(text, member_code="ZZZZZZZZZZZZ")) == "MEMBER_CODE_UNKNOWN"
    assert (await promos.verify(text)).uses_left == 4


async def test_a_code_is_not_good_before_its_time(promos: Promos, tills: Tills) -> None:
    _, code_id, text = await tills.owned_by()
    await tills.change_set(await tills.set_of(code_id), "starts_at = '2040-01-01T00:00:00Z'")
    for call in (promos.verify(text), promos.redeem(text, "R-1")):
        name, status, metadata = await refusal(call)
        assert (name, status) == ("CODE_NOT_YET_VALID", grpc.StatusCode.FAILED_PRECONDITION)
        assert metadata == {"code_id": code_id, "valid_from": "2040-01-01T00:00:00Z"}
    await tills.change_set(await tills.set_of(code_id), "starts_at = now()")
    await promos.redeem(text, "R-1")


async def test_codes_of_a_set_that_is_switched_off_wait(promos: Promos, tills: Tills) -> None:
    member, code_id, text = await tills.owned_by()
    await tills.change_set(await tills.set_of(code_id), "enabled = false")
    owner = await promos.platform.token("member", member)
    for call in (promos.verify(text), promos.redeem(text, "R-1"), promos.verify(text, owner)):
        assert await refusal(call) == (
            "CODE_SET_DISABLED",
            grpc.StatusCode.FAILED_PRECONDITION,
            {"code_id": code_id},
        )
    await tills.change_set(await tills.set_of(code_id), "enabled = true")
    await promos.redeem(text, "R-1")


async def test_the_sets_end_is_the_codes_end(promos: Promos, tills: Tills) -> None:
    _, code_id, text = await tills.owned_by()
    await promos.execute("UPDATE codes SET expires_at = '2040-01-01' WHERE id = %(id)s", id=code_id)
    await tills.change_set(await tills.set_of(code_id), "expires_at = '2026-01-01T00:00:00Z'")
    assert await refusal(promos.redeem(text, "R-1")) == (
        "CODE_EXPIRED",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"code_id": code_id, "expired_at": "2026-01-01T00:00:00Z"},
    )


@pytest.mark.covers("C2 CodeService.RedeemCode", "C2 CodeService.VerifyCode")
@pytest.mark.parametrize("event", [SUSPENDED, CLOSED])
async def test_what_a_suspended_or_closed_member_owns_can_not_be_redeemed(
    promos: Promos, tills: Tills, event: member_events_pb2.MemberEventType.ValueType
) -> None:
    member, code_id, text = await tills.owned_by()
    await promos.apply(member, version=3, event=event)
    for call in (promos.verify(text), promos.redeem(text, "R-1"), promos.redeem(text, "R-1", promos.admin)):
        assert await refusal(call) == (
            "CODE_ON_HOLD",
            grpc.StatusCode.FAILED_PRECONDITION,
            {"code_id": code_id},
        )
    assert await reason(promos.verify(text, await promos.platform.token("member"))) == "CODE_NOT_VALID"


async def test_what_a_restored_member_owns_can_be_redeemed_again(promos: Promos, tills: Tills) -> None:
    member, _, text = await tills.owned_by()
    await promos.apply(member, version=3, event=SUSPENDED)
    assert await reason(promos.redeem(text, "R-1")) == "CODE_ON_HOLD"
    await promos.apply(member, version=4, event=RESTORED)
    assert (await promos.verify(text)).uses_left == 1
    first = await promos.redeem(text, "R-1")
    await promos.apply(member, version=5, event=SUSPENDED)
    assert await promos.redeem(text, "R-1") == first, "what was redeemed stands"


async def test_a_look_up_shows_no_rewards_of_a_suspended_member(promos: Promos, tills: Tills) -> None:
    await promos.campaign()
    member = await promos.first_login()
    assert len(await tills.usable_rewards(member)) == 1
    await promos.apply(member, version=3, event=SUSPENDED)
    assert await tills.usable_rewards(member) == []
    await promos.apply(member, version=4, event=RESTORED)
    assert len(await tills.usable_rewards(member)) == 1


async def limited(tills: Tills, uses: int, per_member: int) -> tuple[UUID, str, str]:
    """Returns a handed out code that each member may redeem so often: its set, its id, its text."""
    code = await tills.bearer_code(uses)
    code_set_id = await tills.set_of(code.code_id)
    await tills.change_set(code_set_id, "uses_per_member = %(most)s", most=per_member)
    return code_set_id, code.code_id, await tills.text(code.code_id)


@pytest.mark.covers("C2 CodeService.RedeemCode", "C2 CodeService.CancelRedemption")
async def test_each_member_redeems_a_limited_code_so_often_and_a_cancelled_use_comes_back(
    promos: Promos, tills: Tills
) -> None:
    _, code_id, text = await limited(tills, 100, 2)
    ada, bob = await promos.platform.member(), await promos.platform.member()
    assert (await promos.verify(text)).member_required
    assert await refusal(promos.redeem(text, "R-0")) == (
        "MEMBER_REQUIRED",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"code_id": code_id},
    )
    made = [await tills.redeem(text, f"R-{sale}", member_code=ada.code) for sale in (1, 2)]
    for call in (
        tills.redeem(text, "R-3", member_code=ada.code),
        tills.verify(text, member_code=ada.code),
    ):
        assert await refusal(call) == (
            "CODE_MEMBER_LIMIT",
            grpc.StatusCode.FAILED_PRECONDITION,
            {"code_id": code_id, "uses_per_member": "2"},
        )
    assert not (await tills.verify(text, member_code=bob.code)).member_required
    await tills.redeem(text, "R-4", member_code=bob.code)
    assert await tills.redeem(text, "R-1", member_code=ada.code) == made[0]
    await promos.cancel(made[0].id)
    await tills.redeem(text, "R-5", member_code=ada.code)
    assert await reason(tills.redeem(text, "R-6", member_code=ada.code)) == "CODE_MEMBER_LIMIT"
    await promos.cancel(made[0].id)
    assert await reason(tills.redeem(text, "R-6", member_code=ada.code)) == "CODE_MEMBER_LIMIT"


async def test_the_limit_counts_the_owners_uses_of_all_codes_of_the_set(promos: Promos, tills: Tills) -> None:
    owner, code_set_id = new_id(), await promos.code_set(3)
    await tills.change_set(code_set_id, "uses_per_member = 2")
    codes = list((await promos.get(await promos.assign(code_set_id, owner=owner, quantity=3))).values())
    replies, refusals = await at_once(promos.redeem(code.code, f"R-{code.id}") for code in codes)
    assert (len(replies), refusals) == (2, {"CODE_MEMBER_LIMIT": 1})
    assert {reply.member_id for reply in replies} == {str(owner)}


@pytest.mark.covers("C2 CodeService.RedeemCode")
async def test_of_many_tills_at_once_each_member_gets_its_limit_and_the_code_its_own(
    promos: Promos, tills: Tills
) -> None:
    _, _, text = await limited(tills, 10, 3)
    members = [await promos.platform.member() for _ in range(5)]
    tokens = [await promos.platform.till() for _ in range(4)]
    replies, refusals = await at_once(
        tills.redeem(text, f"R-{sale}-{member.id}", token, member_code=member.code)
        for sale in range(4)
        for token in tokens
        for member in members
    )
    assert len(replies) == 10
    uses = [sum(reply.member_id == str(member.id) for reply in replies) for member in members]
    assert max(uses) <= 3
    assert set(refusals) <= {"CODE_MEMBER_LIMIT", "CODE_ALREADY_USED"}
    assert sum(refusals.values()) == 70


async def test_a_members_limit_holds_while_uses_are_given_back(promos: Promos, tills: Tills) -> None:
    code_set_id, _, text = await limited(tills, 100, 1)
    ada = await promos.platform.member()

    async def use_and_cancel(till: int) -> None:
        for turn in range(4):
            replies, refusals = await at_once([tills.redeem(text, f"R-{till}-{turn}", member_code=ada.code)])
            assert set(refusals) <= {"CODE_MEMBER_LIMIT"}
            for reply in replies:
                await promos.cancel(reply.id)

    await asyncio.gather(*(use_and_cancel(till) for till in range(10)))
    uses = "SELECT uses FROM member_uses WHERE code_set_id = %(set)s AND member_id = %(member)s"
    assert await promos.value(uses, set=code_set_id, member=ada.id) == 0
    await tills.redeem(text, "R-last", member_code=ada.code)


@pytest.mark.covers("C2 CodeService.RedeemCode")
@pytest.mark.parametrize(
    "condition",
    [
        "minimum_spend_minor = 1000",
        "categories = '{shoes}'",
        "first_purchase_only = true",
        "exclusive = true",
    ],
)
async def test_a_code_with_conditions_is_redeemed_with_its_basket(
    promos: Promos, tills: Tills, condition: str
) -> None:
    _, code_id, text = await tills.owned_by()
    await tills.change_set(await tills.set_of(code_id), condition)
    assert (await promos.verify(text)).basket_required
    assert await refusal(promos.redeem(text, "R-1")) == (
        "BASKET_REQUIRED",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"code_id": code_id},
    )


@pytest.mark.covers("C2 CodeService.CancelRedemption")
async def test_a_redemption_can_be_cancelled_for_thirty_days(promos: Promos, tills: Tills) -> None:
    _, _, text = await tills.owned_by()
    redemption = await promos.redeem(text, "R-1")
    age = "UPDATE redemptions SET redeemed_at = redeemed_at - interval '30 d' WHERE id = %(id)s"
    await promos.execute(age, id=redemption.id)
    for token in (promos.till, promos.admin):
        name, status, metadata = await refusal(promos.cancel(redemption.id, token))
        assert (name, status) == ("REDEMPTION_TOO_OLD", grpc.StatusCode.FAILED_PRECONDITION)
        assert metadata == {
            "redemption_id": redemption.id,
            "cancellable_until": redemption.redeemed_at.ToJsonString(),
        }
    stranger = await promos.platform.till()
    assert await reason(promos.cancel(redemption.id, stranger)) == "REDEMPTION_NOT_FOUND"


async def test_a_redemption_of_a_code_that_is_over_can_still_be_cancelled(
    promos: Promos, tills: Tills
) -> None:
    for change in ("expires_at = now()", "state = 'VOID', voided_at = now()"):
        _, code_id, text = await tills.owned_by()
        redemption = await promos.redeem(text, "R-1")
        await promos.execute("UPDATE codes SET " + change + " WHERE id = %(id)s", id=code_id)
        cashier = new_id()
        token = await promos.platform.token("cashier", cashier)
        cancelled = await promos.cancel(redemption.id, token)
        assert (cancelled.cancelled_by, cancelled.HasField("cancelled_at")) == (str(cashier), True)
        assert await reason(promos.redeem(text, "R-2")) in {"CODE_EXPIRED", "CODE_VOID"}
        await promos.execute("UPDATE codes SET state = 'ASSIGNED' WHERE id = %(id)s", id=code_id)


async def test_every_change_of_a_code_counts_up_its_version(promos: Promos, tills: Tills) -> None:
    _, code_id, text = await tills.owned_by()
    version = "SELECT version FROM codes WHERE id = %(id)s"
    owned = await promos.value(version, id=code_id)
    assert owned == 2
    redemption = await promos.redeem(text, "R-1")
    await promos.redeem(text, "R-1")
    assert await promos.value(version, id=code_id) == 3
    await promos.cancel(redemption.id)
    await promos.cancel(redemption.id)
    assert await promos.value(version, id=code_id) == 4
    assert await reason(promos.redeem(text, "R-1")) == "REDEMPTION_CANCELLED"
    assert await promos.value(version, id=code_id) == 4


async def test_a_limit_that_is_set_or_lifted_later_counts_what_was_redeemed_under_it(
    promos: Promos, tills: Tills
) -> None:
    code_set_id, _, text = await limited(tills, 100, 1)
    ada = await promos.platform.member()
    await tills.change_set(code_set_id, "uses_per_member = NULL")
    before = await tills.redeem(text, "R-1", member_code=ada.code)
    await tills.change_set(code_set_id, "uses_per_member = 1")
    under = await tills.redeem(text, "R-2", member_code=ada.code)
    await promos.cancel(before.id)
    assert await reason(tills.redeem(text, "R-3", member_code=ada.code)) == "CODE_MEMBER_LIMIT"
    await tills.change_set(code_set_id, "uses_per_member = NULL")
    await promos.cancel(under.id)
    await tills.change_set(code_set_id, "uses_per_member = 1")
    await tills.redeem(text, "R-3", member_code=ada.code)
