"""Campaigns and winners as protobuf has them, and back."""

from __future__ import annotations

from scrip.promos.v1 import campaign_pb2, reward_pb2

from services.common.encoding import moment, read_optional_text, read_text, timestamp
from services.common.errors import invalid_field
from services.promos.benefit_encoding import encode_benefit, read_benefit
from services.promos.campaigns.changes import CampaignChanges
from services.promos.campaigns.commands import NewCampaign
from services.promos.campaigns.queries import CampaignRow
from services.promos.campaigns.rewards import WinnerRow
from services.promos.codes import CodeState

_STATE = "CAMPAIGN_STATE_"
_REWARD_STATE = "REWARD_STATE_"


def new_campaign(request: campaign_pb2.CreateCampaignRequest, currency: str) -> NewCampaign:
    """Returns what staff ask for. Raises VALIDATION_FAILED and CURRENCY_NOT_SUPPORTED."""
    return NewCampaign(
        name=read_text(request.name, "name"),
        places=request.places,
        benefit=read_benefit(request.benefit, currency),
        description=read_optional_text(request.description, "description", lines=True),
        starts_at=moment(request, "starts_at"),
        ends_at=moment(request, "ends_at"),
        rewards_expire_at=moment(request, "rewards_expire_at"),
        rewards_valid_days=request.rewards_valid_days if request.HasField("rewards_valid_days") else None,
        includes_members_without_phone=request.includes_members_without_phone,
    )


def changes(request: campaign_pb2.UpdateCampaignRequest) -> CampaignChanges:
    """Returns what an update asks for. Raises VALIDATION_FAILED for a field that is given and emptied."""
    for field in request.clear:
        if request.HasField(field):  # type: ignore[arg-type]  # one of four fields, by validation
            raise invalid_field("clear", f"{field} can not be given and emptied at once")
    return CampaignChanges(
        name=read_text(request.name, "name") if request.HasField("name") else None,
        description=(
            read_text(request.description, "description", lines=True)
            if request.HasField("description")
            else None
        ),
        places=request.places if request.HasField("places") else None,
        starts_at=moment(request, "starts_at"),
        ends_at=moment(request, "ends_at"),
        rewards_expire_at=moment(request, "rewards_expire_at"),
        rewards_valid_days=request.rewards_valid_days if request.HasField("rewards_valid_days") else None,
        includes_members_without_phone=(
            request.includes_members_without_phone
            if request.HasField("includes_members_without_phone")
            else None
        ),
        clear=list(request.clear),
    )


def state_filter(state: campaign_pb2.CampaignState.ValueType) -> str | None:
    """Returns the state that a list is asked for; None is every state."""
    return campaign_pb2.CampaignState.Name(state).removeprefix(_STATE) if state else None


def encode_campaign(row: CampaignRow) -> campaign_pb2.Campaign:
    """Returns a campaign as staff see it."""
    return campaign_pb2.Campaign(
        id=str(row.id),
        name=row.name,
        description=row.description,
        places=row.places,
        places_left=row.places - row.places_taken,
        benefit=encode_benefit(row.benefit),
        starts_at=timestamp(row.starts_at),
        ends_at=timestamp(row.ends_at),
        rewards_expire_at=timestamp(row.rewards_expire_at),
        rewards_valid_days=row.rewards_valid_days,
        includes_members_without_phone=row.includes_members_without_phone,
        state=campaign_pb2.CampaignState.Value(f"{_STATE}{row.state}"),
        created_at=timestamp(row.created_at),
        etag=row.etag,
    )


def encode_running(row: CampaignRow) -> campaign_pb2.RunningCampaign:
    """Returns a campaign as everybody sees it."""
    return campaign_pb2.RunningCampaign(
        campaign_id=str(row.id),
        name=row.name,
        description=row.description,
        benefit=encode_benefit(row.benefit),
        places=row.places,
        places_left=row.places - row.places_taken,
        starts_at=timestamp(row.starts_at),
        ends_at=timestamp(row.ends_at),
        rewards_expire_at=timestamp(row.rewards_expire_at),
        rewards_valid_days=row.rewards_valid_days,
        includes_members_without_phone=row.includes_members_without_phone,
    )


def encode_winner(row: WinnerRow) -> campaign_pb2.Winner:
    """Returns a winner."""
    return campaign_pb2.Winner(
        rank=row.rank,
        member_id=str(row.member_id),
        logged_in_at=timestamp(row.logged_in_at),
        won_at=timestamp(row.won_at),
        code_id=str(row.code_id),
        code_state=encode_reward_state(row.code_state),
        used_at=timestamp(row.used_at),
        account_closed=row.account_closed,
    )


def encode_reward_state(state: CodeState) -> reward_pb2.RewardState.ValueType:
    """Returns the state of what was won, which is that of its code."""
    return reward_pb2.RewardState.Value(f"{_REWARD_STATE}{state}")
