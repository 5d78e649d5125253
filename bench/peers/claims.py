"""Claiming a code of a brand's discount: a code that nobody else is taking, in a transaction of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bench.peers.dependencies import Member, Session
from services.common.ids import new_id
from services.promos.claims.tables import Claim, Discount, MemberConsent
from services.promos.codes.tables import Code, CodeSet

router = APIRouter()


class ClaimOut(BaseModel):
    """A claim."""

    id: UUID
    discount_id: UUID
    brand_id: UUID
    name: str
    percent_off: int | None
    code_id: UUID
    code: str
    state: str
    claimed_at: datetime


class ClaimedOut(BaseModel):
    """The response to a claim."""

    claim: ClaimOut

    @classmethod
    def of(cls, row: Claim, discount: Discount, code: Code, percent_off: int | None) -> Self:
        """Returns the response that these rows hold."""
        claim = ClaimOut(
            id=row.id,
            discount_id=row.discount_id,
            brand_id=row.brand_id,
            name=discount.name,
            percent_off=percent_off,
            code_id=code.id,
            code=code.code,
            state="CLAIM_STATE_USABLE",
            claimed_at=row.claimed_at,
        )
        return cls(claim=claim)


@router.post("/v1/brands/{brand_id}/discounts/{discount_id}:claim")
async def claim_code(
    brand_id: UUID,
    discount_id: UUID,
    session: Session,
    member_id: Member,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=255)],
) -> ClaimedOut:
    """Claims a code; the same key again gets the same claim."""
    try:
        async with session.begin():
            found = await _find(session, member_id, discount_id, idempotency_key)
            return found or await _claim(session, member_id, brand_id, discount_id, idempotency_key)
    except IntegrityError:
        # The same key came at the same moment.
        async with session.begin():
            found = await _find(session, member_id, discount_id, idempotency_key)
        if found is None:
            raise
        return found


async def _find(session: AsyncSession, member_id: UUID, discount_id: UUID, key: str) -> ClaimedOut | None:
    result = await session.execute(
        select(Claim, Discount, Code, CodeSet.percent_off)
        .join(Discount, Discount.id == Claim.discount_id)
        .join(Code, Code.id == Claim.code_id)
        .join(CodeSet, CodeSet.id == Claim.discount_id)
        .where(Claim.member_id == member_id, Claim.discount_id == discount_id)
    )
    row = result.one_or_none()
    if row is None:
        return None
    if row.Claim.idempotency_key != key:
        raise HTTPException(400, "you have a code of this discount")
    return ClaimedOut.of(*row)


async def _claim(
    session: AsyncSession, member_id: UUID, brand_id: UUID, discount_id: UUID, key: str
) -> ClaimedOut:
    now = datetime.now(UTC)
    discount = await session.get(Discount, discount_id)
    if discount is None or discount.brand_id != brand_id:
        raise HTTPException(404, "no such discount")
    too_early = discount.starts_at is not None and discount.starts_at > now
    if discount.state != "ACTIVE" or too_early or (discount.ends_at is not None and discount.ends_at <= now):
        raise HTTPException(400, "the discount can not be claimed now")
    consent = await session.get(MemberConsent, member_id)
    if consent is None or not consent.shares_contact:
        raise HTTPException(400, "agree to share your contact data first")
    result = await session.execute(
        select(Code, CodeSet.percent_off)
        .join(CodeSet, CodeSet.id == Code.code_set_id)
        .where(Code.code_set_id == discount_id, Code.state == "READY")
        .limit(1)
        .with_for_update(of=Code, skip_locked=True)
    )
    found = result.one_or_none()
    if found is None:
        raise HTTPException(400, "all codes of this discount are claimed")
    code, percent_off = found
    code.state, code.owner_member_id, code.assigned_at = "ASSIGNED", member_id, now
    claim = Claim(
        id=new_id(),
        discount_id=discount_id,
        brand_id=brand_id,
        member_id=member_id,
        code_id=code.id,
        idempotency_key=key,
        claimed_at=now,
    )
    session.add(claim)
    return ClaimedOut.of(claim, discount, code, percent_off)
