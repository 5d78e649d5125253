"""Brands learn who claimed their codes, and how to reach those who agree; nobody learns more."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import UUID

import orjson
import pytest
from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc
from scrip.promos.v1 import claim_pb2

from services.common.db import Connection, execute, fetch_values
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.promos.claims.contacts import Contacts
from services.promos.claims.payloads import ClaimPayloads
from services.promos.parts import build
from services.promos.tests.claims_help import Claims
from services.promos.tests.support import in_days
from services.promos.tests.webhooks_help import BrandsWebhooks
from services.promos.webhooks import Event
from tests.inprocess import Member, bearer, eventually
from tests.receiver import Receiver


async def agreeing(claims: Claims) -> Member:
    """Returns a member who agrees, and of whom promos knows it."""
    member = await claims.promos.platform.member()
    await claims.agree(member)
    return member


async def looks(claims: Claims, action: str, count: int) -> list[audit_pb2.AuditEntry]:
    """Returns the audited looks at contact data of the brand's claims, when there are so many."""
    stub = audit_pb2_grpc.AuditServiceStub(claims.promos.platform.channels["identity"])
    request = audit_pb2.ListAuditEntriesRequest(target_id=claims.brand_id, action=action)

    async def check() -> list[audit_pb2.AuditEntry]:
        reply = await stub.ListAuditEntries(request, metadata=bearer(claims.promos.admin))
        assert len(reply.entries) == count
        return list(reply.entries)

    return await eventually(check)


@pytest.mark.covers("C6 ClaimService.ListClaims")
async def test_a_brand_lists_its_claims(claims: Claims) -> None:
    bread, cake = await claims.open(name="Bread"), await claims.open(name="Cake")
    one, two = await claims.sharing(2)
    first = await claims.claim(bread.id, one)
    second = await claims.claim(cake.id, one)
    third = await claims.claim(bread.id, two)
    listed = await claims.claimed(with_total=True, page_size=2)
    assert [claim.id for claim in listed.claims] == [third.id, second.id]
    assert listed.total.count == 3
    rest = await claims.claimed(page_size=2, page_token=listed.next_page_token)
    assert [claim.id for claim in rest.claims] == [first.id]
    assert listed.claims[0].code == third.code
    assert listed.claims[0].code_id == third.code_id
    assert not listed.claims[0].HasField("contact")
    of_bread = await claims.claimed(discount_id=bread.id, order_by="claimed_at")
    assert [claim.id for claim in of_bread.claims] == [first.id, third.id]
    await claims.promos.redeem(first.code, "sale-3")
    used = await claims.claimed(state=claim_pb2.CLAIM_STATE_USED)
    assert [claim.id for claim in used.claims] == [first.id]
    since = await claims.claimed(claimed_from=third.claimed_at)
    assert [claim.id for claim in since.claims] == [third.id]
    until = await claims.claimed(claimed_until=second.claimed_at)
    assert [claim.id for claim in until.claims] == [first.id]
    later = await claims.claimed(claimed_from=timestamp(in_days(1)))
    assert list(later.claims) == []


async def test_a_brand_sees_the_contact_data_of_those_who_agree_and_each_look_is_audited(
    claims: Claims,
) -> None:
    discount = await claims.open()
    member = await agreeing(claims)
    await claims.claim(discount.id, member.token)
    [claim] = (await claims.claimed(with_contacts=True)).claims
    assert claim.member_id == str(member.id)
    assert (claim.contact.full_name, claim.contact.phone) == ("Ada Lovelace", member.phone)
    assert claim.contact.email == ""
    [look] = await looks(claims, "claim.contacts_shown", 1)
    assert look.actor_role == permission_pb2.ROLE_BRAND_MANAGER
    assert str(member.id) in str(look.details)
    await claims.claimed()
    await looks(claims, "claim.contacts_shown", 1)


async def test_consent_that_is_withdrawn_hides_contact_data_at_once(claims: Claims) -> None:
    discount = await claims.open()
    member = await agreeing(claims)
    await claims.claim(discount.id, member.token)
    await claims.agree(member, agrees=False)
    [claim] = (await claims.claimed(with_contacts=True)).claims
    assert not claim.HasField("contact")
    await claims.agree(member)
    [claim] = (await claims.claimed(with_contacts=True)).claims
    assert claim.HasField("contact")


