"""Member codes as tills send them: how they are read, and when a signed one is good. No gRPC, no SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from stdnum.iso7064 import mod_37_36

from services.common.codes import ALPHABET, read_code
from services.common.errors import DomainError
from services.points.programme import CLOCK_LEEWAY
from services.points.purchases.refusals import member_code_unknown

_CODE = re.compile(r"[0-9A-Z]{1,64}")
_LASTING_LENGTH = 12
_SIGNED = re.compile(f"S1[{ALPHABET}]{{59}}")


@dataclass(frozen=True, slots=True)
class SignedCode:
    """A signed member code as identity knows it again: good for one receipt, sold while it was."""

    id: str
    member_id: UUID
    issued_at: datetime
    expires_at: datetime

    def refusal(self, *, sold_at: datetime, now: datetime, offline: timedelta) -> DomainError | None:
        """Returns MEMBER_CODE_EXPIRED for a sale of another time, or one that is reported too late; or None.

        `offline` is how long after the code's end a till may report.
        """
        shown = self.issued_at - CLOCK_LEEWAY <= sold_at <= self.expires_at + CLOCK_LEEWAY
        if shown and now <= self.expires_at + offline:
            return None
        message = "the code was not good at the time of the sale, or is reported too late; scan a new one"
        return DomainError("MEMBER_CODE_EXPIRED", message)


@dataclass(frozen=True, slots=True)
class ResolvedCode:
    """Whose a member code is, and whether that member is suspended; `signed` is set for a signed one."""

    member_id: UUID
    signed: SignedCode | None
    suspended: bool = False


def read_member_code(written: str) -> str:
    """Returns a member code as identity knows it. Raises MEMBER_CODE_UNKNOWN for what can not be a code."""
    code = read_code(written)
    if not _CODE.fullmatch(code):
        raise member_code_unknown()
    return code


def may_be_a_code(code: str) -> bool:
    """Returns whether identity could know this code: signed, or lasting with the right check character."""
    if len(code) == _LASTING_LENGTH:
        return mod_37_36.is_valid(code)
    return _SIGNED.fullmatch(code) is not None
