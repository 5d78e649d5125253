"""One order and all that it touches, in memory: what the saga's steps are tried on without any server.

Every call of another part stops before and after its effect, so that several workers can be led through the
same order in any interleaving, be killed at any point, or not hear what became of their call.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from services.common.errors import DomainError, OutcomeUnknownError
from services.common.ids import new_id
from services.vouchers.orders.queries import OrderRow, OrderState
from services.vouchers.orders.refusals import order_codes_used, payment_expired
from services.vouchers.orders.steps import NO_TENDER, OrderSteps, Tender
from services.vouchers.payments import Card, PaymentAwaitedError

Fault = Literal["REFUSED", "UNKNOWN_BEFORE", "UNKNOWN_AFTER", "KILLED_BEFORE", "KILLED_AFTER"]
FAULTS: tuple[Fault, ...] = (
    "REFUSED",
    "UNKNOWN_BEFORE",
    "UNKNOWN_AFTER",
    "KILLED_BEFORE",
    "KILLED_AFTER",
)
FORWARD = ("debit", "redeem", "authorise", "assign", "capture")
"""The calls that may be refused."""
TAKEN = ("debit", "redeem", "payment", "codes")
ENDED: tuple[OrderState, ...] = ("COMPLETED", "FAILED", "CANCELLED", "REFUNDED")

GOOD, DECLINED, LOOKED_AT = (
    Tender(Card(number, 1, 2030, "123")) for number in ("good", "declined", "second")
)


T = TypeVar("T")


class KilledError(BaseException):
    """The process ended here."""


class _Stop:
    def __await__(self) -> Generator[None]:
        yield


@dataclass
class World:
    """The order, and what every part knows of it. `faults` are by the number of the call, from 0."""

    order: OrderRow
    faults: dict[int, Fault] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    """Calls that are not answered: they take no effect."""
    too_poor: bool = False
    overdue: bool = False
    calls: list[str] = field(default_factory=list)
    debit: str = ""
    redeem: str = ""
    payment: str = ""
    codes: str = ""
    codes_short: bool = False
    code_used: bool = False
    in_wallet: bool = False
    stock_taken: int = 1
    counts: dict[str, int] = field(default_factory=dict)

    def steps(self) -> OrderSteps:
        """Returns the steps, on this world."""
        return OrderSteps(Store(self), Points(self), Codes(self), PromoCodes(self), Payments(self))

    async def call(self, name: str, effect: Callable[[], T]) -> T:
        """Has a call take effect, or what a fault makes of it."""
        await _Stop()
        fault = self.faults.get(len(self.calls))
        self.calls.append(name)
        match fault:
            case "REFUSED" if name in FORWARD:
                raise DomainError("REFUSED_BY_TEST", "no")
            case "UNKNOWN_BEFORE":
                raise OutcomeUnknownError(name)
            case "KILLED_BEFORE":
                raise KilledError
            case _ if name in self.away:
                raise OutcomeUnknownError(name)
        result = effect()
        await _Stop()
        match fault:
            case "UNKNOWN_AFTER":
                raise OutcomeUnknownError(name)
            case "KILLED_AFTER":
                raise KilledError
        return result

    def once(self, what: str) -> None:
        """Counts what must never happen twice."""
        self.counts[what] = self.counts.get(what, 0) + 1
        assert self.counts[what] == 1, f"{what} twice"

    def move(self, *states: OrderState, to: OrderState, **changes: Any) -> OrderRow | None:
        """Changes the order's state if it is one of these; returns the order then."""
        if self.order.state not in states:
            return None
        self.order = replace(self.order, state=to, **changes)
        return self.order

    def cancel(self, *, within_days: bool = True) -> OrderRow | None:
        """As the statement of CancelMyOrder, and of RefundOrder."""
        return self.move("PENDING", "AWAITING_PAYMENT", to="UNDOING", failure_reason="ORDER_CANCELLED") or (
            self.move("COMPLETED", to="REFUNDING") if within_days else None
        )

    def check(self) -> None:
        """Asserts what must hold at any time."""
        order = self.order
        usable = self.in_wallet and self.codes == "TAKEN"
        if usable or order.state == "COMPLETED":
            assert self.codes == "TAKEN"
            assert self.in_wallet
            assert self.payment == ("CAPTURED" if order.amount_minor else "")
            assert self.debit == ("TAKEN" if order.price_points else "")
            assert self.redeem == ("TAKEN" if order.promo_code_id else "")
        if self.code_used:
            assert order.state in ("COMPLETED", "REFUNDING")
        if order.state in ("FAILED", "CANCELLED", "REFUNDED"):
            for taken in (self.debit, self.redeem, self.codes):
                assert taken in ("", "UNDONE")
            assert self.payment in ("", "VOIDED", "REFUNDED", "DECLINED")
            assert self.stock_taken == 0
        else:
            assert self.stock_taken == 1


