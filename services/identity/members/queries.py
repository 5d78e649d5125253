"""Reads of members."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.paging import Page

_MEMBER = (
    "SELECT m.id, m.full_name, a.phone, m.registered_at, a.user_name, a.email, a.email_confirmed,"
    " m.birthday, a.password_hash IS NOT NULL, m.shares_contact, m.consent_wording, m.consent_at, a.status"
    " FROM members m JOIN accounts a ON a.id = m.id"
)

# One branch for each index: an OR over two tables would read them whole.
_FOUND_BY_NAME = (
    "SELECT id FROM members WHERE lower(full_name COLLATE pg_c_utf8) LIKE lower(:text COLLATE pg_c_utf8)"
    " UNION SELECT id FROM accounts WHERE user_name LIKE lower(:text)"
    " UNION SELECT id FROM accounts WHERE email LIKE lower(:text)"
)
_FOUND_BY_CODE = "SELECT id FROM members WHERE member_code LIKE :code"
_FOUND_BY_PHONE = "SELECT id FROM accounts WHERE phone LIKE :phone"
_WILDCARD = re.compile(r"([\\%_])")
_SEPARATORS = re.compile(r"[\s().-]")


@dataclass(frozen=True)
class MemberRow:
    """A member's account. `status` is ACTIVE, SUSPENDED or CLOSED."""

    id: UUID
    full_name: str
    phone: str | None
    registered_at: datetime
    user_name: str | None
    email: str | None
    email_confirmed: bool
    birthday: date | None
    has_password: bool
    shares_contact: bool
    consent_wording: str | None
    consent_at: datetime | None
    status: str


async def get_member(connection: Connection, member_id: UUID) -> MemberRow:
    """A member. Raises MEMBER_NOT_FOUND."""
    result = await connection.execute(text(_MEMBER + " WHERE m.id = :id"), {"id": member_id})
    row = result.first()
    if row is None:
        raise member_not_found(member_id)
    return MemberRow(*row)


async def get_members(connection: Connection, member_ids: Sequence[UUID]) -> dict[UUID, MemberRow]:
    """Those of these members that there are."""
    result = await connection.execute(
        text(f"{_MEMBER} JOIN unnest(CAST(:ids AS uuid[])) AS wanted (id) ON wanted.id = m.id"),
        {"ids": list(set(member_ids))},
    )
    return {row[0]: MemberRow(*row) for row in result}


async def list_members(
    connection: Connection, page: Page, *, begins_with: str, phone: str | None, status: str | None
) -> tuple[Sequence[MemberRow], str]:
    """A page of members, the newest first.

    With `begins_with`, only those whose name, user name, e-mail address, phone number or member code begins
    with it, whatever the letter case; `phone` is that text in E.164 form when it is a whole number. With
    a `status`, only accounts that stand so.
    """
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": page.size + 1}
    if not page.first:
        conditions.append("m.id < :after")
        values["after"] = page.after(UUID)
    if status:
        conditions.append("a.status = :status AND a.kind = 'MEMBER'")
        values["status"] = status
    if begins_with:
        bare = _SEPARATORS.sub("", begins_with)
        found = _FOUND_BY_NAME
        values["text"] = _prefix(begins_with)
        if bare:
            found = f"{found} UNION {_FOUND_BY_CODE} UNION {_FOUND_BY_PHONE}"
            values |= {"code": _prefix(bare.upper()), "phone": _prefix(phone or bare)}
        conditions.append(f"m.id IN ({found})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    result = await connection.execute(text(f"{_MEMBER}{where} ORDER BY m.id DESC LIMIT :limit"), values)
    return page.cut([MemberRow(*row) for row in result], lambda member: member.id)


def _prefix(beginning: str) -> str:
    """The pattern of texts that begin so."""
    return _WILDCARD.sub(r"\\\1", beginning) + "%"


async def why_not_active(connection: Connection, member_id: UUID) -> DomainError:
    """Why a member can not use the account. Raises MEMBER_NOT_FOUND."""
    member = await get_member(connection, member_id)
    if member.status == "SUSPENDED":
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    return DomainError("ACCOUNT_CLOSED", "the account is closed")


def member_not_found(member_id: UUID) -> DomainError:
    """There is no such member."""
    return DomainError("MEMBER_NOT_FOUND", "no such member", member_id=member_id)


async def get_member_code(connection: Connection, member_id: UUID) -> str:
    """A member's code. Raises MEMBER_NOT_FOUND."""
    result = await connection.execute(
        text("SELECT member_code FROM members WHERE id = :id"), {"id": member_id}
    )
    code = result.scalar_one_or_none()
    if code is None:
        raise member_not_found(member_id)
    return str(code)


async def resolve_member_codes(connection: Connection, codes: Sequence[str]) -> dict[str, UUID]:
    """Member ids by lasting member code; unknown codes, and those of accounts not active, are absent."""
    result = await connection.execute(
        text(
            "SELECT m.member_code, m.id FROM members m JOIN accounts a ON a.id = m.id"
            " WHERE m.member_code = ANY(:codes) AND a.status = 'ACTIVE'"
        ),
        {"codes": list(codes)},
    )
    return {row.member_code: row.id for row in result}


async def active_members(connection: Connection, member_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these members whose accounts are active."""
    result = await connection.execute(
        text(
            "SELECT m.id FROM members m JOIN accounts a ON a.id = m.id"
            " WHERE m.id = ANY(:ids) AND a.status = 'ACTIVE'"
        ),
        {"ids": list(member_ids)},
    )
    return {row.id for row in result}
