"""Proving to know an account's password. Tries are limited."""

from __future__ import annotations

import logging
from dataclasses import replace
from uuid import UUID

from services.common.db import Database
from services.common.errors import DomainError
from services.common.throttle import Limit
from services.identity.accounts import (
    PER_ADDRESS,
    AccountRow,
    CountedLimits,
    Guesses,
    as_e164,
    credentials_not_valid,
    find_account,
    get_account,
    replace_password_hash,
)
from services.identity.passwords.hashing import Passwords

log = logging.getLogger(__name__)

PER_ACCOUNT = Limit("failed_log_ins_per_account", 10, 300, open_when_away=True)
"""Wrong passwords for one account, whichever of its names was given, within five minutes."""


class PasswordProof:
    """Verifies passwords of accounts."""

    def __init__(self, db: Database, passwords: Passwords, guesses: Guesses, default_region: str) -> None:
        self._db = db
        self._passwords = passwords
        self._guesses = guesses
        self._default_region = default_region

    async def account(self, name: str, password: str, address: str) -> AccountRow:
        """Returns the account with this user name, e-mail address or phone number, and this password.

        Raises CREDENTIALS_NOT_VALID, and TOO_MANY_REQUESTS after ten failures for one account, by whichever
        of its names, or for one name that nobody has, or a hundred from one address within five minutes.
        """
        phone = None if _is_written_name(name) else as_e164(name, self._default_region)
        name = name.lower()  # once for both: what is looked up is what is counted
        account = await self._db.read(find_account, name, phone)
        limits = ((PER_ACCOUNT, str(account.id) if account else phone or name), (PER_ADDRESS, address))
        await self._guesses.check(limits)
        await self._require(account.password_hash if account else None, password, limits)
        assert account, "nobody has no password"
        return await self._with_present_hash(account, password)

    async def password_of(self, account_id: UUID, password: str) -> AccountRow:
        """Returns the account, if this is its password. Raises as `account` does, and PASSWORD_NOT_SET."""
        limits = ((PER_ACCOUNT, str(account_id)),)
        await self._guesses.check(limits)
        account = await self._db.read(get_account, account_id)
        if account.password_hash is None:
            raise DomainError("PASSWORD_NOT_SET", "the account has no password; set one by OTP")
        await self._require(account.password_hash, password, limits)
        return account

    async def _with_present_hash(self, proven: AccountRow, password: str) -> AccountRow:
        """Returns the account, with a hash at the present cost if it had another and no other work waits.

        An unknown name takes the present cost. As long as a hash has another one, the time that a wrong
        password takes reveals that its name exists.
        """
        assert proven.password_hash, "it was verified"
        try:
            new = await self._passwords.renew(proven.password_hash, password)
            if new is None:
                return proven
            kept = await self._db.run(replace_password_hash, proven.id, old=proven.password_hash, new=new)
        except Exception:  # the password is right, and the old hash serves as well
            log.exception("a password's hash could not be renewed")
            return proven
        if kept:
            return replace(proven, password_hash=new)
        # Another login was first, or the password was changed: what is kept now decides.
        return await self.password_of(proven.id, password)

    async def _require(self, kept: str | None, password: str, limits: CountedLimits) -> None:
        async with self._passwords.turn():
            await self._guesses.check(limits)
            if not await self._passwords.verify(kept, password):
                await self._guesses.count(limits)
                raise credentials_not_valid()


def _is_written_name(name: str) -> bool:
    """Returns whether it is a user name or e-mail address, though it may hold digits: `tom4155550100`."""
    return "@" in name or name[:1].isalpha()
