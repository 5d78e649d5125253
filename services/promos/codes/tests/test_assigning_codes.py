"""Codes belong to one order each, and an order that was released never gets any."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from google.rpc import error_details_pb2
from scrip.promos.internal.v1 import promos_pb2

from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.tests.support import Promos, at_once, in_days
from tests.inprocess import bearer, reason, refusal

USABLE = promos_pb2.CODE_STATE_USABLE
USED = promos_pb2.CODE_STATE_USED
EXPIRED = promos_pb2.CODE_STATE_EXPIRED
VOID = promos_pb2.CODE_STATE_VOID


@pytest.mark.covers("C1 PromosInternalService.EnsureCodes", "V1 PromosInternalService.EnsureCodes")
async def test_a_code_is_good_for_so_many_days_once_it_was_assigned_but_not_longer_than_its_set(
    promos: Promos,
) -> None:
    for fields, days in (({}, 3), ({"expires_at": timestamp(in_days(1))}, 1)):
        code_set_id = await promos.code_set(1, valid_days=3, **fields)
        [code] = (await promos.get(await promos.assign(code_set_id))).values()
        left = code.expires_at.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
        assert timedelta(days=days) - timedelta(minutes=10) < left <= timedelta(days=days)
        others = promos.ensure(code_set_id, 1, valid_days=4, **fields)
        assert await reason(others) == "CODE_SET_CONFLICT"


@pytest.mark.covers("C1 PromosInternalService.AssignCodes")
async def test_an_order_gets_its_codes_and_every_repetition_the_same(promos: Promos) -> None:
    code_set_id, order, owner = await promos.code_set(10), new_id(), new_id()
    first = await promos.assign(code_set_id, order=order, owner=owner, quantity=3)
    assert len(set(first)) == 3
    assert await promos.assign(code_set_id, order=order, owner=owner, quantity=3) == first
    assert {code.state for code in (await promos.get(first)).values()} == {USABLE}
    assert await promos.ready(code_set_id) == 7


async def test_fifty_repetitions_at_once_assign_once(promos: Promos) -> None:
    code_set_id, order, owner = await promos.code_set(60), new_id(), new_id()
    calls = [promos.assign(code_set_id, order=order, owner=owner, quantity=2) for _ in range(50)]
    replies, refusals = await at_once(calls)
    assert not refusals
    assert len({tuple(reply) for reply in replies}) == 1
    assert await promos.ready(code_set_id) == 58


async def test_an_order_is_refused_other_content(promos: Promos) -> None:
    code_set_id, order, owner = await promos.code_set(5), new_id(), new_id()
    other_set = await promos.code_set(5)
    first = await promos.assign(code_set_id, order=order, owner=owner)
    others = [
        promos.assign(code_set_id, order=order, owner=new_id()),
        promos.assign(code_set_id, order=order, owner=owner, quantity=2),
        promos.assign(other_set, order=order, owner=owner),
    ]
    for call in others:
        name, _, metadata = await refusal(call)
        assert (name, metadata) == ("ASSIGNMENT_CONFLICT", {"order_id": str(order)})
    assert await promos.assign(code_set_id, order=order, owner=owner) == first


async def test_an_unknown_set_and_one_without_codes_are_told_apart(promos: Promos) -> None:
    unknown, order = new_id(), new_id()
    name, _, metadata = await refusal(promos.assign(unknown, order=order))
    assert (name, metadata) == ("CODE_SET_NOT_FOUND", {"code_set_id": str(unknown)})
    code_set_id = await promos.code_set(3)
    name, _, metadata = await refusal(promos.assign(code_set_id, order=order, quantity=4))
    assert (name, metadata) == ("CODES_NOT_READY", {"code_set_id": str(code_set_id)})


async def test_an_order_that_found_too_few_codes_keeps_none_and_may_ask_again(promos: Promos) -> None:
    code_set_id, order, owner = await promos.code_set(3), new_id(), new_id()
    request = {"order": order, "owner": owner, "quantity": 4}
    assert await reason(promos.assign(code_set_id, **request)) == "CODES_NOT_READY"  # type: ignore[arg-type]
    assert await promos.ready(code_set_id) == 3
    await promos.ensure(code_set_id, 4)
    await promos.until_made(code_set_id, 4)
    assert len(await promos.assign(code_set_id, **request)) == 4  # type: ignore[arg-type]


@pytest.mark.covers("C1 PromosInternalService.AssignCodes")
async def test_sixty_four_orders_at_once_share_no_code_and_leave_none(promos: Promos) -> None:
    code_set_id = await promos.code_set(128)
    replies, refusals = await at_once(promos.assign(code_set_id, quantity=2) for _ in range(64))
    given = Counter(code_id for reply in replies for code_id in reply)
    assert not refusals
    assert len(given) == 128
    assert set(given.values()) == {1}
    assert await promos.ready(code_set_id) == 0


async def test_more_orders_than_codes_get_exactly_the_codes_there_are(promos: Promos) -> None:
    code_set_id = await promos.code_set(50)
    replies, refusals = await at_once(promos.assign(code_set_id) for _ in range(200))
    assert len(replies) == 50
    assert refusals == {"CODES_NOT_READY": 150}
    assert len({code_id for reply in replies for code_id in reply}) == 50


@pytest.mark.parametrize("start", [0, 2**30, 2**31 - 1])
async def test_every_code_is_found_from_any_starting_point(
    promos: Promos, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    code_set_id = await promos.code_set(30)
    await promos.execute(
        "UPDATE codes SET shuffle = (ARRAY[0, 5, 1073741823, 1073741824, 2147483647])"
        "[1 + floor(random() * 5)] WHERE code_set_id = %(id)s",
        id=code_set_id,
    )
    monkeypatch.setattr(random, "randrange", lambda end: start)
    assert len(await promos.assign(code_set_id, quantity=30)) == 30


@pytest.mark.covers("C1 PromosInternalService.ReleaseCodes")
async def test_releasing_voids_the_codes_and_refuses_the_order_for_ever(promos: Promos) -> None:
    code_set_id, order, owner = await promos.code_set(3), new_id(), new_id()
    codes = await promos.assign(code_set_id, order=order, owner=owner, quantity=2)
    for _ in range(3):
        await promos.release(order)
    assert {code.state for code in (await promos.get(codes)).values()} == {VOID}
    name, _, metadata = await refusal(promos.assign(code_set_id, order=order, owner=owner, quantity=2))
    assert (name, metadata) == ("ORDER_UNDONE", {"order_id": str(order)})
    text = (await promos.get(codes))[codes[0]].code
    assert await reason(promos.redeem(text, "sale")) == "CODE_VOID"
    assert await reason(promos.verify(text)) == "CODE_VOID"


@pytest.mark.covers("V6 PromosInternalService.EnsureCodes")
async def test_voided_codes_are_replaced_so_that_the_whole_quantity_can_still_be_sold(promos: Promos) -> None:
    code_set_id = await promos.code_set(10)
    for _ in range(3):
        order = new_id()
        await promos.assign(code_set_id, order=order, quantity=10)
        await promos.release(order)
        await promos.until_made(code_set_id, 10)
    assert await promos.ensure(code_set_id, 10) == 10
    # Asking for more after codes were voided still means so many usable ones.
    await promos.ensure(code_set_id, 12)
    await promos.until_made(code_set_id, 12)


async def test_a_release_that_comes_first_refuses_the_assignment(promos: Promos) -> None:
    code_set_id, order = await promos.code_set(1), new_id()
    await promos.release(order)
    await promos.release(order)
    assert await reason(promos.assign(code_set_id, order=order)) == "ORDER_UNDONE"
    assert await promos.ready(code_set_id) == 1


@pytest.mark.covers("C1 PromosInternalService.ReleaseCodes")
async def test_assigning_and_releasing_one_order_at_once_ends_released(promos: Promos) -> None:
    code_set_id = await promos.code_set(40)

    async def fight(order: UUID) -> None:
        owner = new_id()
        calls = [promos.assign(code_set_id, order=order, owner=owner) for _ in range(4)]
        calls[2:2] = [empty(promos, order)]
        _, refusals = await at_once(calls)
        assert set(refusals) <= {"ORDER_UNDONE"}
        assert await reason(promos.assign(code_set_id, order=order, owner=owner)) == "ORDER_UNDONE"

    orders = [new_id() for _ in range(30)]
    await asyncio.gather(*(fight(order) for order in orders))
    owned = "SELECT count(*) FROM codes WHERE code_set_id = %(id)s AND state = 'ASSIGNED'"
    assert await promos.value(owned, id=code_set_id) == 0
    await promos.until_made(code_set_id, 40)


async def empty(promos: Promos, order: UUID) -> list[str]:
    await promos.release(order)
    return []


async def test_an_order_with_a_used_code_can_not_be_released_until_the_use_is_cancelled(
    promos: Promos,
) -> None:
    code_set_id, order = await promos.code_set(2), new_id()
    codes = await promos.assign(code_set_id, order=order, quantity=2)
    used = (await promos.get(codes))[codes[0]]
    redemption = await promos.redeem(used.code, "sale")
    name, _, metadata = await refusal(promos.release(order))
    assert (name, metadata) == ("ORDER_CODES_USED", {"order_id": str(order)})
    assert [(await promos.get(codes))[code].state for code in codes] == [USED, USABLE]
    await promos.cancel(redemption.id)
    await promos.release(order)
    assert {code.state for code in (await promos.get(codes)).values()} == {VOID}


async def test_redeeming_and_releasing_at_once_do_not_both_succeed(promos: Promos) -> None:
    code_set_id = await promos.code_set(30)
    outcomes: Counter[bool] = Counter()

    async def fight() -> None:
        order = new_id()
        [code_id] = await promos.assign(code_set_id, order=order)
        code = (await promos.get([code_id]))[code_id].code
        used, refusals = await at_once([redeemed(promos, code), empty(promos, order)])
        assert len(used) == 1, "either the code is used or the order is released"
        assert set(refusals) <= {"CODE_VOID", "ORDER_CODES_USED"}
        assert await promos.state(code_id) == (USED if "ORDER_CODES_USED" in refusals else VOID)
        outcomes["ORDER_CODES_USED" in refusals] += 1

    for _ in range(3):
        await asyncio.gather(*(fight() for _ in range(10)))
    assert outcomes.total() == 30


async def redeemed(promos: Promos, code: str) -> list[str]:
    return [(await promos.redeem(code, "sale")).id]


@pytest.mark.covers("C1 PromosInternalService.BatchGetCodes")
async def test_codes_are_read_with_their_present_state(promos: Promos) -> None:
    owner = new_id()
    code_set_id = await promos.code_set(4, expires_at=timestamp(in_days(1)))
    usable, used, expired = await promos.assign(code_set_id, owner=owner, quantity=3)
    texts = await promos.get([usable, used, expired])
    await promos.redeem(texts[used].code, "sale")
    await promos.execute("UPDATE codes SET expires_at = now() WHERE id = %(id)s", id=expired)
    [ready] = [
        await promos.value(
            "SELECT id FROM codes WHERE code_set_id = %(id)s AND state = 'READY'", id=code_set_id
        )
    ]
    found = await promos.get([usable, used, expired, str(ready), str(new_id())])
    assert {code_id: code.state for code_id, code in found.items()} == {
        usable: USABLE,
        used: USED,
        expired: EXPIRED,
    }


async def assign_all(
    promos: Promos, orders: Sequence[promos_pb2.AssignCodesRequest]
) -> list[promos_pb2.AssignCodesOutcome]:
    """Assigns codes to many orders; what became of each."""
    request = promos_pb2.BatchAssignCodesRequest(orders=orders)
    reply = await promos.internal.BatchAssignCodes(request, metadata=bearer(promos.vouchers))
    assert [outcome.order_id for outcome in reply.outcomes] == [order.order_id for order in orders]
    return list(reply.outcomes)


def wanted(
    code_set_id: UUID, quantity: int = 1, *, order: UUID | None = None
) -> promos_pb2.AssignCodesRequest:
    """Codes for an order of a new member."""
    return promos_pb2.AssignCodesRequest(
        order_id=str(order or new_id()),
        code_set_id=str(code_set_id),
        owner_member_id=str(new_id()),
        quantity=quantity,
    )


def why(outcome: promos_pb2.AssignCodesOutcome) -> str:
    """The reason of a refusal, or nothing."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in outcome.refused.details) else ""


