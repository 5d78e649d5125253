"""Reads of codes for staff: one, those of a set, and what happened to one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first
from services.common.lists import Listing, SortKey, parse_bigint, parse_moment, parse_text
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.codes import refusals
from services.promos.codes.queries import REDEMPTION_LIST, STATE, WRITTEN, CodeState
from services.promos.codes.set_queries import CodeSetRow, Purpose

VoidReason = Literal["ORDER_RELEASED", "ACCOUNT_CLOSED", "STAFF"]


@dataclass(frozen=True, slots=True)
class ListedCode:
    """A code with where it stands now; `expires_at` is its end within that of its set."""

    id: UUID
    code_set_id: UUID
    code: str
    written: str | None
    """How it was imported; None for one that was made here."""
    pattern: str | None
    state: CodeState | Literal["READY"]
    owner_member_id: UUID | None
    order_id: UUID | None
    uses: int
    uses_allowed: int
    expires_at: datetime | None
    assigned_at: datetime | None
    voided_at: datetime | None
    void_reason: VoidReason | None
    void_note: str | None
    shuffle: int


_ENDED = SQL("least(c.expires_at, s.expires_at) <= now()")
_COLUMNS = SQL(
    """
    c.id, c.code_set_id, c.code, {written} AS written, s.pattern,
    CASE WHEN c.state = 'READY' THEN 'READY' ELSE {state} END AS state,
    c.owner_member_id, c.order_id, c.uses, c.uses_allowed,
    least(c.expires_at, s.expires_at) AS expires_at, c.assigned_at, c.voided_at, c.void_reason, c.void_note,
    c.shuffle
    """
).format(state=STATE, written=WRITTEN)
"""The columns of a code `c` and its set `s` that ListedCode is made of."""

CODE_LIST = Listing(
    row=ListedCode,
    columns=_COLUMNS,
    source="codes c JOIN code_sets s ON s.id = c.code_set_id",
    filters={
        "code_set_id": "c.code_set_id = %(code_set_id)s",
        "after": "c.id > %(after)s",
        # Each with its state written out, so that partial indexes serve it whatever plan is made.
        "ready": "c.state = 'READY'",
        "void": "c.state = 'VOID'",
        "bearer": "c.state = 'BEARER'",
        "assigned": "c.state = 'ASSIGNED'",
        "not_used_up": "c.uses < c.uses_allowed",
        "unused": "c.uses = 0",
        "ended": _ENDED,
        "not_ended": SQL("({ended}) IS NOT TRUE").format(ended=_ENDED),
        # Among many they are soon found in the order of the list, few by the redemptions of their set. An
        # index on uses would cost every redemption.
        "used_up_of_many": "c.state <> 'VOID' AND c.uses = c.uses_allowed",
        "used_up_of_few": """
            c.state <> 'VOID' AND c.uses = c.uses_allowed AND c.id IN (
              SELECT r.code_id FROM redemptions r WHERE r.code_set_id = %(used_up_of_few)s
            )
        """,
    },
    keys={
        "id": SortKey("c.id", "id", UUID),
        # In which codes wait to be given out: the one order in which few of these are found among many.
        "shuffle": SortKey("c.shuffle", "shuffle", parse_bigint),
    },
    key=SortKey("c.id", "id", UUID),
    default_order="id",
)
"""The codes of a set, in the order in which they were made."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters of CODE_LIST, and the order in which an index finds what they leave."""

    filters: dict[str, object]
    order_by: str = ""


async def select_codes(
    connection: Connection, of: CodeSetRow, state: CodeState | Literal["READY"] | None
) -> Selection:
    """Returns how the codes of a set in this state are found; None is any state."""
    given = {"bearer" if of.purpose == "HANDED_OUT" else "assigned": True, "not_used_up": True}
    filters: dict[str, object] = {"code_set_id": of.id}
    match state:
        case None:
            pass
        case "READY":
            return Selection(filters | {"ready": True}, "shuffle")
        case "USABLE":
            filters |= {**given, "not_ended": True}
        case "EXPIRED":
            filters |= {**given, "ended": True}
        case "USED":
            many = (await REDEMPTION_LIST.total(connection, code_set_id=of.id)).more
            filters |= {"used_up_of_many": True} if many else {"used_up_of_few": of.id}
        case "VOID":
            filters["void"] = True
        case _:
            assert_never(state)
    return Selection(filters)


@dataclass(frozen=True, slots=True)
class CodeOfSet(BenefitColumns):
    """What a set says of a code: whose it is, what it takes off and since when."""

    id: UUID
    purpose: Purpose
    set_name: str
    brand_id: UUID | None
    starts_at: datetime | None
    enabled: bool


