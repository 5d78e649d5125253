"""The steps of an order: what each state asks for, and what may come of it.

    1  vouchers  one statement: order PENDING, stock taken        (placing)
    2  points    debit                   if it costs points
    3  promos    redeem the promo code   if it has one
    4  payments  authorise               if it costs money; the order may have to wait for the member
    5  promos    assign codes
    6  payments  capture                 if it costs money
    7  vouchers  PENDING -> COMPLETED, into the wallet

Every step is keyed by the order's id, so any process may repeat it at any time, also from a state that is out
of date: a change of state names the one it starts from, and when that has passed, the order is read again.
A definite refusal leads to UNDOING, which is committed before anything is undone. Then, as in a refund,
everything is taken back even when it is not known to have happened, for each step back leaves a tombstone
that refuses this order for ever. Codes go first, so that none is usable without having been paid; when one
was used, a refund is refused there, before anything else has changed.

What the steps need stands here as protocols: they know neither databases nor services.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never
from uuid import UUID

from services.common.errors import DomainError, OutcomeUnknownError, is_away
from services.vouchers.orders.queries import OrderRow
from services.vouchers.orders.refusals import CODES_NOT_READY, ORDER_CODES_USED
from services.vouchers.payments import Card, PaymentAwaitedError

_CODES_AWAITED = (CODES_NOT_READY, "CODE_SET_NOT_FOUND")
"""The voucher's codes are being made, or are yet to be asked for: they come, whatever sells meanwhile."""


@dataclass(frozen=True, slots=True)
class Tender:
    """What a request brings to pay with. It is nowhere but in memory, and is never kept."""

    card: Card | None = None
    return_url: str = ""


NO_TENDER = Tender()


class OrderStore(Protocol):
    """Changes of an order's state: each returns the order as it is then, None when the state was another."""

    async def get(self, order_id: UUID) -> OrderRow:
        """Returns the order as it is."""

    async def complete(self, order: OrderRow, code_ids: Sequence[UUID]) -> OrderRow | None:
        """PENDING -> COMPLETED, with the vouchers in the wallet."""

    async def await_payment(self, order: OrderRow) -> OrderRow | None:
        """PENDING -> AWAITING_PAYMENT."""

    async def await_codes(self, order: OrderRow) -> OrderRow | None:
        """PENDING, and notes that the order waits for its codes; None when that was noted before."""

    async def resume(self, order: OrderRow) -> OrderRow | None:
        """AWAITING_PAYMENT -> PENDING: the payment is authorised."""

    async def expire(self, order: OrderRow) -> OrderRow | None:
        """AWAITING_PAYMENT -> UNDOING, if the time to pay is over."""

    async def start_undoing(self, order: OrderRow, refusal: DomainError) -> OrderRow | None:
        """PENDING or AWAITING_PAYMENT -> UNDOING, and why."""

    async def fail(self, order: OrderRow) -> OrderRow | None:
        """UNDOING -> FAILED or CANCELLED, REFUNDING -> REFUNDED; the stock goes back with it."""

    async def refuse_refund(self, order: OrderRow) -> OrderRow | None:
        """REFUNDING -> COMPLETED, as if nothing had been asked."""


class Points(Protocol):
    """The points of orders."""

    async def debit(self, order: OrderRow) -> None:
        """Takes the order's points, once. Raises definite refusals."""

    async def undo_debit(self, order: OrderRow) -> None:
        """Ensures that nothing is debited for the order, now and later."""


class Codes(Protocol):
    """The codes that orders bring."""

    async def assign(self, order: OrderRow) -> Sequence[UUID]:
        """Gives the order its codes, always the same; returns their ids.

        Raises CODES_NOT_READY or CODE_SET_NOT_FOUND while codes are short, and definite refusals.
        """

    async def release(self, order: OrderRow) -> None:
        """Ensures that the order owns no usable code, now and later. Raises ORDER_CODES_USED."""


class PromoCodes(Protocol):
    """The promo codes that orders are paid with."""

    async def redeem(self, order: OrderRow) -> None:
        """Redeems the order's promo code, once. Raises definite refusals."""

    async def give_back(self, order: OrderRow) -> None:
        """Ensures that the order uses no promo code, now and later."""


