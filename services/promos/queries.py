"""All reads of promos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from services.common.legacy_db import Connection
from services.common.paging import Page
from services.promos import refusals
from services.promos.values import Benefit, CampaignRow, RedemptionRow

_CAMPAIGN = (
    "SELECT c.id, c.name, c.places, c.places_taken, c.starts_at, c.ends_at, c.state, c.created_at,"
    " s.expires_at, s.amount_off_minor, s.currency_code, s.percent_off"
    " FROM campaigns c JOIN code_sets s ON s.id = c.id "
)
_REDEMPTION = (
    "SELECT r.id, r.code_id, r.sale_reference, r.redeemed_at, r.cancelled_at,"
    " s.amount_off_minor, s.currency_code, s.percent_off"
    " FROM redemptions r JOIN codes c ON c.id = r.code_id JOIN code_sets s ON s.id = c.code_set_id "
)


@dataclass(frozen=True)
class UsableCode:
    """A code that can be redeemed now."""

    id: UUID
    uses_left: int
    expires_at: datetime | None
    benefit: Benefit


@dataclass(frozen=True)
class CodeRow:
    """A code that somebody owns, and where it stands: USABLE, USED, EXPIRED or VOID."""

    id: UUID
    code: str
    state: str


@dataclass(frozen=True)
class WinnerRow:
    """A place that was won."""

    rank: int
    member_id: UUID
    logged_in_at: datetime


@dataclass(frozen=True)
class PromotionRow:
    """What a member has won."""

    campaign_id: UUID
    name: str
    rank: int
    code_id: UUID
    code: str
    used: bool
    won_at: datetime
    expires_at: datetime | None
    benefit: Benefit


async def verify_code(
    connection: Connection, *, code: str, owner: UUID | None = None, besides: UUID | None = None
) -> UsableCode:
    """A code that can be redeemed now; with `owner`, only one of this member's.

    `besides` is a redemption that is being tried: when the code was last used, it does not count.

    Raises CODE_NOT_VALID for every other one, and CODE_VOID, CODE_ALREADY_USED or CODE_EXPIRED.
    """
    result = await connection.execute(
        text(
            "SELECT c.id, c.uses_allowed - c.uses AS uses_left, c.expires_at, c.state,"
            " c.expires_at <= now() AS expired, CASE WHEN c.uses = c.uses_allowed THEN"
            " (SELECT max(redeemed_at) FROM redemptions WHERE code_id = c.id AND cancelled_at IS NULL"
            " AND id IS DISTINCT FROM CAST(:besides AS uuid))"
            " END AS last_used_at, s.amount_off_minor, s.currency_code, s.percent_off"
            " FROM codes c JOIN code_sets s ON s.id = c.code_set_id"
            " WHERE c.code = :code AND c.state <> 'READY'"
            " AND (CAST(:owner AS uuid) IS NULL OR c.owner_member_id = :owner)"
        ),
        {"code": code, "owner": owner, "besides": besides},
    )
    row = result.first()
    if row is None:
        raise refusals.code_not_valid()
    if row.state == "VOID":
        raise refusals.code_void(row.id)
    if row.uses_left == 0:
        raise refusals.code_already_used(row.id, row.last_used_at)
    if row.expired:
        raise refusals.code_expired(row.id, row.expires_at)
    return UsableCode(
        row.id,
        row.uses_left,
        row.expires_at,
        Benefit(row.amount_off_minor, row.currency_code, row.percent_off),
    )


async def get_code_text(connection: Connection, *, code_id: UUID, owner: UUID | None) -> str:
    """The text of a code; with `owner`, only of one of this member's. Raises CODE_NOT_VALID."""
    result = await connection.execute(
        text(
            "SELECT code FROM codes WHERE id = :id AND state <> 'READY'"
            " AND (CAST(:owner AS uuid) IS NULL OR owner_member_id = :owner)"
        ),
        {"id": code_id, "owner": owner},
    )
    code = result.scalar_one_or_none()
    if code is None:
        raise refusals.code_not_valid()
    return str(code)


async def get_codes(connection: Connection, code_ids: Sequence[UUID]) -> Sequence[CodeRow]:
    """Those of these codes that somebody owns or owned."""
    result = await connection.execute(
        text(
            "SELECT id, code, CASE WHEN state = 'VOID' THEN 'VOID' WHEN uses = uses_allowed THEN 'USED'"
            " WHEN expires_at <= now() THEN 'EXPIRED' ELSE 'USABLE' END"
            " FROM codes WHERE id = ANY(:ids) AND state <> 'READY'"
        ),
        {"ids": list(code_ids)},
    )
    return [CodeRow(*row) for row in result]


