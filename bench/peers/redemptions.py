"""Redeeming a code for a sale: one transaction, with the code's row locked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bench.peers.dependencies import Session, Till
from bench.peers.purchases import Money
from services.common.ids import new_id
from services.promos.codes.tables import Code, CodeSet, Redemption

router = APIRouter()


class RedeemIn(BaseModel):
    """A code and a sale."""

    code: Annotated[str, Field(min_length=1, max_length=64)]
    sale_reference: Annotated[str, Field(min_length=1, max_length=100)]
    till_number: Annotated[str, Field(max_length=32)] = ""


class Benefit(BaseModel):
    """What the code takes off."""

    amount_off: Money


class RedemptionOut(BaseModel):
    """A redemption."""

    id: UUID
    code_id: UUID
    code_set_id: UUID
    sale_reference: str
    till_number: str
    redeemed_by: UUID
    redeemed_at: datetime
    member_id: UUID | None
    benefit: Benefit


class RedeemedOut(BaseModel):
    """The response to a redemption."""

    redemption: RedemptionOut

    @classmethod
    def of(cls, row: Redemption, code_set: CodeSet) -> Self:
        """Returns the response that these rows hold."""
        amount = Money(
            currency_code=code_set.currency_code or "", amount_minor=str(code_set.amount_off_minor)
        )
        redemption = RedemptionOut(
            id=row.id,
            code_id=row.code_id,
            code_set_id=row.code_set_id,
            sale_reference=row.sale_reference,
            till_number=row.till_number,
            redeemed_by=row.caller_id,
            redeemed_at=row.redeemed_at,
            member_id=row.member_id,
            benefit=Benefit(amount_off=amount),
        )
        return cls(redemption=redemption)


@router.post("/v1/codes:redeem")
async def redeem_code(given: RedeemIn, session: Session, till_id: Till) -> RedeemedOut:
    """Uses a code once for a sale; sent again it gets the same response."""
    try:
        async with session.begin():
            return await _redeem(session, till_id, given)
    except IntegrityError:
        # The same sale came at the same moment.
        async with session.begin():
            return await _redeem(session, till_id, given)


async def _redeem(session: AsyncSession, till_id: UUID, given: RedeemIn) -> RedeemedOut:
    now = datetime.now(UTC)
    code = await session.scalar(select(Code).where(Code.code == given.code).with_for_update())
    if code is None or code.state == "READY":
        raise HTTPException(404, "the code is not valid")
    code_set = await session.get_one(CodeSet, code.code_set_id)
    kept = await session.scalar(
        select(Redemption).where(
            Redemption.code_id == code.id,
            Redemption.caller_id == till_id,
            Redemption.till_number == given.till_number,
            Redemption.sale_reference == given.sale_reference,
        )
    )
    if kept is not None:
        return RedeemedOut.of(kept, code_set)
    ends = [end for end in (code.expires_at, code_set.expires_at) if end]
    if code.state == "VOID" or code.uses >= code.uses_allowed or (ends and min(ends) <= now):
        raise HTTPException(400, "the code can not be redeemed")
    code.uses += 1
    code.version += 1
    row = Redemption(
        id=new_id(),
        code_id=code.id,
        code_set_id=code.code_set_id,
        caller_id=till_id,
        caller_role="till",
        till_number=given.till_number,
        sale_reference=given.sale_reference,
        redeemed_at=now,
        member_id=code.owner_member_id,
    )
    session.add(row)
    return RedeemedOut.of(row, code_set)
