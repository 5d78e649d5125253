"""What other services ask of rewards: a part of PromosInternalService."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.internal.v1 import promos_pb2

from services.common.db import Database
from services.common.encoding import Context, timestamp
from services.promos.benefit_encoding import encode_benefit
from services.promos.campaigns.usable_rewards import usable_rewards


class UsableRewardHandlers:
    """Implements GetUsableRewards."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetUsableRewards(
        self, request: promos_pb2.GetUsableRewardsRequest, context: Context
    ) -> promos_pb2.GetUsableRewardsResponse:
        """Returns what a member has won and can use now."""
        rows = await self._db.read(usable_rewards, UUID(request.member_id))
        return promos_pb2.GetUsableRewardsResponse(
            rewards=[
                promos_pb2.UsableReward(
                    campaign_name=row.campaign_name,
                    benefit=encode_benefit(row.benefit),
                    expires_at=timestamp(row.expires_at),
                    code=row.code,
                )
                for row in rows
            ]
        )
