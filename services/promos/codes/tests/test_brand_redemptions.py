"""Brands see what became of their codes at the till, and of members no more than their claims tell."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from scrip.promos.v1 import code_pb2

from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.tests.claims_help import Claims
from services.promos.tests.code_set_help import made_set, texts_of
from services.promos.tests.support import Promos, in_days
from tests.inprocess import Member, bearer, reason, refusal


@dataclass
class Sold:
    """A brand with two codes that were redeemed: one of a discount, and one that it handed out."""

    claims: Claims
    discount_id: str
    handed_out_id: str
    claimant: Member
    shown: Member
    """Who was shown at the till with the code that was handed out."""
    made: list[code_pb2.Redemption]

    async def listed(self, token: str = "", **fields: Any) -> code_pb2.ListBrandRedemptionsResponse:
        """Returns a page of the brand's redemptions."""
        request = code_pb2.ListBrandRedemptionsRequest(**{"brand_id": self.claims.brand_id, **fields})
        metadata = bearer(token or self.claims.manager)
        return await self.claims.promos.codes.ListBrandRedemptions(request, metadata=metadata)

    async def ids(self, **fields: Any) -> list[str]:
        """Returns which redemptions are on a page."""
        return [one.id for one in (await self.listed(**fields)).redemptions]

    async def exported(self, token: str = "", **fields: Any) -> bytes:
        """Returns the brand's redemptions as a file."""
        request = code_pb2.ExportBrandRedemptionsRequest(**{"brand_id": self.claims.brand_id, **fields})
        pieces: list[httpbody_pb2.HttpBody] = [
            piece
            async for piece in self.claims.promos.codes.ExportBrandRedemptions(
                request, metadata=bearer(token or self.claims.manager)
            )
        ]
        return b"".join(piece.data for piece in pieces)


@pytest.fixture
async def sold(promos: Promos) -> Sold:
    """Both redemptions, the first of which was cancelled; and one of another brand's code beside them."""
    claims, other = await Claims.of(promos), await Claims.of(promos)
    claimant, shown = await promos.platform.member(), await promos.platform.member()
    await claims.agree(claimant)
    discount = await claims.open()
    claim = await claims.claim(discount.id, claimant.token)
    handed_out = await made_set(promos, quantity=1, brand_id=claims.brand_id)
    elsewhere = await made_set(promos, quantity=1, brand_id=other.brand_id)
    first = await promos.redeem(claim.code, "R-1", till_number="7")
    made = [await promos.cancel(first.id)]
    for code_set, sale in ((handed_out, "R-2"), (elsewhere, "R-3")):
        [code] = await texts_of(promos, code_set.id)
        request = code_pb2.RedeemCodeRequest(code=code, sale_reference=sale, member_code=shown.code)
        made.append((await promos.codes.RedeemCode(request, metadata=bearer(promos.till))).redemption)
    return Sold(claims, discount.id, handed_out.id, claimant, shown, made)


@pytest.mark.covers("C6 CodeService.ListBrandRedemptions")
async def test_a_brand_lists_the_redemptions_of_its_codes(sold: Sold) -> None:
    first, second, _ = sold.made
    listed = await sold.listed(with_total=True)
    assert listed.total.count == 2
    newest, oldest = listed.redemptions
    assert [newest.id, oldest.id] == [second.id, first.id]
    assert (oldest.code_set_id, oldest.code_id) == (sold.discount_id, first.code_id)
    assert oldest.code == oldest.code_display.replace("-", "") != ""
    assert (oldest.redeemed_at, oldest.cancelled_at) == (first.redeemed_at, first.cancelled_at)
    assert (newest.code_set_id, newest.HasField("cancelled_at")) == (sold.handed_out_id, False)
    page = await sold.listed(page_size=1, order_by="redeemed_at")
    assert [one.id for one in page.redemptions] == [first.id]
    fields = {"page_size": 1, "order_by": "redeemed_at", "page_token": page.next_page_token}
    assert await sold.ids(**fields) == [second.id]


async def test_a_brand_finds_them_by_discount_and_by_time(sold: Sold) -> None:
    first, second, other = sold.made
    assert await sold.ids(code_set_id=sold.discount_id) == [first.id]
    assert await sold.ids(code_set_id=sold.handed_out_id) == [second.id]
    assert await sold.ids(redeemed_from=second.redeemed_at) == [second.id]
    assert await sold.ids(redeemed_until=second.redeemed_at) == [first.id]
    for code_set_id in (other.code_set_id, str(new_id())):
        found = await refusal(sold.listed(code_set_id=code_set_id))
        assert found == ("CODE_SET_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"code_set_id": code_set_id})
    reversed_period: dict[str, Any] = {
        "redeemed_from": timestamp(in_days(1)),
        "redeemed_until": timestamp(in_days(-1)),
    }
    for call in (sold.listed(**reversed_period), sold.exported(**reversed_period), sold.listed(page_size=-1)):
        assert await reason(call) == "VALIDATION_FAILED"


@pytest.mark.covers("C6 CodeService.ExportBrandRedemptions")
async def test_of_members_a_brand_learns_who_claimed_the_code_and_nothing_else(sold: Sold) -> None:
    newest, oldest = (await sold.listed()).redemptions
    [claim] = (await sold.claims.claimed()).claims
    assert oldest.member_id == claim.member_id == str(sold.claimant.id)
    assert newest.member_id == "", "who was shown with a code that anybody has"
    content = (await sold.exported()).decode("utf-8-sig")
    header, *rows, end = csv.reader(io.StringIO(content, newline=""))
    assert end == ["#end", "2"]
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["id"] for row in cells] == [newest.id, oldest.id]
    assert cells[1] == {
        "id": oldest.id,
        "code_set_id": sold.discount_id,
        "code_id": oldest.code_id,
        "code": oldest.code,
        "code_display": oldest.code_display,
        "member_id": str(sold.claimant.id),
        "redeemed_at": oldest.redeemed_at.ToJsonString(),
        "cancelled_at": oldest.cancelled_at.ToJsonString(),
        "discount_minor": "",
        "currency_code": "",
    }
    for secret in (str(sold.shown.id), sold.shown.phone, sold.claimant.phone, "R-1", "R-2"):
        assert secret not in content


async def test_brands_redemptions_are_for_the_own_brands_manager_and_staff(sold: Sold) -> None:
    platform = sold.claims.promos.platform
    stranger = await platform.brand_manager(new_id())
    for call in (sold.listed(stranger), sold.exported(stranger)):
        assert await refusal(call) == ("BRAND_NOT_YOURS", grpc.StatusCode.PERMISSION_DENIED, {})
    for role in ("admin", "manager"):
        assert len((await sold.listed(await platform.token(role))).redemptions) == 2
    for role in ("cashier", "till", "member"):
        assert await reason(sold.listed(await platform.token(role))) == "ROLE_NOT_ALLOWED"
