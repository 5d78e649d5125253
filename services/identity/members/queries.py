"""Reads of members."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from services.common.db import Connection, fetch_all, fetch_first, fetch_value, fetch_values
from services.common.errors import DomainError
from services.common.paging import Page
from services.identity.members.refusals import member_not_found

_LIST = sql.SQL(
    """
    SELECT
      id, full_name, phone, registered_at, user_name, email, email_confirmed, pending_email, birthday,
      has_password, shares_contact, consent_wording, consent_at, status
    FROM member_accounts
    WHERE {conditions}
    ORDER BY id DESC LIMIT %(limit)s
    """
)
_ALL = sql.SQL("true")
_AFTER = sql.SQL("id < %(after)s")
_HAS_STATUS = sql.SQL("status = %(status)s AND kind = 'MEMBER'")
# One branch for each index: an OR over two tables would read them whole.
_IS_NAMED = sql.SQL(
    """
    id IN (
      SELECT id FROM members
      WHERE lower(full_name COLLATE pg_c_utf8) LIKE lower(%(text)s COLLATE pg_c_utf8)
      UNION SELECT id FROM accounts WHERE user_name LIKE lower(%(text)s)
      UNION SELECT id FROM accounts WHERE email LIKE lower(%(text)s)
    )
    """
)
_IS_NAMED_OR_NUMBERED = sql.SQL(
    """
    id IN (
      SELECT id FROM members
      WHERE lower(full_name COLLATE pg_c_utf8) LIKE lower(%(text)s COLLATE pg_c_utf8)
      UNION SELECT id FROM accounts WHERE user_name LIKE lower(%(text)s)
      UNION SELECT id FROM accounts WHERE email LIKE lower(%(text)s)
      UNION SELECT id FROM members WHERE member_code LIKE %(code)s
      UNION SELECT id FROM accounts WHERE phone LIKE %(phone)s
    )
    """
)
_WILDCARD = re.compile(r"([\\%_])")
_SEPARATORS = re.compile(r"[\s().-]")


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member's account. `status` is ACTIVE, SUSPENDED or CLOSED."""

    id: UUID
    full_name: str
    phone: str | None
    registered_at: datetime
    user_name: str | None
    email: str | None
    email_confirmed: bool
    pending_email: str | None
    birthday: date | None
    has_password: bool
    shares_contact: bool
    consent_wording: str | None
    consent_at: datetime | None
    status: str


async def get_member(connection: Connection, member_id: UUID) -> MemberRow:
    """Returns a member. Raises MEMBER_NOT_FOUND."""
    member = await fetch_first(
        connection,
        MemberRow,
        """
        SELECT
          id, full_name, phone, registered_at, user_name, email, email_confirmed, pending_email, birthday,
          has_password, shares_contact, consent_wording, consent_at, status
        FROM member_accounts WHERE id = %(id)s
        """,
        id=member_id,
    )
    if member is None:
        raise member_not_found(member_id)
    return member


async def get_members(connection: Connection, member_ids: Sequence[UUID]) -> dict[UUID, MemberRow]:
    """Returns those of these members that there are, by id."""
    found = await fetch_all(
        connection,
        MemberRow,
        """
        SELECT
          m.id, full_name, phone, registered_at, user_name, email, email_confirmed, pending_email, birthday,
          has_password, shares_contact, consent_wording, consent_at, status
        FROM member_accounts m JOIN unnest(%(ids)s::uuid[]) AS wanted (id) ON wanted.id = m.id
        """,
        ids=list(set(member_ids)),
    )
    return {member.id: member for member in found}


async def list_members(
    connection: Connection, page: Page, *, begins_with: str, phone: str | None, status: str | None
) -> tuple[Sequence[MemberRow], str]:
    """Returns a page of members, the newest first.

    With `begins_with`, only those whose name, user name, e-mail address, phone number or member code begins
    with it, whatever the letter case; `phone` is that text in E.164 form when it is a whole number. With
    a `status`, only accounts that have it. Only what is wanted is in the statement, so that its plan can use
    the index that serves it.
    """
    conditions = [_ALL]
    values: dict[str, Any] = {"limit": page.size + 1}
    if not page.first:
        conditions.append(_AFTER)
        values["after"] = page.after(UUID)
    if status:
        conditions.append(_HAS_STATUS)
        values["status"] = status
    if begins_with:
        bare = _SEPARATORS.sub("", begins_with)
        values["text"] = _prefix(begins_with)
        if bare:
            values |= {"code": _prefix(bare.upper()), "phone": _prefix(phone or bare)}
        conditions.append(_IS_NAMED_OR_NUMBERED if bare else _IS_NAMED)
    statement = _LIST.format(conditions=sql.SQL(" AND ").join(conditions))
    found = await fetch_all(connection, MemberRow, statement, **values)
    return page.cut(found, lambda member: member.id)


def _prefix(beginning: str) -> str:
    """Returns the pattern of texts that begin so."""
    return _WILDCARD.sub(r"\\\1", beginning) + "%"


async def why_not_active(connection: Connection, member_id: UUID) -> DomainError:
    """Returns why a member can not use the account. Raises MEMBER_NOT_FOUND."""
    member = await get_member(connection, member_id)
    if member.status == "SUSPENDED":
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    return DomainError("ACCOUNT_CLOSED", "the account is closed")


async def get_member_code(connection: Connection, member_id: UUID) -> str:
    """Returns a member's lasting code. Raises MEMBER_NOT_FOUND."""
    code: str | None = await fetch_value(
        connection, "SELECT member_code FROM members WHERE id = %(id)s", id=member_id
    )
    if code is None:
        raise member_not_found(member_id)
    return code


@dataclass(frozen=True, slots=True)
class _Owner:
    member_code: str
    id: UUID


async def resolve_member_codes(connection: Connection, codes: Sequence[str]) -> dict[str, UUID]:
    """Returns member ids by lasting code; unknown codes, and those of accounts not active, are absent."""
    owners = await fetch_all(
        connection,
        _Owner,
        """
        SELECT member_code, id FROM member_accounts
        WHERE member_code = ANY(%(codes)s) AND status = 'ACTIVE'
        """,
        codes=list(codes),
    )
    return {owner.member_code: owner.id for owner in owners}


async def active_members(connection: Connection, member_ids: Sequence[UUID]) -> set[UUID]:
    """Returns those of these members whose accounts are active."""
    found = await fetch_values(
        connection,
        "SELECT id FROM member_accounts WHERE id = ANY(%(ids)s) AND status = 'ACTIVE'",
        ids=list(member_ids),
    )
    return set(found)
