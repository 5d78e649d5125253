"""What staff and brand managers do with sets of codes."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2, code_set_pb2

from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.tests.brands_help import Brands
from services.promos.tests.code_set_help import (
    HANDED_OUT,
    MAKING,
    NOTHING_OFF,
    READY,
    TEN_PERCENT,
    create_set,
    get_set,
    list_sets,
    made_set,
    stub_of,
    texts_of,
    until_ready,
    update_set,
    watch,
)
from services.promos.tests.support import FIVE_DOLLARS, Promos, at_once, in_days
from tests.inprocess import bearer, reason, refusal, refused_status

FAILED = grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet", "C1 CodeSetService.GetCodeSet")
async def test_a_set_is_created_made_in_the_background_and_read_back(promos: Promos) -> None:
    starts_at, expires_at = timestamp(in_days(1)), timestamp(in_days(9))
    made = await create_set(
        promos,
        name="  Summer flyer ",
        pattern="sommer-######@@@@@",
        quantity=1_234,
        benefit=FIVE_DOLLARS,
        starts_at=starts_at,
        expires_at=expires_at,
        uses_allowed=3,
        uses_per_member=2,
        enabled=False,
    )
    assert (made.name, made.purpose, made.brand_id) == ("Summer flyer", HANDED_OUT, "")
    assert (made.pattern, made.quantity, made.made, made.state) == ("SOMMER-######@@@@@", 1_234, 0, MAKING)
    assert (made.starts_at, made.expires_at, made.benefit) == (starts_at, expires_at, FIVE_DOLLARS)
    assert (made.uses_allowed, made.uses_per_member, made.enabled) == (3, 2, False)
    assert not made.HasField("valid_days")
    ready = await until_ready(promos, made.id)
    assert (ready.made, ready.made_per_second, ready.HasField("seconds_left")) == (1_234, 0, False)
    assert ready.etag == made.etag, "codes that are made are no change by staff"
    codes = await texts_of(promos, made.id)
    assert len(set(codes)) == 1_234
    assert all(code.startswith("S0MMER") and len(code) == 17 for code in codes)
    kept = await promos.value(
        "SELECT array_agg(DISTINCT (state, shuffle, uses_allowed, owner_member_id)::text)"
        " FROM codes WHERE code_set_id = %(id)s",
        id=made.id,
    )
    assert kept == ["(BEARER,0,3,)"], "they are good for whoever brings them, and in no stock"


async def test_what_is_not_said_is_twelve_characters_once_by_anybody_without_end(promos: Promos) -> None:
    made = await made_set(promos)
    assert (made.pattern, made.uses_allowed, made.enabled) == ("", 1, True)
    for field in ("starts_at", "expires_at", "uses_per_member", "valid_days", "seconds_left"):
        assert not made.HasField(field)
    assert {len(code) for code in await texts_of(promos, made.id)} == {12}


async def test_a_set_for_imports_gets_no_codes_by_itself(promos: Promos) -> None:
    made = await create_set(promos, quantity=0, import_only=True)
    assert (made.quantity, made.made, made.state) == (0, 0, READY)


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet")
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"brand_id": "7"}, "brand_id"),
        ({"quantity": 0}, "request"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 10_000_001}, "quantity"),
        ({"quantity": 2**31 - 1}, "quantity"),
        ({"quantity": 5, "import_only": True}, "request"),
        ({"benefit": None}, "benefit"),
        ({"benefit": code_pb2.Benefit()}, "benefit"),
        ({"benefit": code_pb2.Benefit(percent_off=0)}, "benefit.percent_off"),
        ({"benefit": code_pb2.Benefit(percent_off=101)}, "benefit.percent_off"),
        ({"benefit": NOTHING_OFF}, "benefit.amount_off.amount_minor"),
        ({"uses_allowed": 0}, "uses_allowed"),
        ({"uses_allowed": 1_000_001}, "uses_allowed"),
        ({"uses_per_member": 0}, "uses_per_member"),
        ({"uses_per_member": -5}, "uses_per_member"),
        ({"pattern": "SUMMER"}, "pattern"),
        ({"pattern": "-"}, "pattern"),
        ({"pattern": "##_##"}, "pattern"),
        ({"pattern": "#" * 65}, "pattern"),
        ({"pattern": "##\0##"}, "pattern"),
        ({"expires_at": timestamp(in_days(-1))}, "expires_at"),
        ({"starts_at": timestamp(in_days(2)), "expires_at": timestamp(in_days(1))}, "request"),
    ],
)
async def test_bad_input_is_refused_with_its_field(
    promos: Promos, fields: dict[str, Any], field: str
) -> None:
    status, code = await refused_status(create_set(promos, **fields))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    violations = error_details_pb2.BadRequest()
    assert any(detail.Unpack(violations) for detail in status.details)
    assert {violation.field for violation in violations.field_violations} == {field}


async def test_amounts_are_in_the_programmes_currency(promos: Promos) -> None:
    euros = code_pb2.Benefit(amount_off=money_pb2.Money(currency_code="EUR", amount_minor=500))
    assert await reason(create_set(promos, benefit=euros)) == "CURRENCY_NOT_SUPPORTED"
    made = await create_set(promos, quantity=0, import_only=True)
    assert await reason(update_set(promos, made.id, benefit=euros)) == "CURRENCY_NOT_SUPPORTED"


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet")
async def test_a_pattern_that_is_too_small_is_refused_beforehand(promos: Promos) -> None:
    """The letters before the digits are this test's own, so that sets of other tests take no room."""
    refused = await refusal(create_set(promos, pattern="TOOSMA-####", quantity=11))
    assert refused == (
        "CODE_PATTERN_TOO_SMALL",
        FAILED,
        {"pattern": "TOOSMA-####", "possible_codes": "10000", "largest_quantity": "10"},
    )
    made = await made_set(promos, pattern="TOOSMA-####", quantity=4)
    _, _, metadata = await refusal(create_set(promos, pattern="TOOSMA-####", quantity=7))
    assert metadata["largest_quantity"] == "6", "codes of other sets that look alike take room"
    assert await reason(create_set(promos, pattern="TO0SMA#-###", quantity=7)) == "CODE_PATTERN_TOO_SMALL"
    assert await reason(update_set(promos, made.id, quantity=11)) == "CODE_PATTERN_TOO_SMALL"
    assert (await update_set(promos, made.id, quantity=10)).quantity == 10
    assert (await update_set(promos, made.id, quantity=11, allow_guessable=True)).quantity == 11
    assert await reason(create_set(promos, pattern="TOOSMA-####", quantity=1)) == "CODE_PATTERN_TOO_SMALL"