def world(*, points: int = 0, money: int = 0, promo: bool = False) -> World:
    """Returns a world with an order that was placed now."""
    return World(
        OrderRow(
            new_id(),
            new_id(),
            new_id(),
            points,
            "PENDING",
            None,
            None,
            datetime.now(UTC),
            amount_minor=money,
            currency_code="USD" if money else None,
            payment_method_id=new_id() if money else None,
            promo_code_id=new_id() if promo else None,
        )
    )


@dataclass
class Store:
    """Implements `steps.OrderStore`."""

    world: World

    async def get(self, order_id: UUID) -> OrderRow:
        """Returns the order."""
        return await self.world.call("get", lambda: self.world.order)

    async def complete(self, order: OrderRow, code_ids: Sequence[UUID]) -> OrderRow | None:
        """Fills the wallet."""

        def effect() -> OrderRow | None:
            done = self.world.move("PENDING", to="COMPLETED", wallet_voucher_ids=code_ids)
            if done:
                self.world.once("completed")
                self.world.in_wallet = True
            return done

        return await self.world.call("complete", effect)

    async def await_payment(self, order: OrderRow) -> OrderRow | None:
        """Waits for the member."""
        return await self.world.call(
            "await_payment", lambda: self.world.move("PENDING", to="AWAITING_PAYMENT")
        )

    async def await_codes(self, order: OrderRow) -> OrderRow | None:
        """Notes that codes are short."""

        def effect() -> OrderRow | None:
            return self.world.move("PENDING", to="PENDING", codes_awaited_at=datetime.now(UTC))

        return await self.world.call("await_codes", effect)

    async def resume(self, order: OrderRow) -> OrderRow | None:
        """Goes on."""
        return await self.world.call("resume", lambda: self.world.move("AWAITING_PAYMENT", to="PENDING"))

    async def expire(self, order: OrderRow) -> OrderRow | None:
        """Gives up waiting."""

        def effect() -> OrderRow | None:
            if not self.world.overdue:
                return None
            reason = payment_expired(order.id).reason
            return self.world.move("AWAITING_PAYMENT", to="UNDOING", failure_reason=reason)

        return await self.world.call("expire", effect)

    async def start_undoing(self, order: OrderRow, refusal: DomainError) -> OrderRow | None:
        """Decides to undo."""
        return await self.world.call(
            "start_undoing",
            lambda: self.world.move(
                "PENDING", "AWAITING_PAYMENT", to="UNDOING", failure_reason=refusal.reason
            ),
        )

    async def fail(self, order: OrderRow) -> OrderRow | None:
        """Gives the stock back."""

        def effect() -> OrderRow | None:
            cancelled = self.world.order.failure_reason == "ORDER_CANCELLED"
            ended = self.world.move("UNDOING", to="CANCELLED" if cancelled else "FAILED")
            ended = ended or self.world.move("REFUNDING", to="REFUNDED")
            if ended:
                self.world.stock_taken -= 1
            return ended

        return await self.world.call("fail", effect)

    async def refuse_refund(self, order: OrderRow) -> OrderRow | None:
        """Leaves the order as it was."""
        return await self.world.call("refuse_refund", lambda: self.world.move("REFUNDING", to="COMPLETED"))


@dataclass
class _Part:
    world: World

    async def _take(self, call: str, what: str) -> None:
        def effect() -> None:
            if getattr(self.world, what) == "UNDONE":
                raise DomainError("ORDER_UNDONE", "the order was undone")
            if getattr(self.world, what) == "":
                self.world.once(what)
            setattr(self.world, what, "TAKEN")

        await self.world.call(call, effect)

    async def _undo(self, call: str, what: str) -> None:
        await self.world.call(call, lambda: setattr(self.world, what, "UNDONE"))


