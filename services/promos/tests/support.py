"""Calls that several tests make, and what must hold after each of them."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, TypeVar
from uuid import UUID

import grpc
from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc
from scrip.common.v1 import money_pb2
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc
from scrip.promos.v1 import (
    campaign_pb2,
    campaign_pb2_grpc,
    code_pb2,
    code_pb2_grpc,
    reward_pb2,
    reward_pb2_grpc,
)

from services.common.channels import open_channel
from services.common.db import Database, execute, fetch_value, fetch_values
from services.common.encoding import timestamp
from services.common.ids import new_id
from services.common.server import RunningService
from services.promos.server import compose
from tests import invariants
from tests.inprocess import Platform, bearer, eventually, reason

FIVE_DOLLARS = code_pb2.Benefit(amount_off=money_pb2.Money(currency_code="USD", amount_minor=500))
THIRTY_PERCENT = code_pb2.Benefit(percent_off=30)
FIRST_LOGIN = member_events_pb2.MEMBER_EVENT_TYPE_FIRST_LOGIN
REGISTERED = member_events_pb2.MEMBER_EVENT_TYPE_REGISTERED
PHONE_CHANGED = member_events_pb2.MEMBER_EVENT_TYPE_PHONE_CHANGED
CLOSED = member_events_pb2.MEMBER_EVENT_TYPE_CLOSED
T = TypeVar("T")

_BROKEN: dict[str, LiteralString] = {
    "a set counts other codes than it has": (
        "SELECT s.id FROM code_sets s LEFT JOIN (SELECT code_set_id, count(*) AS codes,"
        " count(*) FILTER (WHERE state = 'VOID') AS voided FROM codes GROUP BY code_set_id) c"
        " ON c.code_set_id = s.id WHERE (s.voided, s.made) <> (coalesce(c.voided, 0), coalesce(c.codes, 0))"
        " AND NOT EXISTS (SELECT FROM campaigns p WHERE p.id = s.id)"
    ),
    "a set has more codes than were asked for": "SELECT id FROM code_sets WHERE made > wanted + voided",
    "an order has other codes than it was assigned": (
        "SELECT a.order_id FROM assignments a WHERE a.state = 'ASSIGNED' AND a.quantity <>"
        " (SELECT count(*) FROM codes c WHERE c.order_id = a.order_id"
        " AND (c.state = 'ASSIGNED' OR c.void_reason = 'STAFF')"
        " AND c.owner_member_id = a.owner_member_id AND c.code_set_id = a.code_set_id)"
    ),
    "a released order has a usable code": (
        "SELECT a.order_id FROM assignments a JOIN codes c ON c.order_id = a.order_id"
        " WHERE a.state = 'RELEASED' AND c.state <> 'VOID'"
    ),
    "a code has an order that has none": (
        "SELECT c.id FROM codes c WHERE c.order_id IS NOT NULL AND NOT EXISTS"
        " (SELECT FROM assignments a WHERE a.order_id = c.order_id)"
    ),
    "a redemption is of another set than its code": (
        "SELECT r.id FROM redemptions r JOIN codes c ON c.id = r.code_id WHERE r.code_set_id <> c.code_set_id"
    ),
    "a winner's code is not the winner's": (
        "SELECT w.code_id FROM winners w JOIN codes c ON c.id = w.code_id"
        " WHERE c.owner_member_id <> w.member_id OR c.code_set_id <> w.campaign_id"
    ),
}


@dataclass
class Promos:
    """Promos, with tokens to speak to it. Refused calls raise what gRPC raises."""

    platform: Platform
    channel: grpc.aio.Channel
    db: Database
    admin: str
    till: str
    vouchers: str
    identity: str

    @classmethod
    async def of(cls, platform: Platform, channel: grpc.aio.Channel) -> Promos:
        """Promos of this platform, over this channel."""
        return cls(
            platform,
            channel,
            platform.databases["promos"],
            await platform.admin(),
            await platform.till(),
            await platform.service_token("vouchers"),
            await platform.service_token("identity"),
        )

    @property
    def codes(self) -> code_pb2_grpc.CodeServiceStub:
        """CodeService."""
        return code_pb2_grpc.CodeServiceStub(self.channel)

    @property
    def campaigns(self) -> campaign_pb2_grpc.CampaignServiceStub:
        """CampaignService."""
        return campaign_pb2_grpc.CampaignServiceStub(self.channel)

    @property
    def rewards(self) -> reward_pb2_grpc.RewardServiceStub:
        """RewardService."""
        return reward_pb2_grpc.RewardServiceStub(self.channel)

    @property
    def internal(self) -> promos_pb2_grpc.PromosInternalServiceStub:
        """PromosInternalService."""
        return promos_pb2_grpc.PromosInternalServiceStub(self.channel)

    @property
    def events(self) -> member_events_pb2_grpc.MemberEventsServiceStub:
        """MemberEventsService."""
        return member_events_pb2_grpc.MemberEventsServiceStub(self.channel)

    @asynccontextmanager
    async def another_process(self, **settings: object) -> AsyncIterator[Promos]:
        """The same promos served a second time, as another process would, with other settings."""
        own = self.platform.settings["promos"].model_copy(update={"listen": "127.0.0.1:0", **settings})
        async with compose(own) as service:
            running = RunningService(service, own)
            channel = open_channel(f"ipv4:127.0.0.1:{await running.start()}")
            try:
                yield replace(self, channel=channel)
            finally:
                await channel.close()
                await running.stop()

    @property
    def url(self) -> str:
        """The address of its database."""
        return self.platform.postgres.url("promos")

    # Codes

    async def ensure(self, code_set_id: UUID, quantity: int, **fields: Any) -> int:
        """Asks for codes; how many there are."""
        request = promos_pb2.EnsureCodesRequest(
            code_set_id=str(code_set_id), quantity=quantity, **{"benefit": FIVE_DOLLARS, **fields}
        )
        return (await self.internal.EnsureCodes(request, metadata=bearer(self.vouchers))).made

    async def code_set(self, quantity: int, **fields: Any) -> UUID:
        """Returns a set with so many codes ready."""
        code_set_id = new_id()
        await self.ensure(code_set_id, quantity, **fields)
        await self.until_made(code_set_id, quantity)
        return code_set_id

    async def until_made(self, code_set_id: UUID, ready: int) -> None:
        """Waits until so many codes are ready."""

        async def check() -> None:
            assert await self.ready(code_set_id) == ready

        await eventually(check, seconds=15)

    async def ready(self, code_set_id: UUID) -> int:
        """Returns how many codes of a set are ready."""
        count = "SELECT count(*) FROM codes WHERE code_set_id = %(id)s AND state = 'READY'"
        return int(await self.value(count, id=code_set_id))

    async def assign(
        self, code_set_id: UUID, *, order: UUID | None = None, owner: UUID | None = None, quantity: int = 1
    ) -> list[str]:
        """Assigns codes; their ids."""
        request = promos_pb2.AssignCodesRequest(
            order_id=str(order or new_id()),
            code_set_id=str(code_set_id),
            owner_member_id=str(owner or new_id()),
            quantity=quantity,
        )
        return list((await self.internal.AssignCodes(request, metadata=bearer(self.vouchers))).code_ids)

    async def release(self, order: UUID) -> None:
        """Releases an order's codes."""
        request = promos_pb2.ReleaseCodesRequest(order_id=str(order))
        await self.internal.ReleaseCodes(request, metadata=bearer(self.vouchers))

    async def get(self, code_ids: Sequence[str]) -> dict[str, promos_pb2.Code]:
        """Returns codes by id."""
        request = promos_pb2.BatchGetCodesRequest(code_ids=code_ids)
        reply = await self.internal.BatchGetCodes(request, metadata=bearer(self.vouchers))
        return {code.id: code for code in reply.codes}

    async def state(self, code_id: str) -> int:
        """Returns a code's state."""
        return (await self.get([code_id]))[code_id].state

    async def assigned_code(self, owner: UUID | None = None, **fields: Any) -> promos_pb2.Code:
        """Returns a new code that somebody owns."""
        [code_id] = await self.assign(await self.code_set(1, **fields), owner=owner)
        return (await self.get([code_id]))[code_id]

    async def verify(self, code: str, token: str | None = None) -> code_pb2.VerifyCodeResponse:
        """Asks about a code."""
        request = code_pb2.VerifyCodeRequest(code=code)
        return await self.codes.VerifyCode(request, metadata=bearer(token or self.till))

    async def redeem(
        self, code: str, sale: str, token: str | None = None, *, till_number: str = ""
    ) -> code_pb2.Redemption:
        """Redeems a code."""
        request = code_pb2.RedeemCodeRequest(code=code, sale_reference=sale, till_number=till_number)
        metadata = bearer(token or self.till)
        return (await self.codes.RedeemCode(request, metadata=metadata)).redemption

    async def cancel(self, redemption_id: str, token: str | None = None) -> code_pb2.Redemption:
        """Cancels a redemption."""
        request = code_pb2.CancelRedemptionRequest(redemption_id=redemption_id)
        return (await self.codes.CancelRedemption(request, metadata=bearer(token or self.till))).redemption

    async def list_redemptions(self, **fields: Any) -> code_pb2.ListRedemptionsResponse:
        """Returns a page of redemptions."""
        request = code_pb2.ListRedemptionsRequest(**fields)
        return await self.codes.ListRedemptions(request, metadata=bearer(self.admin))

    # Campaigns

    async def campaign(self, *, key: str | None = None, **fields: Any) -> campaign_pb2.Campaign:
        """Returns a new campaign; by default the first 100 get 30 %."""
        request = campaign_pb2.CreateCampaignRequest(
            **{"name": "First 100 logins", "places": 100, "benefit": THIRTY_PERCENT, **fields}
        )
        headers = {"idempotency_key": key} if key else {}
        reply = await self.campaigns.CreateCampaign(request, metadata=bearer(self.admin, **headers))
        return reply.campaign

    async def pause(
        self, campaign_id: str, token: str | None = None, *, etag: str = ""
    ) -> campaign_pb2.Campaign:
        """Pauses a campaign."""
        request = campaign_pb2.PauseCampaignRequest(campaign_id=campaign_id, etag=etag)
        metadata = bearer(token or self.admin)
        return (await self.campaigns.PauseCampaign(request, metadata=metadata)).campaign

    async def resume(self, campaign_id: str, *, etag: str = "") -> campaign_pb2.Campaign:
        """Resumes a campaign."""
        request = campaign_pb2.ResumeCampaignRequest(campaign_id=campaign_id, etag=etag)
        return (await self.campaigns.ResumeCampaign(request, metadata=bearer(self.admin))).campaign

    async def update_campaign(
        self, campaign_id: str, token: str | None = None, **fields: Any
    ) -> campaign_pb2.Campaign:
        """Changes a campaign."""
        request = campaign_pb2.UpdateCampaignRequest(campaign_id=campaign_id, **fields)
        metadata = bearer(token or self.admin)
        return (await self.campaigns.UpdateCampaign(request, metadata=metadata)).campaign

    async def end(self, campaign_id: str, *, etag: str = "") -> campaign_pb2.Campaign:
        """Ends a campaign."""
        request = campaign_pb2.EndCampaignRequest(campaign_id=campaign_id, etag=etag)
        return (await self.campaigns.EndCampaign(request, metadata=bearer(self.admin))).campaign

    async def get_campaign(self, campaign_id: str) -> campaign_pb2.Campaign:
        """Reads a campaign."""
        request = campaign_pb2.GetCampaignRequest(campaign_id=campaign_id)
        return (await self.campaigns.GetCampaign(request, metadata=bearer(self.admin))).campaign

    async def list_winners(self, campaign_id: str, **fields: Any) -> campaign_pb2.ListWinnersResponse:
        """Returns a page of winners."""
        request = campaign_pb2.ListWinnersRequest(campaign_id=campaign_id, **fields)
        return await self.campaigns.ListWinners(request, metadata=bearer(self.admin))

    async def winners(self, campaign_id: str) -> list[campaign_pb2.Winner]:
        """Returns all winners, page by page."""
        winners: list[campaign_pb2.Winner] = []
        token = ""
        while True:
            request = campaign_pb2.ListWinnersRequest(
                campaign_id=campaign_id, page_size=200, page_token=token
            )
            reply = await self.campaigns.ListWinners(request, metadata=bearer(self.admin))
            winners += reply.winners
            token = reply.next_page_token
            if not token:
                return winners

    async def first_login(self, member: UUID | None = None, **fields: Any) -> UUID:
        """Sends the event of a member's first login; by default the member has a phone number."""
        member, phone = member or new_id(), secrets.token_bytes(32)
        await self.apply(member, **{"version": 2, "event": FIRST_LOGIN, "phone_hash": phone, **fields})
        return member

    async def apply(
        self,
        member: UUID,
        *,
        version: int,
        event: member_events_pb2.MemberEventType.ValueType,
        at: datetime | None = None,
        phone_hash: bytes = b"",
    ) -> None:
        """Sends an event."""
        request = member_events_pb2.ApplyRequest(
            event_id=str(new_id()),
            member_id=str(member),
            version=version,
            type=event,
            occurred_at=timestamp(at or datetime.now(UTC)),
            phone_hash=phone_hash,
        )
        await self.events.Apply(request, metadata=bearer(self.identity))

    async def list_campaigns(self, **fields: Any) -> campaign_pb2.ListCampaignsResponse:
        """Returns a page of campaigns."""
        request = campaign_pb2.ListCampaignsRequest(**fields)
        return await self.campaigns.ListCampaigns(request, metadata=bearer(self.admin))

    async def rewards_of(
        self, member: UUID, state: reward_pb2.RewardState.ValueType = reward_pb2.REWARD_STATE_UNSPECIFIED
    ) -> list[reward_pb2.Reward]:
        """Returns the first 200 rewards of a member."""
        token = await self.platform.token("member", member)
        request = reward_pb2.ListMyRewardsRequest(page_size=200, state=state)
        reply = await self.rewards.ListMyRewards(request, metadata=bearer(token))
        return list(reply.rewards)

    # The database

    async def value(self, query: LiteralString, **values: object) -> Any:
        """Returns the one value of a query."""
        return await self.db.read(fetch_value, query, **values)

    async def execute(self, statement: LiteralString, **values: object) -> None:
        """Changes what no call can change, such as time."""
        await self.db.run(execute, statement, **values)

    async def assert_consistent(self) -> None:
        """What must hold at any moment."""
        await asyncio.to_thread(invariants.check_codes, self.url)
        await asyncio.to_thread(invariants.check_campaigns, self.url)
        for fault, query in _BROKEN.items():
            assert await self.db.read(fetch_values, query) == [], fault


async def at_once(calls: Iterable[Awaitable[T]]) -> tuple[list[T], Counter[str]]:
    """Makes all calls at once: the replies, and how often each reason was given for a refusal."""

    async def one(call: Awaitable[T]) -> T | Refused:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            return Refused(await reason(raising(error)))

    outcomes = await asyncio.gather(*(one(call) for call in calls))
    replies = [outcome for outcome in outcomes if not isinstance(outcome, Refused)]
    return replies, Counter(outcome.reason for outcome in outcomes if isinstance(outcome, Refused))


@dataclass(frozen=True)
class Refused:
    """The reason of a refusal."""

    reason: str


async def raising(error: Exception) -> None:
    """A call that was refused with this error."""
    raise error


def in_days(days: float) -> datetime:
    """Returns a moment so many days from now."""
    return datetime.now(UTC) + timedelta(days=days)
