"""Points in plain integers and lists: what the programme promises, written without looking at the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

DONE = ""
PORTION = 345
"""Thousandths."""


@dataclass
class Lot:
    """Points credited together."""

    number: int
    earned: int
    left: int
    expired: int = 0
    expired_counted: int = 0
    """What of the expired points refunds have counted already."""
    due: bool = False


@dataclass(frozen=True)
class EarnRule:
    """A rule that staff made; `old_sales` is whether it holds for those, `new_sales` for today's."""

    kind: str
    amount: int
    category: str
    priority: int
    old_sales: bool
    new_sales: bool


@dataclass(frozen=True)
class Judge:
    """The rules that hold for a sale, the highest first."""

    rules: tuple[EarnRule, ...]

    @classmethod
    def of(cls, rules: list[EarnRule], *, old: bool) -> Judge:
        """Of rules in the order in which they were made."""
        holding = [rule for rule in rules if (rule.old_sales if old else rule.new_sales)]
        newest_first = holding[::-1]
        return cls(tuple(sorted(newest_first, key=lambda rule: -rule.priority)))

    @property
    def bonus(self) -> int:
        """Points on top of a first purchase that earns."""
        return next((rule.amount for rule in self.rules if rule.kind == "bonus"), 0)

    def earned(self, lines: list[ModelLine]) -> int:
        """Returns points for what is left of these lines: 1 for each full 10.00, or as a rule has it."""
        for_a_point = next((rule.amount for rule in self.rules if rule.kind == "rate"), 1_000)
        return sum(line.left_cost * self._percent(line) for line in lines) // (100 * for_a_point)

    def _percent(self, line: ModelLine) -> int:
        excluded = any(rule.kind == "exclusion" and rule.category == line.category for rule in self.rules)
        if line.alcohol or excluded:
            return 0
        return next(
            (
                rule.amount
                for rule in self.rules
                if rule.kind == "multiplier" and rule.category in ("", line.category)
            ),
            100,
        )


@dataclass
class ModelLine:
    """A line of a receipt, of which so many were not refunded: pieces, or portions of 0.345 when `weighed`.

    `total` is what it costs, when that is not price times quantity.
    """

    category: str
    price: int
    left: int
    alcohol: bool
    weighed: bool = False
    total: int | None = None
    sold: int = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is refunded yet."""
        self.sold = self.left

    @property
    def cost(self) -> int:
        """What all of it cost."""
        if self.total is not None:
            return self.total
        return round_half_up(self.price * PORTION * self.sold) if self.weighed else self.price * self.sold

    @property
    def left_cost(self) -> int:
        """What is left of that, when what came back has cost its share, rounded down."""
        return self.cost - self.cost * (self.sold - self.left) // self.sold


def round_half_up(thousandths: int) -> int:
    """Returns the nearest whole number."""
    whole, rest = divmod(thousandths, 1_000)
    return whole + (rest >= 500)


@dataclass
class Account:
    """A member's points."""

    balance: int = 0
    debt: int = 0
    closed: bool = False
    earned_once: bool = False
    lots: list[Lot] = field(default_factory=list)
    entries: list[tuple[str, int, int]] = field(default_factory=list)
    """Kind, change of the balance, change of the debt."""

    def credit(self, kind: str, points: int) -> int:
        """Returns what of a credit can be spent: it first pays what is owed and what is missing."""
        paid = min(self.debt, points)
        before = max(self.balance, 0)
        self.debt -= paid
        self._write(kind, points - paid, -paid)
        return max(self.balance, 0) - before

    def new_lot(self, points: int) -> Lot | None:
        """Returns a lot of the newest entry's points."""
        if not points:
            return None
        self.lots.append(Lot(len(self.entries), points, points))
        return self.lots[-1]

    def take(self, kind: str, points: int) -> list[tuple[Lot, int]]:
        """Takes points out of the oldest lots: how many from which."""
        self._write(kind, -points, 0)
        return self.take_oldest(points)

    def take_oldest(self, points: int) -> list[tuple[Lot, int]]:
        """Takes points out of the oldest lots alone."""
        taken = []
        for lot in self.lots:
            part = min(lot.left, points)
            if part:
                lot.left -= part
                points -= part
                taken.append((lot, part))
        assert points == 0
        return taken

    def refund(self, taken: int, owed: int) -> None:
        """What a refund does to balance and debt."""
        self.debt += owed
        if taken or owed:
            self._write("REFUND", -taken, owed)

    def expire(self) -> None:
        """Takes what is left in the lots whose time is over."""
        points = sum(lot.left for lot in self.lots if lot.due)
        if points:
            self._write("EXPIRE", -points, 0)
        for lot in self.lots:
            if lot.due:
                lot.expired, lot.left = lot.expired + lot.left, 0

    def close(self) -> None:
        """Forfeits what there is, forgives what is owed."""
        if self.balance or self.debt:
            owed, self.debt = self.debt, 0
            self._write("FORFEIT", -self.balance, -owed)
        for lot in self.lots:
            lot.left = 0
        self.closed = True

    def _write(self, kind: str, delta: int, debt_delta: int) -> None:
        self.balance += delta
        self.entries.append((kind, delta, debt_delta))


