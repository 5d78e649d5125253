"""What is well-formed and still not done: each with its own status and reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import pytest
import pytest_asyncio

from tests.platform import Member, Platform, Refusal, eventually, purchase, unique

UNKNOWN = "01990000-0000-7000-8000-000000000000"


@pytest_asyncio.fixture(scope="module")
async def shopper(live: Platform, till: str) -> Member:
    """A member with 5,000 points to spend."""
    member = await live.member()
    await live.give(till, member, 5_000)
    return member


class Asked(NamedTuple):
    """A call that somebody makes."""

    role: str
    method: str
    path: str
    body: dict[str, Any] | None = None
    reason: str = ""


@pytest.fixture
def tokens(live: Platform, ada: Member, till: str) -> dict[str, str]:
    """A good token by role."""
    return {"member": ada.token, "till": till, "admin": live.admin}


# ---------------------------------------------------------------------------- wrong role

ORDER = {"voucher_id": UNKNOWN}
RECEIPT = {
    "member_code": "X",
    "receipt_number": "1",
    "sold_at": "2026-01-01T00:00:00Z",
    "currency_code": "USD",
    "items": [{"sku": "1", "name": "Bread", "unit_price_minor": "100", "quantity": 1}],
}


@pytest.mark.parametrize(
    "asked",
    [
        Asked("member", "POST", "/v1/purchases", RECEIPT),
        Asked("admin", "POST", "/v1/purchases", RECEIPT),
        Asked("till", "GET", "/v1/members/me"),
        Asked("admin", "GET", "/v1/members/me"),
        Asked("till", "GET", "/v1/members/me/points"),
        Asked("till", "POST", "/v1/members/me/orders", ORDER),
        Asked("admin", "POST", "/v1/members/me/orders", ORDER),
        Asked("member", "POST", "/v1/vouchers", {"title": "Mine"}),
        Asked("till", "POST", "/v1/vouchers", {"title": "Mine"}),
        Asked("member", "GET", f"/v1/vouchers/{UNKNOWN}"),
        Asked("member", "POST", "/v1/campaigns", {"name": "Mine"}),
        Asked("till", "POST", f"/v1/campaigns/{UNKNOWN}:end", {}),
        Asked("member", "GET", f"/v1/campaigns/{UNKNOWN}/winners"),
        Asked("member", "POST", "/v1/clients", {"display_name": "Mine"}),
        Asked("till", "GET", "/v1/clients"),
        Asked("member", "GET", "/v1/audit-entries"),
        Asked("member", "GET", f"/v1/sandbox/otps/{UNKNOWN}"),
        Asked("member", "POST", "/v1/codes:redeem", {"code": "X", "sale_reference": "1"}),
        Asked("till", "GET", f"/v1/codes/{UNKNOWN}/qr"),
        Asked("member", "GET", "/v1/orders"),
        Asked("till", "GET", f"/v1/orders/{UNKNOWN}"),
        Asked("member", "GET", "/v1/orders:export"),
        Asked("till", "GET", "/v1/redemptions"),
        Asked("member", "GET", "/v1/redemptions:export"),
        Asked("admin", "GET", f"/v1/members/me/rewards/{UNKNOWN}"),
        Asked("admin", "GET", "/v1/members/me/rewards"),
    ],
)
async def test_a_role_that_may_not_is_403(live: Platform, tokens: dict[str, str], asked: Asked) -> None:
    refused = await live.refused(asked.method, asked.path, asked.body, token=tokens[asked.role], key=unique())
    assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED")
    assert refused.metadata == {"role": asked.role}


# ---------------------------------------------------------------------------- unknown, and someone else's


@pytest.mark.parametrize(
    "asked",
    [
        Asked("member", "GET", f"/v1/members/me/orders/{UNKNOWN}", None, "ORDER_NOT_FOUND"),
        Asked("member", "GET", f"/v1/offers/{UNKNOWN}", None, "VOUCHER_NOT_FOUND"),
        Asked("member", "GET", f"/v1/offers/{UNKNOWN}/quantity:watch", None, "VOUCHER_NOT_FOUND"),
        Asked("member", "POST", "/v1/members/me/orders", ORDER, "VOUCHER_NOT_FOUND"),
        Asked("member", "GET", f"/v1/members/me/vouchers/{UNKNOWN}", None, "WALLET_VOUCHER_NOT_FOUND"),
        Asked("member", "GET", f"/v1/members/me/vouchers/{UNKNOWN}/qr", None, "WALLET_VOUCHER_NOT_FOUND"),
        Asked("member", "GET", f"/v1/codes/{UNKNOWN}/qr", None, "CODE_NOT_VALID"),
        Asked("member", "GET", f"/v1/members/me/rewards/{UNKNOWN}", None, "REWARD_NOT_FOUND"),
        Asked("admin", "GET", f"/v1/orders/{UNKNOWN}", None, "ORDER_NOT_FOUND"),
        Asked("admin", "GET", f"/v1/vouchers/{UNKNOWN}", None, "VOUCHER_NOT_FOUND"),
        Asked("admin", "GET", f"/v1/campaigns/{UNKNOWN}", None, "CAMPAIGN_NOT_FOUND"),
        Asked("admin", "POST", f"/v1/campaigns/{UNKNOWN}:pause", {}, "CAMPAIGN_NOT_FOUND"),
        Asked("admin", "GET", f"/v1/campaigns/{UNKNOWN}/winners", None, "CAMPAIGN_NOT_FOUND"),
        Asked("admin", "GET", f"/v1/sandbox/otps/{UNKNOWN}", None, "OTP_NOT_FOUND"),
        Asked("till", "POST", f"/v1/redemptions/{UNKNOWN}:cancel", {}, "REDEMPTION_NOT_FOUND"),
        Asked("till", "POST", "/v1/codes:verify", {"code": "ZZZZZZZZZZZZ"}, "CODE_NOT_VALID"),
    ],
)
async def test_unknown_ids_are_404(live: Platform, tokens: dict[str, str], asked: Asked) -> None:
    refused = await live.refused(asked.method, asked.path, asked.body, token=tokens[asked.role], key=unique())
    assert (refused.status, refused.reason) == (404, asked.reason)


async def test_an_unknown_member_code_is_404(live: Platform, ada: Member, till: str) -> None:
    receipt = purchase(ada, 1_000) | {"member_code": "ZZZZZZZZZZZZ"}
    refused = await live.refused("POST", "/v1/purchases", receipt, token=till)
    assert (refused.status, refused.reason) == (404, "MEMBER_CODE_UNKNOWN")


async def test_what_belongs_to_someone_else_looks_as_if_it_did_not_exist(
    live: Platform, shopper: Member, ada: Member, till: str
) -> None:
    owned = await live.bought(shopper, await live.voucher(1))
    verified = await live.ok("POST", "/v1/codes:verify", {"code": owned["code"]}, token=till)
    sale = {"code": owned["code"], "sale_reference": unique()}
    redemption = (await live.ok("POST", "/v1/codes:redeem", sale, token=till))["redemption"]
    other_till = await live.till()
    for token, method, path, of_another, unknown in [
        (ada.token, "GET", "/v1/members/me/orders/{}", owned["order_id"], UNKNOWN),
        (ada.token, "GET", "/v1/members/me/vouchers/{}", owned["id"], UNKNOWN),
        (ada.token, "GET", "/v1/members/me/vouchers/{}/qr", owned["id"], UNKNOWN),
        (ada.token, "GET", "/v1/codes/{}/qr", verified["code_id"], UNKNOWN),
        (other_till, "POST", "/v1/redemptions/{}:cancel", redemption["id"], UNKNOWN),
    ]:
        body: dict[str, Any] | None = {} if method == "POST" else None
        theirs = await live.refused(method, path.format(of_another), body, token=token)
        nobodys = await live.refused(method, path.format(unknown), body, token=token)
        assert theirs.status == 404
        assert _without_id(theirs, of_another) == _without_id(nobodys, unknown)
    code = await live.refused("POST", "/v1/codes:verify", {"code": owned["code"]}, token=ada.token)
    none = await live.refused("POST", "/v1/codes:verify", {"code": "ZZZZZZZZZZZZ"}, token=ada.token)
    assert code.body == none.body


def _without_id(refused: Refusal, asked: str) -> str:
    """Returns the body of a refusal, without the id that was asked for."""
    return str(refused.body).replace(asked, "…")


# ---------------------------------------------------------------------------- not in this state


async def test_too_few_points_are_refused_and_nothing_moves(live: Platform, till: str) -> None:
    member, voucher = await live.member(), await live.voucher(1)
    await live.give(till, member, 499)
    refused = await live.refused(
        "POST", "/v1/members/me/orders", {"voucher_id": voucher}, token=member.token, key=unique()
    )
    assert (refused.status, refused.reason) == (400, "INSUFFICIENT_POINTS")
    assert refused.metadata.items() >= {"required": "500", "available": "499"}.items()
    assert await live.balance(member) == 499
    offer = await live.ok("GET", f"/v1/offers/{voucher}", token=member.token)
    assert offer["offer"]["quantity_left"] == 1
    entries = await live.ok("GET", "/v1/members/me/points/entries", token=member.token)
    assert [entry["delta"] for entry in entries["entries"]] == [499]


async def test_sold_out_is_refused_and_nothing_moves(live: Platform, shopper: Member, till: str) -> None:
    voucher = await live.voucher(1)
    await live.bought(shopper, voucher)
    before = await live.balance(shopper)
    for _ in range(2):  # refused by the statement that takes stock, then by a read
        refused = await live.refused(
            "POST", "/v1/members/me/orders", {"voucher_id": voucher}, token=shopper.token, key=unique()
        )
        assert (refused.status, refused.reason) == (400, "SOLD_OUT")
        assert refused.metadata == {"voucher_id": voucher, "left": "0"}
    assert await live.balance(shopper) == before


async def test_a_voucher_whose_sale_has_not_begun_is_refused(live: Platform, shopper: Member) -> None:
    voucher = await live.voucher(1, sale_starts_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    order = {"voucher_id": voucher}
    refused = await live.refused("POST", "/v1/members/me/orders", order, token=shopper.token, key=unique())
    assert (refused.status, refused.reason) == (400, "VOUCHER_NOT_ON_SALE")
    hidden = await live.refused("GET", f"/v1/offers/{voucher}", token=shopper.token)
    assert (hidden.status, hidden.reason) == (404, "VOUCHER_NOT_FOUND")


async def test_a_used_code_is_refused_and_its_owner_learns_why(
    live: Platform, shopper: Member, till: str
) -> None:
    owned = await live.bought(shopper, await live.voucher(1))
    sale = {"code": owned["code"], "sale_reference": unique()}
    await live.ok("POST", "/v1/codes:redeem", sale, token=till)
    again = await live.refused("POST", "/v1/codes:redeem", sale | {"sale_reference": unique()}, token=till)
    assert (again.status, again.reason) == (400, "CODE_ALREADY_USED")
    assert again.metadata["redeemed_at"].endswith("Z")
    asked = await live.refused("POST", "/v1/codes:verify", {"code": owned["code"]}, token=shopper.token)
    assert asked.reason == "CODE_ALREADY_USED"
    path = f"/v1/members/me/vouchers/{owned['id']}"

    async def told() -> None:
        state = (await live.ok("GET", path, token=shopper.token))["voucher"]["state"]
        assert state == "WALLET_VOUCHER_STATE_USED"

    await eventually(told)


async def test_a_cancelled_redemption_is_not_repeated(live: Platform, shopper: Member, till: str) -> None:
    owned = await live.bought(shopper, await live.voucher(1))
    sale = {"code": owned["code"], "sale_reference": unique()}
    redeemed = (await live.ok("POST", "/v1/codes:redeem", sale, token=till))["redemption"]
    cancelled = await live.ok("POST", f"/v1/redemptions/{redeemed['id']}:cancel", {}, token=till)
    again = await live.ok("POST", f"/v1/redemptions/{redeemed['id']}:cancel", {}, token=till)
    assert again == cancelled
    refused = await live.refused("POST", "/v1/codes:redeem", sale, token=till)
    assert (refused.status, refused.reason) == (400, "REDEMPTION_CANCELLED")
    await live.ok("POST", "/v1/codes:redeem", sale | {"sale_reference": unique()}, token=till)


async def test_an_expired_code_is_refused(live: Platform, shopper: Member, till: str) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    voucher = await live.voucher(1, codes_expire_at=soon.isoformat())
    owned = await live.bought(shopper, voucher)
    # An hour passes.
    passed = (
        "UPDATE code_sets SET expires_at = expires_at - interval '1 hour' WHERE id = %s AND expires_at = %s"
    )
    with psycopg.connect(live.databases["promos"]) as connection:
        assert connection.execute(passed, (voucher, soon)).rowcount == 1
    sale = {"code": owned["code"], "sale_reference": unique()}
    refused = await live.refused("POST", "/v1/codes:redeem", sale, token=till)
    assert (refused.status, refused.reason) == (400, "CODE_EXPIRED")


async def test_an_ended_campaign_is_not_resumed(live: Platform) -> None:
    campaign = await live.campaign(1)
    await live.ok("POST", f"/v1/campaigns/{campaign}:end", {}, token=live.admin)
    refused = await live.refused("POST", f"/v1/campaigns/{campaign}:resume", {}, token=live.admin)
    assert (refused.status, refused.reason) == (400, "CAMPAIGN_ENDED")


async def test_a_balance_never_leaves_32_bits(live: Platform, member: Member, till: str) -> None:
    await live.give(till, member, 2**31 - 1)
    full = purchase(member, 1_000)
    for _ in range(2):
        refused = await live.refused("POST", "/v1/purchases", full, token=till)
        assert (refused.status, refused.reason) == (400, "BALANCE_LIMIT_REACHED")
    assert await live.balance(member) == 2**31 - 1


# ---------------------------------------------------------------------------- same key, other content


async def test_a_key_used_for_other_content_is_409(
    live: Platform, shopper: Member, ada: Member, till: str
) -> None:
    receipt = purchase(ada, 0)
    await live.ok("POST", "/v1/purchases", receipt, token=till)
    other = await live.refused(
        "POST", "/v1/purchases", purchase(ada, 1_000, receipt["receipt_number"]), token=till
    )
    assert (other.status, other.reason) == (409, "RECEIPT_CONFLICT")
    assert other.metadata["receipt_number"] == receipt["receipt_number"]

    first, second, key = await live.voucher(1), await live.voucher(1), unique()
    assert (await live.order(shopper, first, key)).status_code == 200
    other = await live.refused(
        "POST", "/v1/members/me/orders", {"voucher_id": second}, token=shopper.token, key=key
    )
    assert (other.status, other.reason) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert other.metadata == {"idempotency_key": key}

    campaign = {"name": "First", "places": 1, "benefit": {"percent_off": 30}}
    await live.ok("POST", "/v1/campaigns", campaign, token=live.admin, key=key)
    other = await live.refused("POST", "/v1/campaigns", campaign | {"places": 2}, token=live.admin, key=key)
    assert (other.status, other.reason) == (409, "IDEMPOTENCY_KEY_REUSED")


async def test_a_name_or_number_that_is_taken_is_409(live: Platform, ada: Member) -> None:
    name = {"display_name": f"Till {unique()}"}
    await live.ok("POST", "/v1/clients", name, token=live.admin)
    taken = await live.refused("POST", "/v1/clients", name, token=live.admin)
    assert (taken.status, taken.reason) == (409, "CLIENT_NAME_TAKEN")
    otp = await live.otp(ada.phone)
    taken = await live.refused("POST", "/v1/members", {"otp": otp.proof, "full_name": "Somebody"})
    assert (taken.status, taken.reason) == (409, "PHONE_TAKEN")
