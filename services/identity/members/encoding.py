"""Members as protobuf has them, and back."""

from __future__ import annotations

from datetime import date

from scrip.identity.v1 import member_pb2

from services.common.caller import CASHIER, Caller
from services.common.encoding import timestamp
from services.common.errors import invalid_field
from services.common.ids import utc_now
from services.identity.members.masking import mask_member
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
        state=encode_state(row.status),
    )


def encode_for_staff(row: MemberRow, who: Caller) -> member_pb2.Member:
    """Returns a member as one of the staff may see it: a cashier sees it masked."""
    if who.role != CASHIER:
        shown = encode_member(row)
        shown.etag = row.etag
        return shown
    masked = mask_member(row)
    return member_pb2.Member(
        id=str(row.id),
        full_name=masked.full_name,
        phone=masked.phone,
        email=masked.email,
        registered_at=timestamp(row.registered_at),
        state=encode_state(row.status),
        masked=True,
    )


def encode_state(status: str) -> member_pb2.MemberState.ValueType:
    """Returns where an account stands."""
    return member_pb2.MemberState.Value(f"MEMBER_STATE_{status}")


def _consent(row: MemberRow) -> member_pb2.Consent | None:
    if row.consent_at is None:
        return None
    return member_pb2.Consent(
        shares_contact=row.shares_contact,
        wording_version=row.consent_wording or "",
        given_at=timestamp(row.consent_at),
    )


def read_state_filter(state: member_pb2.MemberState.ValueType) -> str | None:
    """Returns a filter of states as rows have them; None is every state."""
    if state == member_pb2.MEMBER_STATE_UNSPECIFIED:
        return None
    return member_pb2.MemberState.Name(state).removeprefix("MEMBER_STATE_")


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