@dataclass
class Sale:
    """A purchase; without an owner it can be claimed."""

    id: str
    judge: Judge
    lines: list[ModelLine]
    owner: UUID | None = None
    bonus: int = 0
    lot: Lot | None = None
    refunds: int = 0

    @property
    def worth(self) -> int:
        """What the lines left have earned; the bonus goes with the last point."""
        points = self.judge.earned(self.lines)
        return points + self.bonus if points else 0


@dataclass
class Order:
    """An order that was debited, or undone, or both."""

    owner: UUID
    points: int
    undone: bool
    taken: list[tuple[Lot, int]] = field(default_factory=list)


@dataclass
class Model:
    """The whole programme. `floor` is set by the policy of negative balances, and None by that of debts."""

    accounts: Mapping[UUID, Account]
    floor: int | None
    rules: dict[str, EarnRule] = field(default_factory=dict)
    sales: list[Sale] = field(default_factory=list)
    orders: dict[UUID, Order] = field(default_factory=dict)

    def sell(self, lines: list[ModelLine], owner: UUID | None, *, old: bool) -> Sale:
        """Records a purchase."""
        sale = Sale("", Judge.of(list(self.rules.values()), old=old), lines)
        if owner:
            self.give(sale, owner)
        self.sales.append(sale)
        return sale

    def give(self, sale: Sale, owner: UUID) -> int:
        """Credits a purchase to its member; returns the points."""
        account, points = self.accounts[owner], sale.worth
        sale.owner = owner
        if points:
            if not account.earned_once:
                account.earned_once, sale.bonus = True, sale.judge.bonus
            points += sale.bonus
            sale.lot = account.new_lot(account.credit("EARN", points))
        return points

    def refund(self, sale: Sale, back: Callable[[], None]) -> tuple[int, int, int, int, int]:
        """Takes goods `back`: the points that they had earned, taken, owed, expired and waived."""
        before = sale.worth
        back()
        points = before - sale.worth
        if sale.owner is None:
            return 0, 0, 0, 0, 0
        account = self.accounts[sale.owner]
        if account.closed:
            return points, 0, 0, 0, points
        own = expired = 0
        if sale.lot:
            own = min(points, sale.lot.left)
            expired = min(points - own, sale.lot.expired - sale.lot.expired_counted)
            sale.lot.left -= own
            sale.lot.expired_counted += expired
        missing = points - own - expired
        others = min(missing, max(account.balance, 0) - own)
        account.take_oldest(others)
        missing -= others
        taken, owed = own + others, 0
        if self.floor is None:
            owed = missing
        else:
            below = min(missing, max(0, account.balance - taken - self.floor))
            taken, missing = taken + below, missing - below
        account.refund(taken, owed)
        return points, taken, owed, expired, points - taken - owed - expired

    def debit(self, order_id: UUID, member_id: UUID, points: int) -> str:
        """Spends points; returns why not, or DONE."""
        known = self.orders.get(order_id)
        if known:
            if known.owner != member_id:
                return "DEBIT_CONFLICT"
            if known.undone:
                return "ORDER_UNDONE"
            return DONE if known.points == points else "DEBIT_CONFLICT"
        account = self.accounts[member_id]
        if account.balance < points:
            return "INSUFFICIENT_POINTS"
        self.orders[order_id] = Order(member_id, points, undone=False, taken=account.take("SPEND", points))
        return DONE

    def undo(self, order_id: UUID, member_id: UUID) -> str:
        """Gives an order's points back, to where they came from; the order is refused for ever."""
        order = self.orders.setdefault(order_id, Order(member_id, 0, undone=True))
        if order.owner != member_id:
            return "DEBIT_CONFLICT"
        if order.undone:
            return DONE
        order.undone, account = True, self.accounts[member_id]
        if account.closed:
            account.entries += [("SPEND_UNDONE", order.points, 0), ("FORFEIT", -order.points, 0)]
            return DONE
        points = account.credit("SPEND_UNDONE", order.points)
        for lot, part in reversed(order.taken):
            lot.left += min(part, points)
            points -= min(part, points)
        return DONE

    def adjust(self, member_id: UUID, delta: int) -> str:
        """Gives or takes points, as staff; returns why not, or DONE."""
        account = self.accounts[member_id]
        if account.closed:
            return "MEMBER_CLOSED"
        if delta > 0:
            account.new_lot(account.credit("ADJUST", delta))
        elif account.balance < -delta:
            return "INSUFFICIENT_POINTS"
        else:
            account.take("ADJUST", -delta)
        return DONE
