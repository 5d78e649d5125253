"""A code is used as often as it allows, once per sale, and a cancelled use comes back once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from scrip.promos.v1 import code_pb2

from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.tests.support import FIVE_DOLLARS, Promos, at_once, in_days
from tests.inprocess import reason, refusal


async def test_a_till_redeems_a_code_once_and_learns_when_it_was_used(promos: Promos) -> None:
    code = await promos.assigned_code()
    usable = await promos.verify(code.code)
    assert (usable.code_id, usable.benefit, usable.uses_left) == (code.id, FIVE_DOLLARS, 1)
    assert not usable.HasField("expires_at")
    redemption = await promos.redeem(code.code, "R-1")
    assert redemption.code_id == code.id
    assert redemption.sale_reference == "R-1"
    assert redemption.benefit == FIVE_DOLLARS
    assert not redemption.HasField("cancelled_at")
    age = datetime.now(UTC) - redemption.redeemed_at.ToDatetime(tzinfo=UTC)
    assert timedelta() <= age < timedelta(seconds=30)
    for call in (promos.redeem(code.code, "R-2"), promos.verify(code.code)):
        name, status, metadata = await refusal(call)
        assert (name, status) == ("CODE_ALREADY_USED", grpc.StatusCode.FAILED_PRECONDITION)
        assert metadata == {"code_id": code.id, "redeemed_at": redemption.redeemed_at.ToJsonString()}


@pytest.mark.covers("C2 CodeService.RedeemCode")
async def test_the_same_sale_again_gets_the_same_answer(promos: Promos) -> None:
    code = await promos.assigned_code()
    first = await promos.redeem(code.code, "R-1")
    spoken = f" {code.code[:6].lower()}-{code.code[6:].lower()} "
    assert await promos.redeem(spoken, "R-1") == first


async def test_the_same_sale_again_gets_the_same_answer_after_the_code_expired(promos: Promos) -> None:
    code = await promos.assigned_code(expires_at=timestamp(in_days(1)))
    first = await promos.redeem(code.code, "R-1")
    await promos.execute("UPDATE codes SET expires_at = now() WHERE id = %(id)s", id=code.id)
    assert await promos.redeem(code.code, "R-1") == first


async def test_another_tills_sale_of_the_same_reference_is_another_sale(promos: Promos) -> None:
    code = await promos.assigned_code()
    await promos.redeem(code.code, "R-1")
    other = await promos.platform.till()
    assert await reason(promos.redeem(code.code, "R-1", other)) == "CODE_ALREADY_USED"


@pytest.mark.covers("C2 CodeService.RedeemCode")
async def test_of_two_tills_of_a_store_server_that_sell_under_one_number_at_once_one_gets_the_code(
    promos: Promos,
) -> None:
    """Both number their receipts from 1, so the number alone does not tell their sales apart."""
    code = await promos.assigned_code()
    replies, refusals = await at_once(
        promos.redeem(code.code, "R-1", till_number=till) for _ in range(20) for till in ("1", "2")
    )
    assert refusals == {"CODE_ALREADY_USED": 20}
    [redemption] = {reply.id: reply for reply in replies}.values()
    assert len(replies) == 20
    other = "2" if redemption.till_number == "1" else "1"
    assert await promos.redeem(code.code, "R-1", till_number=redemption.till_number) == redemption
    assert await reason(promos.redeem(code.code, "R-1", till_number=other)) == "CODE_ALREADY_USED"
    assert await reason(promos.redeem(code.code, "R-1")) == "CODE_ALREADY_USED"


async def test_a_redemption_tells_by_whom_at_which_till_and_of_which_set_it_is(promos: Promos) -> None:
    client, owner = new_id(), new_id()
    till = await promos.platform.token("till", client)
    code_set_id = await promos.code_set(1)
    [code_id] = await promos.assign(code_set_id, owner=owner)
    code = (await promos.get([code_id]))[code_id]
    redemption = await promos.redeem(code.code, "R-1", till, till_number="7")
    told = (redemption.redeemed_by, redemption.till_number, redemption.code_set_id)
    assert told == (str(client), "7", str(code_set_id))
    assert await promos.redeem(code.code, "R-1", till, till_number="7") == redemption
    cancelled = await promos.cancel(redemption.id, till)
    assert (cancelled.redeemed_by, cancelled.till_number, cancelled.code_set_id) == told


async def test_two_codes_may_be_used_for_one_sale(promos: Promos) -> None:
    first, second = await promos.assigned_code(), await promos.assigned_code()
    assert (await promos.redeem(first.code, "R-1")).id != (await promos.redeem(second.code, "R-1")).id


@pytest.mark.covers("C2 CodeService.RedeemCode")
async def test_of_a_hundred_sales_at_once_exactly_one_gets_the_code(promos: Promos) -> None:
    code = await promos.assigned_code()
    replies, refusals = await at_once(promos.redeem(code.code, f"R-{sale}") for sale in range(100))
    assert len(replies) == 1
    assert refusals == {"CODE_ALREADY_USED": 99}


async def test_one_sale_sent_fifty_times_at_once_is_one_use_and_fifty_equal_answers(promos: Promos) -> None:
    code = await promos.assigned_code()
    await promos.execute("UPDATE codes SET uses_allowed = 60 WHERE id = %(id)s", id=code.id)
    replies, refusals = await at_once(promos.redeem(code.code, "R-1") for _ in range(50))
    assert not refusals
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert (await promos.verify(code.code)).uses_left == 59


@pytest.mark.covers("C2 CodeService.RedeemCode")
async def test_a_code_of_several_uses_is_used_exactly_so_often(promos: Promos) -> None:
    code = await promos.assigned_code()
    await promos.execute("UPDATE codes SET uses_allowed = 7 WHERE id = %(id)s", id=code.id)
    replies, refusals = await at_once(promos.redeem(code.code, f"R-{sale}") for sale in range(40))
    assert len(replies) == 7
    assert refusals == {"CODE_ALREADY_USED": 33}


async def test_an_expired_code_is_refused_with_its_end(promos: Promos) -> None:
    code = await promos.assigned_code(expires_at=timestamp(in_days(1)))
    assert (await promos.verify(code.code)).HasField("expires_at")
    await promos.execute("UPDATE codes SET expires_at = '2026-01-01T00:00:00Z' WHERE id = %(id)s", id=code.id)
    for call in (promos.redeem(code.code, "R-1"), promos.verify(code.code)):
        name, _, metadata = await refusal(call)
        assert name == "CODE_EXPIRED"
        assert metadata == {"code_id": code.id, "expired_at": "2026-01-01T00:00:00Z"}


@pytest.mark.covers("C2 CodeService.CancelRedemption")
async def test_a_cancelled_redemption_gives_the_use_back_once_and_its_sale_is_over(promos: Promos) -> None:
    code = await promos.assigned_code()
    redemption = await promos.redeem(code.code, "R-1")
    cancelled = await promos.cancel(redemption.id)
    assert cancelled.HasField("cancelled_at")
    assert await promos.cancel(redemption.id) == cancelled
    name, _, metadata = await refusal(promos.redeem(code.code, "R-1"))
    assert (name, metadata) == ("REDEMPTION_CANCELLED", {"redemption_id": redemption.id})
    assert (await promos.verify(code.code)).uses_left == 1
    await promos.redeem(code.code, "R-2")
    assert await promos.cancel(redemption.id) == cancelled
    assert await reason(promos.redeem(code.code, "R-3")) == "CODE_ALREADY_USED"


async def test_fifty_cancellations_at_once_give_one_use_back(promos: Promos) -> None:
    code = await promos.assigned_code()
    await promos.execute("UPDATE codes SET uses_allowed = 9 WHERE id = %(id)s", id=code.id)
    redemptions = [await promos.redeem(code.code, f"R-{sale}") for sale in range(5)]
    replies, refusals = await at_once(promos.cancel(redemptions[0].id) for _ in range(50))
    assert not refusals
    assert len({reply.cancelled_at.ToJsonString() for reply in replies}) == 1
    assert (await promos.verify(code.code)).uses_left == 5


@pytest.mark.covers("C2 CodeService.CancelRedemption")
async def test_a_till_cancels_only_its_own_and_staff_any(promos: Promos) -> None:
    code = await promos.assigned_code()
    redemption = await promos.redeem(code.code, "R-1")
    stranger = await promos.platform.till()
    name, _, metadata = await refusal(promos.cancel(redemption.id, stranger))
    assert (name, metadata) == ("REDEMPTION_NOT_FOUND", {"redemption_id": redemption.id})
    assert await reason(promos.cancel(str(new_id()))) == "REDEMPTION_NOT_FOUND"
    assert await reason(promos.verify(code.code)) == "CODE_ALREADY_USED"
    cashier = await promos.platform.token("cashier")
    assert (await promos.cancel(redemption.id, cashier)).HasField("cancelled_at")


async def test_redeeming_and_cancelling_at_once_keep_the_uses_right(promos: Promos) -> None:
    code = await promos.assigned_code()
    await promos.execute("UPDATE codes SET uses_allowed = 2 WHERE id = %(id)s", id=code.id)

    async def use_and_cancel(sale: int) -> None:
        for turn in range(5):
            replies, refusals = await at_once([promos.redeem(code.code, f"R-{sale}-{turn}")])
            assert set(refusals) <= {"CODE_ALREADY_USED"}
            for redemption in replies:
                await at_once(promos.cancel(redemption.id) for _ in range(2))

    await asyncio.gather(*(use_and_cancel(sale) for sale in range(12)))
    assert (await promos.verify(code.code)).uses_left == 2


async def test_a_code_that_nobody_owns_is_worth_nothing(promos: Promos) -> None:
    code_set_id = await promos.code_set(1)
    ready = await promos.value("SELECT code FROM codes WHERE code_set_id = %(id)s", id=code_set_id)
    for token in (promos.till, promos.admin):
        assert await reason(promos.verify(ready, token)) == "CODE_NOT_VALID"
        assert await reason(promos.redeem(ready, "R-1", token)) == "CODE_NOT_VALID"
    assert (
        await promos.value(
            "SELECT count(*) FROM redemptions WHERE sale_reference = 'R-1' AND code_id IN"
            " (SELECT id FROM codes WHERE code_set_id = %(id)s)",
            id=code_set_id,
        )
        == 0
    )


@pytest.mark.parametrize(
    ("code", "sale", "expected"),
    [
        ("", "R-1", "VALIDATION_FAILED"),
        ("X" * 65, "R-1", "VALIDATION_FAILED"),
        ("7" * 12, "", "VALIDATION_FAILED"),
        ("7" * 12, "R" * 101, "VALIDATION_FAILED"),
        ("7" * 12, "R\x00", "VALIDATION_FAILED"),
        ("\x00", "R-1", "VALIDATION_FAILED"),
        ("' OR ''='", "R-1", "CODE_NOT_VALID"),
        (" - ", "R-1", "CODE_NOT_VALID"),
        ("7777777777777", "R-1", "CODE_NOT_VALID"),
        ("\U0001f600", "R-1", "CODE_NOT_VALID"),
    ],
)
async def test_bad_input_is_refused(promos: Promos, code: str, sale: str, expected: str) -> None:
    till = await promos.platform.till()
    assert await reason(promos.redeem(code, sale, till)) == expected


async def test_codes_are_redeemed_while_redis_is_away(promos: Promos) -> None:
    code = await promos.assigned_code()
    async with promos.another_process(redis_url="redis://127.0.0.1:1") as alone:
        first = await alone.redeem(code.code, "R-1")
        assert await alone.redeem(code.code, "R-1") == first
        assert await reason(alone.verify("7" * 12)) == "CODE_NOT_VALID"


async def test_a_redemption_says_when_it_was_cancelled(promos: Promos) -> None:
    code = await promos.assigned_code()
    redemption = await promos.redeem(code.code, "R-1")
    cancelled = await promos.cancel(redemption.id)
    expected = code_pb2.Redemption()
    expected.CopyFrom(redemption)
    expected.cancelled_at.CopyFrom(cancelled.cancelled_at)
    expected.cancelled_by = expected.redeemed_by
    assert cancelled == expected
    assert cancelled.cancelled_at.ToDatetime() > redemption.redeemed_at.ToDatetime()
