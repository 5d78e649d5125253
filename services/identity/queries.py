"""All reads of identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection
from services.common.errors import DomainError
from services.common.paging import Page


@dataclass(frozen=True)
class MemberRow:
    """A member's account."""

    id: UUID
    full_name: str
    phone: str
    registered_at: datetime


@dataclass(frozen=True)
class StaffRow:
    """What logging in needs to know of staff."""

    id: UUID
    role: str
    password_hash: str


@dataclass(frozen=True)
class ClientRow:
    """A till."""

    id: UUID
    display_name: str
    created_at: datetime


@dataclass(frozen=True)
class MemberEventRow:
    """An event of a member."""

    id: UUID
    version: int
    type: str
    occurred_at: datetime


@dataclass(frozen=True)
class AuditRow:
    """A change made by staff."""

    id: UUID
    service: str
    actor_id: str
    actor_role: str
    action: str
    target_id: str
    occurred_at: datetime
    details: dict[str, Any]


async def get_member(connection: Connection, member_id: UUID) -> MemberRow:
    """A member. Raises MEMBER_NOT_FOUND."""
    result = await connection.execute(
        text("SELECT id, full_name, phone, registered_at FROM members WHERE id = :id"), {"id": member_id}
    )
    row = result.first()
    if row is None:
        raise DomainError("MEMBER_NOT_FOUND", "no such member", member_id=member_id)
    return MemberRow(*row)


async def get_member_code(connection: Connection, member_id: UUID) -> str:
    """A member's code. Raises MEMBER_NOT_FOUND."""
    result = await connection.execute(
        text("SELECT member_code FROM members WHERE id = :id"), {"id": member_id}
    )
    code = result.scalar_one_or_none()
    if code is None:
        raise DomainError("MEMBER_NOT_FOUND", "no such member", member_id=member_id)
    return str(code)


async def member_by_phone(connection: Connection, phone: str) -> UUID:
    """The member with this number. Raises ACCOUNT_NOT_FOUND."""
    result = await connection.execute(text("SELECT id FROM members WHERE phone = :phone"), {"phone": phone})
    member_id = result.scalar_one_or_none()
    if member_id is None:
        raise DomainError("ACCOUNT_NOT_FOUND", "no account has this phone number; register first")
    return UUID(str(member_id))


async def resolve_member_codes(connection: Connection, codes: Sequence[str]) -> dict[str, UUID]:
    """Member ids by member code; unknown codes are absent."""
    result = await connection.execute(
        text("SELECT member_code, id FROM members WHERE member_code = ANY(:codes)"), {"codes": list(codes)}
    )
    return {row.member_code: row.id for row in result}


async def find_staff(connection: Connection, user_name: str) -> StaffRow | None:
    """Staff by user name, whatever its letter case."""
    result = await connection.execute(
        text("SELECT id, role, password_hash FROM staff WHERE user_name = lower(:name)"), {"name": user_name}
    )
    row = result.first()
    return StaffRow(*row) if row else None


async def has_staff(connection: Connection) -> bool:
    """Whether there is any staff."""
    return bool((await connection.execute(text("SELECT EXISTS (SELECT FROM staff)"))).scalar_one())


async def client_secret_hash(connection: Connection, client_id: UUID) -> bytes | None:
    """The hash of a till's secret."""
    result = await connection.execute(
        text("SELECT secret_hash FROM clients WHERE id = :id"), {"id": client_id}
    )
    found = result.scalar_one_or_none()
    return bytes(found) if found is not None else None


async def list_clients(connection: Connection, page: Page) -> tuple[Sequence[ClientRow], str]:
    """A page of tills, by name."""
    result = await connection.execute(
        text(
            "SELECT id, display_name, created_at FROM clients"
            " WHERE CAST(:after AS text) IS NULL OR display_name > :after ORDER BY display_name LIMIT :limit"
        ),
        {"after": page.after(str), "limit": page.size + 1},
    )
    return page.cut([ClientRow(*row) for row in result], lambda client: client.display_name)


async def sandbox_code(connection: Connection, otp_id: UUID) -> str:
    """The code of a one-time password kept by the sandbox. Raises OTP_NOT_FOUND."""
    result = await connection.execute(
        text("SELECT code FROM sandbox_otps WHERE otp_id = :otp_id"), {"otp_id": otp_id}
    )
    code = result.scalar_one_or_none()
    if code is None:
        raise DomainError("OTP_NOT_FOUND", "no such one-time password", otp_id=otp_id)
    return str(code)


async def undelivered_events(
    connection: Connection, service: str, member_id: UUID
) -> Sequence[MemberEventRow]:
    """The member's events that the service has not applied yet, in order."""
    result = await connection.execute(
        text(
            "SELECT id, version, type, occurred_at FROM member_events"
            " WHERE member_id = :member_id AND version > coalesce((SELECT delivered_version"
            " FROM member_event_deliveries WHERE service = :service AND member_id = :member_id), 0)"
            " ORDER BY version LIMIT 100"
        ),
        {"service": service, "member_id": member_id},
    )
    return [MemberEventRow(*row) for row in result]


async def list_audit_entries(
    connection: Connection, page: Page, *, actor_id: str, action: str, target_id: str
) -> tuple[Sequence[AuditRow], str]:
    """A page of changes made by staff, newest first; an empty filter matches all."""
    result = await connection.execute(
        text(
            "SELECT id, service, actor_id, actor_role, action, target_id, occurred_at, details"
            " FROM audit_entries WHERE (CAST(:after AS uuid) IS NULL OR id < :after)"
            " AND (:actor_id = '' OR actor_id = :actor_id) AND (:action = '' OR action = :action)"
            " AND (:target_id = '' OR target_id = :target_id) ORDER BY id DESC LIMIT :limit"
        ),
        {
            "after": page.after(UUID),
            "actor_id": actor_id,
            "action": action,
            "target_id": target_id,
            "limit": page.size + 1,
        },
    )
    return page.cut([AuditRow(*row) for row in result], lambda entry: entry.id)
