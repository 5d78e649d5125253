"""What the processes of identity share: its database, its connections, its refusals by constraint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from services.common.db import Database
from services.common.errors import DomainError, invalid_field
from services.identity.keys import SigningKeys, TokenIssuer, Vault
from services.identity.settings import Settings

CONSTRAINTS = {
    "uq_accounts_phone": lambda: DomainError(
        "PHONE_TAKEN", "this phone number has an account; log in instead"
    ),
    "uq_accounts_user_name": lambda: DomainError("USER_NAME_TAKEN", "this user name is taken"),
    "uq_accounts_email": lambda: DomainError("EMAIL_TAKEN", "this e-mail address has an account"),
    "ck_accounts_way_in": lambda: invalid_field("clear", "a way to log in must remain"),
}


def open_database(settings: Settings) -> Database:
    """Identity's own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size, constraints=CONSTRAINTS)


@dataclass(frozen=True)
class Parts:
    """What server, worker and commands share."""

    db: Database
    vault: Vault
    keys: SigningKeys
    issuer: TokenIssuer


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what server and worker share, and closes it in the end."""
    db = open_database(settings)
    vault = Vault(settings.master_key.get_secret_value())
    keys = SigningKeys(db, vault)
    try:
        # A database that is away is waited for beside what is served; nothing is signed before.
        with suppress(DomainError):
            await keys.refresh()
        yield Parts(db, vault, keys, TokenIssuer(keys))
    finally:
        await db.close()