class Points(_Part):
    """Implements `steps.Points`."""

    async def debit(self, order: OrderRow) -> None:
        """Takes the points."""
        if self.world.too_poor:
            raise DomainError("INSUFFICIENT_POINTS", "too few")
        await self._take("debit", "debit")

    async def undo_debit(self, order: OrderRow) -> None:
        """Gives them back."""
        await self._undo("undo_debit", "debit")


class PromoCodes(_Part):
    """Implements `steps.PromoCodes`."""

    async def redeem(self, order: OrderRow) -> None:
        """Takes the use."""
        await self._take("redeem", "redeem")

    async def give_back(self, order: OrderRow) -> None:
        """Gives it back."""
        await self._undo("give_back", "redeem")


class Codes(_Part):
    """Implements `steps.Codes`."""

    async def assign(self, order: OrderRow) -> Sequence[UUID]:
        """Gives a code, if there is one."""
        if self.world.codes_short and self.world.codes == "":
            await self.world.call("assign", lambda: None)
            raise DomainError("CODES_NOT_READY", "none yet")
        await self._take("assign", "codes")
        return [order.id]

    async def release(self, order: OrderRow) -> None:
        """Takes it back, unless it was used."""

        def effect() -> None:
            if self.world.code_used:
                raise order_codes_used(order.id)
            self.world.codes = "UNDONE"

        await self.world.call("release", effect)


class Payments(_Part):
    """Implements `steps.Payments`."""

    async def authorise(self, order: OrderRow, card: Card | None, *, return_url: str = "") -> None:
        """Reserves the money, as the card has it."""

        def effect() -> None:
            if not self.world.payment:
                if card is None:
                    raise PaymentAwaitedError("")
                self.world.once("authorised")
                of_card = {"good": "AUTHORISED", "declined": "DECLINED", "second": "ACTION_REQUIRED"}
                self.world.payment = of_card[card.number]
            match self.world.payment:
                case "AUTHORISED" | "CAPTURED":
                    return
                case "ACTION_REQUIRED":
                    raise PaymentAwaitedError("https://bank.example/")
                case "DECLINED":
                    raise DomainError("PAYMENT_DECLINED", "no")
                case _:
                    raise DomainError("PAYMENT_VOIDED", "given up")

        await self.world.call("authorise", effect)

    async def capture(self, order: OrderRow) -> None:
        """Takes the money."""

        def effect() -> None:
            if self.world.payment in ("VOIDED", "REFUNDED"):
                raise DomainError("PAYMENT_VOIDED", "given up")
            if self.world.payment == "AUTHORISED":
                self.world.once("captured")
            self.world.payment = "CAPTURED"

        await self.world.call("capture", effect)

    async def undo(self, order: OrderRow) -> None:
        """Voids or refunds."""

        def effect() -> None:
            after = {"CAPTURED": "REFUNDED", "REFUNDED": "REFUNDED", "DECLINED": "DECLINED"}
            if self.world.payment == "CAPTURED":
                self.world.once("refunded")
            self.world.payment = after.get(self.world.payment, "VOIDED")

        await self.world.call("undo_payment", effect)


class Worker:
    """A process that works on the order, call by call; it begins with the order as it read it."""

    def __init__(self, steps: OrderSteps, order: OrderRow, tender: Tender = NO_TENDER) -> None:
        self._work: Coroutine[None, None, None] = self._run(steps, order, tender)
        self.done = False

    def advance(self) -> None:
        """Goes on to the next stop; ends when there is nothing to do, or something is not known."""
        try:
            self._work.send(None)
        except (StopIteration, KilledError):
            self.done = True
        except OutcomeUnknownError:
            self.done = True

    def kill(self) -> None:
        """Ends here."""
        self._work.close()
        self.done = True

    async def _run(self, steps: OrderSteps, order: OrderRow, tender: Tender) -> None:
        while True:
            before, order = order, await steps.take(order, tender)
            if order.state in ENDED or order.state == before.state:  # it waits for its payment or its codes
                return


def bring_to_an_end(world: World, tender: Tender = NO_TENDER) -> None:
    """Leads one worker after the other through the order until it ends, or waits."""
    for _ in range(100):
        worker = Worker(world.steps(), world.order, tender)
        while not worker.done:
            worker.advance()
            world.check()
        tender = NO_TENDER  # a card is in the memory of the first alone
        waits = world.codes_short and world.order.state == "PENDING" and world.order.codes_awaited_at
        if waits or world.order.state in (*ENDED, "AWAITING_PAYMENT"):
            return
    raise AssertionError(f"no end: {world}")
