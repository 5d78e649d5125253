"""The member's code and its images."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import grpc
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scrip.common.v1 import qr_pb2
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import member_pb2, member_pb2_grpc
from stdnum.iso7064 import mod_37_36

from services.common.codes import ALPHABET
from services.common.ids import new_id
from services.identity.member_codes.codes import LENGTH, new_member_code
from tests.inprocess import Member, Platform, bearer, refusal

PNG, SVG = qr_pb2.QR_FORMAT_PNG, qr_pb2.QR_FORMAT_SVG
codes = st.builds(lambda _: new_member_code(), st.integers())


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[member_pb2_grpc.MemberServiceStub]:
    return member_pb2_grpc.MemberServiceStub


@pytest.fixture(scope="module")
async def member(platform: Platform) -> Member:
    """A member."""
    return await platform.member()


@settings(deadline=None)
@given(codes)
def test_codes_are_twelve_characters_without_look_alikes(code: str) -> None:
    assert len(code) == LENGTH == 12
    assert set(code) <= set(ALPHABET)
    assert not set(ALPHABET) & set("ILOU")


@settings(deadline=None)
@given(codes)
def test_any_single_wrong_character_is_caught(code: str) -> None:
    assert mod_37_36.is_valid(code)
    for at in range(LENGTH):
        for wrong in set(ALPHABET) - {code[at]}:
            assert not mod_37_36.is_valid(code[:at] + wrong + code[at + 1 :])


def test_codes_do_not_repeat() -> None:
    assert len({new_member_code() for _ in range(20_000)}) == 20_000


async def test_the_code_stays_the_same_and_identity_knows_whose_it_is(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform, member: Member
) -> None:
    for _ in range(2):
        reply = await grpc_stub.GetMyCode(member_pb2.GetMyCodeRequest(), metadata=bearer(member.token))
        assert reply.member_code == member.code
    other = await platform.member()
    internal = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    found = await internal.BatchResolveMemberCodes(
        identity_pb2.BatchResolveMemberCodesRequest(
            member_codes=[member.code, "UNKNOWN", other.code, member.code]
        ),
        metadata=bearer(await platform.service_token("points")),
    )
    members = {code: known.member_id for code, known in found.members.items()}
    assert members == {member.code: str(member.id), other.code: str(other.id)}


@pytest.mark.parametrize("asked", [qr_pb2.QR_FORMAT_UNSPECIFIED, PNG])
async def test_a_scanner_reads_the_code_from_the_png(
    grpc_stub: member_pb2_grpc.MemberServiceStub, member: Member, asked: qr_pb2.QrFormat.ValueType
) -> None:
    call = grpc_stub.GetMyQr(member_pb2.GetMyQrRequest(format=asked), metadata=bearer(member.token))
    image = await call
    assert image.content_type == "image/png"
    assert ("cache-control", "private, max-age=300") in tuple(await call.initial_metadata())
    [read] = zxingcpp.read_barcodes(Image.open(io.BytesIO(image.data)).convert("L"))
    assert read.text == member.code


@pytest.mark.covers("I5 MemberService.GetMyQr")
async def test_the_svg_draws_the_same_squares_as_the_png(
    grpc_stub: member_pb2_grpc.MemberServiceStub, member: Member
) -> None:
    metadata = bearer(member.token)
    svg = await grpc_stub.GetMyQr(member_pb2.GetMyQrRequest(format=SVG), metadata=metadata)
    png = await grpc_stub.GetMyQr(member_pb2.GetMyQrRequest(format=PNG), metadata=metadata)
    assert svg.content_type == "image/svg+xml"
    root = ET.fromstring(svg.data)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (root.get("width"), root.get("height")) == tuple(
        str(n) for n in Image.open(io.BytesIO(png.data)).size
    )
    [path] = list(root)
    assert path.tag == "{http://www.w3.org/2000/svg}path"
    assert len(path.get("d", "")) > 200


async def test_an_unknown_format_is_refused(
    grpc_stub: member_pb2_grpc.MemberServiceStub, member: Member
) -> None:
    request = member_pb2.GetMyQrRequest(format=9)  # type: ignore[arg-type]  # a newer client might send it
    name, _, _ = await refusal(grpc_stub.GetMyQr(request, metadata=bearer(member.token)))
    assert name == "VALIDATION_FAILED"


@pytest.mark.covers("I8 MemberService.GetMe")
@pytest.mark.parametrize("method", ["GetMe", "GetMyCode", "GetMyQr"])
async def test_a_token_whose_member_is_gone_finds_nobody(
    grpc_stub: member_pb2_grpc.MemberServiceStub, platform: Platform, method: str
) -> None:
    member_id = new_id()
    request = getattr(member_pb2, f"{method}Request")()
    token = await platform.token("member", member_id)
    assert await refusal(getattr(grpc_stub, method)(request, metadata=bearer(token))) == (
        "MEMBER_NOT_FOUND",
        grpc.StatusCode.NOT_FOUND,
        {"member_id": str(member_id)},
    )