async def test_a_closed_account_leaves_its_id_alone(claims: Claims) -> None:
    discount = await claims.open()
    member = await agreeing(claims)
    await claims.claim(discount.id, member.token)
    await claims.promos.platform.close_account(member)
    [claim] = (await claims.claimed(with_contacts=True)).claims
    assert claim.member_id == str(member.id)
    assert not claim.HasField("contact")

    async def voided() -> None:
        [claim] = (await claims.claimed()).claims
        assert claim.state == claim_pb2.CLAIM_STATE_VOID

    await eventually(voided)


async def test_an_address_that_is_not_confirmed_is_not_shared(claims: Claims) -> None:
    member = await agreeing(claims)
    await claims.promos.platform.databases["identity"].run(_set_email, member)
    discount = await claims.open()
    await claims.claim(discount.id, member.token)
    [claim] = (await claims.claimed(with_contacts=True)).claims
    assert claim.contact.email == ""


@pytest.mark.covers("C6 ClaimService.ExportClaims")
async def test_a_brand_takes_its_claims_away_as_csv(claims: Claims) -> None:
    discount = await claims.open()
    member = await agreeing(claims)
    [token] = await claims.sharing(1)
    await claims.claim(discount.id, member.token)
    await claims.claim(discount.id, token)
    header, newest, oldest, end = csv.reader(io.StringIO((await claims.exported(with_contacts=True))[1:]))
    assert header[:3] == ["id", "discount_id", "code_id"]
    assert newest[-3:] == ["", "", ""]
    assert oldest[-3:] == ["Ada Lovelace", f"'{member.phone}", ""]
    assert oldest[header.index("state")] == "USABLE"
    assert end == ["#end", "2"]
    await looks(claims, "claim.contacts_shown", 1)
    plain = await claims.exported(discount_id=discount.id)
    assert "Ada" not in plain
    await looks(claims, "claim.contacts_shown", 1)


async def test_nothing_personal_of_a_claim_is_kept_in_promos(claims: Claims) -> None:
    discount = await claims.open()
    member = await agreeing(claims)
    await claims.claim(discount.id, member.token)
    await claims.claimed(with_contacts=True)
    tables = await claims.promos.db.read(
        fetch_values,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    for table in tables:
        rows = await claims.promos.db.read(fetch_values, f'SELECT t::text FROM "{table}" t')
        kept = "\n".join(map(str, rows))
        assert member.phone not in kept, table
        assert "Lovelace" not in kept, table


async def test_what_is_sent_of_a_claim_has_contact_data_while_the_member_agrees(claims: Claims) -> None:
    discount = await claims.open()
    member = await agreeing(claims)
    claim = await claims.claim(discount.id, member.token)
    event = Event(new_id(), UUID(claims.brand_id), "claim.created", UUID(claim.id), utc_now(), member.id)
    async with build(claims.promos.platform.settings["promos"]) as parts:
        payloads = ClaimPayloads(parts.db, Contacts(parts.db, parts.peers))
        sent = await payloads.created(event)
        assert sent == {
            "claim_id": claim.id,
            "brand_id": claims.brand_id,
            "discount_id": discount.id,
            "code_id": claim.code_id,
            "code": claim.code,
            "code_display": claim.code_display,
            "member_id": str(member.id),
            "claimed_at": claim.claimed_at.ToJsonString(),
            "contact": {"full_name": "Ada Lovelace", "phone": member.phone, "email": ""},
        }
        orjson.dumps(sent)
        await claims.agree(member, agrees=False)
        assert (await payloads.created(event))["contact"] is None
    [look] = await looks(claims, "claim.contacts_sent", 1)
    assert look.actor_id == "promos"


async def test_the_brands_webhook_is_told_of_each_claim(claims: Claims) -> None:
    discount = await claims.open()
    member = await agreeing(claims)
    webhooks = BrandsWebhooks(claims.promos, UUID(claims.brand_id), claims.manager)
    async with Receiver().listening() as receiver:
        _, secret = await webhooks.create(receiver.url)
        claim = await claims.claim(discount.id, member.token)

        async def told() -> dict[str, Any]:
            assert len(receiver.posts) == 1
            return receiver.posts[0].verified(secret)

        sent = await eventually(told)
    assert sent["type"] == "claim.created"
    assert sent["data"]["claim_id"] == claim.id
    assert sent["data"]["contact"]["phone"] == member.phone


async def _set_email(connection: Connection, member: Member) -> None:
    await execute(
        connection,
        "UPDATE accounts SET email = %(email)s, email_confirmed = false WHERE id = %(id)s",
        email=f"{member.id}@example.com",
        id=member.id,
    )
