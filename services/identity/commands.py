"""Commands of identity for operators."""

from __future__ import annotations

import asyncio
import logging

from services.identity.keys import add_signing_key
from services.identity.parts import build
from services.identity.settings import Settings

log = logging.getLogger(__name__)


async def rotate_keys(settings: Settings, _: asyncio.Event) -> None:
    """Makes the next signing key now: `python -m services.identity rotate-keys`."""
    async with build(settings) as parts:
        key_id = await parts.db.run(add_signing_key, parts.vault, lead_seconds=settings.key_lead_seconds)
        log.info("key %s signs in %d s", key_id, settings.key_lead_seconds)
