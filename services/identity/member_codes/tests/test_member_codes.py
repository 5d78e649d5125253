"""Member codes and their QR images: what they look like, whose they are, and what is none."""

from __future__ import annotations

import base64
import io
import random
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
import zxingcpp
from PIL import Image, ImageFilter
from scrip.common.v1 import qr_pb2
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import member_pb2, member_pb2_grpc
from stdnum.iso7064 import mod_37_36

from services.common import qr
from services.common.codes import ALPHABET
from services.identity.keys import Vault
from services.identity.member_codes.codes import (
    LENGTH,
    SIGNED_FOR,
    new_member_code,
    open_signed_code,
    sign_member_code,
)
from services.identity.tests.people import People
from tests.inprocess import Member, Platform, bearer, reason, refusal

SVG = qr_pb2.QR_FORMAT_SVG
NOW = datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(scope="module")
def grpc_stub_cls(grpc_channel: grpc.aio.Channel) -> type[member_pb2_grpc.MemberServiceStub]:
    return member_pb2_grpc.MemberServiceStub


@pytest.fixture
def vault() -> Vault:
    return Vault(base64.b64encode(bytes(32)).decode())


async def resolve(
    platform: Platform, *codes: str, suspended: bool = False
) -> dict[str, identity_pb2.ResolvedMemberCode]:
    """Returns how identity resolves these codes for points: of active, or of suspended members."""
    stub = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    request = identity_pb2.BatchResolveMemberCodesRequest(member_codes=codes)
    token = await platform.service_token("points")
    reply = await stub.BatchResolveMemberCodes(request, metadata=bearer(token))
    assert not reply.members.keys() & reply.suspended.keys()
    return dict(reply.suspended if suspended else reply.members)


async def get_qr(
    stub: member_pb2_grpc.MemberServiceStub, member: Member, **fields: Any
) -> tuple[str, bytes, dict[str, str]]:
    """Media type, content and headers of the member's QR image."""
    call = stub.GetMyQr(member_pb2.GetMyQrRequest(**fields), metadata=bearer(member.token))
    body = await call
    return body.content_type, body.data, headers(await call.initial_metadata())


