"""Who makes a call: plain values that commands and queries may take. Knows no token and no protobuf."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

MEMBER, TILL, ADMIN, MANAGER, CASHIER = "member", "till", "admin", "manager", "cashier"
BRAND_MANAGER = "brand_manager"
SERVICE = "service"
STAFF = frozenset({ADMIN, MANAGER, CASHIER, BRAND_MANAGER})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the token's subject (an id, or a service's name), its role, and its login if it has one.

    `brand_id` is the brand that a brand manager works for.
    """

    subject: str
    role: str
    session_id: str = ""
    brand_id: UUID | None = None

    @property
    def id(self) -> UUID:
        """The caller's id. Members, staff and tills have one."""
        return UUID(self.subject)

    @property
    def is_staff(self) -> bool:
        """Whether the caller works for the retailer."""
        return self.role in STAFF


NOBODY = Caller("", "")
_caller: ContextVar[Caller] = ContextVar("caller", default=NOBODY)


def caller() -> Caller:
    """Who makes the call being served."""
    return _caller.get()


def set_caller(value: Caller) -> None:
    """Sets who makes the call being served."""
    _caller.set(value)
