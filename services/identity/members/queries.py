"""Reads of members."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, LiteralString
from uuid import UUID

from services.common.codes import read_code
from services.common.db import Connection, fetch_all, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.lists import Listing, SortKey, parse_moment
from services.identity.member_codes import CodeOwner
from services.identity.members.refusals import member_not_found

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
    version: int

    @property
    def etag(self) -> str:
        """Changes with every change of the account or the profile."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class ListedMember(MemberRow):
    """A member with what lists by name are sorted by."""

    name_key: str


async def get_member(connection: Connection, member_id: UUID) -> MemberRow:
    """Returns a member. Raises MEMBER_NOT_FOUND."""
    member = await fetch_first(
        connection,
        MemberRow,
        """
        SELECT
          id, full_name, phone, registered_at, user_name, email, email_confirmed, pending_email, birthday,
          has_password, shares_contact, consent_wording, consent_at, status, version
        FROM member_accounts WHERE id = %(id)s
        """,
        id=member_id,
    )
    if member is None:
        raise member_not_found(member_id)
    return member


async def find_member(
    connection: Connection,
    *,
    member_id: UUID | None = None,
    phone: str | None = None,
    member_code: str | None = None,
) -> MemberRow | None:
    """Returns the member with this id, phone number or lasting code, whatever its status, or None."""
    return await fetch_first(
        connection,
        MemberRow,
        """
        SELECT
          id, full_name, phone, registered_at, user_name, email, email_confirmed, pending_email, birthday,
          has_password, shares_contact, consent_wording, consent_at, status, version
        FROM member_accounts
        WHERE id = (
          SELECT %(member_id)s::uuid WHERE %(member_id)s::uuid IS NOT NULL
          UNION ALL SELECT id FROM accounts WHERE phone = %(phone)s::text
          UNION ALL SELECT id FROM members WHERE member_code = %(member_code)s::text
        )
        """,
        member_id=member_id,
        phone=phone,
        member_code=member_code,
    )


async def get_members(connection: Connection, member_ids: Sequence[UUID]) -> dict[UUID, MemberRow]:
    """Returns those of these members that there are, by id."""
    found = await fetch_all(
        connection,
        MemberRow,
        """
        SELECT
          m.id, full_name, phone, registered_at, user_name, email, email_confirmed, pending_email, birthday,
          has_password, shares_contact, consent_wording, consent_at, status, version
        FROM member_accounts m JOIN unnest(%(ids)s::uuid[]) AS wanted (id) ON wanted.id = m.id
        """,
        ids=list(set(member_ids)),
    )
    return {member.id: member for member in found}


_COLUMNS: Final = """
    id, full_name, phone, registered_at, user_name, email, email_confirmed, pending_email, birthday,
    has_password, shares_contact, consent_wording, consent_at, status, version, name_key
"""
_FILTERS: Final[Mapping[str, LiteralString]] = {
    "status": "status = %(status)s",
    "registered_from": "registered_at >= %(registered_from)s",
    "registered_until": "registered_at < %(registered_until)s",
    # One branch for each index: an OR over two tables would read them whole.
    "named": """
    id IN (
      SELECT id FROM members
      WHERE lower(full_name COLLATE pg_c_utf8) LIKE lower(%(named)s COLLATE pg_c_utf8)
      UNION SELECT id FROM accounts WHERE user_name LIKE lower(%(named)s)
      UNION SELECT id FROM accounts WHERE email LIKE lower(%(named)s)
    )
    """,
    "named_or_numbered": """
    id IN (
      SELECT id FROM members
      WHERE lower(full_name COLLATE pg_c_utf8) LIKE lower(%(named_or_numbered)s COLLATE pg_c_utf8)
      UNION SELECT id FROM accounts WHERE user_name LIKE lower(%(named_or_numbered)s)
      UNION SELECT id FROM accounts WHERE email LIKE lower(%(named_or_numbered)s)
      UNION SELECT id FROM members WHERE member_code LIKE %(code_prefix)s
      UNION SELECT id FROM accounts WHERE phone LIKE %(phone_prefix)s
    )
    """,
    "code_prefix": "true",
    "phone_prefix": "true",
    "whole_email": """
    id IN (
      SELECT id FROM accounts WHERE email = %(whole_email)s
      UNION SELECT id FROM accounts WHERE phone = %(whole_phone)s
      UNION SELECT id FROM members WHERE member_code = %(whole_code)s
    )
    """,
    "whole_phone": "true",
    "whole_code": "true",
}
"""The filters of lists of members. Those that are `true` are values for the condition of another."""