async def test_guessable_codes_are_made_when_staff_insist_and_no_more_than_half_of_all(
    promos: Promos,
) -> None:
    _, _, metadata = await refusal(
        create_set(promos, pattern="HALF-####", quantity=5_001, allow_guessable=True)
    )
    assert metadata["largest_quantity"] == "5000"
    made = await made_set(promos, pattern="HALF-####", quantity=5_000, allow_guessable=True)
    assert len(set(await texts_of(promos, made.id))) == 5_000


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet")
async def test_a_set_is_made_once_per_key_by_fifty_calls_at_once(promos: Promos) -> None:
    key = str(new_id())
    replies, refusals = await at_once(create_set(promos, key=key, name="Once") for _ in range(50))
    assert not refusals
    assert len({reply.id for reply in replies}) == 1
    assert await reason(create_set(promos, key=key, name="Twice")) == "IDEMPOTENCY_KEY_REUSED"
    request = code_set_pb2.CreateCodeSetRequest(name="x", quantity=1, benefit=TEN_PERCENT)
    call = stub_of(promos).CreateCodeSet(request, metadata=bearer(promos.admin))
    assert await reason(call) == "IDEMPOTENCY_KEY_REQUIRED"


# Brands


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet", "C1 CodeSetService.UpdateCodeSet")
async def test_a_brand_manager_makes_sees_and_changes_sets_of_the_own_brand_alone(promos: Promos) -> None:
    brand, other = [(await Brands(promos).published()).brand.id for _ in range(2)]
    token = await promos.platform.brand_manager(brand)
    own = await create_set(promos, token)
    assert own.brand_id == brand, "a brand manager's own brand is implied"
    assert (await create_set(promos, token, brand_id=brand)).brand_id == brand
    foreign, retailers = await create_set(promos, brand_id=other), await create_set(promos)
    assert foreign.brand_id == other
    assert await reason(create_set(promos, token, brand_id=other)) == "BRAND_NOT_YOURS"
    for hidden in (foreign, retailers):
        assert await reason(get_set(promos, hidden.id, token)) == "BRAND_NOT_YOURS"
        assert await reason(update_set(promos, hidden.id, token, name="Mine")) == "BRAND_NOT_YOURS"
        assert await reason(anext(watch(promos, hidden.id, token))) == "BRAND_NOT_YOURS"
    assert (await get_set(promos, own.id, token)).id == own.id
    assert (await update_set(promos, own.id, token, name="Ours")).name == "Ours"
    listed = await list_sets(promos, token)
    assert [found.brand_id for found in listed.code_sets] == [brand, brand]
    assert await list_sets(promos, token, brand_id=brand) == listed
    assert await reason(list_sets(promos, token, brand_id=other)) == "BRAND_NOT_YOURS"


async def test_brands_that_are_not_there_or_archived_get_no_sets(promos: Promos) -> None:
    assert await reason(create_set(promos, brand_id=str(new_id()))) == "BRAND_NOT_FOUND"
    brand = (await Brands(promos).published()).brand.id
    await Brands(promos).archive(brand)
    assert await reason(create_set(promos, brand_id=brand)) == "BRAND_ARCHIVED"


async def test_sets_that_are_made_at_once_see_each_other(promos: Promos) -> None:
    """The letters before the digits are this test's own."""
    calls = [create_set(promos, pattern="ATNCE-####", quantity=10) for _ in range(10)]
    made, refused = await at_once(calls)
    assert (len(made), refused) == (1, {"CODE_PATTERN_TOO_SMALL": 9})