async def get_redemption(
    connection: Connection, redemption_id: UUID, *, caller_id: UUID | None
) -> RedemptionRow:
    """A redemption; with `caller_id`, only one of this till's. Raises REDEMPTION_NOT_FOUND."""
    result = await connection.execute(
        text(
            _REDEMPTION
            + "WHERE r.id = :id AND (CAST(:caller_id AS uuid) IS NULL OR r.caller_id = :caller_id)"
        ),
        {"id": redemption_id, "caller_id": caller_id},
    )
    row = result.first()
    if row is None:
        raise refusals.redemption_not_found(redemption_id)
    return RedemptionRow(*_with_benefit(row))


async def redemption_of_sale(
    connection: Connection, *, code: str, caller_id: UUID, sale_reference: str
) -> RedemptionRow | None:
    """The caller's redemption of a code for a sale, if there was one."""
    result = await connection.execute(
        text(
            _REDEMPTION
            + "WHERE c.code = :code AND r.caller_id = :caller_id AND r.sale_reference = :sale_reference"
        ),
        {"code": code, "caller_id": caller_id, "sale_reference": sale_reference},
    )
    row = result.first()
    return RedemptionRow(*_with_benefit(row)) if row else None


async def get_campaign(connection: Connection, campaign_id: UUID) -> CampaignRow:
    """A campaign. Raises CAMPAIGN_NOT_FOUND."""
    result = await connection.execute(text(_CAMPAIGN + "WHERE c.id = :id"), {"id": campaign_id})
    row = result.first()
    if row is None:
        raise refusals.campaign_not_found(campaign_id)
    return CampaignRow(*_with_benefit(row))


async def list_campaigns(
    connection: Connection, page: Page, *, state: str
) -> tuple[Sequence[CampaignRow], str]:
    """A page of campaigns, the newest first; an empty state matches all."""
    result = await connection.execute(
        text(
            _CAMPAIGN + "WHERE (CAST(:after AS uuid) IS NULL OR c.id < :after)"
            " AND (:state = '' OR c.state = :state) ORDER BY c.id DESC LIMIT :limit"
        ),
        {"after": page.after(UUID), "state": state, "limit": page.size + 1},
    )
    return page.cut([CampaignRow(*_with_benefit(row)) for row in result], lambda campaign: campaign.id)


async def open_campaigns(connection: Connection, moment: datetime) -> Sequence[UUID]:
    """Campaigns that have places for somebody who logged in at this moment, in the order of locking."""
    result = await connection.execute(
        text(
            "SELECT id FROM campaigns WHERE state = 'ACTIVE' AND places_taken < places"
            " AND starts_at <= :moment AND (ends_at IS NULL OR :moment < ends_at) ORDER BY id"
        ),
        {"moment": moment},
    )
    return list(result.scalars())


async def list_winners(
    connection: Connection, page: Page, *, campaign_id: UUID
) -> tuple[Sequence[WinnerRow], str]:
    """A page of a campaign's winners by rank. Raises CAMPAIGN_NOT_FOUND."""
    await get_campaign(connection, campaign_id)
    result = await connection.execute(
        text(
            "SELECT rank, member_id, logged_in_at FROM winners"
            " WHERE campaign_id = :campaign_id AND rank > :after ORDER BY rank LIMIT :limit"
        ),
        {"campaign_id": campaign_id, "after": page.after(_rank) or 0, "limit": page.size + 1},
    )
    return page.cut([WinnerRow(*row) for row in result], lambda winner: winner.rank)


async def list_promotions(
    connection: Connection, page: Page, *, member_id: UUID
) -> tuple[Sequence[PromotionRow], str]:
    """A page of what a member has won, the newest first."""
    result = await connection.execute(
        text(
            "SELECT w.campaign_id, p.name, w.rank, c.id, c.code, c.uses > 0, w.won_at, c.expires_at,"
            " s.amount_off_minor, s.currency_code, s.percent_off"
            " FROM winners w JOIN campaigns p ON p.id = w.campaign_id"
            " JOIN codes c ON c.id = w.code_id JOIN code_sets s ON s.id = c.code_set_id"
            " WHERE w.member_id = :member_id AND (CAST(:after AS uuid) IS NULL OR w.code_id < :after)"
            " ORDER BY w.code_id DESC LIMIT :limit"
        ),
        {"member_id": member_id, "after": page.after(UUID), "limit": page.size + 1},
    )
    rows = [PromotionRow(*_with_benefit(row)) for row in result]
    return page.cut(rows, lambda promotion: promotion.code_id)


def _with_benefit(row: Row[Any]) -> tuple[Any, ...]:
    """The values of a row whose last three columns are a benefit."""
    return (*row[:-3], Benefit(row.amount_off_minor, row.currency_code, row.percent_off))


def _rank(position: str) -> int:
    """A rank from a page token; one that no rank can have is refused there."""
    rank = int(position)
    if not 0 < rank < 2**31:
        raise ValueError(position)
    return rank