def headers(metadata: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    """Returns the headers of a response."""
    return {name: str(value) for name, value in metadata}


def read_png(data: bytes) -> tuple[str, Image.Image]:
    """Returns the text in a PNG, and its pixels."""
    image = Image.open(io.BytesIO(data)).convert("L")
    large = image.resize((image.width * 4, image.height * 4), Image.Resampling.NEAREST)
    found = zxingcpp.read_barcodes(large if image.width < 200 else image)
    assert len(found) == 1
    return found[0].text, image


def read_svg(data: bytes) -> tuple[str, int]:
    """Returns the text in an SVG, drawn from its lines, and its width in pixels."""
    root = ET.fromstring(data)  # our own
    group = root[0]
    scale = 1
    if "scale" in group.get("transform", ""):
        scale = int(re.findall(r"\d+", group.get("transform", ""))[0])
    width = int(root.get("width", "0"))
    modules = width // scale
    image = Image.new("L", (modules, modules), 255)
    x = y = 0
    for command, numbers in re.findall(r"([Mmh])([-0-9. ]+)", group.get("d", "")):
        values = [float(number) for number in numbers.replace("-", " -").split()]
        if command == "M":
            x, y = int(values[0]), int(values[1])
        elif command == "m":
            x, y = x + int(values[0]), y + int(values[1])
        else:
            for column in range(x, x + int(values[0])):
                image.putpixel((column, y), 0)
            x += int(values[0])
    found = zxingcpp.read_barcodes(image.resize((modules * 4, modules * 4), Image.Resampling.NEAREST))
    assert len(found) == 1
    return found[0].text, width


def test_a_lasting_code_has_no_look_alikes_and_a_right_check_character() -> None:
    codes = {new_member_code() for _ in range(500)}
    assert len(codes) == 500
    for code in codes:
        assert len(code) == LENGTH
        assert set(code) <= set(ALPHABET)
        assert mod_37_36.is_valid(code)


@pytest.mark.covers("I5 MemberService.GetMyCode")
def test_every_single_typo_and_most_swaps_in_a_lasting_code_are_caught() -> None:
    swaps = caught = 0
    for _ in range(50):
        code = new_member_code()
        for place, right in enumerate(code):
            for wrong in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ":
                assert (wrong == right) == mod_37_36.is_valid(code[:place] + wrong + code[place + 1 :])
        for place in range(LENGTH - 1):
            first, second = code[place], code[place + 1]
            if first != second:
                swaps += 1
                caught += not mod_37_36.is_valid(code[:place] + second + first + code[place + 2 :])
    assert caught / swaps > 0.95


def test_a_signed_code_says_what_it_was_made_of(vault: Vault) -> None:
    member_id = uuid4()
    code = sign_member_code(vault, member_id, NOW)
    assert re.fullmatch(rf"S1[{ALPHABET}]{{59}}", code.text)
    assert code.text[2:41] == code.id
    assert code.member_id == member_id
    assert code.issued_at == NOW.replace(microsecond=0)
    assert code.expires_at - code.issued_at == SIGNED_FOR == timedelta(seconds=60)
    assert open_signed_code(vault, code.text) == code


def test_two_signed_codes_of_one_second_have_ids_of_their_own(vault: Vault) -> None:
    member_id = uuid4()
    assert len({sign_member_code(vault, member_id, NOW).id for _ in range(200)}) == 200


@pytest.mark.covers("I5 MemberService.GetMyCode")
def test_no_character_of_a_signed_code_can_be_changed(vault: Vault) -> None:
    text = sign_member_code(vault, uuid4(), NOW).text
    for place, right in enumerate(text):
        for wrong in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            if wrong != right:
                assert open_signed_code(vault, text[:place] + wrong + text[place + 1 :]) is None


def test_what_is_no_signed_code_of_ours_is_none(vault: Vault) -> None:
    text = sign_member_code(vault, uuid4(), NOW).text
    other = sign_member_code(vault, uuid4(), NOW).text
    stranger = Vault(base64.b64encode(b"\1" * 32).decode())
    for forged in (
        "",
        "S1",
        text[:-1],
        text + "0",
        text.lower(),
        "S2" + text[2:],
        text[:41] + other[41:],
        sign_member_code(stranger, uuid4(), NOW).text,
        "S1" + "".join(random.choice(ALPHABET) for _ in range(59)),
        "S1" + "Ü" * 59,
        "S1" + "\0" * 59,
        "S1" + "=" * 59,
        new_member_code(),
    ):
        assert open_signed_code(vault, forged) is None, forged


def test_an_old_signed_code_is_still_known(vault: Vault) -> None:
    code = sign_member_code(vault, uuid4(), NOW - timedelta(days=400))
    assert open_signed_code(vault, code.text) == code


@pytest.mark.covers("I5 MemberService.GetMyCode")
async def test_a_member_gets_its_lasting_code_again_and_again(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform
) -> None:
    member = await platform.member()
    for _ in range(2):
        call = grpc_stub.GetMyCode(member_pb2.GetMyCodeRequest(), metadata=bearer(member.token))
        reply = await call
        assert reply.member_code == member.code
        assert not reply.HasField("expires_at")
        told = headers(await call.initial_metadata())
        assert told["cache-control"] == "private, max-age=300"
        assert told["vary"] == "authorization"


@pytest.mark.covers("I5 MemberService.GetMyCode")
async def test_a_member_gets_signed_codes_that_differ_and_end_in_a_minute(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform
) -> None:
    member = await platform.member()
    codes = set()
    for _ in range(3):
        before = datetime.now(UTC)
        call = grpc_stub.GetMyCode(member_pb2.GetMyCodeRequest(signed=True), metadata=bearer(member.token))
        reply = await call
        issued = reply.expires_at.ToDatetime(UTC) - timedelta(seconds=60)
        assert before.replace(microsecond=0) <= issued <= datetime.now(UTC)
        assert reply.member_code.startswith("S1")
        assert member.code not in reply.member_code
        assert headers(await call.initial_metadata())["cache-control"] == "no-store"
        codes.add(reply.member_code)
    assert len(codes) == 3


@pytest.mark.covers("I5 IdentityInternalService.BatchResolveMemberCodes")
async def test_identity_tells_points_whose_codes_these_are(platform: Platform) -> None:
    members = [await platform.member() for _ in range(3)]
    signed = platform.signed_code(members[1])
    forged = signed[:-1] + ("0" if signed[-1] != "0" else "4")
    found = await resolve(platform, members[0].code, signed, forged, "NOBODY", new_member_code(), "S1")
    assert set(found) == {members[0].code, signed}
    lasting = found[members[0].code]
    assert (lasting.member_id, lasting.code_id) == (str(members[0].id), "")
    assert not lasting.HasField("issued_at")
    assert not lasting.HasField("expires_at")
    assert (found[signed].member_id, found[signed].code_id) == (str(members[1].id), signed[2:41])
    assert found[signed].expires_at.seconds - found[signed].issued_at.seconds == 60


async def test_a_code_may_be_typed_as_it_looks(platform: Platform) -> None:
    members = [await platform.member() for _ in range(2)]
    looks = str.maketrans({"0": "o", "1": "l"})
    code, signed = members[0].code, platform.signed_code(members[1])
    lasting = [code.lower(), f" {code[:4]}-{code[4:8]} {code[8:]}", code.translate(looks)]
    typed = [signed.lower(), signed.translate(looks), signed.replace("1", "I").replace("0", "O")]
    found = await resolve(platform, *lasting, *typed)
    assert {written: resolved.member_id for written, resolved in found.items()} == {
        **dict.fromkeys(lasting, str(members[0].id)),
        **dict.fromkeys(typed, str(members[1].id)),
    }
    assert {found[written].code_id for written in typed} == {signed[2:41]}


async def test_a_signed_code_for_nobody_is_unknown(platform: Platform) -> None:
    nobody = Member(uuid4(), "", "", "", "")
    assert await resolve(platform, platform.signed_code(nobody)) == {}


@pytest.mark.covers("I5 IdentityInternalService.BatchResolveMemberCodes")
async def test_the_codes_of_who_is_suspended_are_told_apart_and_of_who_is_gone_unknown(
    people: People, platform: Platform
) -> None:
    suspended, closed = await platform.member(), await platform.member()
    codes = [code for member in (suspended, closed) for code in (member.code, platform.signed_code(member))]
    known = await resolve(platform, *codes)
    assert set(known) == set(codes)
    assert await resolve(platform, *codes, suspended=True) == {}
    admin = member_pb2_grpc.MemberAdminServiceStub(platform.channels["identity"])
    who, token = str(suspended.id), bearer(await platform.admin())
    await admin.SuspendMember(
        member_pb2.SuspendMemberRequest(member_id=who, reason="lost phone"), metadata=token
    )
    await people.close(closed.token)
    assert await resolve(platform, *codes) == {}
    out = await resolve(platform, *codes, suspended=True)
    assert out == {code: known[code] for code in codes[:2]}
    await admin.RestoreMember(
        member_pb2.RestoreMemberRequest(member_id=who, reason="found it"), metadata=token
    )
    assert set(await resolve(platform, *codes)) == set(codes[:2])
    assert await resolve(platform, *codes, suspended=True) == {}


@pytest.mark.covers("I5 IdentityInternalService.BatchResolveMemberCodes")
async def test_only_points_and_promos_may_ask_whose_a_code_is(platform: Platform) -> None:
    member = await platform.member()
    stub = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    request = identity_pb2.BatchResolveMemberCodesRequest(member_codes=[member.code])
    vouchers, promos = [await platform.service_token(name) for name in ("vouchers", "promos")]
    call = stub.BatchResolveMemberCodes(request, metadata=bearer(vouchers))
    assert await reason(call) == "ROLE_NOT_ALLOWED"
    found = await stub.BatchResolveMemberCodes(request, metadata=bearer(promos))
    assert found.members[member.code].member_id == str(member.id)
    for token in (member.token, await platform.admin(), await platform.till()):
        call = stub.BatchResolveMemberCodes(request, metadata=bearer(token))
        assert await reason(call) == "TOKEN_NOT_VALID"


@pytest.mark.covers("I5 MemberService.GetMyQr")
async def test_the_qr_image_holds_the_lasting_code(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform
) -> None:
    member = await platform.member()
    kind, data, told = await get_qr(grpc_stub, member)
    content, image = read_png(data)
    assert (kind, content) == ("image/png", member.code)
    assert image.size == ((21 + 2 * 4) * 8,) * 2
    assert told["cache-control"] == "private, max-age=300"
    assert told["vary"] == "authorization"
    kind, data, _ = await get_qr(grpc_stub, member, format=SVG)
    assert kind == "image/svg+xml"
    assert read_svg(data) == (member.code, (21 + 2 * 4) * 8)


@pytest.mark.covers("I5 MemberService.GetMyQr")
async def test_the_qr_image_of_a_signed_code_is_small_new_and_not_to_be_kept(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform
) -> None:
    member = await platform.member()
    seen = []
    for _ in range(2):
        kind, data, told = await get_qr(grpc_stub, member, signed=True)
        content, image = read_png(data)
        assert (kind, told["cache-control"]) == ("image/png", "no-store")
        assert image.size == ((29 + 2 * 4) * 8,) * 2
        seen.append(content)
    svg, width = read_svg((await get_qr(grpc_stub, member, signed=True, format=SVG))[1])
    assert width == (29 + 2 * 4) * 8
    found = await resolve(platform, *seen, svg)
    assert len(found) == 3
    assert {code.member_id for code in found.values()} == {str(member.id)}


@pytest.mark.covers("I5 MemberService.GetMyQr")
@pytest.mark.parametrize(("scale", "margin"), [(3, 1), (4, 2), (7, 5), (8, 4), (32, 1), (32, 16)])
@pytest.mark.parametrize("signed", [False, True])
async def test_scale_and_margin_are_as_asked(
    grpc_stub: member_pb2_grpc.MemberServiceStub,
    platform: Platform,
    scale: int,
    margin: int,
    signed: bool,
) -> None:
    member = await platform.member()
    asked = {"scale": scale, "margin": margin, "signed": signed}
    side = ((29 if signed else 21) + 2 * margin) * scale
    content, image = read_png((await get_qr(grpc_stub, member, **asked))[1])
    assert image.size == (side, side)
    assert image.crop((0, 0, side, margin * scale)).getextrema() == (255, 255)
    assert image.crop((0, 0, margin * scale, side)).getextrema() == (255, 255)
    assert image.crop((side - margin * scale, 0, side, side)).getextrema() == (255, 255)
    assert image.crop((0, side - margin * scale, side, side)).getextrema() == (255, 255)
    corner = (margin * scale, margin * scale, (margin + 7) * scale, (margin + 1) * scale)
    assert image.crop(corner).getextrema() == (0, 0)
    drawn, width = read_svg((await get_qr(grpc_stub, member, **asked, format=SVG))[1])
    assert width == side
    found = await resolve(platform, content, drawn)
    assert {code.member_id for code in found.values()} == {str(member.id)}


def _seen_by_a_camera(data: bytes, degrees: float) -> Image.Image:
    """Returns a PNG on a grey page, held at an angle and out of focus by 0.7 pixels."""
    code = Image.open(io.BytesIO(data)).convert("L")
    page = Image.new("L", (code.width + 120, code.height + 120), 235)
    page.paste(code, (60, 60))
    turned = page.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=235)
    return turned.filter(ImageFilter.GaussianBlur(0.7))


