"""Reads of codes and redemptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first, fetch_value
from services.common.lists import Listing, SortKey, parse_moment
from services.promos.benefits import Benefit, BenefitColumns, benefit_of
from services.promos.codes import refusals

_BENEFIT = benefit_of("s")

CODE_SETS = SQL(
    """
    (
      SELECT
        s.id, s.expires_at, s.valid_days, s.pattern, s.made,
        s.made < s.wanted + s.voided AS lacking, {benefit}
      FROM code_sets s
    )
    """
).format(benefit=_BENEFIT)
"""What the codes of a set take off, how long they are good, how many there are and whether more are being
made, for statements that join it."""

CodeState = Literal["USABLE", "USED", "EXPIRED", "VOID"]

_STATE = SQL(
    """
    CASE
      WHEN c.state = 'VOID' THEN 'VOID'
      WHEN c.uses = c.uses_allowed THEN 'USED'
      WHEN least(c.expires_at, s.expires_at) <= now() THEN 'EXPIRED'
      ELSE 'USABLE'
    END
    """
)
"""Where a code `c` of the set `s`, which was given out, stands now: a CodeState."""

STOCK = SQL("(SELECT c.code_set_id FROM codes c WHERE c.state = 'READY')")
"""The set of each code that nobody owns yet, for statements that ask whether any is left."""

CODES = SQL(
    """
    (
      SELECT
        c.id, c.code, {state} AS state, least(c.expires_at, s.expires_at) AS expires_at, {benefit}
      FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    )
    """
).format(state=_STATE, benefit=_BENEFIT)
"""What a code that somebody owns takes off, until when, and its CodeState, for statements that join it."""

USABLE_CODES = SQL(
    """
    (
      SELECT c.id, c.code, least(c.expires_at, s.expires_at) AS expires_at, {benefit}
      FROM codes c JOIN code_sets s ON s.id = c.code_set_id
      WHERE c.state = 'ASSIGNED'
        AND c.uses < c.uses_allowed
        AND (s.starts_at IS NULL OR s.starts_at <= now())
        AND (c.expires_at IS NULL OR now() < c.expires_at)
        AND (s.expires_at IS NULL OR now() < s.expires_at)
    )
    """
).format(benefit=_BENEFIT)
"""Codes that somebody owns and can redeem now, for statements that join them."""


@dataclass(frozen=True, slots=True)
class UsableCode:
    """A code that can be redeemed now."""

    id: UUID
    uses_left: int
    expires_at: datetime | None
    benefit: Benefit


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A code that somebody owns, and its state."""

    id: UUID
    code: str
    state: CodeState


@dataclass(frozen=True, slots=True)
class RedemptionRow(BenefitColumns):
    """One use of a code."""

    id: UUID
    code_id: UUID
    code_set_id: UUID
    redeemed_by: UUID
    till_number: str
    sale_reference: str
    redeemed_at: datetime
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Judged(BenefitColumns):
    id: UUID
    state: str
    uses_left: int
    last_used_at: datetime | None
    expires_at: datetime | None
    expired: bool | None


_VERIFY = SQL(
    """
    SELECT
      c.id, c.state, c.uses_allowed - c.uses AS uses_left, least(c.expires_at, s.expires_at) AS expires_at,
      least(c.expires_at, s.expires_at) <= now() AS expired,
      CASE WHEN c.uses = c.uses_allowed THEN (
        SELECT max(redeemed_at) FROM redemptions
        WHERE code_id = c.id AND cancelled_at IS NULL AND id IS DISTINCT FROM %(besides)s::uuid
      ) END AS last_used_at,
      {benefit}
    FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    WHERE c.code = %(code)s AND c.state <> 'READY'
      AND (%(owner)s::uuid IS NULL OR c.owner_member_id = %(owner)s)
    """
).format(benefit=_BENEFIT)


async def verify_code(
    connection: Connection, *, code: str, owner: UUID | None = None, besides: UUID | None = None
) -> UsableCode:
    """Returns a code that can be redeemed now; with `owner`, only one of this member's.

    `besides` is a redemption that is being tried: when the code was last used, it does not count.

    Raises CODE_NOT_VALID for every other one, and CODE_VOID, CODE_ALREADY_USED or CODE_EXPIRED.
    """
    found = await fetch_first(connection, _Judged, _VERIFY, code=code, owner=owner, besides=besides)
    if found is None:
        raise refusals.code_not_valid()
    if found.state == "VOID":
        raise refusals.code_void(found.id)
    if found.uses_left == 0:
        assert found.last_used_at is not None, "a use has a redemption"
        raise refusals.code_already_used(found.id, found.last_used_at)
    if found.expired:
        assert found.expires_at is not None, "what expired had an end"
        raise refusals.code_expired(found.id, found.expires_at)
    return UsableCode(found.id, found.uses_left, found.expires_at, found.benefit)


