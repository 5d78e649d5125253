"""Using codes for sales, many in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import orjson
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_all
from services.common.errors import DomainError, overloaded
from services.common.ids import new_id
from services.promos.codes import refusals
from services.promos.codes.commands.code_states import tell_code_states
from services.promos.codes.judging import HAS_CONDITIONS, REDEEMABLE, Question, RedeemableCode, judge
from services.promos.codes.queries import REDEMPTION, RedemptionRow

_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class NewRedemption:
    """A code, as `read_code` returns it, to be used for a sale at one of the caller's tills.

    `member_id` is the member who was shown at the till. `member_shown` says that one was shown whose id is
    not known yet: then a code without an owner is refused with MEMBER_REQUIRED. `basket_hash` is a
    fingerprint of the sale, where the till sent it; then the caller has judged the benefit's conditions.
    """

    actor: Caller
    code: str
    till_number: str
    sale_reference: str
    member_id: UUID | None = None
    member_shown: bool = False
    discount_minor: int | None = None
    currency_code: str | None = None
    basket_hash: bytes | None = None
    id: UUID = field(default_factory=new_id, compare=False)

    @property
    def sale(self) -> tuple[UUID, str, str, str]:
        """What makes it the same use of the same code."""
        return (self.actor.id, self.till_number, self.sale_reference, self.code)


Answer = RedemptionRow | DomainError
_Waiting = Mapping[int, NewRedemption]
"""Redemptions by their place in the list."""


async def redeem_codes(connection: Connection, redemptions: Sequence[NewRedemption]) -> list[Answer]:
    """Uses each code once per (caller, till number, sale reference); returns an answer for each.

    Each stands or falls alone; a repetition gets the first answer. An answer may be a refusal of `judge`,
    MEMBER_REQUIRED, BASKET_REQUIRED, REDEMPTION_CANCELLED, REDEMPTION_CONFLICT when the basket was another
    one, or OVERLOADED when others used and gave back the code all the time.
    """
    leaders: dict[tuple[UUID, str, str, str], int] = {}
    for place, new in enumerate(redemptions):
        leaders.setdefault(new.sale, place)
    answers: dict[int, Answer] = {}
    waiting: _Waiting = {place: redemptions[place] for place in leaders.values()}
    of_orders: set[UUID] = set()
    for _ in range(_ROUNDS):
        answers |= await _record(connection, waiting, of_orders)
        waiting = await _settle(connection, _without(waiting, answers), answers)
        if not waiting:
            break
    answers |= {place: overloaded("codes") for place in waiting}
    again = {place: new for place, new in enumerate(redemptions) if place not in answers}
    repeated = await _find(connection, again)
    for place, new in again.items():
        answers[place] = repeated.get(place) or answers[leaders[new.sale]]
    await tell_code_states(connection, of_orders)
    return [answers[place] for place in range(len(redemptions))]


async def redeem_all(connection: Connection, redemptions: Sequence[NewRedemption]) -> Sequence[RedemptionRow]:
    """Uses all of these codes, or raises the first refusal of `redeem_codes`, and then none is used.

    It is the caller's transaction that takes back what was used before the refusal.
    """
    rows = []
    for answer in await redeem_codes(connection, redemptions):
        if isinstance(answer, DomainError):
            raise answer
        rows.append(answer)
    return rows


@dataclass(frozen=True, slots=True)
class _Recorded(RedemptionRow):
    place: int
    order_id: UUID | None


_RECORD = SQL(
    """
    WITH given AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(%(redemptions)s) AS g (
        place int, id uuid, code text, caller_id uuid, caller_role text, till_number text,
        sale_reference text, member_id uuid, member_shown boolean, discount_minor bigint,
        currency_code text, basket_hash bytea
      )
    ), usable AS MATERIALIZED (
      SELECT
        c.id, c.code, c.code_set_id, c.owner_member_id, c.order_id,
        c.uses_allowed - c.uses AS uses_left, s.brand_id, s.uses_per_member,
        {has_conditions} AS has_conditions
      FROM codes c JOIN code_sets s ON s.id = c.code_set_id
      WHERE c.code IN (SELECT code FROM given) AND {redeemable}
      ORDER BY c.id
      FOR NO KEY UPDATE OF c
    ), asked AS MATERIALIZED (
      SELECT
        g.place, u.id AS code_id, u.code_set_id, u.order_id, u.uses_left, u.brand_id, u.uses_per_member,
        coalesce(u.owner_member_id, g.member_id) AS user_id
      FROM given g JOIN usable u ON u.code = g.code
      WHERE (g.basket_hash IS NOT NULL OR NOT u.has_conditions)
        AND (
          coalesce(u.owner_member_id, g.member_id) IS NOT NULL
          OR (u.uses_per_member IS NULL AND NOT g.member_shown)
        )
        AND NOT EXISTS (
          SELECT FROM redemptions r
          WHERE r.sale_reference = g.sale_reference AND r.caller_id = g.caller_id
            AND r.till_number = g.till_number AND r.code_id = u.id
        )
    ), counts AS MATERIALIZED (
      SELECT code_set_id, member_id, uses FROM member_uses
      WHERE (code_set_id, member_id) IN (
        SELECT code_set_id, user_id FROM asked WHERE uses_per_member IS NOT NULL
      )
      ORDER BY code_set_id, member_id
      FOR NO KEY UPDATE
    ), of_code AS (
      SELECT
        a.*, n.uses AS member_uses, row_number() OVER (PARTITION BY a.code_id ORDER BY a.place) AS code_turn
      FROM asked a LEFT JOIN counts n ON n.code_set_id = a.code_set_id AND n.member_id = a.user_id
      WHERE a.uses_per_member IS NULL OR n.uses < a.uses_per_member
    ), of_member AS (
      SELECT *, row_number() OVER (PARTITION BY code_set_id, user_id ORDER BY place) AS member_turn
      FROM of_code WHERE code_turn <= uses_left
    ), new AS (
      INSERT INTO redemptions (
        id, code_id, code_set_id, caller_id, caller_role, till_number, sale_reference, member_id,
        discount_minor, currency_code, basket_hash, counted, brand_id
      )
      SELECT
        g.id, m.code_id, m.code_set_id, g.caller_id, g.caller_role, g.till_number, g.sale_reference,
        m.user_id, g.discount_minor, g.currency_code, g.basket_hash, m.uses_per_member IS NOT NULL,
        m.brand_id
      FROM of_member m JOIN given g ON g.place = m.place
      WHERE m.uses_per_member IS NULL OR m.member_uses + m.member_turn <= m.uses_per_member
      ON CONFLICT ON CONSTRAINT uq_redemptions_sale DO NOTHING
      RETURNING *
    ), used AS (
      UPDATE codes c SET uses = c.uses + n.uses, version = c.version + 1
      FROM (SELECT code_id, count(*)::int AS uses FROM new GROUP BY code_id) AS n
      WHERE c.id = n.code_id
    ), counted AS (
      UPDATE member_uses u SET uses = u.uses + n.uses
      FROM (
        SELECT code_set_id, member_id, count(*)::int AS uses FROM new WHERE counted
        GROUP BY code_set_id, member_id
      ) AS n
      WHERE u.code_set_id = n.code_set_id AND u.member_id = n.member_id
    )
    SELECT g.place, a.order_id, {redemption}
    FROM new r
    JOIN given g ON g.id = r.id
    JOIN asked a ON a.place = g.place
    JOIN code_sets s ON s.id = r.code_set_id
    """
).format(has_conditions=HAS_CONDITIONS, redeemable=REDEEMABLE, redemption=REDEMPTION)
"""Uses the codes that can be used, as often as each allows, first come first served.

