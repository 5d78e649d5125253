"""The balance of a member."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from bench.peers.dependencies import Member, Session
from services.points.ledger.tables import Account

router = APIRouter()


class BalanceOut(BaseModel):
    """A balance."""

    balance: int


@router.get("/v1/members/me/points")
async def get_my_balance(session: Session, member_id: Member) -> BalanceOut:
    """The caller's balance."""
    account = await session.get(Account, member_id)
    return BalanceOut(balance=account.balance if account else 0)
