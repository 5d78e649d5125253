"""Recording purchases, many in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import eq, mul
from typing import Any, NamedTuple
from uuid import UUID

from services.common.db import Connection, execute, fetch_values
from services.common.errors import DomainError
from services.points.ledger import Balance
from services.points.purchases import arrays
from services.points.purchases.numbered import fetch_numbered
from services.points.purchases.purchase import Claim, NewPurchase, Purchase, ReceiptKey, Recorded
from services.points.purchases.refusals import member_code_replayed, member_code_unknown, receipt_conflict
from services.points.purchases.statements import FIND, RECORD, RECORD_SIGNED, RECORD_UNCLAIMED

Answer = Recorded | DomainError
Waiting = Mapping[int, NewPurchase]
"""Purchases by their place in the list."""


async def record_purchases(
    connection: Connection, purchases: Sequence[NewPurchase], *, expires_at: datetime | None = None
) -> list[Answer]:
    """Records each receipt once and returns an answer for each; a repetition gets the first answer.

    `expires_at` is when the points credited now expire, or None for never.

    Members are found by the codes kept in `member_codes`, or by `signed_code`, which is bound to the
    receipt. An answer may be RECEIPT_CONFLICT, the receipt's own `refusal`, MEMBER_CODE_REPLAYED, or
    MEMBER_CODE_UNKNOWN when a code is neither kept nor signed. Raises BALANCE_LIMIT_REACHED (by
    constraint) for the whole list; the caller runs the halves of a list again.
    """
    answers: dict[int, Answer] = {}
    waiting: Waiting = dict(enumerate(purchases))
    while waiting:
        leaders = _leaders(waiting)
        new = {place: waiting[place] for place in leaders.values() if not waiting[place].refusal}
        of_members = {place: one for place, one in new.items() if not one.claim}
        answers |= await _record(connection, of_members, expires_at)
        answers |= await _record_unclaimed(connection, {p: new[p] for p in new.keys() - of_members.keys()})
        rest = {place: new for place, new in waiting.items() if place not in answers}
        answers |= await _find(connection, rest)
        used = await _used(connection, [new for place, new in rest.items() if place not in answers])
        waiting = _judge(answers, leaders, rest, used)
    return [answers[place] for place in range(len(purchases))]


def _leaders(waiting: Waiting) -> dict[ReceiptKey, int]:
    """Returns the first place of each key: one statement can not insert a key twice."""
    leaders: dict[ReceiptKey, int] = {}
    for place, new in waiting.items():
        leaders.setdefault(new.key, place)
    return leaders


def _judge(
    answers: dict[int, Answer], leaders: Mapping[ReceiptKey, int], rest: Waiting, used: frozenset[str]
) -> Waiting:
    """Adds the answers to what was not recorded; returns what must be tried on its own.

    That is a receipt whose key came first with other content, which was refused. `used` are the signed
    codes that other receipts have.
    """
    again: dict[int, NewPurchase] = {}
    for place, new in rest.items():
        leader = leaders[new.key]
        if place in answers:
            continue
        if place == leader:
            replayed = new.signed_code is not None and new.signed_code.id in used
            answers[place] = new.refusal or (member_code_replayed() if replayed else member_code_unknown())
        elif new.fingerprint == rest[leader].fingerprint:
            answers[place] = answers[leader]
        else:
            again[place] = new
    return again


class _RecordedRow(NamedTuple):
    place: int
    recorded_at: datetime
    balance_after: int
    got_bonus: int
    member_id: UUID
    version: int
    balance: int
    debt: int


class _UnclaimedRow(NamedTuple):
    place: int
    recorded_at: datetime


class _FoundRow(NamedTuple):
    place: int
    fingerprint: bytes
    id: UUID
    receipt_number: str
    till_number: str
    sold_at: datetime
    recorded_at: datetime
    currency_code: str
    total_minor: int
    eligible_minor: int
    points: int
    balance_after: int
    rule_set_id: int
    line_rules: Sequence[int] | None
    earn_rule: str | None
    redemption_ids: Sequence[UUID]
    bonus: int
    claim_code: str | None
    claim_until: datetime | None
    member_suspended: bool | None
    member_id: UUID | None
    version: int | None
    balance: int | None
    debt: int | None


async def _record(
    connection: Connection, purchases: Waiting, expires_at: datetime | None
) -> dict[int, Answer]:
    """Writes those with a new receipt whose code is kept, or signed and unused; returns their answers."""
    if not purchases:
        return {}
    places, news = list(purchases), list(purchases.values())
    signed = any(new.signed_code for new in news)
    rows = await fetch_numbered(
        connection,
        _RecordedRow,
        RECORD_SIGNED if signed else RECORD,
        parameters(news, expires_at) | (_signed_codes(news) if signed else {}),
    )
    answers: dict[int, Answer] = {}
    for row in rows:
        new = news[row.place - 1]
        purchase = _purchase(new, row.recorded_at, row.balance_after, row.got_bonus)
        now = Balance(row.member_id, row.version, row.balance, row.debt)
        answers[places[row.place - 1]] = Recorded(purchase, now)
    if signed:
        await _give_back(connection, [new for place, new in purchases.items() if place not in answers])
    return answers


async def _record_unclaimed(connection: Connection, purchases: Waiting) -> dict[int, Answer]:
    """Writes those without a member whose receipt is new; returns their answers."""
    if not purchases:
        return {}
    places, news = list(purchases), list(purchases.values())
    claims = [new.claim for new in news if new.claim]
    rows = await fetch_numbered(
        connection,
        _UnclaimedRow,
        RECORD_UNCLAIMED,
        {
            **_content(news),
            "claim_codes": [claim.code for claim in claims],
            "claim_untils": [claim.until for claim in claims],
            "suspended": arrays.bools([claim.member_suspended for claim in claims]),
        },
    )
    return {
        places[row.place - 1]: Recorded(_purchase(news[row.place - 1], row.recorded_at, None, 0), None)
        for row in rows
    }


def parameters(news: Sequence[NewPurchase], expires_at: datetime | None) -> dict[str, Any]:
    """Returns what `RECORD` takes."""
    return {
        **_content(news),
        "member_codes": arrays.texts([new.member_code for new in news]),
        "bonuses": arrays.int4s([new.bonus for new in news]),
        "expires_at": expires_at,
    }


def _content(news: Sequence[NewPurchase]) -> dict[str, Any]:
    """Returns the receipts and their items as arrays."""
    items = [item for new in news for item in new.items]
    counts = [len(new.items) for new in news]
    skus, names, categories, prices, quantities, alcohols, millis, totals = zip(*items, strict=True)
    return {
        **_keys(news),
        "purchase_ids": arrays.uuids([new.id for new in news]),
        "fingerprints": arrays.blobs([new.fingerprint for new in news]),
        "sold_ats": [new.sold_at for new in news],
        "currency_codes": arrays.texts([new.currency_code for new in news]),
        "totals": arrays.int8s([new.total_minor for new in news]),
        "eligibles": arrays.int8s([new.eligible_minor for new in news]),
        "points": arrays.int4s([new.points for new in news]),
        "rule_sets": arrays.int8s([new.rule_set_id for new in news]),
        "line_rules": arrays.lists([new.line_rules for new in news]),
        "redemptions": arrays.lists([new.redemption_ids for new in news]),
        "item_places": arrays.int8s([place for place, count in enumerate(counts, 1) for _ in range(count)]),
        "item_lines": arrays.int2s([line for count in counts for line in range(1, count + 1)]),
        "item_skus": arrays.texts(skus),
        "item_names": arrays.texts(names),
        "item_categories": arrays.texts(categories),
        "item_prices": arrays.int8s(prices),
        "item_quantities": arrays.int4s(quantities),
        "item_alcohols": arrays.bools(alcohols),
        # Nearly always there are none, and then an empty array, which unnest fills up, costs nothing.
        "item_millis": arrays.int4s(millis if any(millis) else ()),
        "item_totals": arrays.int8s(_own_totals(prices, quantities, totals)),
    }


def _own_totals(prices: Sequence[int], quantities: Sequence[int], totals: Sequence[int]) -> Sequence[int]:
    """Returns the totals that are not price times whole pieces, and -1 in place of the others; or nothing."""
    if all(map(eq, totals, map(mul, prices, quantities))):
        return ()
    return [
        -1 if total == price * quantity else total
        for price, quantity, total in zip(prices, quantities, totals, strict=True)
    ]


def _purchase(new: NewPurchase, recorded_at: datetime, balance_after: int | None, bonus: int) -> Purchase:
    return Purchase(
        id=new.id,
        receipt_number=new.key.receipt_number,
        till_number=new.key.till_number,
        sold_at=new.sold_at,
        recorded_at=recorded_at,
        currency_code=new.currency_code,
        total_minor=new.total_minor,
        eligible_minor=new.eligible_minor,
        points=new.points + bonus,
        balance_after=balance_after,
        rule_set_id=new.rule_set_id,
        line_rules=new.line_rules,
        redemption_ids=new.redemption_ids,
        bonus=bonus,
        claim=new.claim,
    )


def _signed_codes(news: Sequence[NewPurchase]) -> dict[str, Any]:
    codes = [new.signed_code for new in news]
    return {
        "code_ids": [code.id if code else None for code in codes],
        "signed_members": [code.member_id if code else None for code in codes],
    }


async def _give_back(connection: Connection, lost: Sequence[NewPurchase]) -> None:
    """Frees the codes that were claimed for receipts which somebody else recorded in the same moment."""
    codes = [new.signed_code.id for new in lost if new.signed_code]
    if codes:
        await execute(
            connection,
            """
            DELETE FROM used_codes
            WHERE code_id = ANY(%(code_ids)s::text[]) AND purchase_id = ANY(%(purchase_ids)s::uuid[])
            """,
            code_ids=codes,
            purchase_ids=[new.id for new in lost],
        )


async def _used(connection: Connection, refused: Sequence[NewPurchase]) -> frozenset[str]:
    codes = [new.signed_code.id for new in refused if new.signed_code and not new.refusal]
    if not codes:
        return frozenset()
    used = await fetch_values(
        connection, "SELECT code_id FROM used_codes WHERE code_id = ANY(%(code_ids)s::text[])", code_ids=codes
    )
    return frozenset(used)


async def _find(connection: Connection, purchases: Waiting) -> dict[int, Answer]:
    """Returns the answers to those recorded before, also a moment ago by another batch."""
    if not purchases:
        return {}
    places, news = list(purchases), list(purchases.values())
    answers: dict[int, Answer] = {}
    for row in await fetch_numbered(connection, _FoundRow, FIND, _keys(news)):
        same = row.fingerprint == news[row.place - 1].fingerprint
        answer = _first_answer(row) if same else receipt_conflict(row.receipt_number, row.id)
        answers[places[row.place - 1]] = answer
    return answers


def _first_answer(row: _FoundRow) -> Recorded:
    claim: Claim | None = None
    if row.claim_code is not None and row.claim_until is not None:
        claim = Claim(row.claim_code, row.claim_until, bool(row.member_suspended))
    now: Balance | None = None
    if row.member_id and row.version is not None and row.balance is not None and row.debt is not None:
        now = Balance(row.member_id, row.version, row.balance, row.debt)
    purchase = Purchase(
        id=row.id,
        receipt_number=row.receipt_number,
        till_number=row.till_number,
        sold_at=row.sold_at,
        recorded_at=row.recorded_at,
        currency_code=row.currency_code,
        total_minor=row.total_minor,
        eligible_minor=row.eligible_minor,
        points=row.points,
        balance_after=None if claim else row.balance_after,
        rule_set_id=row.rule_set_id,
        line_rules=tuple(row.line_rules or ()),
        earn_rule=row.earn_rule,
        redemption_ids=tuple(row.redemption_ids),
        bonus=0 if claim else row.bonus,
        claim=claim,
    )
    return Recorded(purchase, now)


def _keys(news: Sequence[NewPurchase]) -> dict[str, Any]:
    return {
        "client_ids": arrays.uuids([new.key.client_id for new in news]),
        "till_numbers": arrays.texts([new.key.till_number for new in news]),
        "receipt_numbers": arrays.texts([new.key.receipt_number for new in news]),
    }
