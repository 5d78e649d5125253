"""Why a campaign is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def campaign_not_found(campaign_id: UUID) -> DomainError:
    """No such campaign."""
    return DomainError("CAMPAIGN_NOT_FOUND", "no such campaign", campaign_id=campaign_id)


def campaign_started(campaign_id: UUID) -> DomainError:
    """The beginning of a campaign that has started stays as it is."""
    return DomainError("CAMPAIGN_STARTED", "the campaign has started", campaign_id=campaign_id)


def places_taken(count: int) -> DomainError:
    """Places that were won are not taken away."""
    return DomainError("PLACES_TAKEN", f"{count} places are taken already", places_taken=count)


def reward_not_found(reward_id: UUID) -> DomainError:
    """No such reward, or another member's."""
    return DomainError("REWARD_NOT_FOUND", "no such reward", reward_id=reward_id)


def campaign_ended(campaign_id: UUID) -> DomainError:
    """A campaign that has ended stays so."""
    return DomainError("CAMPAIGN_ENDED", "the campaign has ended for good", campaign_id=campaign_id)
