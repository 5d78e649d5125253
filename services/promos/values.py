"""What promos' commands and queries speak of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class Benefit:
    """What a code takes off a sale: an amount in minor units of a currency, or percent."""

    amount_off_minor: int | None
    currency_code: str | None
    percent_off: int | None


@dataclass(frozen=True)
class RedemptionRow:
    """One use of a code."""

    id: UUID
    code_id: UUID
    sale_reference: str
    redeemed_at: datetime
    cancelled_at: datetime | None
    benefit: Benefit


@dataclass(frozen=True)
class CampaignRow:
    """A campaign."""

    id: UUID
    name: str
    places: int
    places_taken: int
    starts_at: datetime
    ends_at: datetime | None
    state: str
    created_at: datetime
    promotions_expire_at: datetime | None
    benefit: Benefit