@pytest.mark.covers("I5 MemberService.GetMyQr")
@pytest.mark.parametrize("degrees", [-7.0, 3.0])
@pytest.mark.parametrize("signed", [False, True])
async def test_the_smallest_image_is_read_by_a_camera(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform, signed: bool, degrees: float
) -> None:
    _, data, _ = await get_qr(grpc_stub, await platform.member(), signed=signed, scale=3, margin=1)
    content, _ = read_png(data)
    assert [found.text for found in zxingcpp.read_barcodes(_seen_by_a_camera(data, degrees))] == [content]
    # What was the smallest before was not.
    assert not zxingcpp.read_barcodes(_seen_by_a_camera(qr.render(content, svg=False, scale=1).data, degrees))


@pytest.mark.covers("I5 MemberService.GetMyQr")
@pytest.mark.parametrize(
    "fields",
    [{"scale": -1}, {"scale": 1}, {"scale": 2}, {"scale": 33}, {"margin": -1}, {"margin": 17}, {"format": 9}],
)
async def test_an_image_of_another_size_or_kind_is_refused(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform, fields: dict[str, Any]
) -> None:
    member = await platform.member()
    request = member_pb2.GetMyQrRequest(**fields)
    answer, code, _ = await refusal(grpc_stub.GetMyQr(request, metadata=bearer(member.token)))
    assert (answer, code) == ("VALIDATION_FAILED", grpc.StatusCode.INVALID_ARGUMENT)