The codes are locked before their uses are counted, in the order of their ids, and the counts of members
after them, so two batches that meet do not wait for each other in a circle. What was redeemed for the same
sale in the same moment is left out by the unique key, and is found by `_FIND`.
"""


async def _record(connection: Connection, waiting: _Waiting, of_orders: set[UUID]) -> dict[int, Answer]:
    """Uses those codes that can be used; returns the redemptions, and adds the codes that orders own."""
    given = [
        {
            "place": place,
            "id": new.id,
            "code": new.code,
            "caller_id": new.actor.id,
            "caller_role": new.actor.role,
            "till_number": new.till_number,
            "sale_reference": new.sale_reference,
            "member_id": new.member_id,
            "member_shown": new.member_shown,
            "discount_minor": new.discount_minor,
            "currency_code": new.currency_code,
            "basket_hash": _as_text(new.basket_hash),
        }
        for place, new in waiting.items()
    ]
    rows = await fetch_all(connection, _Recorded, _RECORD, redemptions=_json(given))
    of_orders.update(row.code_id for row in rows if row.order_id is not None)
    for row in rows:
        actor = waiting[row.place].actor
        if actor.is_staff:
            details = {
                "redemption_id": row.id,
                "till_number": row.till_number,
                "sale_reference": row.sale_reference,
            }
            await audit.record(connection, actor, "code.redeemed", row.code_id, **details)
    return {row.place: row for row in rows}


async def _settle(connection: Connection, rest: _Waiting, answers: dict[int, Answer]) -> _Waiting:
    """Adds the answers to what was not recorded; returns what can be tried again.

    That is a code that was freed in between, one that seemed to be used up by a repetition beside it, and
    the first use of a member, whose count is then there.
    """
    answers |= await _find(connection, rest)
    left = _without(rest, answers)
    if not left:
        return left
    first_uses: set[tuple[UUID, UUID]] = set()
    judged = await judge(connection, [Question(new.code, new.member_id) for new in left.values()])
    for (place, new), found in zip(left.items(), judged, strict=True):
        answer = found if isinstance(found, DomainError) else _still_refused(new, found)
        if answer:
            answers[place] = answer
        elif isinstance(found, RedeemableCode) and found.limits_member and found.user_id:
            first_uses.add((found.code_set_id, found.user_id))
    await _begin_counts(connection, sorted(first_uses))
    return _without(left, answers)


def _still_refused(new: NewRedemption, found: RedeemableCode) -> DomainError | None:
    """Returns why a code that can be redeemed can not be redeemed in this way."""
    if found.benefit.has_conditions and new.basket_hash is None:
        return refusals.basket_required(found.id)
    if found.needs_member or (new.member_shown and found.user_id is None):
        return refusals.member_required(found.id)
    return None


async def _begin_counts(connection: Connection, members: Sequence[tuple[UUID, UUID]]) -> None:
    """Has a count for each of these (set, member), so that it can be locked."""
    if members:
        await execute(
            connection,
            """
            INSERT INTO member_uses (code_set_id, member_id, uses)
            SELECT g.code_set_id, g.member_id, 0
            FROM unnest(%(code_set_ids)s::uuid[], %(member_ids)s::uuid[]) AS g (code_set_id, member_id)
            ON CONFLICT DO NOTHING
            """,
            code_set_ids=[code_set_id for code_set_id, _ in members],
            member_ids=[member_id for _, member_id in members],
        )


@dataclass(frozen=True, slots=True)
class _Found(RedemptionRow):
    place: int
    same_basket: bool


_FIND = SQL(
    """
    SELECT g.place, r.basket_hash IS NOT DISTINCT FROM g.basket_hash AS same_basket, {redemption}
    FROM jsonb_to_recordset(%(redemptions)s) AS g (
      place int, code text, caller_id uuid, till_number text, sale_reference text, basket_hash bytea
    )
    JOIN codes c ON c.code = g.code
    JOIN redemptions r
      ON r.sale_reference = g.sale_reference AND r.caller_id = g.caller_id
      AND r.till_number = g.till_number AND r.code_id = c.id
    JOIN code_sets s ON s.id = r.code_set_id
    """
).format(redemption=REDEMPTION)


async def _find(connection: Connection, redemptions: _Waiting) -> dict[int, Answer]:
    """Returns the answers to those that were redeemed before, also a moment ago by another call."""
    if not redemptions:
        return {}
    given = [
        {
            "place": place,
            "code": new.code,
            "caller_id": new.actor.id,
            "till_number": new.till_number,
            "sale_reference": new.sale_reference,
            "basket_hash": _as_text(new.basket_hash),
        }
        for place, new in redemptions.items()
    ]
    answers: dict[int, Answer] = {}
    for row in await fetch_all(connection, _Found, _FIND, redemptions=_json(given)):
        if row.cancelled_at is not None:
            answers[row.place] = refusals.redemption_cancelled(row.id)
        else:
            answers[row.place] = row if row.same_basket else refusals.redemption_conflict(row.id)
    return answers


def _without(waiting: _Waiting, answers: Mapping[int, Answer]) -> dict[int, NewRedemption]:
    return {place: new for place, new in waiting.items() if place not in answers}


def _json(rows: Sequence[Mapping[str, object]]) -> Jsonb:
    return Jsonb(rows, dumps=orjson.dumps)


def _as_text(value: bytes | None) -> str | None:
    """Returns bytes as PostgreSQL reads them in a text."""
    return None if value is None else f"\\x{value.hex()}"
