"""Reads of codes and redemptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first
from services.common.lists import Listing, SortKey, parse_moment
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.codes import refusals
from services.promos.codes.judging import REDEEMABLE
from services.promos.codes.patterns import code_text

_BENEFIT = benefit_of("s")

CODE_SETS = SQL(
    """
    (
      SELECT
        s.id, s.expires_at, s.valid_days, s.pattern, s.made - s.voided AS usable,
        s.made < s.wanted + s.voided AS lacking, {benefit}
      FROM code_sets s
    )
    """
).format(benefit=_BENEFIT)
"""What the codes of a set take off, how long they are good, how many there are without those that were
withdrawn, and whether more are being made, for statements that join it."""

CANCELLED_REDEMPTIONS = SQL("(SELECT r.id FROM redemptions r WHERE r.cancelled_at IS NOT NULL)")
"""The ids of redemptions that were taken back, for statements that join them."""

CodeState = Literal["USABLE", "USED", "EXPIRED", "VOID"]

STATE = SQL(
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

WRITTEN = SQL("CASE WHEN c.import_id IS NOT NULL THEN coalesce(c.written, c.code) END")
"""How a code `c` was written in the file that it came in; NULL when it was made here."""

STOCK = SQL("(SELECT c.code_set_id FROM codes c WHERE c.state = 'READY')")
"""The set of each code that nobody owns yet, for statements that ask whether any is left."""

CODES = SQL(
    """
    (
      SELECT
        c.id, c.code, s.pattern, {state} AS state, least(c.expires_at, s.expires_at) AS expires_at,
        CASE WHEN c.uses > 0 THEN (
          SELECT max(redeemed_at) FROM redemptions WHERE code_id = c.id AND cancelled_at IS NULL
        ) END AS used_at,
        {benefit}
      FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    )
    """
).format(state=STATE, benefit=_BENEFIT)
"""What a code that somebody owns takes off, until when, its set's pattern, its CodeState, and when it was
last used, for statements that join it."""

USABLE_CODES = SQL(
    """
    (
      SELECT c.id, c.code, least(c.expires_at, s.expires_at) AS expires_at, {benefit}
      FROM codes c JOIN code_sets s ON s.id = c.code_set_id
      WHERE c.state = 'ASSIGNED' AND {redeemable}
    )
    """
).format(redeemable=REDEEMABLE, benefit=_BENEFIT)
"""Codes that somebody owns and can redeem now, for statements that join them."""


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A code that somebody owns, and its state."""

    id: UUID
    code: str
    state: CodeState
    version: int
    expires_at: datetime | None


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
    cancelled_by: UUID | None
    member_id: UUID | None
    discount_minor: int | None
    discount_currency: str | None


@dataclass(frozen=True, slots=True)
class _Text:
    code: str
    written: str | None
    pattern: str | None


_TEXT = SQL(
    """
    SELECT c.code, {written} AS written, s.pattern FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    WHERE c.id = %(id)s AND c.state <> 'READY'
      AND (%(owner)s::uuid IS NULL OR c.owner_member_id = %(owner)s)
      AND (%(brand_id)s::uuid IS NULL OR s.brand_id = %(brand_id)s)
    """
).format(written=WRITTEN)


async def get_code_text(
    connection: Connection, *, code_id: UUID, owner: UUID | None, brand_id: UUID | None
) -> str:
    """Returns the text of a code that was given out, as it is scanned.

    With `owner`, only of one of this member's; with `brand_id`, only of one of this brand's. Raises
    CODE_NOT_VALID.
    """
    found = await fetch_first(connection, _Text, _TEXT, id=code_id, owner=owner, brand_id=brand_id)
    if found is None:
        raise refusals.code_not_valid()
    return code_text(found.code, found.pattern, found.written)


_OWNED_CODES = SQL(
    """
    SELECT c.id, c.code, {state} AS state, c.version, least(c.expires_at, s.expires_at) AS expires_at
    FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    WHERE c.id = ANY(%(ids)s) AND c.state <> 'READY'
    """
).format(state=STATE)


async def get_codes(connection: Connection, code_ids: Sequence[UUID]) -> Sequence[CodeRow]:
    """Returns those of these codes that somebody owns or owned."""
    return await fetch_all(connection, CodeRow, _OWNED_CODES, ids=list(code_ids))


REDEMPTION = SQL(
    """
    r.id, r.code_id, r.code_set_id, r.caller_id AS redeemed_by, r.till_number, r.sale_reference,
    r.redeemed_at, r.cancelled_at, r.cancelled_by, r.member_id, r.discount_minor,
    r.currency_code AS discount_currency, {benefit}
    """
).format(benefit=_BENEFIT)
"""The columns of a redemption `r` and its code set `s` that RedemptionRow is made of."""

_REDEMPTION_BY_ID = SQL(
    """
    SELECT {columns} FROM redemptions r JOIN code_sets s ON s.id = r.code_set_id
    WHERE r.id = %(id)s AND (%(caller_id)s::uuid IS NULL OR r.caller_id = %(caller_id)s)
    """
).format(columns=REDEMPTION)


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


REDEMPTION_LIST = Listing(
    row=RedemptionRow,
    columns=REDEMPTION,
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


@dataclass(frozen=True, slots=True)
class BrandRedemptionRow:
    """One use of a brand's code, as the brand may know it: `member_id` is who claimed the code."""

    id: UUID
    code_set_id: UUID
    code_id: UUID
    code: str
    pattern: str | None
    member_id: UUID | None
    redeemed_at: datetime
    cancelled_at: datetime | None
    discount_minor: int | None
    discount_currency: str | None


BRAND_REDEMPTIONS = Listing(
    row=BrandRedemptionRow,
    # Not the member of the redemption, who may be one whom the till was shown with a code that anybody has.
    columns="""
        r.id, r.code_set_id, r.code_id, c.code, s.pattern, c.owner_member_id AS member_id, r.redeemed_at,
        r.cancelled_at, r.discount_minor, r.currency_code AS discount_currency
    """,
    source="redemptions r JOIN codes c ON c.id = r.code_id JOIN code_sets s ON s.id = r.code_set_id",
    filters={
        "brand_id": "r.brand_id = %(brand_id)s",
        "code_set_id": "r.code_set_id = %(code_set_id)s",
        "redeemed_from": "r.redeemed_at >= %(redeemed_from)s",
        "redeemed_until": "r.redeemed_at < %(redeemed_until)s",
    },
    keys={"redeemed_at": SortKey("r.redeemed_at", "redeemed_at", parse_moment)},
    key=SortKey("r.id", "id", UUID),
    default_order="redeemed_at desc",
)
"""The redemptions of a brand's codes, or of one of its sets, either of which must be named."""