_BY_TEXT = SQL(
    """
    SELECT c.id, s.purpose, s.name AS set_name, s.brand_id, s.starts_at, s.enabled, {benefit}
    FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    WHERE c.code = %(code)s AND (%(brand_id)s::uuid IS NULL OR s.brand_id = %(brand_id)s)
    """
).format(benefit=benefit_of("s"))


async def find_code(connection: Connection, code: str, *, brand_id: UUID | None) -> CodeOfSet:
    """Returns what the set of a code says of it; with `brand_id`, only of one of this brand's.

    Raises CODE_NOT_VALID.
    """
    found = await fetch_first(connection, CodeOfSet, _BY_TEXT, code=code, brand_id=brand_id)
    if found is None:
        raise refusals.code_not_valid()
    return found


_BY_ID = SQL(
    """
    SELECT {columns} FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    WHERE c.id = %(id)s AND (%(brand_id)s::uuid IS NULL OR s.brand_id = %(brand_id)s)
    """
).format(columns=_COLUMNS)


async def get_code(connection: Connection, code_id: UUID, *, brand_id: UUID | None) -> ListedCode:
    """Returns a code; with `brand_id`, only one of this brand's. Raises CODE_NOT_VALID."""
    found = await fetch_first(connection, ListedCode, _BY_ID, id=code_id, brand_id=brand_id)
    if found is None:
        raise refusals.code_not_valid()
    return found


CodeEventKind = Literal["MADE", "ASSIGNED", "REDEEMED", "REDEMPTION_CANCELLED", "VOIDED", "EXPIRED"]


@dataclass(frozen=True, slots=True)
class CodeEvent:
    """Something that happened to a code. `key` is unique among its events."""

    key: str
    kind: CodeEventKind
    occurred_at: datetime
    actor_id: UUID | None
    actor_role: str | None
    import_id: UUID | None
    member_id: UUID | None
    order_id: UUID | None
    redemption_id: UUID | None
    till_number: str | None
    sale_reference: str | None
    void_reason: VoidReason | None
    void_note: str | None


CODE_EVENTS = Listing(
    row=CodeEvent,
    columns="""
        e.key, e.kind, e.occurred_at, e.actor_id, e.actor_role, e.import_id, e.member_id, e.order_id,
        r.id AS redemption_id, r.till_number, r.sale_reference, e.void_reason, e.void_note
    """,
    source="""
        codes c JOIN code_sets s ON s.id = c.code_set_id
        CROSS JOIN LATERAL (
          SELECT
            '1' AS key, 'MADE' AS kind,
            least(coalesce(uuid_extract_timestamp(c.id), s.created_at), c.assigned_at) AS occurred_at,
            NULL::uuid AS actor_id, NULL AS actor_role, c.import_id, NULL::uuid AS member_id,
            NULL::uuid AS order_id,
            NULL::uuid AS redemption_id, NULL AS void_reason, NULL AS void_note
          UNION ALL
          SELECT
            '2', 'ASSIGNED', c.assigned_at, NULL, NULL, NULL, c.owner_member_id, c.order_id, NULL, NULL, NULL
          WHERE c.assigned_at IS NOT NULL
          UNION ALL
          SELECT
            '3' || r.id, 'REDEEMED', r.redeemed_at, r.caller_id, r.caller_role, NULL, r.member_id, NULL, r.id,
            NULL, NULL
          FROM redemptions r WHERE r.code_id = c.id
          UNION ALL
          SELECT
            '4' || r.id, 'REDEMPTION_CANCELLED', r.cancelled_at, r.cancelled_by, r.cancelled_by_role, NULL,
            NULL, NULL, r.id, NULL, NULL
          FROM redemptions r WHERE r.code_id = c.id AND r.cancelled_at IS NOT NULL
          UNION ALL
          SELECT
            '5', 'VOIDED', c.voided_at, c.voided_by, c.voided_by_role, NULL, NULL, NULL, NULL, c.void_reason,
            c.void_note
          WHERE c.voided_at IS NOT NULL
          UNION ALL
          SELECT
            '6', 'EXPIRED', least(c.expires_at, s.expires_at), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
          WHERE c.uses < c.uses_allowed AND least(c.expires_at, s.expires_at) <= least(now(), c.voided_at)
        ) e
        LEFT JOIN redemptions r ON r.id = e.redemption_id
    """,
    filters={"code_id": "c.id = %(code_id)s"},
    keys={"occurred_at": SortKey("e.occurred_at", "occurred_at", parse_moment)},
    key=SortKey("e.key", "key", parse_text),
    default_order="occurred_at",
)
"""What happened to a code, out of what is kept once: the code's own row and its redemptions."""
