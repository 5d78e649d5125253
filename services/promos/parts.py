"""What the processes of promos share: its database, its connections, its refusals by constraint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.channels import Peers
from services.common.db import Database
from services.common.errors import invalid_field
from services.common.sealing import Sealer, parse_key
from services.promos.brands.refusals import too_many_stores
from services.promos.settings import Settings

CONSTRAINTS = {
    "ck_brands_stores_within_limit": too_many_stores,
    "ck_campaigns_window": lambda: invalid_field("ends_at", "must lie after starts_at"),
    "ck_code_sets_amount_off_positive": lambda: invalid_field(
        "benefit.amount_off.amount_minor", "must be more than nothing"
    ),
}


def open_database(settings: Settings) -> Database:
    """Opens promos' own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size, constraints=CONSTRAINTS)


@dataclass(frozen=True)
class Parts:
    """What server and worker share."""

    db: Database
    peers: Peers
    sealer: Sealer
    """Encrypts the secrets of webhooks."""


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what server and worker share, and closes it in the end."""
    key = parse_key(settings.webhook_key.get_secret_value(), setting="SCRIP_WEBHOOK_KEY")
    db, peers = open_database(settings), Peers("promos", settings)
    try:
        yield Parts(db, peers, Sealer(key, b"webhooks"))
    finally:
        await peers.close()
        await db.close()
