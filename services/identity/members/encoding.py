"""Members as protobuf has them, and back."""

from __future__ import annotations

from datetime import date

from scrip.identity.v1 import member_pb2

from services.common.encoding import timestamp
from services.common.errors import invalid_field
from services.common.ids import utc_now
from services.identity.members.queries import MemberRow


def encode_member(row: MemberRow) -> member_pb2.Member:
    """Returns a member."""
    return member_pb2.Member(
        id=str(row.id),
        full_name=row.full_name,
        phone=row.phone or "",
        registered_at=timestamp(row.registered_at),
        user_name=row.user_name or "",
        email=row.email or "",
        email_confirmed=row.email_confirmed,
        pending_email=row.pending_email or "",
        birthday=row.birthday.isoformat() if row.birthday else "",
        has_password=row.has_password,
        consent=_consent(row),
        status=member_pb2.MemberStatus.Value(f"MEMBER_STATUS_{row.status}"),
    )


def _consent(row: MemberRow) -> member_pb2.Consent | None:
    if row.consent_at is None:
        return None
    return member_pb2.Consent(
        shares_contact=row.shares_contact,
        wording_version=row.consent_wording or "",
        given_at=timestamp(row.consent_at),
    )


def read_status_filter(status: member_pb2.MemberStatus.ValueType) -> str | None:
    """Returns a filter of statuses as rows have it; None is every status."""
    if status == member_pb2.MEMBER_STATUS_UNSPECIFIED:
        return None
    return member_pb2.MemberStatus.Name(status).removeprefix("MEMBER_STATUS_")


def read_birthday(text: str) -> date | None:
    """Returns a birthday, or None when the text is empty. Raises VALIDATION_FAILED."""
    if not text:
        return None
    try:
        parsed = date.fromisoformat(text)
    except ValueError as error:
        raise invalid_field("birthday", "is not a day of the calendar") from error
    if not date(1900, 1, 1) <= parsed <= utc_now().date():
        raise invalid_field("birthday", "must lie between 1900 and today")
    return parsed
