"""Proving to own a phone number or an e-mail address by a one-time password. Tries are limited."""

from __future__ import annotations

from uuid import UUID

from services.common.db import Database
from services.common.throttle import Limit
from services.identity.accounts import PER_ADDRESS, CountedLimits, Guesses, Recipient
from services.identity.keys import Vault
from services.identity.otp.commands import MAX_TRIES, try_otp
from services.identity.otp.queries import recipient_to_guess

PER_RECIPIENT = Limit("wrong_otps_per_recipient", 20, 14_400, open_when_away=True)
"""Wrong codes for one recipient, however many one-time passwords are asked for: 120 guesses a day are one in
8,000. It ends after four hours, because a stranger can cause it.

Without Redis each process counts for itself, and there is little to guess: no one-time password is sent then,
and each has five tries, counted in PostgreSQL.
"""


class OtpProof:
    """Tries one-time passwords. What relies on the proof uses the one-time password up (`use_otp`)."""

    def __init__(self, db: Database, vault: Vault, guesses: Guesses) -> None:
        self._db = db
        self._vault = vault
        self._guesses = guesses

    async def recipient(self, otp_id: UUID, code: str, purpose: str, address: str = "") -> Recipient:
        """Returns the phone number or e-mail address that the one-time password was sent to.

        `address` is where the call came from, when that is all that is known of the caller.

        Raises OTP_NOT_VALID, OTP_EXPIRED or OTP_TRIES_EXHAUSTED, and TOO_MANY_REQUESTS after twenty wrong
        codes for one recipient within four hours, whatever they were for, or a hundred failures from one
        address within five minutes.
        """
        guessed = await self._db.read(recipient_to_guess, otp_id, purpose, max_tries=MAX_TRIES)
        limits = _limits(guessed, address) if guessed else ()
        await self._guesses.check(limits)
        # A transaction of its own, apart from what relies on the proof: the count of tries stays in any case.
        tried = await self._db.run(try_otp, self._vault, otp_id=otp_id, code=code, purpose=purpose)
        if tried.refusal:
            await self._guesses.count(limits)
        return tried.require()

    async def phone(self, otp_id: UUID, code: str, purpose: str, address: str = "") -> str:
        """Returns the phone number, for a purpose that only numbers have. Raises as `recipient` does."""
        proven = await self.recipient(otp_id, code, purpose, address)
        assert proven.phone, "a constraint keeps e-mail addresses from this purpose"
        return proven.phone


def _limits(recipient: Recipient, address: str) -> CountedLimits:
    each = (PER_RECIPIENT, recipient.phone or recipient.email or "")
    return (each, (PER_ADDRESS, address)) if address else (each,)
