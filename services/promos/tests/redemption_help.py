"""Codes at the till: what the tests of redemptions make and send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from scrip.common.internal.v1 import member_events_pb2
from scrip.promos.internal.v1 import promos_pb2
from scrip.promos.v1 import code_pb2

from services.common.ids import new_id
from services.promos.tests.support import Promos
from tests.inprocess import bearer

SUSPENDED = member_events_pb2.MEMBER_EVENT_TYPE_SUSPENDED
RESTORED = member_events_pb2.MEMBER_EVENT_TYPE_RESTORED
CLOSED = member_events_pb2.MEMBER_EVENT_TYPE_CLOSED


@dataclass(frozen=True)
class Tills:
    """Calls of tills."""

    promos: Promos

    async def bearer_code(self, uses: int = 1) -> code_pb2.VerifyCodeResponse:
        """Returns a code that is good for whoever brings it; see `text`."""
        code_set_id = await self.promos.code_set(1)
        await self.change_set(code_set_id, "purpose = 'HANDED_OUT'")
        await self.promos.execute(
            "UPDATE codes SET state = 'BEARER', uses_allowed = %(uses)s WHERE code_set_id = %(id)s",
            id=code_set_id,
            uses=uses,
        )
        text = "SELECT code FROM codes WHERE code_set_id = %(id)s"
        return await self.promos.verify(await self.promos.value(text, id=code_set_id))

    async def text(self, code_id: str) -> str:
        """Returns what the till scans."""
        return str(await self.promos.value("SELECT code FROM codes WHERE id = %(id)s", id=code_id))

    async def set_of(self, code_id: str) -> UUID:
        """Returns the set of a code."""
        query = "SELECT code_set_id FROM codes WHERE id = %(id)s"
        code_set_id: UUID = await self.promos.value(query, id=code_id)
        return code_set_id

    async def change_set(self, code_set_id: UUID, change: LiteralString, **values: object) -> None:
        """Changes what no call of these tests can change."""
        await self.promos.execute(
            "UPDATE code_sets SET " + change + " WHERE id = %(id)s", id=code_set_id, **values
        )

    async def verify(
        self, code: str, token: str | None = None, *, address: str = "", **fields: str
    ) -> code_pb2.VerifyCodeResponse:
        """Asks about a code, perhaps from a place of its own."""
        headers = {"x_envoy_external_address": address} if address else {}
        return await self.promos.codes.VerifyCode(
            code_pb2.VerifyCodeRequest(code=code, **fields),
            metadata=bearer(token or self.promos.till, **headers),
        )

    async def redeem(
        self, code: str, sale: str, token: str | None = None, *, address: str = "", **fields: str
    ) -> code_pb2.Redemption:
        """Redeems a code."""
        headers = {"x_envoy_external_address": address} if address else {}
        reply = await self.promos.codes.RedeemCode(
            code_pb2.RedeemCodeRequest(code=code, sale_reference=sale, **fields),
            metadata=bearer(token or self.promos.till, **headers),
        )
        return reply.redemption

    async def owned_by(self, member: UUID | None = None) -> tuple[UUID, str, str]:
        """Returns a member with a code: the member's id, the code's and its text."""
        member = member or new_id()
        code = await self.promos.assigned_code(member)
        return member, code.id, code.code

    async def usable_rewards(self, member: UUID) -> list[promos_pb2.UsableReward]:
        """Returns what a look-up shows of a member's rewards."""
        request = promos_pb2.GetUsableRewardsRequest(member_id=str(member))
        reply = await self.promos.internal.GetUsableRewards(request, metadata=bearer(self.promos.identity))
        return list(reply.rewards)
