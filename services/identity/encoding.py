"""Identity's rows as protobuf has them."""

from __future__ import annotations

from datetime import date

from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import client_pb2, member_pb2, staff_pb2

from services.common.encoding import timestamp
from services.common.errors import invalid_field
from services.common.ids import utc_now
from services.identity.members.queries import MemberRow
from services.identity.staff.queries import StaffRow
from services.identity.tills.queries import ClientRow


def member(row: MemberRow) -> member_pb2.Member:
    """A member."""
    return member_pb2.Member(
        id=str(row.id),
        full_name=row.full_name,
        phone=row.phone or "",
        registered_at=timestamp(row.registered_at),
        user_name=row.user_name or "",
        email=row.email or "",
        email_confirmed=row.email_confirmed,
        birthday=row.birthday.isoformat() if row.birthday else "",
        has_password=row.has_password,
        consent=_consent(row),
        status=member_pb2.MemberStatus.Value(f"MEMBER_STATUS_{row.status}"),
    )


def status_filter(status: member_pb2.MemberStatus.ValueType) -> str | None:
    """A filter of statuses as rows have it; None is every status."""
    if status == member_pb2.MEMBER_STATUS_UNSPECIFIED:
        return None
    return member_pb2.MemberStatus.Name(status).removeprefix("MEMBER_STATUS_")


def _consent(row: MemberRow) -> member_pb2.Consent | None:
    if row.consent_at is None:
        return None
    return member_pb2.Consent(
        shares_contact=row.shares_contact,
        wording_version=row.consent_wording or "",
        given_at=timestamp(row.consent_at),
    )


def client(row: ClientRow) -> client_pb2.Client:
    """A till."""
    return client_pb2.Client(
        id=str(row.id),
        display_name=row.display_name,
        created_at=timestamp(row.created_at),
        enabled=row.enabled,
    )


def staff(row: StaffRow) -> staff_pb2.Staff:
    """One of the staff."""
    return staff_pb2.Staff(
        id=str(row.id),
        user_name=row.user_name,
        full_name=row.full_name,
        role=permission_pb2.Role.Value(f"ROLE_{row.role.upper()}"),
        enabled=row.enabled,
        created_at=timestamp(row.created_at),
    )


def role_name(role: permission_pb2.Role.ValueType) -> str:
    """The role as tokens name it, such as `admin`."""
    return permission_pb2.Role.Name(role).removeprefix("ROLE_").lower()


def name(text: str, field: str) -> str:
    """A name or reason without the blanks around it. Raises VALIDATION_FAILED when nothing is left."""
    stripped = text.strip()
    if not stripped:
        raise invalid_field(field, "must not be blank")
    return stripped


def birthday(text: str) -> date | None:
    """A birthday, or None when the text is empty. Raises VALIDATION_FAILED."""
    if not text:
        return None
    try:
        parsed = date.fromisoformat(text)
    except ValueError as error:
        raise invalid_field("birthday", "is not a day of the calendar") from error
    if not date(1900, 1, 1) <= parsed <= utc_now().date():
        raise invalid_field("birthday", "must lie between 1900 and today")
    return parsed
