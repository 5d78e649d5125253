"""Contact data that promos may have: of active members who agree to share it, and of nobody else."""

from __future__ import annotations

from uuid import UUID

import pytest
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import member_pb2, member_pb2_grpc

from services.common.db import Connection, execute
from services.common.ids import new_id
from tests.inprocess import Member, Platform, bearer, reason


async def contacts(platform: Platform, *member_ids: UUID) -> dict[str, identity_pb2.Contact]:
    """Returns what promos gets."""
    stub = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    request = identity_pb2.BatchGetContactsRequest(member_ids=map(str, member_ids))
    token = await platform.service_token("promos")
    return dict((await stub.BatchGetContacts(request, metadata=bearer(token))).contacts)


async def agreeing(platform: Platform, *, agrees: bool = True) -> Member:
    """Returns a member who agrees, or does not any more."""
    member = await platform.member()
    stub = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    for answer in (True, agrees):
        request = member_pb2.SetMyConsentRequest(shares_contact=answer, wording_version="1")
        await stub.SetMyConsent(request, metadata=bearer(member.token))
    return member


async def _set(connection: Connection, member: Member, *, confirmed: bool, status: str = "ACTIVE") -> None:
    await execute(
        connection,
        """
        UPDATE accounts SET email = %(email)s, email_confirmed = %(confirmed)s, status = %(status)s
        WHERE id = %(id)s
        """,
        id=member.id,
        email=f"{member.id}@example.com",
        confirmed=confirmed,
        status=status,
    )


@pytest.mark.covers("C6 IdentityInternalService.BatchGetContacts")
async def test_those_who_agree_are_named_with_what_is_confirmed(platform: Platform) -> None:
    confirmed, not_confirmed = await agreeing(platform), await agreeing(platform)
    never, withdrawn = await platform.member(), await agreeing(platform, agrees=False)
    await platform.databases["identity"].run(_set, confirmed, confirmed=True)
    await platform.databases["identity"].run(_set, not_confirmed, confirmed=False)
    found = await contacts(platform, confirmed.id, not_confirmed.id, never.id, withdrawn.id, new_id())
    assert found == {
        str(confirmed.id): identity_pb2.Contact(
            full_name="Ada Lovelace", phone=confirmed.phone, email=f"{confirmed.id}@example.com"
        ),
        str(not_confirmed.id): identity_pb2.Contact(full_name="Ada Lovelace", phone=not_confirmed.phone),
    }


async def test_members_who_are_out_are_absent(platform: Platform) -> None:
    suspended, closed = await agreeing(platform), await agreeing(platform)
    await platform.databases["identity"].run(_set, suspended, confirmed=True, status="SUSPENDED")
    await platform.close_account(closed)
    assert await contacts(platform, suspended.id, closed.id) == {}


@pytest.mark.parametrize("service", ["points", "vouchers"])
async def test_other_services_get_none(platform: Platform, service: str) -> None:
    stub = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    request = identity_pb2.BatchGetContactsRequest(member_ids=[str(new_id())])
    token = await platform.service_token(service)
    assert await reason(stub.BatchGetContacts(request, metadata=bearer(token))) == "ROLE_NOT_ALLOWED"


async def test_a_question_is_for_at_most_200(platform: Platform) -> None:
    assert await contacts(platform, *(new_id() for _ in range(200))) == {}
    stub = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    token = await platform.service_token("promos")
    for ids in ([], ["no id"], [str(new_id()) for _ in range(201)]):
        request = identity_pb2.BatchGetContactsRequest(member_ids=ids)
        assert await reason(stub.BatchGetContacts(request, metadata=bearer(token))) == "VALIDATION_FAILED"
