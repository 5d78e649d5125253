"""Brands make discounts, change them, and decide when members may claim."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import grpc
import pytest
from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2, discount_pb2

from services.common.db import Connection, execute, fetch_values
from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.tests.brands_help import Brands
from services.promos.tests.claims_help import Claims
from services.promos.tests.files_help import Files
from services.promos.tests.support import THIRTY_PERCENT, at_once, in_days
from tests.inprocess import eventually, reason, refusal

ACTIONS = "SELECT content ->> 'action' FROM outbox WHERE content ->> 'target_id' = %(id)s ORDER BY created_at"


@pytest.mark.covers("C6 DiscountService.CreateDiscount", "C6 DiscountService.GetDiscount")
async def test_a_brand_makes_a_discount_and_its_codes_are_made(claims: Claims) -> None:
    made = await claims.made(
        name="Bread for less", description="Every loaf.\nAll week.", quantity=5, valid_days=30
    )
    assert made.brand_id == claims.brand_id
    assert (made.name, made.description) == ("Bread for less", "Every loaf.\nAll week.")
    assert made.benefit == THIRTY_PERCENT
    assert (made.quantity, made.claimed, made.valid_days) == (5, 0, 30)
    assert made.state == discount_pb2.DISCOUNT_STATE_DRAFT
    assert made.codes_made == 5


async def test_a_pattern_says_how_its_codes_look(claims: Claims) -> None:
    discount = await claims.open(pattern="BREAD-######@@@@@", quantity=1)
    [token] = await claims.sharing(1)
    code = (await claims.claim(discount.id, token)).code
    assert len(code) == 16
    assert discount.pattern == "BREAD-######@@@@@"


async def test_the_same_key_makes_one_discount(claims: Claims) -> None:
    made, _ = await at_once(claims.create(key="one") for _ in range(20))
    assert len({discount.id for discount in made}) == 1
    assert len(made) == 20
    assert await reason(claims.create(key="one", quantity=4)) == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    "fields",
    [
        {"quantity": 0},
        {"quantity": -1},
        {"quantity": 10_000_001},
        {"name": ""},
        {"name": "   "},
        {"name": "Bread\nand butter"},
        {"name": "x" * 121},
        {"description": "x" * 2001},
        {"description": "a\0b"},
        {"brand_id": "no id"},
        {"benefit": None},
        {"benefit": code_pb2.Benefit(percent_off=101)},
        {"benefit": code_pb2.Benefit(percent_off=0)},
        {"valid_days": -1},
        {"valid_days": 4000},
        {"pattern": "#" * 65},
        {"pattern": "BREAD"},
        {"pattern": "bröd-######"},
        {"ends_at": -1.0},
        {"codes_expire_at": -1.0},
        {"starts_at": 2.0, "ends_at": 1.0},
        {"starts_at": 2.0, "codes_expire_at": 1.0},
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused(claims: Claims, fields: dict[str, Any]) -> None:
    assert await reason(claims.create(**_at(fields))) == "VALIDATION_FAILED"


async def test_patterns_that_are_too_small_and_other_currencies_are_refused(claims: Claims) -> None:
    assert await reason(claims.create(pattern="###", quantity=5)) == "CODE_PATTERN_TOO_SMALL"
    yen = money_pb2.Money(currency_code="JPY", amount_minor=500)
    benefit = code_pb2.Benefit(amount_off=yen)
    assert await reason(claims.create(benefit=benefit)) == "CURRENCY_NOT_SUPPORTED"


async def test_brand_managers_act_for_their_own_brand_alone(claims: Claims) -> None:
    discount = await claims.open()
    other = await claims.promos.platform.brand_manager(new_id())
    calls = [
        claims.create(other),
        claims.get(discount.id, other),
        claims.listed(other),
        claims.update(discount.id, other, name="Mine"),
        claims.activate(discount.id, other),
        claims.pause(discount.id, other),
        claims.end(discount.id, other),
        claims.claimed(other),
        claims.exported(other),
    ]
    for call in calls:
        assert await refusal(call) == ("BRAND_NOT_YOURS", grpc.StatusCode.PERMISSION_DENIED, {})
    assert await reason(claims.claimed(claims.manager, discount_id=str(new_id()))) == "DISCOUNT_NOT_FOUND"


async def test_a_discount_needs_a_brand(claims: Claims) -> None:
    nobody = Claims(claims.promos, str(new_id()), claims.promos.admin)
    assert await reason(nobody.create()) == "BRAND_NOT_FOUND"


async def test_a_discount_is_not_found_under_another_brand(claims: Claims) -> None:
    discount = await claims.create()
    elsewhere = Claims(claims.promos, str(new_id()), claims.promos.admin)
    found = await refusal(elsewhere.get(discount.id))
    assert found == ("DISCOUNT_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"discount_id": discount.id})
    assert await reason(elsewhere.update(discount.id, name="Mine")) == "DISCOUNT_NOT_FOUND"
    assert await reason(elsewhere.end(discount.id)) == "DISCOUNT_NOT_FOUND"


@pytest.mark.parametrize("role", ["cashier", "till", "member"])
async def test_others_do_not_manage_discounts(claims: Claims, role: str) -> None:
    token = await claims.promos.platform.token(role)
    calls = [claims.create(token), claims.listed(token), claims.claimed(token), claims.exported(token)]
    for call in calls:
        assert await reason(call) == "ROLE_NOT_ALLOWED"


@pytest.mark.parametrize("role", ["admin", "manager"])
async def test_staff_manage_those_of_every_brand(claims: Claims, role: str) -> None:
    token = await claims.promos.platform.token(role)
    discount = await claims.create(token)
    await claims.activate(discount.id, token)
    assert [one.id for one in (await claims.listed(token)).discounts] == [discount.id]


@pytest.mark.covers("C6 DiscountService.UpdateDiscount")
async def test_what_is_given_is_changed_and_audited(claims: Claims) -> None:
    made = await claims.made(description="Old", ends_at=timestamp(in_days(9)))
    changed = await claims.update(
        made.id, etag=made.etag, name="New", quantity=10, clear=["description", "ends_at"]
    )
    assert (changed.name, changed.description, changed.quantity) == ("New", "", 10)
    assert not changed.HasField("ends_at")
    assert changed.etag != made.etag
    again = await claims.update(made.id, name="New")
    again.codes_made = changed.codes_made  # the worker makes them meanwhile
    assert again == changed, "nothing is different"
    actions = await claims.promos.db.read(fetch_values, ACTIONS, id=made.id)
    assert actions in ([], ["discount.updated"], ["discount.created", "discount.updated"])
    found = await refusal(claims.update(made.id, etag=made.etag, name="Late"))
    assert found == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, {"etag": changed.etag})


@pytest.mark.parametrize(
    "fields",
    [
        {"quantity": 2},
        {"quantity": 0},
        {"name": " "},
        {"description": " "},
        {"clear": ["name"]},
        {"clear": ["description", "description"]},
        {"clear": ["description"], "description": "x"},
        {"starts_at": 3.0, "ends_at": 2.0},
    ],
    ids=str,
)
async def test_changes_that_make_no_sense_are_refused(claims: Claims, fields: dict[str, Any]) -> None:
    made = await claims.made(quantity=3)
    assert await reason(claims.update(made.id, **_at(fields))) == "VALIDATION_FAILED"
    assert await claims.get(made.id) == made


@pytest.mark.covers(
    "C6 DiscountService.ActivateDiscount",
    "C6 DiscountService.PauseDiscount",
    "C6 DiscountService.EndDiscount",
)
async def test_what_has_ended_stays_so(claims: Claims) -> None:
    made = await claims.made()
    active = await claims.activate(made.id, etag=made.etag)
    assert active.state == discount_pb2.DISCOUNT_STATE_ACTIVE
    assert await claims.activate(made.id) == active
    assert await reason(claims.pause(made.id, etag=made.etag)) == "ETAG_MISMATCH"
    paused = await claims.pause(made.id, etag=active.etag)
    assert paused.state == discount_pb2.DISCOUNT_STATE_PAUSED
    ended = await claims.end(made.id, etag=paused.etag)
    assert ended.state == discount_pb2.DISCOUNT_STATE_ENDED
    assert await claims.end(made.id) == ended
    for call in (claims.activate(made.id), claims.pause(made.id), claims.update(made.id, name="x")):
        found = await refusal(call)
        assert found == (
            "DISCOUNT_ENDED",
            grpc.StatusCode.FAILED_PRECONDITION,
            {"discount_id": made.id},
        )


@pytest.mark.covers("C6 DiscountService.UpdateDiscount", "C6 DiscountService.ActivateDiscount")
async def test_discounts_of_an_archived_brand_can_be_stopped_and_nothing_else(claims: Claims) -> None:
    draft, active = await claims.made(), await claims.open()
    await Brands(claims.promos).archive(claims.brand_id)
    for call in (
        claims.update(draft.id, name="New"),
        claims.update(active.id, quantity=9),
        claims.activate(draft.id),
        claims.activate(active.id),
    ):
        found = await refusal(call)
        assert found == (
            "BRAND_ARCHIVED",
            grpc.StatusCode.FAILED_PRECONDITION,
            {"brand_id": claims.brand_id},
        )
    assert await claims.get(draft.id) == draft
    assert (await claims.pause(active.id)).state == discount_pb2.DISCOUNT_STATE_PAUSED
    assert (await claims.end(active.id)).state == discount_pb2.DISCOUNT_STATE_ENDED


async def test_a_brand_that_is_being_archived_activates_nothing(claims: Claims) -> None:
    draft, archived, go_on = await claims.made(), asyncio.Event(), asyncio.Event()

    async def slowly(connection: Connection) -> None:
        archive = "UPDATE brands SET state = 'ARCHIVED' WHERE id = %(id)s"
        await execute(connection, archive, id=UUID(claims.brand_id))
        archived.set()
        await go_on.wait()

    async def waits() -> None:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND query LIKE '%%brands%%FOR SHARE%%' AND %(one)s = 1"
        )
        assert await claims.promos.value(waiting, one=1) == 1

    archiving = asyncio.create_task(claims.promos.db.run(slowly))
    await archived.wait()
    activating = asyncio.create_task(claims.activate(draft.id))
    await eventually(waits)
    go_on.set()
    await archiving
    assert await reason(activating) == "BRAND_ARCHIVED"


@pytest.mark.covers("C6 DiscountService.EndDiscount")
async def test_ending_a_discount_ends_the_making_of_its_codes(claims: Claims) -> None:
    discount = await claims.create(quantity=10_000_000)
    ended = await claims.end(discount.id)

    async def no_job_is_left() -> None:
        jobs = (
            "SELECT count(*) FROM procrastinate_jobs"
            " WHERE args ->> 'code_set_id' = %(id)s AND status IN ('todo', 'doing')"
        )
        assert await claims.promos.value(jobs, id=discount.id) == 0

    await eventually(no_job_is_left)
    assert await claims.get(discount.id) == ended
    assert await claims.promos.ready(UUID(discount.id)) == ended.codes_made < ended.quantity


async def test_codes_that_are_withdrawn_do_not_count_and_an_ended_discount_gets_no_others(
    claims: Claims,
) -> None:
    discount, files = await claims.open(), Files(claims.promos, claims.promos.admin)
    [token] = await claims.sharing(1)
    claimed = await claims.claim(discount.id, token)
    await files.void(claimed.code_id)
    assert (await claims.get(discount.id)).codes_made == 2
    one, other = [code.id for code in await files.codes(UUID(discount.id)) if code.id != claimed.code_id]
    await files.void(one)
    await claims.promos.until_made(UUID(discount.id), 2)
    assert (await claims.get(discount.id)).codes_made == 2, "the one that nobody had was made anew"
    await claims.end(discount.id)
    await files.void(other)
    lacking = "SELECT made < wanted + voided FROM code_sets WHERE id = %(id)s"
    assert await claims.promos.value(lacking, id=UUID(discount.id)) is False
    assert (await claims.get(discount.id)).codes_made == 1


@pytest.mark.covers("C6 DiscountService.ListDiscounts")
async def test_a_brand_lists_its_discounts(claims: Claims) -> None:
    bread, cake, tea = [await claims.create(name=name) for name in ("Bread", "Cake", "Tea")]
    await claims.end(cake.id)
    listed = await claims.listed(order_by="name", with_total=True, page_size=2)
    assert [one.id for one in listed.discounts] == [bread.id, cake.id]
    assert listed.total.count == 3
    rest = await claims.listed(order_by="name", page_size=2, page_token=listed.next_page_token)
    assert [one.id for one in rest.discounts] == [tea.id]
    drafts = await claims.listed(state=discount_pb2.DISCOUNT_STATE_DRAFT)
    assert [one.id for one in drafts.discounts] == [tea.id, bread.id]
    assert [one.id for one in (await claims.listed(query="ca")).discounts] == [cake.id]
    assert await reason(claims.listed(query="a\0")) == "VALIDATION_FAILED"


@pytest.mark.covers("C6 DiscountService.ListOpenDiscounts")
async def test_anyone_sees_what_can_be_claimed_and_how_many_are_left(claims: Claims) -> None:
    await claims.create(name="Draft")
    paused = await claims.open(name="Paused")
    await claims.pause(paused.id)
    await claims.open(name="Later", starts_at=timestamp(in_days(1)))
    gone = await claims.open(name="Sold out", quantity=1)
    left = await claims.open(name="Left", description="Every loaf.", quantity=2, valid_days=7)
    [token] = await claims.sharing(1)
    await claims.claim(gone.id, token)
    await claims.claim(left.id, token)
    [shown] = await claims.open_ones()
    assert (shown.id, shown.name, shown.left) == (left.id, "Left", 1)
    assert (shown.description, shown.valid_days) == ("Every loaf.", 7)
    assert shown.benefit == THIRTY_PERCENT
    everything = await claims.open_ones(brand_id="", page_size=200)
    assert shown.id in [one.id for one in everything]


@pytest.mark.covers("C6 DiscountService.GetOpenDiscount")
async def test_anyone_reads_what_can_be_claimed_and_nothing_else(claims: Claims) -> None:
    draft, left = await claims.made(name="Draft"), await claims.open(name="Left", quantity=1)
    [shown] = await claims.open_ones()
    assert await claims.open_one(left.id) == shown
    [token] = await claims.sharing(1)
    await claims.claim(left.id, token)
    paused = await claims.open(name="Paused")
    await claims.pause(paused.id)
    unseen = await claims.open(name="Unseen")
    await Brands(claims.promos).unpublish(claims.brand_id)
    for which in (draft.id, left.id, paused.id, unseen.id, str(new_id())):
        found = await refusal(claims.open_one(which))
        assert found == ("DISCOUNT_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"discount_id": which})
    assert await reason(claims.open_one("x")) == "VALIDATION_FAILED"


def _at(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields with the moments that lie so many days from now."""
    return {
        name: timestamp(in_days(value)) if isinstance(value, float) else value
        for name, value in fields.items()
    }
