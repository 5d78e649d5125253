"""Proving who one is, by one-time password or by password, before anything is done. Tries are limited."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.common.errors import DomainError
from services.common.legacy_db import Database
from services.common.throttle import Limit, Throttle
from services.identity.keys.secrets_at_rest import Vault, hash_secret
from services.identity.logins import queries as accounts
from services.identity.logins.commands.log_in import renew_hash
from services.identity.logins.queries import AccountRow
from services.identity.members.phones import as_e164
from services.identity.otp import queries as otps
from services.identity.otp.commands.try_otp import MAX_TRIES, try_otp
from services.identity.otp.recipients import Recipient
from services.identity.passwords.passwords import Passwords
from services.identity.tills import queries as clients

log = logging.getLogger(__name__)

_PER_ACCOUNT = Limit("failed_log_ins_per_account", 10, 300, open_when_away=True)
_PER_ADDRESS = Limit("failed_log_ins_per_address", 100, 300, open_when_away=True)
_PER_CLIENT = Limit("failed_tokens_per_client", 20, 300, open_when_away=True)
_PER_RECIPIENT = Limit("wrong_otps_per_recipient", 20, 14_400, open_when_away=True)
"""Without Redis each process counts for itself: staff must get in to mend things, and guessers must not.

Of one-time passwords there is little to guess then: none is sent, and each has five tries, counted in
PostgreSQL. This limit is for who asks for one after the other, all day long: 120 guesses a day are one in
8,000. It ends after four hours, for a stranger can bring it about.
"""

Limits = Sequence[tuple[Limit, str]]


class Proof:
    """Finds out who somebody is."""

    def __init__(
        self, db: Database, vault: Vault, passwords: Passwords, throttle: Throttle, default_region: str
    ) -> None:
        self._db = db
        self._vault = vault
        self._passwords = passwords
        self._throttle = throttle
        self._default_region = default_region

    async def recipient(self, otp_id: UUID, code: str, purpose: str, address: str = "") -> Recipient:
        """The phone number or e-mail address that the one-time password was sent to.

        `address` is where the call came from, when that is all that is known of the caller.

        Raises OTP_NOT_VALID, OTP_EXPIRED or OTP_TRIES_EXHAUSTED, and TOO_MANY_REQUESTS after twenty wrong
        codes for one recipient within four hours, whatever they were for, or a hundred failures from one
        address within five minutes.
        """
        guessed = await self._db.read(otps.recipient_to_guess, otp_id, purpose, max_tries=MAX_TRIES)
        limits = _otp_limits(guessed, address) if guessed else ()
        await self._check(limits)
        tried = await self._db.run(try_otp, self._vault, otp_id=otp_id, code=code, purpose=purpose)
        if tried.refusal:
            await self._hit(limits)
        return tried.require()

    async def phone(self, otp_id: UUID, code: str, purpose: str, address: str = "") -> str:
        """The phone number, for a purpose that only numbers have. Raises as `recipient` does."""
        proven = await self.recipient(otp_id, code, purpose, address)
        assert proven.phone, "a constraint keeps e-mail addresses from this purpose"
        return proven.phone

    async def account(self, name: str, password: str, address: str) -> AccountRow:
        """The account with this user name, e-mail address or phone number, and this password.

        Raises CREDENTIALS_NOT_VALID, and TOO_MANY_REQUESTS after ten failures for one account, by whichever
        of its names, or for one name that nobody has, or a hundred from one address within five minutes.
        """
        phone = None if _is_written_name(name) else as_e164(name, self._default_region)
        name = name.lower()  # once for both: what is looked up is what is counted
        account = await self._db.read(accounts.find_account, name, phone)
        limits = ((_PER_ACCOUNT, str(account.id) if account else phone or name), (_PER_ADDRESS, address))
        await self._check(limits)
        await self._require(account.password_hash if account else None, password, limits)
        assert account, "nobody has no password"
        return await self._renewed(account, password)

    async def _renewed(self, proven: AccountRow, password: str) -> AccountRow:
        """The account, with a hash at the present cost when it had another and nobody waits for a turn.

        An unknown name takes the present cost. As long as a hash has another one, the time that a wrong
        password takes tells that its name exists.
        """
        assert proven.password_hash, "it was verified"
        try:
            new = await self._passwords.renew(proven.password_hash, password)
            if new is None:
                return proven
            kept = await self._db.run(renew_hash, proven=proven, password_hash=new)
        except Exception:  # the password is right, and the old hash serves as well
            log.exception("a password's hash could not be renewed")
            return proven
        if kept:
            return replace(proven, password_hash=new)
        # Another login was first, or the password was changed: what is kept now decides.
        return await self.password_of(proven.id, password)

    async def password_of(self, account_id: UUID, password: str) -> AccountRow:
        """The account, if this is its password. Raises as `account` does, and PASSWORD_NOT_SET."""
        limits = ((_PER_ACCOUNT, str(account_id)),)
        await self._check(limits)
        account = await self._db.read(accounts.get_account, account_id)
        if account.password_hash is None:
            raise DomainError("PASSWORD_NOT_SET", "the account has no password; set one by OTP")
        await self._require(account.password_hash, password, limits)
        return account

    async def _require(self, kept: str | None, password: str, limits: Limits) -> None:
        async with self._passwords.turn():
            await self._check(limits)
            if not await self._passwords.verify(kept, password):
                await self._hit(limits)
                raise _not_valid()

    async def _hit(self, limits: Limits) -> None:
        for limit, key in limits:
            await self._throttle.hit(limit, key)

    async def _check(self, limits: Limits) -> None:
        for limit, key in limits:
            await self._throttle.check(limit, key)

    async def client(self, client_id: str, secret: str) -> UUID:
        """The till, however its id is spelled, if this is one of its secrets.

        Raises CREDENTIALS_NOT_VALID, and TOO_MANY_REQUESTS after twenty failures within five minutes. The
        right secret is good at any time: nobody guesses 256 random bits, and whoever knows a till's id must
        not be able to keep it from selling.
        """
        try:
            till = UUID(client_id)
        except ValueError:
            raise _not_valid() from None
        kept = await self._db.read(clients.client_secret_hashes, till)
        given = hash_secret(secret)
        if not any(hmac.compare_digest(one, given) for one in kept):
            await self._throttle.hit(_PER_CLIENT, str(till))
            raise _not_valid()
        return till


def _otp_limits(recipient: Recipient, address: str) -> Limits:
    each = (_PER_RECIPIENT, recipient.phone or recipient.email or "")
    return (each, (_PER_ADDRESS, address)) if address else (each,)


def _is_written_name(name: str) -> bool:
    """Whether it is a user name or an e-mail address, though a phone number may be in it: `tom4155550100`."""
    return "@" in name or name[:1].isalpha()


def _not_valid() -> DomainError:
    return DomainError("CREDENTIALS_NOT_VALID", "name or secret is wrong")