@pytest.mark.covers("C1 PromosInternalService.BatchAssignCodes")
async def test_many_orders_get_their_codes_in_one_call_each_alone(promos: Promos) -> None:
    first, second, unknown = await promos.code_set(5), await promos.code_set(3), new_id()
    undone = new_id()
    await promos.release(undone)
    orders = [
        wanted(first, 2),
        wanted(second, 4),
        wanted(unknown),
        wanted(first, 3),
        wanted(second, order=undone),
        wanted(second, 3),
    ]
    again = promos_pb2.AssignCodesRequest()
    again.CopyFrom(orders[0])
    again.quantity = 1
    outcomes = await assign_all(promos, [*orders, orders[0], again])
    assert [len(outcome.assigned.code_ids) for outcome in outcomes] == [2, 0, 0, 3, 0, 3, 2, 0]
    reasons = ["", "CODES_NOT_READY", "CODE_SET_NOT_FOUND", "", "ORDER_UNDONE", "", "", "ASSIGNMENT_CONFLICT"]
    assert [why(outcome) for outcome in outcomes] == reasons
    assert outcomes[6] == outcomes[0]
    given = [code for outcome in outcomes[:6] for code in outcome.assigned.code_ids]
    assert len(set(given)) == len(given) == 8
    assert await assign_all(promos, orders) == outcomes[:6]


