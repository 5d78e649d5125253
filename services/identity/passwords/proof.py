"""Proving to know an account's password. Tries are limited."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from services.common.db import Database
from services.common.errors import DomainError
from services.common.throttle import Limit
from services.identity.accounts import (
    AccountRow,
    CountedLimits,
    Guesses,
    Place,
    as_e164,
    credentials_not_valid,
    current_password_not_valid,
    find_account,
    get_account,
    replace_password_hash,
)
from services.identity.passwords.hashing import Passwords

log = logging.getLogger(__name__)

PER_ACCOUNT = Limit("failed_log_ins_per_account", 10, 300, open_when_away=True)
"""Wrong passwords for one account, whichever of its names was given, within five minutes.

Those of strangers count together, those from each place that the account knows apart, and so do those of who
is logged in.
"""


class PasswordProof:
    """Verifies passwords of accounts."""

    def __init__(self, db: Database, passwords: Passwords, guesses: Guesses, default_region: str) -> None:
        self._db = db
        self._passwords = passwords
        self._guesses = guesses
        self._default_region = default_region

    async def account(self, name: str, password: str, place: Place) -> AccountRow:
        """Returns the account with this user name, e-mail address or phone number, and this password.

        Raises CREDENTIALS_NOT_VALID, and TOO_MANY_REQUESTS after ten failures of strangers for one account,
        by whichever of its names, or for one name that nobody has, after ten from a place that the account
        knows, or a hundred from one address within five minutes.
        """
        phone = None if _is_written_name(name) else as_e164(name, self._default_region)
        name = name.lower()  # once for both: what is looked up is what is counted
        account = await self._db.read(find_account, name, phone)
        account_id = account.id if account else None
        limits = await self._guesses.limits(PER_ACCOUNT, str(account_id or phone or name), account_id, place)
        await self._guesses.check(limits)
        await self._require(account, password, limits, credentials_not_valid)
        assert account, "nobody has no password"
        return await self._with_present_hash(account, password, limits)

    async def password_of(self, account_id: UUID, password: str) -> AccountRow:
        """Returns the account of somebody who is logged in, if this is its password.

        Raises CURRENT_PASSWORD_NOT_VALID, PASSWORD_NOT_SET, and TOO_MANY_REQUESTS after ten failures within
        five minutes.
        """
        limits = ((PER_ACCOUNT, f"{account_id}:logged in"),)
        await self._guesses.check(limits)
        account = await self._db.read(get_account, account_id)
        if account.password_hash is None:
            raise DomainError("PASSWORD_NOT_SET", "the account has no password; set one by OTP")
        await self._require(account, password, limits, current_password_not_valid)
        return account

    async def _with_present_hash(
        self, proven: AccountRow, password: str, limits: CountedLimits
    ) -> AccountRow:
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
        account = await self._db.read(get_account, proven.id)
        await self._require(account, password, limits, credentials_not_valid)
        return account

    async def _require(
        self,
        account: AccountRow | None,
        password: str,
        limits: CountedLimits,
        refusal: Callable[[], DomainError],
    ) -> None:
        async with self._passwords.turn():
            await self._guesses.check(limits)
            if not await self._passwords.verify(account.password_hash if account else None, password):
                await self._guesses.count(limits)
                raise refusal()


def _is_written_name(name: str) -> bool:
    """Returns whether it is a user name or e-mail address, though it may hold digits: `tom4155550100`."""
    return "@" in name or name[:1].isalpha()
