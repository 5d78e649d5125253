"""Proving to own a phone number or an e-mail address by a one-time password. Tries are limited."""

from __future__ import annotations

from uuid import UUID

from services.common.db import Database
from services.common.throttle import Limit
from services.identity.accounts import CountedLimits, Guesses, Place, Recipient, id_of_recipient
from services.identity.keys import Vault
from services.identity.otp.commands import MAX_TRIES, try_otp
from services.identity.otp.queries import recipient_to_guess

PER_RECIPIENT = Limit("wrong_otps_per_recipient", 20, 14_400, open_when_away=True)
"""Wrong codes for one recipient, however many one-time passwords are asked for: 120 guesses a
day are one in 8,000. It ends after four hours, because a stranger can cause it.

Without Redis each process counts for itself, and there is little to guess: no one-time password is sent then,
and each has five tries, counted in PostgreSQL.

Those of strangers count together, those from each place that the recipient's account knows apart.
"""


class OtpProof:
    """Tries one-time passwords. What relies on the proof uses the one-time password up (`use_otp`)."""

    def __init__(self, db: Database, vault: Vault, guesses: Guesses) -> None:
        self._db = db
        self._vault = vault
        self._guesses = guesses

    async def recipient(self, otp_id: UUID, code: str, purpose: str, place: Place | None = None) -> Recipient:
        """Returns the phone number or e-mail address that the one-time password was sent to.

        `place` is where the call came from, when that is all that is known of the caller.

        Raises OTP_NOT_VALID, OTP_EXPIRED or OTP_TRIES_EXHAUSTED, and TOO_MANY_REQUESTS after twenty wrong
        codes of strangers for one recipient within four hours, whatever they were for, twenty from a place
        that the recipient's account knows, or a hundred failures from one address within five minutes.
        """
        guessed = await self._db.read(recipient_to_guess, otp_id, purpose, max_tries=MAX_TRIES)
        limits = await self._limits(guessed, place) if guessed else ()
        await self._guesses.check(limits)
        # A transaction of its own, apart from what relies on the proof: the count of tries stays in any case.
        tried = await self._db.run(try_otp, self._vault, otp_id=otp_id, code=code, purpose=purpose)
        if tried.refusal:
            await self._guesses.count(limits)
        return tried.require()

    async def phone(self, otp_id: UUID, code: str, purpose: str, place: Place | None = None) -> str:
        """Returns the phone number, for a purpose that only numbers have. Raises as `recipient` does."""
        proven = await self.recipient(otp_id, code, purpose, place)
        assert proven.phone, "a constraint keeps e-mail addresses from this purpose"
        return proven.phone

    async def _limits(self, recipient: Recipient, place: Place | None) -> CountedLimits:
        strangers = recipient.phone or recipient.email or ""
        if place is None:
            return ((PER_RECIPIENT, strangers),)
        account_id = await self._db.read(id_of_recipient, recipient)
        return await self._guesses.limits(PER_RECIPIENT, strangers, account_id, place)