_BY_TIME = Listing(
    row=ListedMember,
    columns=_COLUMNS,
    source="member_accounts",
    filters=_FILTERS,
    keys={"registered_at": SortKey("registered_at", "registered_at", parse_moment)},
    # The same id as in the index by time, which is on accounts.
    key=SortKey("account_id", "id", UUID),
    default_order="registered_at desc",
    always="kind = 'MEMBER'",
)
_BY_NAME = replace(
    _BY_TIME,
    keys={"full_name": SortKey("name_key", "name_key", str)},
    key=SortKey("id", "id", UUID),
    default_order="full_name",
)


def member_list(order_by: str) -> Listing[ListedMember]:
    """Returns the list of members that has this sort order: `full_name` or `registered_at`."""
    return _BY_NAME if order_by.startswith("full_name") else _BY_TIME


def begins_with(text: str, phone: str | None) -> dict[str, str]:
    """Returns the filters for members whose name, user name, e-mail address, phone number or member code
    begins with a text, whatever the letter case; `phone` is the text in E.164 form when it is a whole number.

    Only what is wanted is in the statement, so that its plan can use the index that serves it.
    """
    if not text:
        return {}
    bare = _SEPARATORS.sub("", text)
    if not bare:
        return {"named": _prefix(text)}
    return {
        "named_or_numbered": _prefix(text),
        "code_prefix": _prefix(bare.upper()),
        "phone_prefix": _prefix(phone or bare),
    }


def known_whole(text: str, phone: str | None) -> dict[str, str]:
    """Returns the filters for the member whose e-mail address, phone number or member code this is, whole."""
    return {"whole_email": text.lower(), "whole_phone": phone or "", "whole_code": read_code(text)}


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
    suspended: bool


async def resolve_member_codes(connection: Connection, codes: Sequence[str]) -> dict[str, CodeOwner]:
    """Returns members by lasting code; unknown codes, and those of closed accounts, are absent."""
    owners = await fetch_all(
        connection,
        _Owner,
        """
        SELECT member_code, id, status = 'SUSPENDED' AS suspended FROM member_accounts
        WHERE member_code = ANY(%(codes)s) AND status IN ('ACTIVE', 'SUSPENDED')
        """,
        codes=list(codes),
    )
    return {owner.member_code: CodeOwner(owner.id, owner.suspended) for owner in owners}


async def code_owners(connection: Connection, member_ids: Sequence[UUID]) -> dict[UUID, CodeOwner]:
    """Returns these members by their ids, but for those whose accounts are closed."""
    owners = await fetch_all(
        connection,
        _Owner,
        """
        SELECT member_code, id, status = 'SUSPENDED' AS suspended FROM member_accounts
        WHERE id = ANY(%(ids)s) AND status IN ('ACTIVE', 'SUSPENDED')
        """,
        ids=list(member_ids),
    )
    return {owner.id: CodeOwner(owner.id, owner.suspended) for owner in owners}


@dataclass(frozen=True, slots=True)
class ContactRow:
    """How to reach a member who agrees to share it."""

    id: UUID
    full_name: str
    phone: str | None
    email: str | None


async def get_contacts(connection: Connection, member_ids: Sequence[UUID]) -> Sequence[ContactRow]:
    """Returns those of these members who are active and agree to share their contact data.

    An e-mail address that is not confirmed may be somebody else's, so it is left out.
    """
    return await fetch_all(
        connection,
        ContactRow,
        """
        SELECT id, full_name, phone, CASE WHEN email_confirmed THEN email END AS email
        FROM member_accounts
        WHERE id = ANY(%(ids)s) AND status = 'ACTIVE' AND shares_contact
        """,
        ids=list(member_ids),
    )