async def test_only_members_have_codes(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform
) -> None:
    for token in (await platform.admin(), await platform.till()):
        for signed in (False, True):
            code = grpc_stub.GetMyCode(member_pb2.GetMyCodeRequest(signed=signed), metadata=bearer(token))
            assert await reason(code) == "ROLE_NOT_ALLOWED"
            image = grpc_stub.GetMyQr(member_pb2.GetMyQrRequest(signed=signed), metadata=bearer(token))
            assert await reason(image) == "ROLE_NOT_ALLOWED"
    assert await reason(grpc_stub.GetMyCode(member_pb2.GetMyCodeRequest())) == "TOKEN_MISSING"


@pytest.mark.covers("I5 MemberService.GetMyQr")
@pytest.mark.parametrize("svg", [False, True])
def test_the_largest_image_takes_less_than_five_milliseconds(
    vault: Vault,
    svg: bool,
) -> None:
    """Where a hundred thousand additions take two: who has a slower or a shared core is slower at both."""

    def image() -> None:
        code = sign_member_code(vault, uuid4(), NOW)
        qr.render(code.text, svg=svg, scale=32, margin=16)

    def additions() -> None:
        total = 0
        for number in range(100_000):
            total += number

    seconds: dict[str, list[float]] = {"image": [], "additions": []}
    for _ in range(30):
        for name, work in (("image", image), ("additions", additions)):
            began = time.thread_time()
            work()
            seconds[name].append(time.thread_time() - began)
    assert min(seconds["image"]) < 2.5 * min(seconds["additions"])
