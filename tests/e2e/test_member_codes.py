"""The member's code at the till: typed or scanned, lasting or signed for one receipt; and its QR image."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import zxingcpp
from PIL import Image

from services.identity.member_codes import sign_member_code
from services.identity.member_codes.codes import SIGNED_FOR
from tests.e2e.people import log_in_by_phone
from tests.e2e.tokens import stack_vault
from tests.platform import Member, Platform, purchase

CODE, QR = "/v1/members/me/code", "/v1/members/me/qr"
SIGNED = "?signed=true"
LASTING_MODULES, SIGNED_MODULES = 21, 29
PNG, SVG = "image/png", "image/svg+xml"


async def _signed(live: Platform, member: Member) -> str:
    return str((await live.ok("GET", CODE + SIGNED, token=member.token))["member_code"])


def _receipt(member: Member, code: str, **fields: Any) -> dict[str, Any]:
    return purchase(member, 1_000) | {"member_code": code} | fields


def _scan(data: bytes) -> tuple[str, tuple[int, int]]:
    """Returns what a scanner reads, and the size of the image."""
    image = Image.open(io.BytesIO(data))
    (found,) = zxingcpp.read_barcodes(image)
    return found.text, image.size


# ---------------------------------------------------------------------------- lasting


async def test_the_lasting_code_stays_the_same_on_every_device(live: Platform, member: Member) -> None:
    answer = await live.call("GET", CODE, token=member.token)
    assert answer.json() == {"member_code": member.code}
    assert answer.headers["cache-control"] == "private, max-age=300"
    assert answer.headers["vary"] == "authorization"
    other = await log_in_by_phone(live, member.phone)
    assert await live.ok("GET", CODE, token=other.access) == {"member_code": member.code}


async def test_a_lasting_code_may_be_typed_but_not_mistyped(
    live: Platform, member: Member, till: str
) -> None:
    code = member.code
    spelled = (code, code.lower(), f"{code[:4]} {code[4:8]} {code[8:]}", f"{code[:6]}-{code[6:]}")
    for nth, typed in enumerate(spelled):
        told = await live.ok("POST", "/v1/purchases", _receipt(member, typed), token=till)
        assert told["balance_after"] == nth + 1
    wrong = [code[:n] + ("7" if code[n] != "7" else "8") + code[n + 1 :] for n in range(len(code))]
    for typed in (*wrong, code[:-1], code + "0"):
        refused = await live.refused("POST", "/v1/purchases", _receipt(member, typed), token=till)
        assert (refused.status, refused.reason) == (404, "MEMBER_CODE_UNKNOWN"), typed
    assert await live.balance(member) == 4


# ---------------------------------------------------------------------------- signed


@pytest.mark.covers("I5 MemberService.GetMyCode")
async def test_a_signed_code_is_good_for_a_minute_and_never_the_same(live: Platform, member: Member) -> None:
    codes = set()
    for _ in range(3):
        answer = await live.call("GET", CODE + SIGNED, token=member.token)
        told = answer.json()
        left = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
        assert timedelta(seconds=55) < left <= SIGNED_FOR
        assert answer.headers["cache-control"] == "no-store"
        assert told["member_code"].startswith("S1")
        assert member.code not in told["member_code"]
        codes.add(told["member_code"])
    assert len(codes) == 3


@pytest.mark.covers("I5 PurchaseService.RecordPurchase")
async def test_a_signed_code_serves_one_receipt_however_often_it_is_sent(
    live: Platform, member: Member, till: str
) -> None:
    receipt = _receipt(member, await _signed(live, member))
    first = await live.call("POST", "/v1/purchases", receipt, token=till)
    assert first.status_code == 200, first.text
    again = await live.call("POST", "/v1/purchases", receipt, token=till)
    assert again.content == first.content
    other_till = await live.till()
    for other, token in (
        (receipt | {"receipt_number": "another"}, till),
        (receipt | {"till_number": "another"}, till),
        (receipt, other_till),
    ):
        refused = await live.refused("POST", "/v1/purchases", other, token=token)
        assert (refused.status, refused.reason) == (400, "MEMBER_CODE_REPLAYED")
    assert await live.balance(member) == 1
    # The member shows a new one.
    await live.ok("POST", "/v1/purchases", _receipt(member, await _signed(live, member)), token=till)
    assert await live.balance(member) == 2


async def test_a_signed_code_is_refused_on_a_sale_of_another_time(
    live: Platform, member: Member, till: str
) -> None:
    vault, now = stack_vault(live.stack), datetime.now(UTC)
    made = now - timedelta(minutes=10)
    code = sign_member_code(vault, UUID(member.id), made).text
    for sold_at in (now, made + timedelta(seconds=195), made - timedelta(hours=1)):
        receipt = _receipt(member, code, sold_at=sold_at.isoformat())
        refused = await live.refused("POST", "/v1/purchases", receipt, token=till)
        assert (refused.status, refused.reason) == (400, "MEMBER_CODE_EXPIRED"), sold_at
    # A till that was offline reports the sale later: it was made in time.
    receipt = _receipt(member, code, sold_at=(made + timedelta(seconds=30)).isoformat())
    await live.ok("POST", "/v1/purchases", receipt, token=till)
    assert await live.balance(member) == 1


async def test_a_forged_code_is_unknown(live: Platform, member: Member, ada: Member, till: str) -> None:
    mine, theirs = await _signed(live, member), await _signed(live, ada)
    swapped = "7" if mine[20] != "7" else "8"
    for forged in (
        mine[:20] + swapped + mine[21:],
        mine[:-1] + ("7" if mine[-1] != "7" else "8"),
        theirs[:41] + mine[41:],
        "S2" + mine[2:],
        mine[:-1],
    ):
        refused = await live.refused("POST", "/v1/purchases", _receipt(member, forged), token=till)
        assert (refused.status, refused.reason) == (404, "MEMBER_CODE_UNKNOWN")
    assert await live.balance(member) == 0


# ---------------------------------------------------------------------------- QR


@pytest.mark.covers("I5 MemberService.GetMyQr")
@pytest.mark.parametrize("size", [(0, 0), (3, 1), (4, 2), (8, 16), (32, 4)])
@pytest.mark.parametrize("signed", [False, True])
async def test_the_image_has_the_size_and_margin_that_are_asked_for(
    live: Platform, member: Member, till: str, size: tuple[int, int], signed: bool
) -> None:
    scale, margin = size
    query = f"?scale={scale}&margin={margin}&signed={str(signed).lower()}"
    side = ((SIGNED_MODULES if signed else LASTING_MODULES) + 2 * (margin or 4)) * (scale or 8)
    png = await live.call("GET", f"{QR}{query}", token=member.token)
    svg = await live.call("GET", f"{QR}{query}&format=QR_FORMAT_SVG", token=member.token)
    for answer, kind in ((png, PNG), (svg, SVG)):
        assert answer.headers["content-type"] == kind
        assert answer.headers["cache-control"] == ("no-store" if signed else "private, max-age=300")
        assert "authorization" in answer.headers["vary"]
    code, drawn = _scan(png.content)
    assert drawn == (side, side)
    assert f'width="{side}" height="{side}"' in svg.text
    if signed:
        await live.ok("POST", "/v1/purchases", _receipt(member, code), token=till)
    else:
        assert code == member.code
        assert (await live.call("GET", f"{QR}{query}", token=member.token)).content == png.content


@pytest.mark.parametrize(
    "query",
    [
        "scale=33",
        "scale=2",
        "scale=-1",
        "margin=17",
        "margin=-1",
        "format=QR_FORMAT_GIF",
        "scale=x",
        "size=9",
    ],
)
async def test_an_image_of_another_size_or_kind_is_refused(live: Platform, ada: Member, query: str) -> None:
    refused = await live.refused("GET", f"{QR}?{query}", token=ada.token)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert query.partition("=")[0] in refused.message


async def test_only_members_have_codes(live: Platform, till: str) -> None:
    for path in (CODE, CODE + SIGNED, QR, QR + SIGNED):
        assert (await live.refused("GET", path)).reason == "TOKEN_MISSING"
        for token in (till, live.admin):
            assert (await live.refused("GET", path, token=token)).reason == "ROLE_NOT_ALLOWED"
