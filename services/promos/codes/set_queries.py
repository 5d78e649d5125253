"""Reads of code sets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first
from services.common.lists import Listing, SortKey, parse_moment, parse_text
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.codes.refusals import code_set_not_found, code_set_wrong_purpose

Purpose = Literal["VOUCHER", "CAMPAIGN", "DISCOUNT", "HANDED_OUT"]
"""What the codes of a set are for: a voucher's orders, a campaign's winners, a brand's claims; or staff hand
them out themselves, and then they are good for whoever brings them."""


@dataclass(frozen=True, slots=True)
class CodeSetRow(BenefitColumns):
    """A set of codes, and how far it is made."""

    id: UUID
    purpose: Purpose
    name: str
    brand_id: UUID | None
    pattern: str | None
    enabled: bool
    starts_at: datetime | None
    expires_at: datetime | None
    valid_days: int | None
    uses_allowed: int
    uses_per_member: int | None
    wanted: int
    voided: int
    made: int
    made_per_second: float
    """Of the last seconds; 0 when no codes are being made, as after a pause."""
    version: int
    created_at: datetime

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)

    @property
    def usable(self) -> int:
        """How many codes are there; those that were withdrawn are made up for and do not count."""
        return max(self.made - self.voided, 0)

    @property
    def lacking(self) -> int:
        """How many codes are still to be made."""
        return max(self.wanted + self.voided - self.made, 0)


_COLUMNS = SQL(
    """
    s.id, s.purpose, s.name, s.brand_id, s.pattern, s.enabled, s.starts_at, s.expires_at, s.valid_days,
    s.uses_allowed, s.uses_per_member, s.wanted, s.voided, s.made,
    CASE
      WHEN s.made < s.wanted + s.voided AND s.made_at > clock_timestamp() - interval '10 seconds'
      THEN coalesce(s.made_per_second, 0) ELSE 0
    END AS made_per_second,
    s.version, s.created_at, {benefit}
    """
).format(benefit=benefit_of("s"))

_CODE_SET = SQL("SELECT {columns} FROM code_sets s WHERE s.id = %(id)s").format(columns=_COLUMNS)


async def get_code_set(connection: Connection, code_set_id: UUID) -> CodeSetRow:
    """Returns a set. Raises CODE_SET_NOT_FOUND."""
    found = await fetch_first(connection, CodeSetRow, _CODE_SET, id=code_set_id)
    if found is None:
        raise code_set_not_found(code_set_id)
    return found


async def require_brands_set(connection: Connection, brand_id: UUID, code_set_id: UUID) -> None:
    """Raises CODE_SET_NOT_FOUND unless this brand has such a set."""
    if (await get_code_set(connection, code_set_id)).brand_id != brand_id:
        raise code_set_not_found(code_set_id)


# Not FOR UPDATE, which would wait for codes that are being made, and they for it.
_LOCKED_CODE_SET = SQL("{code_set} FOR NO KEY UPDATE").format(code_set=_CODE_SET)


async def lock_code_set(connection: Connection, code_set_id: UUID) -> CodeSetRow:
    """Returns a set that nobody else changes until the commit. Raises CODE_SET_NOT_FOUND."""
    found = await fetch_first(connection, CodeSetRow, _LOCKED_CODE_SET, id=code_set_id)
    if found is None:
        raise code_set_not_found(code_set_id)
    return found


def require_purpose(code_set: CodeSetRow, *purposes: Purpose) -> None:
    """Raises CODE_SET_WRONG_PURPOSE unless the codes of a set are for one of these."""
    if code_set.purpose not in purposes:
        raise code_set_wrong_purpose(code_set.id, code_set.purpose)


CODE_SET_LIST = Listing(
    row=CodeSetRow,
    columns=_COLUMNS,
    source="code_sets s",
    filters={
        "brand_id": "s.brand_id = %(brand_id)s",
        "purpose": "s.purpose = %(purpose)s",
        "making": "(s.made < s.wanted + s.voided) = %(making)s",
        "query": "starts_with(lower(s.name), lower(%(query)s))",
    },
    keys={
        "created_at": SortKey("s.created_at", "created_at", parse_moment),
        "name": SortKey("s.name", "name", parse_text),
    },
    key=SortKey("s.id", "id", UUID),
    default_order="created_at desc",
)
"""All sets. Staff make them one by one, so no filter needs an index."""
