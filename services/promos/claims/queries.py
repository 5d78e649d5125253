"""Reads of discounts and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first, fetch_values
from services.common.lists import Listing, SortKey, parse_moment, parse_text
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.brands import BRAND_NAMES
from services.promos.claims.refusals import claim_not_found, discount_not_found
from services.promos.codes import CODE_SETS, CODES, STOCK, CodeState

DiscountState = Literal["DRAFT", "ACTIVE", "PAUSED", "ENDED"]


@dataclass(frozen=True, slots=True)
class DiscountRow(BenefitColumns):
    """A brand's discount, and how many of its codes are made; those that were withdrawn do not count."""

    id: UUID
    brand_id: UUID
    name: str
    description: str
    quantity: int
    claimed: int
    starts_at: datetime | None
    ends_at: datetime | None
    state: DiscountState
    version: int
    created_at: datetime
    codes_made: int
    pattern: str | None
    codes_expire_at: datetime | None
    valid_days: int | None

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class OpenDiscountRow(BenefitColumns):
    """A discount that can be claimed now."""

    id: UUID
    brand_id: UUID
    brand_name: str
    name: str
    description: str
    left: int
    ends_at: datetime | None
    created_at: datetime
    codes_expire_at: datetime | None
    valid_days: int | None


@dataclass(frozen=True, slots=True)
class MyClaimRow(BenefitColumns):
    """A code that a member has claimed, as the member sees it."""

    id: UUID
    discount_id: UUID
    brand_id: UUID
    brand_name: str
    name: str
    code_id: UUID
    code: str
    pattern: str | None
    state: CodeState
    claimed_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A claim, as its brand sees it."""

    id: UUID
    discount_id: UUID
    brand_id: UUID
    member_id: UUID
    code_id: UUID
    code: str
    pattern: str | None
    state: CodeState
    claimed_at: datetime


_DISCOUNT_COLUMNS = SQL(
    """
    d.id, d.brand_id, d.name, d.description, d.quantity, d.claimed, d.starts_at, d.ends_at, d.state,
    d.version, d.created_at, s.usable AS codes_made, s.pattern, s.expires_at AS codes_expire_at,
    s.valid_days, {benefit}
    """
).format(benefit=benefit_of("s"))
_DISCOUNT_SOURCE = SQL("discounts d JOIN {code_sets} s ON s.id = d.id").format(code_sets=CODE_SETS)

_DISCOUNT = SQL("SELECT {columns} FROM {source} WHERE d.id = %(id)s AND d.brand_id = %(brand_id)s").format(
    columns=_DISCOUNT_COLUMNS, source=_DISCOUNT_SOURCE
)


async def get_discount(connection: Connection, brand_id: UUID, discount_id: UUID) -> DiscountRow:
    """Returns a discount of this brand. Raises DISCOUNT_NOT_FOUND."""
    found = await fetch_first(connection, DiscountRow, _DISCOUNT, id=discount_id, brand_id=brand_id)
    if found is None:
        raise discount_not_found(discount_id)
    return found


_LOCKED_DISCOUNT = SQL("{discount} FOR NO KEY UPDATE OF d").format(discount=_DISCOUNT)


async def lock_discount(connection: Connection, brand_id: UUID, discount_id: UUID) -> DiscountRow:
    """Returns a discount of this brand that nobody changes or claims until the commit.

    Raises DISCOUNT_NOT_FOUND.
    """
    found = await fetch_first(connection, DiscountRow, _LOCKED_DISCOUNT, id=discount_id, brand_id=brand_id)
    if found is None:
        raise discount_not_found(discount_id)
    return found


DISCOUNT_LIST = Listing(
    row=DiscountRow,
    columns=_DISCOUNT_COLUMNS,
    source=_DISCOUNT_SOURCE,
    filters={
        "brand_id": "d.brand_id = %(brand_id)s",
        "state": "d.state = %(state)s",
        "query": "starts_with(lower(d.name), lower(%(query)s))",
    },
    keys={
        "created_at": SortKey("d.created_at", "created_at", parse_moment),
        "name": SortKey("d.name", "name", parse_text),
    },
    key=SortKey("d.id", "id", UUID),
    default_order="created_at desc",
)
"""The discounts of one brand, which must be named: it makes them one by one."""

_OPEN_COLUMNS = SQL(
    """
    d.id, d.brand_id, b.name AS brand_name, d.name, d.description, d.quantity - d.claimed AS left,
    d.ends_at, d.created_at, s.expires_at AS codes_expire_at, s.valid_days, {benefit}
    """
).format(benefit=benefit_of("s"))
_OPEN_SOURCE = SQL(
    """
    {discounts} JOIN {brands} b ON b.id = d.brand_id AND b.published
    JOIN LATERAL (SELECT FROM {stock} k WHERE k.code_set_id = d.id LIMIT 1) k ON true
    """
).format(discounts=_DISCOUNT_SOURCE, brands=BRAND_NAMES, stock=STOCK)

OPEN_DISCOUNTS = Listing(
    row=OpenDiscountRow,
    columns=_OPEN_COLUMNS,
    source=_OPEN_SOURCE,
    filters={"brand_id": "d.brand_id = %(brand_id)s"},
    keys={"created_at": SortKey("d.created_at", "created_at", parse_moment)},
    key=SortKey("d.id", "id", UUID),
    default_order="created_at desc",
    always="""
    d.state = 'ACTIVE' AND d.claimed < d.quantity
    AND (d.starts_at IS NULL OR d.starts_at <= now()) AND (d.ends_at IS NULL OR now() < d.ends_at)
    AND (s.expires_at IS NULL OR now() < s.expires_at)
    """,
)
"""What members can claim now, of all brands or of one."""

_OPEN_DISCOUNT = SQL("SELECT {columns} FROM {source} WHERE {open} AND d.id = %(id)s").format(
    columns=_OPEN_COLUMNS, source=_OPEN_SOURCE, open=SQL(OPEN_DISCOUNTS.always)
)


async def get_open_discount(connection: Connection, discount_id: UUID) -> OpenDiscountRow:
    """Returns a discount that can be claimed now. Raises DISCOUNT_NOT_FOUND."""
    found = await fetch_first(connection, OpenDiscountRow, _OPEN_DISCOUNT, id=discount_id)
    if found is None:
        raise discount_not_found(discount_id)
    return found


_MY_CLAIM_COLUMNS = SQL(
    """
    m.id, m.discount_id, m.brand_id, b.name AS brand_name, d.name, m.code_id, c.code, c.pattern, c.state,
    m.claimed_at, c.expires_at, {benefit}
    """
).format(benefit=benefit_of("c"))
_MY_CLAIM_SOURCE = SQL(
    """
    claims m JOIN discounts d ON d.id = m.discount_id JOIN {codes} c ON c.id = m.code_id
    JOIN {brands} b ON b.id = m.brand_id
    """
).format(codes=CODES, brands=BRAND_NAMES)

MY_CLAIMS = Listing(
    row=MyClaimRow,
    columns=_MY_CLAIM_COLUMNS,
    source=_MY_CLAIM_SOURCE,
    filters={"member_id": "m.member_id = %(member_id)s", "state": "c.state = %(state)s"},
    keys={"claimed_at": SortKey("m.claimed_at", "claimed_at", parse_moment)},
    key=SortKey("m.id", "id", UUID),
    default_order="claimed_at desc",
)
"""The claims of one member, who must be named: there are few, which are sorted when they are asked for."""

_MY_CLAIM = SQL("SELECT {columns} FROM {source} WHERE m.id = %(id)s AND m.member_id = %(member_id)s").format(
    columns=_MY_CLAIM_COLUMNS, source=_MY_CLAIM_SOURCE
)


async def get_my_claim(connection: Connection, claim_id: UUID, member_id: UUID) -> MyClaimRow:
    """Returns a claim of this member. Raises CLAIM_NOT_FOUND."""
    found = await fetch_first(connection, MyClaimRow, _MY_CLAIM, id=claim_id, member_id=member_id)
    if found is None:
        raise claim_not_found(claim_id)
    return found


_CLAIMS_BY_ID = SQL("SELECT {columns} FROM {source} WHERE m.id = ANY(%(ids)s)").format(
    columns=_MY_CLAIM_COLUMNS, source=_MY_CLAIM_SOURCE
)


async def get_claims(connection: Connection, claim_ids: Sequence[UUID]) -> dict[UUID, MyClaimRow]:
    """Returns these claims by id."""
    found = await fetch_all(connection, MyClaimRow, _CLAIMS_BY_ID, ids=list(claim_ids))
    return {row.id: row for row in found}


_CLAIM_COLUMNS = SQL(
    "m.id, m.discount_id, m.brand_id, m.member_id, m.code_id, c.code, c.pattern, c.state, m.claimed_at"
)
_CLAIM_SOURCE = SQL("claims m JOIN {codes} c ON c.id = m.code_id").format(codes=CODES)

CLAIM_LIST = Listing(
    row=ClaimRow,
    columns=_CLAIM_COLUMNS,
    source=_CLAIM_SOURCE,
    filters={
        "brand_id": "m.brand_id = %(brand_id)s",
        "discount_id": "m.discount_id = %(discount_id)s",
        "claimed_from": "m.claimed_at >= %(claimed_from)s",
        "claimed_until": "m.claimed_at < %(claimed_until)s",
    },
    keys={"claimed_at": SortKey("m.claimed_at", "claimed_at", parse_moment)},
    key=SortKey("m.id", "id", UUID),
    default_order="claimed_at desc",
    # It follows from the code's uses, its set and the time.
    compared=frozenset({"state"}),
)
"""The claims of one brand or of one discount, either of which must be named."""

_CLAIM = SQL("SELECT {columns} FROM {source} WHERE m.id = %(id)s").format(
    columns=_CLAIM_COLUMNS, source=_CLAIM_SOURCE
)


async def get_claim(connection: Connection, claim_id: UUID) -> ClaimRow:
    """Returns a claim, whose ever it is. Raises CLAIM_NOT_FOUND."""
    found = await fetch_first(connection, ClaimRow, _CLAIM, id=claim_id)
    if found is None:
        raise claim_not_found(claim_id)
    return found


async def codes_claimed(connection: Connection, member_id: UUID) -> Sequence[UUID]:
    """Returns the ids of all codes that a member has claimed."""
    return await fetch_values(
        connection, "SELECT code_id FROM claims WHERE member_id = %(member_id)s", member_id=member_id
    )