@pytest.mark.covers("C1 PromosInternalService.BatchAssignCodes")
async def test_batches_that_share_orders_and_a_set_give_every_code_once(promos: Promos) -> None:
    code_set_id = await promos.code_set(60)
    orders = [wanted(code_set_id) for _ in range(80)]
    batches = [orders[place : place + 40] for place in (0, 10, 20, 30, 40)] * 2
    found: dict[str, set[str]] = {}
    for outcomes in await asyncio.gather(*(assign_all(promos, batch) for batch in batches)):
        for outcome in outcomes:
            assert why(outcome) in {"", "CODES_NOT_READY"}
            found.setdefault(outcome.order_id, set()).update(outcome.assigned.code_ids)
    for outcome in await assign_all(promos, orders):
        found[outcome.order_id].update(outcome.assigned.code_ids)
    assert sorted(len(codes) for codes in found.values()) == [0] * 20 + [1] * 60
    assert len(set().union(*found.values())) == 60
    assert await promos.ready(code_set_id) == 0


async def test_a_code_is_good_for_its_days_from_when_it_was_given(promos: Promos) -> None:
    code_set_id = await promos.code_set(1)
    await promos.execute("UPDATE code_sets SET valid_days = 7 WHERE id = %(id)s", id=code_set_id)
    [code_id] = await promos.assign(code_set_id)
    code = (await promos.get([code_id]))[code_id]
    left = code.expires_at.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    assert code.version == 2
