"""Member events as rows and messages have them: a kind is a class in code and a text at the edges."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from services.common import members
from services.common.members import MemberEvent
from services.common.outbox import Message

_KINDS: dict[str, type[MemberEvent]] = {
    "REGISTERED": members.Registered,
    "FIRST_LOGIN": members.FirstLogin,
    "PHONE_CHANGED": members.PhoneChanged,
    "CONSENT_CHANGED": members.ConsentChanged,
    "SUSPENDED": members.Suspended,
    "RESTORED": members.Restored,
    "CLOSED": members.Closed,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def kind_name(kind: type[MemberEvent]) -> str:
    """Returns the text by which rows and messages name a kind."""
    return _NAMES[kind]


def event_content(
    *, event_id: UUID, kind: str, phone_hash: bytes | None, shares_contact: bool
) -> dict[str, Any]:
    """Returns the body of an event's message: all but its subject, version and time."""
    return {
        "event_id": str(event_id),
        "kind": kind,
        "phone_hash": phone_hash.hex() if phone_hash else None,
        "shares_contact": shares_contact,
    }


def read_event(message: Message) -> MemberEvent:
    """Returns the event that a message holds."""
    content = message.content
    return _KINDS[content["kind"]](
        id=UUID(content["event_id"]),
        member_id=UUID(message.subject),
        version=message.version,
        occurred_at=message.created_at,
        phone_hash=bytes.fromhex(content["phone_hash"]) if content["phone_hash"] else None,
        shares_contact=content["shares_contact"],
    )
