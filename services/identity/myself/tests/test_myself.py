"""Who am I, what may I do, and until when."""

from __future__ import annotations

import time

import jwt
import pytest
from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import myself_pb2, myself_pb2_grpc

from services.common.ids import new_id
from services.identity.myself.allowed_rpcs import allowed_rpcs
from services.identity.tests.own_identity import own_identity
from services.identity.tests.people import People, new_user_name
from services.identity.tests.staff_help import (
    BRAND_MANAGER,
    CASHIER,
    MANAGER,
    brand_for,
    create_staff,
    log_in,
)
from tests.contract.descriptors import ROLES, rpcs
from tests.inprocess import Platform, bearer, reason

Stub = myself_pb2_grpc.MyselfServiceStub


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


async def myself(stub: Stub, token: str) -> myself_pb2.Myself:
    return (await stub.GetMyself(myself_pb2.GetMyselfRequest(), metadata=bearer(token))).myself


@pytest.mark.covers("I6 MyselfService.GetMyself")
async def test_staff_learn_who_they_are_and_until_when(grpc_stub: Stub, platform: Platform) -> None:
    channel = platform.channels["identity"]
    for role in (MANAGER, CASHIER, BRAND_MANAGER):
        brand = await brand_for(platform, role)
        made = await create_staff(channel, await platform.admin(), role=role, **brand)
        login = await log_in(channel, made.user_name)
        me = await myself(grpc_stub, login.access_token)
        assert (me.id, me.role, me.full_name, me.user_name) == (made.id, role, "Grace Hopper", made.user_name)
        expires = jwt.decode(login.access_token, options={"verify_signature": False})["exp"]
        assert me.token_expires_at.seconds == expires
        assert abs(expires - login.expires_in - time.time()) < 60


@pytest.mark.covers("I6 MyselfService.GetMyself")
async def test_a_member_learns_the_same(grpc_stub: Stub, people: People, platform: Platform) -> None:
    member = await platform.member("Ada Lovelace")
    assert (await myself(grpc_stub, member.token)).user_name == ""
    name = new_user_name()
    await people.update(member.token, user_name=name)
    me = await myself(grpc_stub, member.token)
    assert (me.id, me.role, me.full_name, me.user_name) == (
        str(member.id),
        permission_pb2.ROLE_MEMBER,
        "Ada Lovelace",
        name,
    )


async def test_what_a_role_may_call_is_what_the_contract_declares(
    grpc_stub: Stub, platform: Platform
) -> None:
    member = (await platform.member()).token
    for role in sorted(set(ROLES) - {"till"}):
        token = member if role == "member" else await platform.token(role)
        expected = sorted(
            f"{rpc.package}.{rpc.service}.{rpc.name}"
            for rpc in rpcs()
            if not rpc.internal and (rpc.permission.anyone or role in rpc.roles)
        )
        assert list((await myself(grpc_stub, token)).allowed_rpcs) == expected, role


async def test_what_is_switched_off_is_not_among_it(platform: Platform) -> None:
    url = platform.postgres.url("identity")
    async with own_identity(platform, database_url=url, sandbox=False, otp_sender=None) as own:
        me = await myself(Stub(own.channel), await platform.admin())
        assert not any("Sandbox" in name for name in me.allowed_rpcs)
        assert "scrip.identity.v1.StaffService.DeleteStaff" in me.allowed_rpcs
    assert any("Sandbox" in name for name in allowed_rpcs()[permission_pb2.ROLE_ADMIN])


async def test_tills_and_strangers_are_no_persons(grpc_stub: Stub, platform: Platform) -> None:
    till = bearer(await platform.token("till", new_id()))
    assert (
        await reason(grpc_stub.GetMyself(myself_pb2.GetMyselfRequest(), metadata=till)) == "ROLE_NOT_ALLOWED"
    )
    assert await reason(grpc_stub.GetMyself(myself_pb2.GetMyselfRequest())) == "TOKEN_MISSING"