async def get_code_text(connection: Connection, *, code_id: UUID, owner: UUID | None) -> str:
    """Returns the text of a code; with `owner`, only of one of this member's. Raises CODE_NOT_VALID."""
    code: str | None = await fetch_value(
        connection,
        """
        SELECT code FROM codes
        WHERE id = %(id)s AND state <> 'READY' AND (%(owner)s::uuid IS NULL OR owner_member_id = %(owner)s)
        """,
        id=code_id,
        owner=owner,
    )
    if code is None:
        raise refusals.code_not_valid()
    return code


_OWNED_CODES = SQL(
    """
    SELECT c.id, c.code, {state} AS state
    FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    WHERE c.id = ANY(%(ids)s) AND c.state <> 'READY'
    """
).format(state=_STATE)


async def get_codes(connection: Connection, code_ids: Sequence[UUID]) -> Sequence[CodeRow]:
    """Returns those of these codes that somebody owns or owned."""
    return await fetch_all(connection, CodeRow, _OWNED_CODES, ids=list(code_ids))


_REDEMPTION = SQL(
    """
    r.id, r.code_id, r.code_set_id, r.caller_id AS redeemed_by, r.till_number, r.sale_reference,
    r.redeemed_at, r.cancelled_at, {benefit}
    """
).format(benefit=_BENEFIT)
"""The columns of a redemption `r` and its code set `s` that RedemptionRow is made of."""

_REDEMPTION_BY_ID = SQL(
    """
    SELECT {columns} FROM redemptions r JOIN code_sets s ON s.id = r.code_set_id
    WHERE r.id = %(id)s AND (%(caller_id)s::uuid IS NULL OR r.caller_id = %(caller_id)s)
    """
).format(columns=_REDEMPTION)


async def get_redemption(
    connection: Connection, redemption_id: UUID, *, caller_id: UUID | None
) -> RedemptionRow:
    """Returns a redemption; with `caller_id`, only one of this till's. Raises REDEMPTION_NOT_FOUND."""
    found = await fetch_first(
        connection, RedemptionRow, _REDEMPTION_BY_ID, id=redemption_id, caller_id=caller_id
    )
    if found is None:
        raise refusals.redemption_not_found(redemption_id)
    return found


_REDEMPTION_OF_SALE = SQL(
    """
    SELECT {columns}
    FROM redemptions r JOIN codes c ON c.id = r.code_id JOIN code_sets s ON s.id = r.code_set_id
    WHERE c.code = %(code)s AND r.caller_id = %(caller_id)s AND r.till_number = %(till_number)s
      AND r.sale_reference = %(sale_reference)s
    """
).format(columns=_REDEMPTION)


async def redemption_of_sale(
    connection: Connection, *, code: str, caller_id: UUID, till_number: str, sale_reference: str
) -> RedemptionRow | None:
    """Returns the redemption of a code for a sale at one of the caller's tills, if there was one."""
    return await fetch_first(
        connection,
        RedemptionRow,
        _REDEMPTION_OF_SALE,
        code=code,
        caller_id=caller_id,
        till_number=till_number,
        sale_reference=sale_reference,
    )


REDEMPTION_LIST = Listing(
    row=RedemptionRow,
    columns=_REDEMPTION,
    source="redemptions r JOIN code_sets s ON s.id = r.code_set_id",
    filters={
        "redeemed_by": "r.caller_id = %(redeemed_by)s",
        "till_number": "r.till_number = %(till_number)s",
        "sale_reference": "r.sale_reference = %(sale_reference)s",
        "code_id": "r.code_id = %(code_id)s",
        "code_set_id": "r.code_set_id = %(code_set_id)s",
        "redeemed_from": "r.redeemed_at >= %(redeemed_from)s",
        "redeemed_until": "r.redeemed_at < %(redeemed_until)s",
        # Two, so that the index of the few that were cancelled serves whatever plan is made.
        "cancelled": "r.cancelled_at IS NOT NULL",
        "standing": "r.cancelled_at IS NULL",
    },
    keys={"redeemed_at": SortKey("r.redeemed_at", "redeemed_at", parse_moment)},
    key=SortKey("r.id", "id", UUID),
    default_order="redeemed_at desc",
)
"""The redemptions of all codes. Those of one sale or one code are few; they are sorted when asked for."""