class Payments(Protocol):
    """The payments of orders in money."""

    async def authorise(self, order: OrderRow, card: Card | None, *, return_url: str = "") -> None:
        """Has the order's payment authorised, once; a repetition returns or raises what came of it.

        Raises PaymentAwaitedError while the member must do something, and definite refusals.
        """

    async def capture(self, order: OrderRow) -> None:
        """Takes what was authorised, once. Raises definite refusals."""

    async def undo(self, order: OrderRow) -> None:
        """Ensures that the order takes no money, now and later: voids or refunds what it has."""


class OrderSteps:
    """Takes one order from state to state."""

    def __init__(
        self, store: OrderStore, points: Points, codes: Codes, promo_codes: PromoCodes, payments: Payments
    ) -> None:
        self._store = store
        self._points = points
        self._codes = codes
        self._promo_codes = promo_codes
        self._payments = payments

    async def take(self, order: OrderRow, tender: Tender = NO_TENDER) -> OrderRow:
        """Does what the order's state asks for; returns the order as it is then.

        One that is still PENDING waits for its codes: to ask again in a moment helps. Raises what leaves an
        outcome open, and what is a defect.
        """
        after: OrderRow | None
        match order.state:
            case "PENDING":
                after = await self._complete(order, tender)
            case "AWAITING_PAYMENT":
                after = await self._pay(order, tender)
            case "UNDOING":
                after = await self._undo(order)
            case "REFUNDING":
                after = await self._refund(order)
            case "COMPLETED" | "FAILED" | "CANCELLED" | "REFUNDED":
                return order
            case _:
                assert_never(order.state)
        # None: the order is to be read; another process may have brought it on meanwhile.
        return after or await self._store.get(order.id)

    async def _complete(self, order: OrderRow, tender: Tender) -> OrderRow | None:
        """Steps 2 to 7, or the decision to undo. While codes are short, neither."""
        try:
            code_ids = await self._take_all(order, tender)
        except PaymentAwaitedError:
            return await self._store.await_payment(order)
        except DomainError as error:
            if error.reason in _CODES_AWAITED:
                return None if order.codes_awaited_at else await self._store.await_codes(order)
            return await self._store.start_undoing(order, _refusal(error))
        return await self._store.complete(order, code_ids)

    async def _take_all(self, order: OrderRow, tender: Tender) -> Sequence[UUID]:
        if order.price_points:
            await self._points.debit(order)
        if order.promo_code_id:
            await self._promo_codes.redeem(order)
        if order.amount_minor:
            await self._payments.authorise(order, tender.card, return_url=tender.return_url)
        code_ids = await self._codes.assign(order)
        if order.amount_minor:
            await self._payments.capture(order)
        return code_ids

    async def _pay(self, order: OrderRow, tender: Tender) -> OrderRow | None:
        """Goes on when the member has paid, and undoes when that was refused or the time for it is over.

        A payment that was authorised in time wins, also when it is heard of later.
        """
        try:
            await self._payments.authorise(order, tender.card, return_url=tender.return_url)
        except PaymentAwaitedError:
            return await self._store.expire(order)
        except DomainError as error:
            return await self._store.start_undoing(order, _refusal(error))
        return await self._store.resume(order)

    async def _undo(self, order: OrderRow) -> OrderRow | None:
        await self._codes.release(order)
        return await self._give_back(order)

    async def _refund(self, order: OrderRow) -> OrderRow | None:
        try:
            await self._codes.release(order)
        except DomainError as refusal:
            if refusal.reason != ORDER_CODES_USED:
                raise
            return await self._store.refuse_refund(order)
        return await self._give_back(order)

    async def _give_back(self, order: OrderRow) -> OrderRow | None:
        if order.amount_minor:
            await self._payments.undo(order)
        if order.promo_code_id:
            await self._promo_codes.give_back(order)
        if order.price_points:
            await self._points.undo_debit(order)
        return await self._store.fail(order)


def _refusal(error: DomainError) -> DomainError:
    """Returns a definite refusal; raises what leaves the outcome open."""
    if isinstance(error, OutcomeUnknownError) or is_away(error):
        raise error
    return error
