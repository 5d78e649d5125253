"""Who learns what of a code: a stranger nothing, its owner, tills and staff why it is refused."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable

import grpc
import pytest
import zxingcpp
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from PIL import Image
from scrip.common.internal.v1 import member_events_pb2
from scrip.common.v1 import qr_pb2
from scrip.promos.internal.v1 import promos_pb2
from scrip.promos.v1 import campaign_pb2, code_pb2, reward_pb2

from services.common.ids import new_id
from services.promos.tests.redemption_help import Tills
from services.promos.tests.support import FIVE_DOLLARS, THIRTY_PERCENT, Promos, at_once
from tests.inprocess import bearer, reason, refusal, refused_status

NOWHERE = "7" * 12


async def whole_answer(call: Awaitable[object]) -> tuple[bytes, grpc.StatusCode]:
    """Returns all that a refused caller gets to see."""
    status, code = await refused_status(call)
    return status.SerializeToString(deterministic=True), code


@pytest.mark.covers("C2 CodeService.VerifyCode")
async def test_a_member_verifies_its_own_code_and_learns_why_it_is_refused(promos: Promos) -> None:
    owner = new_id()
    token = await promos.platform.token("member", owner)
    code = await promos.assigned_code(owner)
    assert (await promos.verify(code.code, token)).code_id == code.id
    await promos.redeem(code.code, "R-1")
    assert await reason(promos.verify(code.code, token)) == "CODE_ALREADY_USED"


@pytest.mark.covers("C2 CodeService.VerifyCode")
async def test_a_stranger_can_not_tell_a_code_from_one_that_does_not_exist(promos: Promos) -> None:
    code_set_id = await promos.code_set(4)
    usable, used, expired = await promos.assign(code_set_id, quantity=3)
    texts = await promos.get([usable, used, expired])
    await promos.redeem(texts[used].code, "R-1")
    await promos.execute("UPDATE codes SET expires_at = now() WHERE id = %(id)s", id=expired)
    order = new_id()
    [void] = await promos.assign(code_set_id, order=order)
    await promos.release(order)
    withdrawn = (await promos.get([void]))[void].code
    await promos.until_made(code_set_id, 1)
    unowned = "SELECT code FROM codes WHERE code_set_id = %(id)s AND state = 'READY'"
    ready = await promos.value(unowned, id=code_set_id)
    stranger = await promos.platform.token("member")
    unknown = await whole_answer(promos.verify(NOWHERE, stranger))
    for text in (texts[usable].code, texts[used].code, texts[expired].code, withdrawn, ready):
        assert await whole_answer(promos.verify(text, stranger)) == unknown
    status, code = await refused_status(promos.verify(NOWHERE, stranger))
    assert code == grpc.StatusCode.NOT_FOUND
    [detail] = status.details
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    assert (info.reason, dict(info.metadata)) == ("CODE_NOT_VALID", {})


@pytest.mark.covers("C2 CodeService.VerifyCode")
async def test_a_till_that_brings_too_many_wrong_codes_waits_and_no_other_does(promos: Promos) -> None:
    code = await promos.assigned_code()
    tills, server = Tills(promos), await promos.platform.till()
    for guess in range(30):
        assert await reason(tills.verify(NOWHERE, server, till_number="1")) == "CODE_NOT_VALID"
        guessed = tills.redeem(NOWHERE, f"R-{guess}", server, till_number="1")
        assert await reason(guessed) == "CODE_NOT_VALID"
    for call in (
        tills.verify(code.code, server, till_number="1"),
        tills.redeem(code.code, "R-1", server, till_number="1"),
    ):
        name, status, metadata = await refusal(call)
        assert (name, status) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert metadata["limit"] == "wrong_codes_per_till"
        assert 0 < int(metadata["retry_after_seconds"]) <= 60
    await tills.redeem(code.code, "R-1", server, till_number="2")


async def test_a_client_that_makes_up_till_numbers_is_stopped(promos: Promos) -> None:
    async with promos.another_process(wrong_codes_per_till=1) as strict:
        tills, server = Tills(strict), await promos.platform.till()
        _, refusals = await at_once(
            tills.verify(NOWHERE, server, till_number=str(number)) for number in range(110)
        )
        assert refusals == {"CODE_NOT_VALID": 100, "TOO_MANY_REQUESTS": 10}


async def test_members_of_an_address_are_stopped_together_and_those_elsewhere_are_not(promos: Promos) -> None:
    owner = new_id()
    token, code = await promos.platform.token("member", owner), await promos.assigned_code(owner)
    guessers = [await promos.platform.token("member") for _ in range(10)]
    async with promos.another_process(wrong_codes_per_minute=3) as strict:
        tills, here = Tills(strict), f"2001:db8:{new_id().hex[-4:]}::1"
        for guesser in guessers:
            _, refusals = await at_once(tills.verify(NOWHERE, guesser, address=here) for _ in range(3))
            assert refusals == {"CODE_NOT_VALID": 3}
        for call in (
            tills.verify(NOWHERE, token, address=here),
            tills.verify(code.code, token, address=here),
        ):
            _, _, metadata = await refusal(call)
            assert metadata["limit"] == "wrong_codes_per_address"
        assert (await tills.verify(code.code, token, address="192.0.2.77")).code_id == code.id


@pytest.mark.covers("C2 CodeService.RedeemCode")
async def test_a_hundred_honest_tills_go_on_behind_the_address_of_one_who_guesses(promos: Promos) -> None:
    """Twenty clients with five tills each, which all mistype a code, beside a till and a member who guess."""
    tills, address = Tills(promos), f"198.51.100.{new_id().int % 250}"
    servers = [await promos.platform.till() for _ in range(20)]
    guesser, member = servers[0], await promos.platform.token("member")
    code_set_id = await promos.code_set(100)
    texts = [
        code.code for code in (await promos.get(await promos.assign(code_set_id, quantity=100))).values()
    ]

    async def guess(token: str, **fields: str) -> None:
        _, refusals = await at_once(
            tills.verify(NOWHERE, token, address=address, **fields) for _ in range(120)
        )
        assert refusals["TOO_MANY_REQUESTS"] >= 40  # some may be counted apart, when Redis is late

    async def sell(place: int, text: str) -> str:
        fields = {"till_number": str(place // 20 + 1)}
        token = servers[place % 20]
        mistyped = tills.redeem(NOWHERE, f"R-{place}", token, address=address, **fields)
        assert await reason(mistyped) == "CODE_NOT_VALID"
        return (await tills.redeem(text, f"R-{place}", token, address=address, **fields)).code_id

    await asyncio.gather(guess(guesser, till_number="guesser"), guess(member))
    sold = await asyncio.gather(*(sell(place, text) for place, text in enumerate(texts)))
    assert len(set(sold)) == 100
    assert await reason(tills.verify(texts[0], guesser, till_number="guesser")) == "TOO_MANY_REQUESTS"


async def test_guesses_at_once_are_counted_one_by_one(promos: Promos) -> None:
    guesser = await promos.platform.token("member")
    _, refusals = await at_once(promos.verify(NOWHERE, guesser) for _ in range(60))
    assert refusals == {"CODE_NOT_VALID": 30, "TOO_MANY_REQUESTS": 30}


async def test_refusals_of_known_codes_are_not_guesses(promos: Promos) -> None:
    code, till = await promos.assigned_code(), await promos.platform.till()
    await promos.redeem(code.code, "R-1", till)
    refusals = [await reason(promos.redeem(code.code, f"R-2-{turn}", till)) for turn in range(70)]
    assert set(refusals) == {"CODE_ALREADY_USED"}


async def qr(promos: Promos, code_id: str, token: str, form: qr_pb2.QrFormat.ValueType) -> tuple[str, bytes]:
    request = code_pb2.GetCodeQrRequest(code_id=code_id, format=form)
    reply = await promos.codes.GetCodeQr(request, metadata=bearer(token))
    return reply.content_type, reply.data


@pytest.mark.covers("C1 CodeService.GetCodeQr")
async def test_the_owner_gets_a_qr_that_a_till_can_read(promos: Promos) -> None:
    owner = new_id()
    code = await promos.assigned_code(owner)
    for token in (await promos.platform.token("member", owner), await promos.platform.token("manager")):
        content_type, png = await qr(promos, code.id, token, qr_pb2.QR_FORMAT_UNSPECIFIED)
        assert content_type == "image/png"
        assert zxingcpp.read_barcodes(Image.open(io.BytesIO(png)))[0].text == code.code
        content_type, svg = await qr(promos, code.id, token, qr_pb2.QR_FORMAT_SVG)
        assert content_type == "image/svg+xml"
        assert svg.startswith(b"<?xml")


@pytest.mark.covers("C1 CodeService.GetCodeQr")
async def test_a_qr_of_somebody_elses_code_looks_like_one_that_does_not_exist(promos: Promos) -> None:
    code = await promos.assigned_code()
    stranger = await promos.platform.token("member")
    png = qr_pb2.QR_FORMAT_PNG
    unknown = await whole_answer(qr(promos, str(new_id()), stranger, png))
    assert await whole_answer(qr(promos, code.id, stranger, png)) == unknown
    code_set_id = await promos.code_set(1)
    ready = str(await promos.value("SELECT id FROM codes WHERE code_set_id = %(id)s", id=code_set_id))
    assert await whole_answer(qr(promos, ready, promos.admin, png)) == unknown


CODES = "scrip.promos.v1.CodeService"
CAMPAIGNS = "scrip.promos.v1.CampaignService"
INTERNAL = "scrip.promos.internal.v1.PromosInternalService"
ID = "0199a3f0-0000-7000-8000-000000000000"
CREATE = campaign_pb2.CreateCampaignRequest(name="x", places=1, benefit=THIRTY_PERCENT)
ENSURE = promos_pb2.EnsureCodesRequest(code_set_id=ID, quantity=1, benefit=FIVE_DOLLARS)
Call = Callable[..., Awaitable[bytes]]
RPCS: dict[str, tuple[Message, set[str]]] = {
    f"{CODES}/VerifyCode": (
        code_pb2.VerifyCodeRequest(code=NOWHERE),
        {"till", "admin", "manager", "cashier", "member"},
    ),
    f"{CODES}/RedeemCode": (
        code_pb2.RedeemCodeRequest(code=NOWHERE, sale_reference="R-1"),
        {"till", "admin", "manager", "cashier"},
    ),
    f"{CODES}/CancelRedemption": (
        code_pb2.CancelRedemptionRequest(redemption_id=ID),
        {"till", "admin", "manager", "cashier"},
    ),
    f"{CODES}/ListRedemptions": (code_pb2.ListRedemptionsRequest(), {"admin", "manager"}),
    f"{CODES}/GetCodeQr": (code_pb2.GetCodeQrRequest(code_id=ID), {"member", "admin", "manager"}),
    f"{CAMPAIGNS}/CreateCampaign": (CREATE, {"admin", "manager"}),
    f"{CAMPAIGNS}/GetCampaign": (
        campaign_pb2.GetCampaignRequest(campaign_id=ID),
        {"admin", "manager", "cashier"},
    ),
    f"{CAMPAIGNS}/ListCampaigns": (campaign_pb2.ListCampaignsRequest(), {"admin", "manager", "cashier"}),
    f"{CAMPAIGNS}/PauseCampaign": (campaign_pb2.PauseCampaignRequest(campaign_id=ID), {"admin", "manager"}),
    f"{CAMPAIGNS}/ResumeCampaign": (campaign_pb2.ResumeCampaignRequest(campaign_id=ID), {"admin", "manager"}),
    f"{CAMPAIGNS}/EndCampaign": (campaign_pb2.EndCampaignRequest(campaign_id=ID), {"admin", "manager"}),
    f"{CAMPAIGNS}/ListWinners": (
        campaign_pb2.ListWinnersRequest(campaign_id=ID),
        {"admin", "manager", "cashier"},
    ),
    "scrip.promos.v1.RewardService/ListMyRewards": (
        reward_pb2.ListMyRewardsRequest(),
        {"member"},
    ),
    "scrip.promos.v1.RewardService/GetMyReward": (
        reward_pb2.GetMyRewardRequest(reward_id=ID),
        {"member"},
    ),
    f"{INTERNAL}/EnsureCodes": (ENSURE, {"vouchers"}),
    f"{INTERNAL}/AssignCodes": (
        promos_pb2.AssignCodesRequest(order_id=ID, code_set_id=ID, owner_member_id=ID, quantity=1),
        {"vouchers"},
    ),
    f"{INTERNAL}/BatchAssignCodes": (
        promos_pb2.BatchAssignCodesRequest(
            orders=[
                promos_pb2.AssignCodesRequest(order_id=ID, code_set_id=ID, owner_member_id=ID, quantity=1)
            ]
        ),
        {"vouchers"},
    ),
    f"{INTERNAL}/ReleaseCodes": (promos_pb2.ReleaseCodesRequest(order_id=ID), {"vouchers"}),
    f"{INTERNAL}/BatchGetCodes": (promos_pb2.BatchGetCodesRequest(code_ids=[ID]), {"vouchers"}),
    "scrip.common.internal.v1.MemberEventsService/Apply": (
        member_events_pb2.ApplyRequest(
            event_id=ID, member_id=ID, version=1, type=member_events_pb2.MEMBER_EVENT_TYPE_REGISTERED
        ),
        {"identity"},
    ),
}
REFUSED = {"TOKEN_MISSING", "TOKEN_NOT_VALID", "ROLE_NOT_ALLOWED"}


@pytest.fixture(scope="module")
async def tokens(promos: Promos) -> dict[str, str]:
    """A token of every role and of every service."""
    roles = ("member", "till", "admin", "manager", "cashier")
    services = ("identity", "points", "vouchers", "promos")
    made = {role: await promos.platform.token(role) for role in roles}
    return made | {name: await promos.platform.service_token(name) for name in services}


@pytest.mark.parametrize("rpc", RPCS)
async def test_each_call_is_for_its_roles_alone(promos: Promos, tokens: dict[str, str], rpc: str) -> None:
    request, allowed = RPCS[rpc]
    call: Call = promos.channel.unary_unary(f"/{rpc}", request_serializer=type(request).SerializeToString)

    async def may(name: str) -> bool:
        _, refusals = await at_once([call(request, metadata=bearer(tokens[name]))])
        return not REFUSED & set(refusals)

    judged = await asyncio.gather(*(may(name) for name in tokens))
    assert {name for name, yes in zip(tokens, judged, strict=True) if yes} == allowed
    assert await reason(call(request)) == "TOKEN_MISSING"
