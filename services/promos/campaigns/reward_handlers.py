"""RewardService: what members have won."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.v1 import reward_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, timestamp
from services.common.paging import Page
from services.promos.benefit_encoding import encode_benefit
from services.promos.campaigns.encoding import encode_reward_state
from services.promos.campaigns.rewards import REWARD_LIST, RewardRow, get_reward
from services.promos.codes import display_code

_STATE = "REWARD_STATE_"


class RewardHandlers:
    """Implements RewardService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListMyRewards(
        self, request: reward_pb2.ListMyRewardsRequest, context: Context
    ) -> reward_pb2.ListMyRewardsResponse:
        """Returns a page of the caller's rewards."""
        state = reward_pb2.RewardState.Name(request.state).removeprefix(_STATE) if request.state else None
        page = Page(request.page_size, request.page_token, "rewards", state)
        rows, next_token = await self._db.read(REWARD_LIST.page, page, member_id=caller().id, state=state)
        return reward_pb2.ListMyRewardsResponse(rewards=map(_encode, rows), next_page_token=next_token)

    async def GetMyReward(
        self, request: reward_pb2.GetMyRewardRequest, context: Context
    ) -> reward_pb2.GetMyRewardResponse:
        """Returns one of the caller's rewards."""
        row = await self._db.read(get_reward, UUID(request.reward_id), caller().id)
        return reward_pb2.GetMyRewardResponse(reward=_encode(row))


def _encode(row: RewardRow) -> reward_pb2.Reward:
    return reward_pb2.Reward(
        id=str(row.id),
        campaign_id=str(row.campaign_id),
        name=row.name,
        rank=row.rank,
        benefit=encode_benefit(row.benefit),
        code_id=str(row.code_id),
        code=row.code,
        code_display=display_code(row.code, None),
        state=encode_reward_state(row.state),
        won_at=timestamp(row.won_at),
        expires_at=timestamp(row.expires_at),
        used_at=timestamp(row.used_at),
    )
