"""Random histories of purchases, refunds, orders and all else, compared with a model in plain integers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scrip.points.v1 import purchase_pb2

from services.common.cache import Redis
from services.common.ids import utc_now
from services.points.programme import RefundPolicy
from services.points.tests.earn_rule_help import Staff
from services.points.tests.machine import DEBT, FLOOR, NEGATIVE, Machine, World, driven
from services.points.tests.manager import Manager
from services.points.tests.model import DONE, PORTION, Account, EarnRule, Model, ModelLine, Sale
from services.points.tests.own_service import own_service
from services.points.tests.returns import change, claim, claim_mine, encoded, refund, split
from services.points.tests.support import receipt, sold
from tests.inprocess import Member, Platform

CATEGORIES = ("bakery", "dairy", "wine")
MOST_WRONG_CODES = 8
MOST_RULES = 4


_lines = st.lists(
    st.builds(
        ModelLine,
        category=st.sampled_from(["bakery", *CATEGORIES]),
        price=st.sampled_from([9_999, 2_500, 1_000, 333, 0]),
        left=st.integers(1, 5),
        alcohol=st.sampled_from([False, False, True]),
        weighed=st.booleans(),
        total=st.sampled_from([None, None, None, 0, 1_000, 9_999]),
    ),
    min_size=1,
    max_size=3,
)
_rules = st.builds(
    EarnRule,
    kind=st.sampled_from(["multiplier", "multiplier", "rate", "bonus", "exclusion"]),
    amount=st.sampled_from([50, 150, 300, 1_500]),
    category=st.sampled_from(["bakery", "", *CATEGORIES]),
    priority=st.integers(0, 2),
    old_sales=st.booleans(),
    new_sales=st.booleans(),
).filter(lambda made: made.kind != "exclusion" or made.category != "")


class Programme(Machine):
    """Two members, one till, staff and orders."""

    whose = st.sampled_from([0, 0, 0, 1])

    @initialize(policy=st.sampled_from([DEBT, NEGATIVE]), rules=st.lists(_rules, max_size=2), lines=_lines)
    def begin(self, policy: RefundPolicy, rules: list[EarnRule], lines: list[ModelLine]) -> None:
        """Some rules, two new members, one of whom shops twice, and a purchase of nobody."""
        self.points = self.world.services[policy]
        self.staff = Staff(self.points, self.world.admin)
        self.manager = Manager(self.points, self.world.admin)
        self.members = [self.world.do(self._member()) for _ in range(2)]
        accounts = {member.id: Account() for member in self.members}
        self.model = Model(accounts, None if policy is DEBT else FLOOR)
        for made in rules:
            self.make_rule(made)
        for who in (0, 0):
            self.purchase(who, [ModelLine("bakery", 9_999, 3, alcohol=False)], old=False)
        self.purchase_of_nobody(lines, old=False)

    @rule(who=whose, lines=_lines, old=st.booleans())
    def purchase(self, who: int, lines: list[ModelLine], old: bool) -> None:
        """A member shops, perhaps ten days ago."""
        member = self.members[who]
        request = receipt(member.code, *map(_item, lines), sold_at=_sold(old=old))
        if self._account(member).closed:
            assert self._outcome(self.points.record(request)) == "MEMBER_CODE_UNKNOWN"
            return
        reply = self.world.do(self.points.record(request))
        sale = self.model.sell(lines, member.id, old=old)
        self._recorded(sale, request, reply)
        assert reply.purchase.points == sale.worth
        assert reply.balance_after == self._account(member).balance

    @rule(lines=_lines, old=st.booleans())
    def purchase_of_nobody(self, lines: list[ModelLine], old: bool) -> None:
        """Somebody shops who shows no code."""
        request = receipt("", *map(_item, lines), sold_at=_sold(old=old))
        reply = self.world.do(self.points.record(request))
        sale = self.model.sell(lines, None, old=old)
        self._recorded(sale, request, reply)
        assert (reply.purchase.points, reply.HasField("balance_after")) == (sale.worth, False)
        assert reply.purchase.total.amount_minor == sum(line.cost for line in lines)

    def _recorded(
        self,
        sale: Sale,
        request: purchase_pb2.RecordPurchaseRequest,
        reply: purchase_pb2.RecordPurchaseResponse,
    ) -> None:
        sale.id = reply.purchase.id
        assert reply.purchase.bonus_points == sale.bonus
        self.sent.append((sale, request, reply))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), other=st.booleans())
    def purchase_again(self, data: st.DataObject, other: bool) -> None:
        """The till sends a receipt again, or another one under its number."""
        _, request, reply = data.draw(st.sampled_from(self.sent))
        again = purchase_pb2.RecordPurchaseRequest.FromString(request.SerializeToString())
        if other:
            again.items[0].unit_price_minor += 1
            assert self._outcome(self.points.record(again)) == "RECEIPT_CONFLICT"
        else:
            assert encoded(self.world.do(self.points.record(again))) == encoded(reply)

    @precondition(lambda self: self._with_code())
    @rule(data=st.data(), who=whose, in_person=st.booleans())
    def claim(self, data: st.DataObject, who: int, in_person: bool) -> None:
        """A member claims a purchase of nobody, or of one who was nobody."""
        sale, request, reply = data.draw(st.sampled_from(self._with_code()))
        member = self.members[who]
        wanted = self._refusal_of_claim(sale, member, in_person=in_person)
        if in_person and wanted == "CLAIM_CODE_NOT_VALID":
            self.wrong_codes += 1
            if self.wrong_codes > MOST_WRONG_CODES:
                return
        call: Any = (
            claim_mine(self.points, member, reply.claim.claim_code)
            if in_person
            else claim(self.points, request.receipt_number, member.code)
        )
        if wanted:
            assert self._outcome(call) == wanted
            return
        first = sale.owner is None
        got = self.world.do(call)
        if first:
            assert got.purchase.points == self.model.give(sale, member.id)
            assert got.balance_after == self._account(member).balance
        assert got.purchase.bonus_points == sale.bonus

    def _with_code(self) -> list[Any]:
        return [sent for sent in self.sent if sent[2].HasField("claim")]

    def _refusal_of_claim(self, sale: Sale, member: Member, *, in_person: bool) -> str:
        closed = self._account(member).closed
        if sale.owner == member.id:
            return "MEMBER_CODE_UNKNOWN" if closed and not in_person else DONE
        if closed and not in_person:
            return "MEMBER_CODE_UNKNOWN"
        if sale.owner is not None:
            return "CLAIM_CODE_NOT_VALID" if in_person else "PURCHASE_CLAIMED"
        return "ACCOUNT_CLOSED" if closed else DONE

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), whole=st.booleans())
    def refund(self, data: st.DataObject, whole: bool) -> None:
        """Goods come back: all that are left, or some of one line; the till asks twice."""
        sale, _, _ = data.draw(st.sampled_from(self.sent))
        number = data.draw(st.integers(0, len(sale.lines) - 1))
        self._refund(sale, None if whole else number, data.draw(st.integers(1, 5)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def refund_piece_by_piece(self, data: st.DataObject) -> None:
        """All of a line comes back, one by one."""
        sale, _, _ = data.draw(st.sampled_from(self.sent))
        number = data.draw(st.integers(0, len(sale.lines) - 1))
        for _ in range(sale.lines[number].left):
            self._refund(sale, number, 1)

    def _refund(self, sale: Sale, number: int | None, count: int) -> None:
        whole = number is None
        line = sale.lines[number or 0]
        lines = [] if number is None else [_back(number + 1, line, count)]
        sale.refunds += 1
        name = f"F-{sale.refunds}"
        if whole and not any(each.left for each in sale.lines):
            assert self._outcome(refund(self.points, sale.id, name)) == "NOTHING_TO_REFUND"
            return
        if not whole and count > line.left:
            call = refund(self.points, sale.id, name, lines)
            assert self._outcome(call) == "REFUND_EXCEEDS_PURCHASE"
            return

        def back() -> None:
            for each in sale.lines if whole else [line]:
                each.left -= each.left if whole else count

        reply = self.world.do(refund(self.points, sale.id, name, lines))
        assert split(reply) == self.model.refund(sale, back)
        balance = self.model.accounts[sale.owner].balance if sale.owner else None
        assert (reply.balance_after if reply.HasField("balance_after") else None) == balance
        assert encoded(self.world.do(refund(self.points, sale.id, name, lines))) == encoded(reply)

    @rule(who=whose, order=st.integers(0, 2), points=st.sampled_from([5, 30]))
    def spend(self, who: int, order: int, points: int) -> None:
        """An order is debited: new, again, with other content, after its undoing."""
        member, order_id = self.members[who], self.orders[order]
        wanted = self.model.debit(order_id, member.id, points)
        assert self._outcome(self.points.debit(order_id, member, points)) == wanted

    @rule(who=whose, share=st.sampled_from([1, 1, 2]))
    def spend_new(self, who: int, share: int) -> None:
        """A new order takes all, or half."""
        member = self.members[who]
        points = self._account(member).balance // share
        if points > 0:
            self.orders.append(uuid4())
            assert self.model.debit(self.orders[-1], member.id, points) == DONE
            after = self.world.do(self.points.debit(self.orders[-1], member, points))
            assert after == self._account(member).balance

    @rule(who=whose, data=st.data())
    def undo(self, who: int, data: st.DataObject) -> None:
        """An order is undone, whether it was debited or not."""
        self._undo(self.members[who], data.draw(st.sampled_from(self.orders)))

    def _undo(self, member: Member, order_id: UUID) -> None:
        wanted = self.model.undo(order_id, member.id)
        assert self._outcome(self.points.undo(order_id, member)) == wanted

    @rule(who=whose, delta=st.sampled_from([-1_000, -25, 1, 40]))
    def adjust(self, who: int, delta: int) -> None:
        """Staff give points or take some; the response is lost, and they try again."""
        member, key = self.members[who], str(uuid4())
        wanted = self.model.adjust(member.id, delta)
        for _ in range(2):
            assert self._outcome(self.manager.adjust(member.id, delta, key=key)) == wanted

    @rule(who=whose, data=st.data())
    def expire(self, who: int, data: st.DataObject) -> None:
        """The time of some lots is over, and the nightly job comes by, twice."""
        account = self._account(self.members[who])
        for lot in account.lots:
            lot.due = lot.due or data.draw(st.booleans())
        self._expire(self.members[who])

    @rule(who=whose)
    def undo_late(self, who: int) -> None:
        """An order is undone when the time of what it took is over; that expires at the next run."""
        self._spend_half_and_expire(who)
        self._undo(self.members[who], self.orders[-1])

    @rule(who=whose)
    def refund_late(self, who: int) -> None:
        """Goods come back piece by piece whose points were spent in part, and the rest has expired."""
        self._spend_half_and_expire(who)
        for sale in self._sales_of(who)[:1]:
            for number, line in enumerate(sale.lines):
                for _ in range(line.left):
                    self._refund(sale, number, 1)

    def _spend_half_and_expire(self, who: int) -> None:
        self.spend_new(who, 2)
        member = self.members[who]
        for lot in self._account(member).lots:
            lot.due = True
        self._expire(member)

    def _sales_of(self, who: int) -> list[Sale]:
        """Returns what the member has bought and not given back."""
        return [
            sale
            for sale, _, _ in self.sent
            if sale.owner == self.members[who].id and any(line.left for line in sale.lines)
        ]

    @rule(who=whose)
    def undo_when_owing(self, who: int) -> None:
        """What an order took of several lots is given back when it is owed, or missing."""
        self.adjust(who, 40)
        self.spend_new(who, 1)
        for sale in self._sales_of(who)[:1]:
            self._refund(sale, None, 0)
        self._undo(self.members[who], self.orders[-1])

    def _expire(self, member: Member) -> None:
        account = self._account(member)
        due = [lot.number for lot in account.lots if lot.due]
        late = """
            UPDATE lots SET expires_at = now() - interval '1 hour'
            WHERE member_id = %(id)s AND id = ANY(%(due)s)
        """
        self.world.do(change(self.points, late, id=member.id, due=due))
        for each in self.model.accounts.values():
            each.expire()
        self.world.do(self._expired())
        assert self.world.do(self._expired()) == 0

    @precondition(lambda self: len(self.sent) > 5)
    @rule(who=whose)
    def close(self, who: int) -> None:
        """A member closes the account; the event is delivered twice."""
        member, event_id = self.members[who], uuid4()
        if not self._account(member).closed:
            self._account(member).close()
            for _ in range(2):
                self.world.do(self.points.send_event(member.id, 2, "CLOSED", event_id=event_id))

    @precondition(lambda self: len(self.model.rules) < MOST_RULES)
    @rule(made=_rules)
    def make_rule(self, made: EarnRule) -> None:
        """Staff make a rule, which holds for what is recorded from then on."""
        rule_id = self.world.do(self._made(made))
        self.model.rules[rule_id] = made

    @precondition(lambda self: self.model.rules)
    @rule(data=st.data())
    def delete_rule(self, data: st.DataObject) -> None:
        """Staff delete one; what it judged stays as it is."""
        rule_id = data.draw(st.sampled_from(sorted(self.model.rules)))
        del self.model.rules[rule_id]
        self.world.do(self._deleted(rule_id))


def _item(line: ModelLine) -> purchase_pb2.PurchaseItem:
    amount = {"quantity_milli": PORTION * line.left} if line.weighed else {"quantity": line.left}
    return purchase_pb2.PurchaseItem(
        sku="1",
        name="Something",
        category=line.category,
        unit_price_minor=line.price,
        alcohol=line.alcohol,
        total_minor=line.total,
        **amount,
    )


def _back(number: int, line: ModelLine, count: int) -> purchase_pb2.RefundLine:
    if line.weighed:
        return purchase_pb2.RefundLine(line=number, quantity_milli=PORTION * count)
    return purchase_pb2.RefundLine(line=number, quantity=count)


def _sold(*, old: bool) -> Any:
    return sold(utc_now() - timedelta(days=10)) if old else sold()


@pytest.fixture
async def world(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A service for each policy. They look for new rules all the time."""
    monkeypatch.setattr("services.points.earning.rule_book._REFRESH_SECONDS", 0.02)
    redis = Redis(platform.redis_url, seconds=1)
    async with AsyncExitStack() as stack:
        services = {
            policy: await stack.enter_async_context(
                own_service(platform, refund_policy=policy, balance_floor=FLOOR, expire_months=1)
            )
            for policy in RefundPolicy
        }
        yield World(services, await platform.admin(), redis, asyncio.get_running_loop())
    await redis.close()


@pytest.mark.covers("P4 PointsService.GetMyBalance")
@pytest.mark.timeout(300)
async def test_whatever_happens_not_one_point_is_wrong(world: World) -> None:
    bounds = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    with driven(world):
        await asyncio.to_thread(run_state_machine_as_test, Programme, settings=bounds)
