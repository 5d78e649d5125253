"""What staff do with campaigns, and what is audited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from scrip.common.v1 import money_pb2, permission_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc
from scrip.promos.v1 import campaign_pb2, code_pb2

from services.common.caller import Caller
from services.common.encoding import timestamp
from services.common.errors import DomainError
from services.common.ids import new_id
from services.promos.benefits import Benefit, PercentOff
from services.promos.campaigns.commands import NewCampaign, create_campaign
from services.promos.tests.support import FIVE_DOLLARS, THIRTY_PERCENT, Promos, at_once, in_days
from tests.inprocess import bearer, eventually, reason, refusal, refused_status

SCHEDULED = campaign_pb2.CAMPAIGN_STATE_SCHEDULED
RUNNING = campaign_pb2.CAMPAIGN_STATE_RUNNING
PAUSED = campaign_pb2.CAMPAIGN_STATE_PAUSED
ENDED = campaign_pb2.CAMPAIGN_STATE_ENDED


async def audit_of(promos: Promos, target: str) -> list[audit_pb2.AuditEntry]:
    """Returns what identity knows of changes to a target, oldest first."""
    stub = audit_pb2_grpc.AuditServiceStub(promos.platform.channels["identity"])
    request = audit_pb2.ListAuditEntriesRequest(target_id=target)
    reply = await stub.ListAuditEntries(request, metadata=bearer(promos.admin))
    return sorted(reply.entries, key=lambda entry: entry.occurred_at.ToNanoseconds())


async def violated_fields(call: Awaitable[object]) -> set[str]:
    """Returns the fields with which a call was refused as not valid."""
    status, code = await refused_status(call)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    violations = error_details_pb2.BadRequest()
    assert any(detail.Unpack(violations) for detail in status.details)
    return {violation.field for violation in violations.field_violations}


@pytest.mark.covers("C3 CampaignService.CreateCampaign", "C3 CampaignService.GetCampaign")
async def test_a_campaign_is_created_and_read_back(promos: Promos) -> None:
    starts_at, ends_at = timestamp(in_days(1)), timestamp(in_days(2))
    made = await promos.campaign(
        name="  First 3  ",
        places=3,
        benefit=FIVE_DOLLARS,
        starts_at=starts_at,
        ends_at=ends_at,
        rewards_expire_at=timestamp(in_days(30)),
    )
    assert (made.name, made.places, made.places_left, made.state) == ("First 3", 3, 3, SCHEDULED)
    assert made.benefit == FIVE_DOLLARS
    assert (made.starts_at, made.ends_at) == (starts_at, ends_at)
    assert made.HasField("rewards_expire_at")
    assert await promos.get_campaign(made.id) == made


async def test_a_campaign_starts_at_once_and_goes_on_without_end_when_nothing_is_said(promos: Promos) -> None:
    made = await promos.campaign()
    assert made.starts_at == made.created_at
    assert abs((datetime.now(UTC) - made.starts_at.ToDatetime(tzinfo=UTC)).total_seconds()) < 30
    assert not made.HasField("ends_at")
    assert not made.HasField("rewards_expire_at")


NOTHING_OFF = code_pb2.Benefit(amount_off=money_pb2.Money(currency_code="USD", amount_minor=0))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"places": 0}, "places"),
        ({"places": 1_000_001}, "places"),
        ({"benefit": None}, "benefit"),
        ({"benefit": code_pb2.Benefit()}, "benefit"),
        ({"benefit": code_pb2.Benefit(percent_off=0)}, "benefit.percent_off"),
        ({"benefit": code_pb2.Benefit(percent_off=101)}, "benefit.percent_off"),
        ({"benefit": NOTHING_OFF}, "benefit.amount_off.amount_minor"),
        ({"ends_at": timestamp(in_days(-1))}, "ends_at"),
        ({"rewards_expire_at": timestamp(in_days(-1))}, "rewards_expire_at"),
        ({"starts_at": timestamp(in_days(2)), "ends_at": timestamp(in_days(1))}, "request"),
        (
            {"starts_at": timestamp(in_days(2)), "rewards_expire_at": timestamp(in_days(1))},
            "rewards_expire_at",
        ),
    ],
)
async def test_bad_input_is_refused_with_its_field(
    promos: Promos, fields: dict[str, Any], field: str
) -> None:
    assert await violated_fields(promos.campaign(**fields)) == {field}


async def test_an_amount_off_is_in_the_programmes_currency(promos: Promos) -> None:
    euros = code_pb2.Benefit(amount_off=money_pb2.Money(currency_code="EUR", amount_minor=500))
    expected = {"currency_code": "EUR", "expected": "USD"}
    assert await refusal(promos.campaign(benefit=euros)) == (
        "CURRENCY_NOT_SUPPORTED",
        grpc.StatusCode.INVALID_ARGUMENT,
        expected,
    )


async def test_a_window_that_ends_before_it_starts_at_once_is_refused(promos: Promos) -> None:
    with pytest.raises(DomainError, match="ends_at: must lie after starts_at"):
        await promos.db.run(
            create_campaign,
            actor=Caller(str(new_id()), "admin"),
            new=NewCampaign("x", places=1, benefit=Benefit(PercentOff(30)), ends_at=in_days(-1)),
        )


@pytest.mark.parametrize("seconds", [253402300800, -62135596801])
async def test_a_moment_that_no_calendar_has_is_refused(promos: Promos, seconds: int) -> None:
    beyond = timestamp_pb2.Timestamp(seconds=seconds)
    assert await reason(promos.campaign(starts_at=beyond)) == "VALIDATION_FAILED"


@pytest.mark.covers("C3 CampaignService.CreateCampaign")
async def test_an_idempotency_key_makes_one_campaign(promos: Promos) -> None:
    key = str(new_id())
    replies, refusals = await at_once(promos.campaign(key=key) for _ in range(30))
    assert not refusals
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert await promos.value("SELECT count(*) FROM campaigns WHERE id = %(id)s", id=replies[0].id) == 1
    name, _, metadata = await refusal(promos.campaign(key=key, places=99))
    assert (name, metadata) == ("IDEMPOTENCY_KEY_REUSED", {"idempotency_key": key})
    assert (await promos.campaign()).id != (await promos.campaign()).id


async def test_a_key_is_its_callers_own_and_a_refused_call_does_not_use_it_up(promos: Promos) -> None:
    key = str(new_id())
    assert await reason(promos.campaign(key=key, benefit=NOTHING_OFF)) == "VALIDATION_FAILED"
    mine = await promos.campaign(key=key)
    request = campaign_pb2.CreateCampaignRequest(name="x", places=1, benefit=THIRTY_PERCENT)
    manager = bearer(await promos.platform.token("manager"), idempotency_key=key)
    assert (await promos.campaigns.CreateCampaign(request, metadata=manager)).campaign.id != mine.id
    assert await reason(promos.campaign(key="k" * 129)) == "IDEMPOTENCY_KEY_REQUIRED"


@pytest.mark.covers("C3 CampaignService.ResumeCampaign")
async def test_pausing_resuming_and_ending(promos: Promos) -> None:
    made = await promos.campaign()
    for _ in range(2):
        assert (await promos.pause(made.id)).state == PAUSED
    for _ in range(2):
        assert (await promos.resume(made.id)).state == RUNNING
    await promos.pause(made.id)
    for _ in range(2):
        assert (await promos.end(made.id)).state == ENDED
    for call in (promos.pause(made.id), promos.resume(made.id)):
        name, _, metadata = await refusal(call)
        assert (name, metadata) == ("CAMPAIGN_ENDED", {"campaign_id": made.id})
    assert (await promos.get_campaign(made.id)).state == ENDED


@pytest.mark.covers(
    "C3 CampaignService.PauseCampaign", "C3 CampaignService.ResumeCampaign", "C3 CampaignService.EndCampaign"
)
async def test_a_change_of_what_somebody_else_changed_meanwhile_is_refused(promos: Promos) -> None:
    made = await promos.campaign()
    assert made.etag
    paused = await promos.pause(made.id, etag=made.etag)
    assert paused.etag != made.etag
    for change in (promos.pause, promos.resume, promos.end):
        name, status, metadata = await refusal(change(made.id, etag=made.etag))
        assert (name, status) == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED)
        assert metadata == {"etag": paused.etag}
    assert await promos.get_campaign(made.id) == paused
    resumed = await promos.resume(made.id, etag=paused.etag)
    assert (resumed.state, resumed.etag) == (RUNNING, (await promos.get_campaign(made.id)).etag)
    assert (await promos.end(made.id)).state == ENDED


async def test_of_changes_by_the_same_etag_at_once_one_is_done(promos: Promos) -> None:
    made = await promos.campaign()
    replies, refusals = await at_once(
        change(made.id, etag=made.etag) for change in (promos.pause, promos.end) for _ in range(5)
    )
    assert len(replies) == 1
    assert refusals == {"ETAG_MISMATCH": 9}


async def test_what_changes_nothing_and_places_that_are_won_keep_the_etag(promos: Promos) -> None:
    made = await promos.campaign()
    await promos.first_login()
    assert await promos.resume(made.id, etag=made.etag) == await promos.get_campaign(made.id)
    assert (await promos.get_campaign(made.id)).etag == made.etag


@pytest.mark.covers("C3 CampaignService.GetCampaign")
async def test_an_unknown_campaign_is_not_found(promos: Promos) -> None:
    unknown = str(new_id())
    calls = (promos.pause, promos.resume, promos.end, promos.get_campaign, promos.winners)
    for call in calls:
        name, _, metadata = await refusal(call(unknown))
        assert (name, metadata) == ("CAMPAIGN_NOT_FOUND", {"campaign_id": unknown})


@pytest.mark.covers("C3 CampaignService.EndCampaign")
async def test_once_ended_a_campaign_stays_ended_whoever_else_acts_at_once(promos: Promos) -> None:
    made = await promos.campaign()
    calls = [*(promos.pause(made.id) for _ in range(10)), promos.end(made.id)]
    calls += [promos.resume(made.id) for _ in range(10)]
    _, refusals = await at_once(calls)
    assert set(refusals) <= {"CAMPAIGN_ENDED"}
    assert (await promos.get_campaign(made.id)).state == ENDED


@pytest.mark.covers("C3 CampaignService.ListCampaigns")
async def test_campaigns_are_listed_newest_first_by_state_and_page(promos: Promos) -> None:
    made = [await promos.campaign(name=f"c{number}") for number in range(5)]
    for campaign in made[::2]:
        await promos.pause(campaign.id)

    async def pages(size: int, state: campaign_pb2.CampaignState.ValueType) -> list[str]:
        ids: list[str] = []
        token = ""
        while True:
            request = campaign_pb2.ListCampaignsRequest(page_size=size, page_token=token, state=state)
            reply = await promos.campaigns.ListCampaigns(request, metadata=bearer(promos.admin))
            assert len(reply.campaigns) <= size
            ids += [campaign.id for campaign in reply.campaigns]
            token = reply.next_page_token
            if not token:
                return ids

    assert await pages(2, PAUSED) == [made[4].id, made[2].id, made[0].id]
    assert await pages(1, RUNNING) == [made[3].id, made[1].id]
    everything = await pages(3, campaign_pb2.CAMPAIGN_STATE_UNSPECIFIED)
    assert everything[:5] == [campaign.id for campaign in reversed(made)]
    assert len(set(everything)) == len(everything)


@pytest.mark.covers("C3 CampaignService.ListCampaigns")
async def test_campaigns_are_found_by_the_beginning_of_their_name_in_order_with_a_total(
    promos: Promos,
) -> None:
    word = str(new_id())
    names = [f"{word} {end}" for end in ("Öl", "100%", "b", "A")]
    for name in names:
        await promos.campaign(name=name)

    async def found(**fields: Any) -> list[str]:
        return [one.name for one in (await promos.list_campaigns(**fields)).campaigns]

    assert await found(query=word.upper()) == names[::-1]
    assert await found(query=word, order_by="created_at") == names
    assert await found(query=word, order_by="name") == sorted(names)
    assert await found(query=word, order_by="name desc") == sorted(names, reverse=True)
    assert await found(query=f"{word} öl") == [names[0]]
    assert await found(query=f"{word} 100%") == [names[1]]
    assert await found(query=f"{word} 100_") == []
    page = await promos.list_campaigns(query=word, with_total=True, page_size=1)
    assert (len(page.campaigns), page.total.count, page.total.more) == (1, 4, False)
    assert not (await promos.list_campaigns(query=word)).HasField("total")
    assert await reason(promos.list_campaigns(order_by="places")) == "VALIDATION_FAILED"


async def test_a_page_token_serves_only_its_list(promos: Promos) -> None:
    for _ in range(2):
        await promos.campaign()
    request = campaign_pb2.ListCampaignsRequest(page_size=1)
    token = (await promos.campaigns.ListCampaigns(request, metadata=bearer(promos.admin))).next_page_token
    for page_token, state in ((token, PAUSED), ("nonsense", 0), ("é", 0)):
        request = campaign_pb2.ListCampaignsRequest(page_token=page_token, state=state)  # type: ignore[arg-type]
        call = promos.campaigns.ListCampaigns(request, metadata=bearer(promos.admin))
        assert await reason(call) == "PAGE_TOKEN_NOT_VALID"


async def test_what_staff_do_arrives_in_the_audit_list_once(promos: Promos) -> None:
    manager_id = new_id()
    manager = await promos.platform.token("manager", manager_id)
    made = await promos.campaign(name="Audited")
    for _ in range(2):
        await promos.pause(made.id, manager)
    await promos.resume(made.id)
    await promos.end(made.id)

    async def arrived() -> None:
        entries = await audit_of(promos, made.id)
        actions = ["campaign.created", "campaign.paused", "campaign.resumed", "campaign.ended"]
        assert [entry.action for entry in entries] == actions
        assert {entry.service for entry in entries} == {"promos"}
        assert MessageToDict(entries[0].details)["name"] == "Audited"
        manager_role = permission_pb2.ROLE_MANAGER
        assert (entries[1].actor_id, entries[1].actor_role) == (str(manager_id), manager_role)

    await eventually(arrived, seconds=15)

    async def forwarded() -> None:
        left = "SELECT count(*) FROM outbox WHERE content ->> 'target_id' = %(id)s"
        assert await promos.value(left, id=made.id) == 0

    await eventually(forwarded)


async def test_what_staff_redeem_and_cancel_is_audited_and_tills_are_not(promos: Promos) -> None:
    code = await promos.assigned_code()
    cashier = await promos.platform.token("cashier")
    by_till = await promos.redeem(code.code, "R-1")
    await promos.cancel(by_till.id)
    by_staff = await promos.redeem(code.code, "R-1", cashier)
    await asyncio.gather(*(promos.cancel(by_staff.id, cashier) for _ in range(5)))

    async def arrived() -> None:
        entries = await audit_of(promos, code.id) + await audit_of(promos, by_staff.id)
        assert [entry.action for entry in entries] == ["code.redeemed", "redemption.cancelled"]
        assert not any(code.code in str(entry.details) for entry in entries)

    await eventually(arrived, seconds=15)
    assert await audit_of(promos, by_till.id) == []
