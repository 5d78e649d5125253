"""Wallets show copies of codes, which follow what promos tells, in whatever order it comes."""

from __future__ import annotations

from datetime import UTC
from typing import TypeAlias
from uuid import UUID

import pytest
from scrip.promos.v1 import code_pb2, code_pb2_grpc
from scrip.vouchers.internal.v1 import vouchers_pb2, vouchers_pb2_grpc
from scrip.vouchers.v1 import wallet_pb2, wallet_pb2_grpc

from services.common.db import execute, fetch_value
from services.common.ids import new_id, utc_now
from services.vouchers.tests.support import Create, Earn, Order
from services.vouchers.wallet.code_copies import keep_codes
from services.vouchers.wallet.codes_client import Code
from tests.inprocess import Member, Platform, bearer, eventually, reason

State: TypeAlias = wallet_pb2.WalletVoucherState.ValueType
USABLE = wallet_pb2.WALLET_VOUCHER_STATE_USABLE
USED = wallet_pb2.WALLET_VOUCHER_STATE_USED
EXPIRED = wallet_pb2.WALLET_VOUCHER_STATE_EXPIRED


async def wallet(platform: Platform, member: Member) -> list[wallet_pb2.WalletVoucher]:
    """Returns what a member owns."""
    stub = wallet_pb2_grpc.WalletServiceStub(platform.channels["vouchers"])
    reply = await stub.ListMyVouchers(wallet_pb2.ListMyVouchersRequest(), metadata=bearer(member.token))
    return list(reply.vouchers)


async def bought(platform: Platform, create: Create, earn: Earn, order: Order) -> Member:
    """Returns a member who owns one voucher."""
    member, voucher = await platform.member(), await create()
    await earn(member, 500)
    await order(member, voucher.id)
    return member


async def tell(platform: Platform, code_id: object, state: State, version: int, token: str = "") -> None:
    """Tells what became of a code, as promos does."""
    stub = vouchers_pb2_grpc.VouchersInternalServiceStub(platform.channels["vouchers"])
    request = vouchers_pb2.ApplyCodeStateRequest(
        code_id=str(code_id),
        state=state,
        version=version,
    )
    await stub.ApplyCodeState(request, metadata=bearer(token or await platform.service_token("promos")))


@pytest.mark.covers("V5 WalletService.ListMyVouchers", "C2 VouchersInternalService.ApplyCodeState")
async def test_a_wallet_follows_its_codes_and_is_shown_while_promos_is_away(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member = await bought(platform, create, earn, order)
    (owned,) = await wallet(platform, member)
    assert owned.state == USABLE
    codes = code_pb2_grpc.CodeServiceStub(platform.channels["promos"])
    till = await platform.till()
    redeem = code_pb2.RedeemCodeRequest(code=owned.code, sale_reference="R-1")
    redemption = (await codes.RedeemCode(redeem, metadata=bearer(till))).redemption

    async def shows(state: State) -> None:
        assert [one.state for one in await wallet(platform, member)] == [state]

    await eventually(lambda: shows(USED))
    cancel = code_pb2.CancelRedemptionRequest(redemption_id=redemption.id)
    await codes.CancelRedemption(cancel, metadata=bearer(till))
    await eventually(lambda: shows(USABLE))
    assert [one.code for one in await wallet(platform, member)] == [owned.code]


async def test_a_wallet_that_was_shown_once_does_not_ask_promos_again(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member = await bought(platform, create, earn, order)
    (owned,) = await wallet(platform, member)
    # Promos would tell another text.
    changed = "UPDATE wallet_codes SET code = 'COPY' WHERE code = %(code)s"
    await platform.databases["vouchers"].run(execute, changed, code=owned.code)
    assert [one.code for one in await wallet(platform, member)] == ["COPY"]


async def test_only_what_is_newer_changes_a_copy(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member = await bought(platform, create, earn, order)
    (owned,) = await wallet(platform, member)
    query = "SELECT code_id FROM wallet_codes WHERE code = %(code)s"
    code_id: UUID = await platform.databases["vouchers"].read(fetch_value, query, code=owned.code)
    for state, version, shown in (
        (USED, 9, USED),
        (USABLE, 8, USED),
        (USABLE, 9, USED),
        (USABLE, 10, USABLE),
    ):
        await tell(platform, code_id, state, version)
        assert [one.state for one in await wallet(platform, member)] == [shown]


async def test_what_was_told_before_a_code_was_asked_for_is_kept(platform: Platform) -> None:
    code_id, database = new_id(), platform.databases["vouchers"]
    await tell(platform, code_id, USED, 3)
    await database.run(keep_codes, [Code(code_id, "TEXT", "USABLE", 2, None)])
    query = "SELECT code || ' ' || state || ' ' || version FROM wallet_codes WHERE code_id = %(id)s"
    assert await database.read(fetch_value, query, id=code_id) == "TEXT USED 3"


async def test_a_copy_expires_without_being_told(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member = await bought(platform, create, earn, order)
    (owned,) = await wallet(platform, member)
    over = "UPDATE wallet_codes SET expires_at = %(now)s WHERE code = %(code)s"
    await platform.databases["vouchers"].run(execute, over, now=utc_now(), code=owned.code)
    (expired,) = await wallet(platform, member)
    assert expired.state == EXPIRED
    assert expired.expires_at.ToDatetime(UTC) <= utc_now()


async def test_promos_alone_tells_what_became_of_codes(platform: Platform) -> None:
    for token in (await platform.service_token("points"), await platform.admin()):
        assert await reason(tell(platform, new_id(), USED, 3, token)) in {
            "ROLE_NOT_ALLOWED",
            "TOKEN_NOT_VALID",
        }
    assert await reason(tell(platform, "nobody", USED, 3)) == "VALIDATION_FAILED"
    assert (
        await reason(tell(platform, new_id(), wallet_pb2.WALLET_VOUCHER_STATE_UNSPECIFIED, 3))
        == "VALIDATION_FAILED"
    )
    assert await reason(tell(platform, new_id(), USED, 0)) == "VALIDATION_FAILED"
