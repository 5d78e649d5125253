"""Redemptions that share a statement: each stands or falls alone; of a basket all stand or none does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.common.caller import Caller
from services.common.db import Connection
from services.common.errors import DomainError
from services.common.ids import new_id
from services.promos.codes import NewRedemption, find_redeemable, redeem_all
from services.promos.codes.commands.redeem_codes import Answer, redeem_codes
from services.promos.codes.queries import RedemptionRow
from services.promos.tests.redemption_help import Tills
from services.promos.tests.support import Promos

BASKET = b"\x01" * 32
OTHER_BASKET = b"\x02" * 32


@pytest.fixture
def tills(promos: Promos) -> Tills:
    """Calls of tills."""
    return Tills(promos)


def new(code: str, sale: str, till: Caller | None = None, **fields: object) -> NewRedemption:
    """A redemption at a till."""
    redemption = NewRedemption(till or Caller(str(new_id()), "till"), code, "1", sale)
    return replace(redemption, **fields)  # type: ignore[arg-type]  # each test gives what it is about


def told(answer: Answer) -> str:
    """The reason of a refusal, or `redeemed`."""
    return answer.reason if isinstance(answer, DomainError) else "redeemed"


def identity(answer: Answer) -> tuple[object, ...]:
    """What a repetition must have in common with the first answer."""
    assert isinstance(answer, RedemptionRow)
    return answer.id, answer.redeemed_at, answer.member_id, answer.discount_minor, answer.benefit


async def test_of_a_batch_each_stands_or_falls_alone(promos: Promos, tills: Tills) -> None:
    _, _, once = await tills.owned_by()
    _, _, used = await tills.owned_by()
    _, expired_id, expired = await tills.owned_by()
    await promos.execute("UPDATE codes SET expires_at = now() WHERE id = %(id)s", id=expired_id)
    await promos.redeem(used, "R-0")
    till = Caller(str(new_id()), "till")
    batch = [
        new(used, "R-1", till),
        new(once, "R-1", till),
        new("7" * 12, "R-1", till),
        new(once, "R-2", till),
        new(expired, "R-1", till),
        new(once, "R-1", till),
    ]
    answers = await promos.db.run(redeem_codes, batch)
    expected = [
        "CODE_ALREADY_USED",
        "redeemed",
        "CODE_NOT_VALID",
        "CODE_ALREADY_USED",
        "CODE_EXPIRED",
        "redeemed",
    ]
    assert [told(answer) for answer in answers] == expected
    assert identity(answers[5]) == identity(answers[1])
    assert [told(answer) for answer in await promos.db.run(redeem_codes, batch)] == expected


async def test_a_repetition_in_a_batch_takes_no_use_from_those_behind_it(
    promos: Promos, tills: Tills
) -> None:
    code = await tills.bearer_code(uses=3)
    text, till = await tills.text(code.code_id), Caller(str(new_id()), "till")
    (first,) = await promos.db.run(redeem_codes, [new(text, "R-1", till)])
    batch = [new(text, "R-1", till), new(text, "R-2", till), new(text, "R-2", till), new(text, "R-3", till)]
    answers = await promos.db.run(redeem_codes, [*batch, new(text, "R-4", till)])
    assert identity(answers[0]) == identity(first)
    assert [told(answer) for answer in answers] == ["redeemed"] * 4 + ["CODE_ALREADY_USED"]


async def test_members_who_are_at_their_limit_take_no_use_from_those_behind_them(
    promos: Promos, tills: Tills
) -> None:
    code = await tills.bearer_code(uses=4)
    text = await tills.text(code.code_id)
    await tills.change_set(await tills.set_of(code.code_id), "uses_per_member = 1")
    members = [new_id() for _ in range(6)]
    batch = [new(text, f"R-{turn}", member_id=member) for member in members for turn in range(5)]
    answers = await promos.db.run(redeem_codes, batch)
    redeemed = [answer.member_id for answer in answers if isinstance(answer, RedemptionRow)]
    assert len(redeemed) == len(set(redeemed)) == 4
    assert {told(answer) for answer in answers} == {"redeemed", "CODE_MEMBER_LIMIT", "CODE_ALREADY_USED"}


async def test_a_basket_uses_all_of_its_codes_or_none(promos: Promos, tills: Tills) -> None:
    _, _, first = await tills.owned_by()
    _, _, second = await tills.owned_by()
    till = Caller(str(new_id()), "till")
    basket = [
        new(code, "R-1", till, basket_hash=BASKET, discount_minor=150, currency_code="USD")
        for code in (first, second)
    ]
    with pytest.raises(DomainError, match="CODE_NOT_VALID"):
        await promos.db.run(redeem_all, [*basket, new("7" * 12, "R-1", till, basket_hash=BASKET)])
    assert (await promos.verify(first)).uses_left == 1
    rows = await promos.db.run(redeem_all, basket)
    assert [(row.discount_minor, row.discount_currency) for row in rows] == [(150, "USD")] * 2
    again = await promos.db.run(redeem_all, basket)
    assert [identity(row) for row in again] == [identity(row) for row in rows]
    changed = [replace(one, basket_hash=OTHER_BASKET) for one in basket]
    with pytest.raises(DomainError, match="REDEMPTION_CONFLICT") as conflict:
        await promos.db.run(redeem_all, changed)
    assert conflict.value.metadata == {"redemption_id": str(rows[0].id)}
    with pytest.raises(DomainError, match="REDEMPTION_CONFLICT"):
        await promos.db.run(redeem_all, [new(first, "R-1", till)])


async def test_baskets_with_the_same_codes_in_any_order_end_without_deadlock(
    promos: Promos, tills: Tills
) -> None:
    before = promos.platform.deadlocks()
    texts = [(await tills.owned_by())[2] for _ in range(5)]

    async def sell(sale: int) -> int:
        basket = [new(code, f"R-{sale}", basket_hash=BASKET) for code in (texts, texts[::-1])[sale % 2]]
        try:
            return len(await promos.db.run(redeem_all, basket))
        except DomainError as error:
            return 0 if error.reason == "CODE_ALREADY_USED" else -1

    assert sorted(await asyncio.gather(*(sell(sale) for sale in range(40)))) == [0] * 39 + [5]
    assert promos.platform.deadlocks() == before


async def test_what_a_basket_may_use_is_found_beforehand(promos: Promos, tills: Tills) -> None:
    owner, code_id, own = await tills.owned_by()
    _, _, of_another = await tills.owned_by()
    bearers = await tills.text((await tills.bearer_code(uses=2)).code_id)
    codes = [own, of_another, bearers, "7" * 12]

    async def found(connection: Connection, *, own_only: bool) -> list[str]:
        answers = await find_redeemable(connection, codes, member_id=owner, own_only=own_only)
        return [answer.reason if isinstance(answer, DomainError) else "" for answer in answers]

    assert await promos.db.read(found, own_only=False) == ["", "", "", "CODE_NOT_VALID"]
    assert await promos.db.read(found, own_only=True) == ["", "CODE_NOT_VALID", "", "CODE_NOT_VALID"]
    (mine,) = await promos.db.read(find_redeemable, [own], member_id=None)
    assert not isinstance(mine, DomainError)
    assert (str(mine.id), mine.owner_member_id, mine.uses_left) == (code_id, owner, 1)
