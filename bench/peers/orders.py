"""Ordering a voucher for points: stock, points, code and wallet in one transaction of one database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bench.peers.dependencies import Member, Session
from services.common.ids import new_id
from services.points.ledger.tables import Account, Debit, DebitLot, LedgerEntry, Lot
from services.promos.codes.tables import Code
from services.vouchers.catalogue.tables import Voucher
from services.vouchers.orders.tables import Order
from services.vouchers.wallet.tables import WalletVoucher

router = APIRouter()


class OrderIn(BaseModel):
    """What is ordered."""

    voucher_id: UUID


class OrderOut(BaseModel):
    """An order."""

    id: UUID
    voucher_id: UUID
    state: str
    price_points: int
    wallet_voucher_id: UUID
    placed_at: datetime


class PlacedOut(BaseModel):
    """The response to an order."""

    order: OrderOut

    @classmethod
    def of(cls, row: Order, wallet_voucher_id: UUID) -> Self:
        """Returns the response that these rows hold."""
        order = OrderOut(
            id=row.id,
            voucher_id=row.voucher_id,
            state=f"ORDER_STATE_{row.state}",
            price_points=row.price_points,
            wallet_voucher_id=wallet_voucher_id,
            placed_at=row.placed_at,
        )
        return cls(order=order)


@router.post("/v1/members/me/orders")
async def place_order(
    given: OrderIn,
    session: Session,
    member_id: Member,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=255)],
) -> PlacedOut:
    """Orders one voucher; the same key again gets the same order."""
    try:
        async with session.begin():
            found = await _find(session, member_id, given, idempotency_key)
            return found or await _place(session, member_id, given, idempotency_key)
    except IntegrityError:
        # The same key came at the same moment.
        async with session.begin():
            found = await _find(session, member_id, given, idempotency_key)
        if found is None:
            raise
        return found


async def _find(session: AsyncSession, member_id: UUID, given: OrderIn, key: str) -> PlacedOut | None:
    result = await session.execute(
        select(Order, WalletVoucher.id)
        .join(WalletVoucher, WalletVoucher.order_id == Order.id)
        .where(Order.member_id == member_id, Order.idempotency_key == key)
    )
    row = result.one_or_none()
    if row is None:
        return None
    if row.Order.voucher_id != given.voucher_id:
        raise HTTPException(409, "the key was used for another order")
    return PlacedOut.of(row.Order, row.id)


async def _place(session: AsyncSession, member_id: UUID, given: OrderIn, key: str) -> PlacedOut:
    now = datetime.now(UTC)
    voucher = await session.get(Voucher, given.voucher_id)
    if voucher is None:
        raise HTTPException(404, "no such voucher")
    if voucher.sale_starts_at > now or (voucher.sale_ends_at and voucher.sale_ends_at <= now):
        raise HTTPException(400, "the voucher is not on sale now")
    order = Order(
        id=new_id(),
        member_id=member_id,
        idempotency_key=key,
        voucher_id=voucher.id,
        price_points=voucher.price_points,
        state="COMPLETED",
        placed_at=now,
        deadline_at=now + timedelta(seconds=10),
    )
    session.add(order)
    await _debit(session, order)
    code = await _assign_code(session, order, now)
    wallet = WalletVoucher(
        id=new_id(), order_id=order.id, voucher_id=voucher.id, member_id=member_id, code_id=code.id
    )
    session.add(wallet)
    # The row that all orders share comes last, so that it is locked as briefly as can be.
    taken = await session.execute(
        update(Voucher)
        .where(Voucher.id == voucher.id, Voucher.issued < Voucher.quantity)
        .values(issued=Voucher.issued + 1)
        .returning(Voucher.id)
        .execution_options(synchronize_session=False)
    )
    if taken.one_or_none() is None:
        raise HTTPException(400, "nothing is left of this voucher")
    return PlacedOut.of(order, wallet.id)


async def _debit(session: AsyncSession, order: Order) -> None:
    """Takes the order's points, oldest lots first."""
    account = await session.get(Account, order.member_id, with_for_update=True)
    if account is None or account.balance < order.price_points:
        raise HTTPException(400, "too few points")
    account.balance -= order.price_points
    account.version += 1
    lots = await session.scalars(
        select(Lot).where(Lot.member_id == order.member_id, Lot.remaining > 0).order_by(Lot.id)
    )
    due = order.price_points
    for lot in lots:
        taken = min(due, lot.remaining)
        lot.remaining -= taken
        due -= taken
        session.add(DebitLot(member_id=order.member_id, order_id=order.id, lot_id=lot.id, points=taken))
        if not due:
            break
    assert not due, "the lots add up to the balance"
    session.add(
        Debit(
            order_id=order.id,
            member_id=order.member_id,
            points=order.price_points,
            state="DEBITED",
            balance_after=account.balance,
        )
    )
    session.add(
        LedgerEntry(
            member_id=order.member_id,
            sequence=account.version,
            kind="SPEND",
            delta=-order.price_points,
            balance_after=account.balance,
            reference=str(order.id),
        )
    )


async def _assign_code(session: AsyncSession, order: Order, now: datetime) -> Code:
    """Gives the order a code that nobody else is taking."""
    code = await session.scalar(
        select(Code)
        .where(Code.code_set_id == order.voucher_id, Code.state == "READY")
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if code is None:
        raise HTTPException(503, "no code is ready")
    code.state, code.owner_member_id, code.order_id, code.assigned_at = (
        "ASSIGNED",
        order.member_id,
        order.id,
        now,
    )
    return code