async def test_a_brand_manager_without_a_brand_has_no_sets(promos: Promos) -> None:
    token = await promos.platform.token("brand_manager")
    assert await reason(create_set(promos, token)) == "BRAND_NOT_YOURS"
    assert await reason(create_set(promos, token, brand_id=str(new_id()))) == "BRAND_NOT_YOURS"
    assert await reason(list_sets(promos, token)) == "BRAND_NOT_YOURS"


@pytest.mark.parametrize("role", ["member", "till", "cashier"])
async def test_others_make_and_change_no_sets(promos: Promos, role: str) -> None:
    made, token = await create_set(promos), await promos.platform.token(role)
    assert await reason(create_set(promos, token)) == "ROLE_NOT_ALLOWED"
    assert await reason(update_set(promos, made.id, token, name="Mine")) == "ROLE_NOT_ALLOWED"
    if role == "cashier":
        assert (await get_set(promos, made.id, token)).id == made.id
    else:
        assert await reason(get_set(promos, made.id, token)) == "ROLE_NOT_ALLOWED"
        assert await reason(list_sets(promos, token)) == "ROLE_NOT_ALLOWED"
        assert await reason(anext(watch(promos, made.id, token))) == "ROLE_NOT_ALLOWED"


# Lists


@pytest.mark.covers("C1 CodeSetService.ListCodeSets")
async def test_sets_are_listed_by_brand_purpose_state_and_name(promos: Promos) -> None:
    brand = (await Brands(promos).published()).brand.id
    ready = await made_set(promos, brand_id=brand, name="Winter 1")
    making = await create_set(promos, brand_id=brand, name="Winter 2", quantity=0, import_only=True)
    # A worker that is away: it lacks codes, and no job is there to make them.
    await promos.execute("UPDATE code_sets SET wanted = 9 WHERE id = %(id)s", id=making.id)

    async def found(**fields: Any) -> list[str]:
        return [one.id for one in (await list_sets(promos, brand_id=brand, **fields)).code_sets]

    assert await found() == await found(order_by="created_at desc") == [making.id, ready.id]
    assert await found(order_by="created_at") == await found(order_by="name") == [ready.id, making.id]
    assert await found(state=MAKING) == [making.id]
    assert await found(state=READY) == [ready.id]
    assert await found(purpose=HANDED_OUT, query="wINTER 2") == [making.id]
    assert await found(purpose=code_set_pb2.CODE_SET_PURPOSE_VOUCHER) == []
    assert await found(query="inter") == []
    page = await list_sets(promos, brand_id=brand, page_size=1, with_total=True)
    assert (page.total.count, page.total.more) == (2, False)
    rest = await list_sets(promos, brand_id=brand, page_size=1, page_token=page.next_page_token)
    assert [one.id for one in rest.code_sets] == [ready.id]
    assert await reason(list_sets(promos, order_by="quantity")) == "VALIDATION_FAILED"
    await promos.execute("UPDATE code_sets SET wanted = 0 WHERE id = %(id)s", id=making.id)


@pytest.mark.covers("C1 CodeSetService.GetCodeSet")
async def test_sets_of_vouchers_and_campaigns_are_read_here_and_changed_by_their_owners(
    promos: Promos,
) -> None:
    of_voucher = str(await promos.code_set(3))
    of_campaign = (await promos.campaign()).id
    shown = await get_set(promos, of_voucher)
    assert (shown.purpose, shown.quantity, shown.made) == (code_set_pb2.CODE_SET_PURPOSE_VOUCHER, 3, 3)
    shown = await get_set(promos, of_campaign)
    expected = (code_set_pb2.CODE_SET_PURPOSE_CAMPAIGN, 0, 0, READY)
    assert (shown.purpose, shown.quantity, shown.made, shown.state) == expected
    for owned, purpose in ((of_voucher, "VOUCHER"), (of_campaign, "CAMPAIGN")):
        refused = await refusal(update_set(promos, owned, enabled=False))
        assert refused == ("CODE_SET_HAS_OWNER", FAILED, {"code_set_id": owned, "purpose": purpose})
        assert (await get_set(promos, owned)).enabled


async def test_withdrawn_codes_that_are_made_up_for_do_not_count(promos: Promos) -> None:
    code_set_id, order = await promos.code_set(5), new_id()
    await promos.assign(code_set_id, order=order, quantity=2)
    await promos.release(order)
    shown = await until_ready(promos, str(code_set_id))
    assert (shown.quantity, shown.made) == (5, 5)


@pytest.mark.parametrize("code_set_id", ["", "7", "0199"])
async def test_what_is_no_id_is_refused(promos: Promos, code_set_id: str) -> None:
    assert await reason(get_set(promos, code_set_id)) == "VALIDATION_FAILED"


async def test_a_set_that_nobody_knows_is_not_found(promos: Promos) -> None:
    unknown = str(new_id())
    for call in (get_set(promos, unknown), update_set(promos, unknown, name="x")):
        assert await refusal(call) == (
            "CODE_SET_NOT_FOUND",
            grpc.StatusCode.NOT_FOUND,
            {"code_set_id": unknown},
        )
    assert await reason(anext(watch(promos, unknown))) == "CODE_SET_NOT_FOUND"
