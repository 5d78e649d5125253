"""Which codes can be redeemed now, and why the others can not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from services.common.db import Connection, fetch_all
from services.common.errors import DomainError
from services.promos.benefits import Benefit, BenefitColumns, benefit_of
from services.promos.codes import refusals

ON_HOLD = SQL(
    """
    (
      c.gift_id IS NOT NULL
      OR EXISTS (SELECT FROM members m WHERE m.member_id = c.owner_member_id AND m.status <> 'ACTIVE')
    )
    """
)
"""Whether a code `c` is on offer as a gift, or its owner is suspended or gone."""

REDEEMABLE = SQL(
    """
    c.state IN ('ASSIGNED', 'BEARER')
    AND c.uses < c.uses_allowed
    AND (c.expires_at IS NULL OR now() < c.expires_at)
    AND (s.expires_at IS NULL OR now() < s.expires_at)
    AND (s.starts_at IS NULL OR s.starts_at <= now())
    AND s.enabled
    AND NOT {on_hold}
    """
).format(on_hold=ON_HOLD)
"""Whether a code `c` of the set `s` can be redeemed now, as far as it does not depend on who brings it."""

HAS_CONDITIONS = SQL(
    """
    (s.minimum_spend_minor IS NOT NULL OR s.categories <> '{}' OR s.first_purchase_only OR s.exclusive)
    """
)
"""`Benefit.has_conditions` of a set `s`, for statements."""


@dataclass(frozen=True, slots=True)
class RedeemableCode:
    """A code that can be redeemed now, and what it is worth.

    A benefit with conditions is redeemed with its basket.
    """

    id: UUID
    code_set_id: UUID
    owner_member_id: UUID | None
    benefit: Benefit
    uses_left: int
    expires_at: datetime | None
    uses_per_member: int | None
    """How often each member may redeem codes of its set; None without a limit."""
    member_uses: int
    """How often the user has redeemed such codes."""
    user_id: UUID | None
    """Whose use it would be: its owner's, or that of the member who brings it."""

    @property
    def limits_member(self) -> bool:
        """Whether its set limits how often each member may redeem such codes."""
        return self.uses_per_member is not None

    @property
    def needs_member(self) -> bool:
        """Whether the member who brings it must be known, and is not."""
        return (self.limits_member or self.benefit.first_purchase_only) and self.user_id is None


@dataclass(frozen=True, slots=True)
class Question:
    """A code as it was stored, and the member who brings it, if that is known."""

    code: str
    member_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Judged(BenefitColumns):
    place: int
    id: UUID
    code_set_id: UUID
    state: str
    owner_member_id: UUID | None
    uses_left: int
    last_used_at: datetime | None
    expires_at: datetime | None
    expired: bool | None
    starts_at: datetime | None
    early: bool | None
    enabled: bool
    on_hold: bool
    uses_per_member: int | None
    user_id: UUID | None
    member_uses: int


_JUDGE = SQL(
    """
    SELECT
      g.place, c.id, c.code_set_id, c.state, c.owner_member_id, c.uses_allowed - c.uses AS uses_left,
      CASE WHEN c.uses = c.uses_allowed THEN (
        SELECT max(redeemed_at) FROM redemptions WHERE code_id = c.id AND cancelled_at IS NULL
      ) END AS last_used_at,
      least(c.expires_at, s.expires_at) AS expires_at,
      least(c.expires_at, s.expires_at) <= now() AS expired,
      s.starts_at, s.starts_at > now() AS early, s.enabled, {on_hold} AS on_hold, s.uses_per_member,
      coalesce(c.owner_member_id, g.member_id) AS user_id, coalesce(u.uses, 0) AS member_uses, {benefit}
    FROM jsonb_to_recordset(%(questions)s) AS g (place int, code text, member_id uuid)
    JOIN codes c ON c.code = g.code
    JOIN code_sets s ON s.id = c.code_set_id
    LEFT JOIN member_uses u
      ON s.uses_per_member IS NOT NULL AND u.code_set_id = s.id
      AND u.member_id = coalesce(c.owner_member_id, g.member_id)
    WHERE c.state <> 'READY'
    """
).format(on_hold=ON_HOLD, benefit=benefit_of("s"))


async def judge(
    connection: Connection, questions: Sequence[Question], *, own_only: bool = False
) -> list[RedeemableCode | DomainError]:
    """Returns for each question the code, if it can be redeemed now, or why not.

    That is CODE_NOT_VALID, CODE_VOID, CODE_ALREADY_USED, CODE_EXPIRED, CODE_ON_HOLD, CODE_SET_DISABLED,
    CODE_NOT_YET_VALID or CODE_MEMBER_LIMIT. With `own_only` the members themselves ask: to them all but
    their own codes, and those that are good now for whoever brings them, look as if they did not exist.
    """
    asked = [
        {"place": place, "code": question.code, "member_id": question.member_id}
        for place, question in enumerate(questions)
    ]
    answers: list[RedeemableCode | DomainError] = [refusals.code_not_valid() for _ in questions]
    for row in await fetch_all(connection, _Judged, _JUDGE, questions=Jsonb(asked, dumps=orjson.dumps)):
        refusal = _refusal(row)
        is_own = row.owner_member_id is not None and row.owner_member_id == questions[row.place].member_id
        if not own_only or is_own or (row.state == "BEARER" and refusal is None):
            answers[row.place] = refusal or _redeemable(row)
    return answers


async def find_redeemable(
    connection: Connection, codes: Sequence[str], *, member_id: UUID | None, own_only: bool = False
) -> list[RedeemableCode | DomainError]:
    """Returns for each code, as `read_code` returns it, what it is worth, or why it can not be redeemed now.

    Changes nothing. `member_id` is the member who brings them, if that is known. Refusals and `own_only`
    are those of `judge`.
    """
    return await judge(connection, [Question(code, member_id) for code in codes], own_only=own_only)


def _redeemable(row: _Judged) -> RedeemableCode:
    return RedeemableCode(
        id=row.id,
        code_set_id=row.code_set_id,
        owner_member_id=row.owner_member_id,
        benefit=row.benefit,
        uses_left=row.uses_left,
        expires_at=row.expires_at,
        uses_per_member=row.uses_per_member,
        member_uses=row.member_uses,
        user_id=row.user_id,
    )


def _refusal(row: _Judged) -> DomainError | None:
    """Returns why the code can not be redeemed now: what is for ever first."""
    return _over(row) or _not_now(row)


def _over(row: _Judged) -> DomainError | None:
    if row.state == "VOID":
        return refusals.code_void(row.id)
    if row.uses_left == 0:
        assert row.last_used_at is not None, "a use has a redemption"
        return refusals.code_already_used(row.id, row.last_used_at)
    if row.expired:
        assert row.expires_at is not None, "what expired had an end"
        return refusals.code_expired(row.id, row.expires_at)
    return None


def _not_now(row: _Judged) -> DomainError | None:
    if row.on_hold:
        return refusals.code_on_hold(row.id)
    if not row.enabled:
        return refusals.code_set_disabled(row.id)
    if row.early:
        assert row.starts_at is not None, "what has not begun has a beginning"
        return refusals.code_not_yet_valid(row.id, row.starts_at)
    if row.uses_per_member is not None and row.member_uses >= row.uses_per_member:
        return refusals.code_member_limit(row.id, row.uses_per_member)
    return None
