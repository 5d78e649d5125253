"""Why a campaign is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def campaign_not_found(campaign_id: UUID) -> DomainError:
    """No such campaign."""
    return DomainError("CAMPAIGN_NOT_FOUND", "no such campaign", campaign_id=campaign_id)


def reward_not_found(reward_id: UUID) -> DomainError:
    """No such reward, or another member's."""
    return DomainError("REWARD_NOT_FOUND", "no such reward", reward_id=reward_id)


def campaign_ended(campaign_id: UUID) -> DomainError:
    """A campaign that has ended stays so."""
    return DomainError("CAMPAIGN_ENDED", "the campaign has ended for good", campaign_id=campaign_id)
