"""Promos' values as protobuf has them, and back."""

from __future__ import annotations

from scrip.common.v1 import money_pb2
from scrip.promos.v1 import campaign_pb2, code_pb2

from services.common.encoding import timestamp
from services.promos.queries import PromotionRow, WinnerRow
from services.promos.values import Benefit, CampaignRow, RedemptionRow


def read_benefit(message: code_pb2.Benefit) -> Benefit:
    """The benefit in a request, in which one kind is set."""
    if message.HasField("percent_off"):
        return Benefit(None, None, message.percent_off)
    amount = message.amount_off
    return Benefit(amount.amount_minor, amount.currency_code, None)


def benefit(value: Benefit) -> code_pb2.Benefit:
    """A benefit."""
    if value.percent_off is not None:
        return code_pb2.Benefit(percent_off=value.percent_off)
    assert value.currency_code is not None, "a benefit is an amount or percent"
    assert value.amount_off_minor is not None, "a benefit is an amount or percent"
    amount = money_pb2.Money(currency_code=value.currency_code, amount_minor=value.amount_off_minor)
    return code_pb2.Benefit(amount_off=amount)


def redemption(row: RedemptionRow) -> code_pb2.Redemption:
    """A redemption."""
    return code_pb2.Redemption(
        id=str(row.id),
        code_id=str(row.code_id),
        sale_reference=row.sale_reference,
        benefit=benefit(row.benefit),
        redeemed_at=timestamp(row.redeemed_at),
        cancelled_at=timestamp(row.cancelled_at),
    )


def campaign(row: CampaignRow) -> campaign_pb2.Campaign:
    """A campaign."""
    return campaign_pb2.Campaign(
        id=str(row.id),
        name=row.name,
        places=row.places,
        places_left=row.places - row.places_taken,
        benefit=benefit(row.benefit),
        starts_at=timestamp(row.starts_at),
        ends_at=timestamp(row.ends_at),
        promotions_expire_at=timestamp(row.promotions_expire_at),
        state=campaign_pb2.CampaignState.Value(f"CAMPAIGN_STATE_{row.state}"),
        created_at=timestamp(row.created_at),
    )


def winner(row: WinnerRow) -> campaign_pb2.Winner:
    """A winner."""
    return campaign_pb2.Winner(
        rank=row.rank, member_id=str(row.member_id), logged_in_at=timestamp(row.logged_in_at)
    )


def promotion(row: PromotionRow) -> campaign_pb2.Promotion:
    """A promotion."""
    return campaign_pb2.Promotion(
        campaign_id=str(row.campaign_id),
        name=row.name,
        rank=row.rank,
        benefit=benefit(row.benefit),
        code_id=str(row.code_id),
        code=row.code,
        used=row.used,
        won_at=timestamp(row.won_at),
        expires_at=timestamp(row.expires_at),
    )
