"""Recording a purchase."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, HTTPException
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bench.peers.dependencies import Session, Till
from services.common.ids import new_id
from services.points.ledger.tables import Account, LedgerEntry, Lot
from services.points.members.tables import MemberCode
from services.points.purchases.tables import Purchase, PurchaseItem, Receipt

CURRENCY = "USD"
PER_MINOR = 1_000
RULE_SET = 1
"""It has one rule, which stands above."""
MAX_TOTAL_MINOR = 10**11
MAX_AGE = timedelta(days=30)
LEEWAY = timedelta(minutes=2)

router = APIRouter()


class ItemIn(BaseModel):
    """A line of a receipt."""

    sku: Annotated[str, Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    category: Annotated[str, Field(max_length=64)] = ""
    unit_price_minor: Annotated[int, Field(ge=0, le=10**10)]
    quantity: Annotated[int, Field(ge=1, le=100_000)]
    alcohol: bool = False


class PurchaseIn(BaseModel):
    """A receipt."""

    member_code: Annotated[str, Field(min_length=1, max_length=64)]
    receipt_number: Annotated[str, Field(min_length=1, max_length=64)]
    till_number: Annotated[str, Field(max_length=32)] = ""
    sold_at: AwareDatetime
    currency_code: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    items: Annotated[list[ItemIn], Field(min_length=1, max_length=500)]

    def fingerprint(self) -> bytes:
        """Returns a digest of the whole content."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()


class Money(BaseModel):
    """An amount in minor units, as text like every 64-bit number in JSON."""

    currency_code: str
    amount_minor: str


class BaseRate(BaseModel):
    """So many points for so much."""

    points: int
    per_minor: str


class AppliedRule(BaseModel):
    """A rule that held; there is but the programme's own rate."""

    earn_rule_id: str = ""
    name: str = ""
    base_rate: BaseRate


class PurchaseOut(BaseModel):
    """A recorded purchase."""

    id: UUID
    receipt_number: str
    till_number: str
    sold_at: datetime
    recorded_at: datetime
    total: Money
    eligible: Money
    points: int
    bonus_points: int = 0
    applied_rules: list[AppliedRule]
    redemption_ids: list[str] = []


class RecordedOut(BaseModel):
    """The response to a receipt."""

    purchase: PurchaseOut
    balance_after: int

    @classmethod
    def of(cls, row: Purchase) -> Self:
        """Returns the response that a row holds."""
        purchase = PurchaseOut(
            id=row.id,
            receipt_number=row.receipt_number,
            till_number=row.till_number,
            sold_at=row.sold_at,
            recorded_at=row.recorded_at,
            total=Money(currency_code=row.currency_code, amount_minor=str(row.total_minor)),
            eligible=Money(currency_code=row.currency_code, amount_minor=str(row.eligible_minor)),
            points=row.points,
            applied_rules=[AppliedRule(base_rate=BaseRate(points=1, per_minor=str(PER_MINOR)))],
        )
        return cls(purchase=purchase, balance_after=row.balance_after)


@router.post("/v1/purchases")
async def record_purchase(given: PurchaseIn, session: Session, till_id: Till) -> RecordedOut:
    """Records a receipt once; sent again it gets the same response, or is refused when it differs."""
    try:
        async with session.begin():
            return await _find(session, till_id, given) or await _record(session, till_id, given)
    except IntegrityError:
        # The same receipt, or a member's first one, was recorded at the same moment.
        async with session.begin():
            return await _find(session, till_id, given) or await _record(session, till_id, given)


async def _find(session: AsyncSession, till_id: UUID, given: PurchaseIn) -> RecordedOut | None:
    receipt = await session.get(Receipt, (till_id, given.till_number, given.receipt_number))
    if receipt is None:
        return None
    if receipt.fingerprint != given.fingerprint():
        raise HTTPException(409, "the receipt was recorded before with other content")
    return RecordedOut.of(await session.get_one(Purchase, (receipt.member_id, receipt.purchase_id)))


async def _record(session: AsyncSession, till_id: UUID, given: PurchaseIn) -> RecordedOut:
    now = datetime.now(UTC)
    total = sum(item.unit_price_minor * item.quantity for item in given.items)
    eligible = sum(item.unit_price_minor * item.quantity for item in given.items if not item.alcohol)
    if given.currency_code != CURRENCY or total > MAX_TOTAL_MINOR:
        raise HTTPException(400, "the receipt is in another currency, or too large")
    if not now - MAX_AGE <= given.sold_at <= now + LEEWAY:
        raise HTTPException(400, "the time of sale is out of range")
    code = await session.get(MemberCode, given.member_code)
    if code is None:
        raise HTTPException(404, "no member has this code")
    account = await session.get(Account, code.member_id, with_for_update=True)
    if account is None:
        account = Account(member_id=code.member_id, balance=0, version=0, purchases=0)
        session.add(account)
    points = eligible // PER_MINOR
    account.balance += points
    account.purchases += 1
    purchase = Purchase(
        member_id=code.member_id,
        id=new_id(),
        number=account.purchases,
        receipt_number=given.receipt_number,
        till_number=given.till_number,
        sold_at=given.sold_at,
        recorded_at=now,
        currency_code=given.currency_code,
        total_minor=total,
        eligible_minor=eligible,
        points=points,
        balance_after=account.balance,
        client_id=till_id,
        rule_set_id=RULE_SET,
        lot_id=account.version + 1 if points else None,
    )
    session.add(purchase)
    session.add(
        Receipt(
            client_id=till_id,
            till_number=given.till_number,
            receipt_number=given.receipt_number,
            fingerprint=given.fingerprint(),
            member_id=code.member_id,
            purchase_id=purchase.id,
        )
    )
    session.add_all(
        PurchaseItem(member_id=code.member_id, purchase_id=purchase.id, line=line, **item.model_dump())
        for line, item in enumerate(given.items, 1)
    )
    if points:
        _credit(session, account, purchase)
    return RecordedOut.of(purchase)


def _credit(session: AsyncSession, account: Account, purchase: Purchase) -> None:
    account.version += 1
    session.add(
        LedgerEntry(
            member_id=account.member_id,
            sequence=account.version,
            kind="EARN",
            delta=purchase.points,
            balance_after=account.balance,
            reference=str(purchase.id),
        )
    )
    session.add(
        Lot(
            member_id=account.member_id,
            id=account.version,
            earned=purchase.points,
            remaining=purchase.points,
        )
    )
