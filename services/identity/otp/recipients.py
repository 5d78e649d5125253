"""Who gets a one-time password."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipient:
    """A phone number in E.164 form or an e-mail address in small letters; the other one is None."""

    phone: str | None = None
    email: str | None = None

    def masked(self) -> str:
        """Enough for its owner to know it, and too little to write to it."""
        if self.email:
            local, _, domain = self.email.rpartition("@")
            return f"{local[:1]}…@{domain}"
        assert self.phone, "it is one of the two"
        return f"…{self.phone[-4:]}"

    def __str__(self) -> str:
        return "e-mail address" if self.email else "phone number"
