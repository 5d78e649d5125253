"""Phone numbers and e-mail addresses that one-time passwords are sent to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipient:
    """A phone number in E.164 form or an e-mail address in small letters; the other one is None."""

    phone: str | None = None
    email: str | None = None

    def masked(self) -> str:
        """Returns enough for its owner to recognise it, and too little to write to it."""
        if self.email:
            local, _, domain = self.email.rpartition("@")
            return f"{local[:1]}…@{domain}"
        assert self.phone, "it is one of the two"
        return f"…{self.phone[-4:]}"

    def __str__(self) -> str:
        return "e-mail address" if self.email else "phone number"
