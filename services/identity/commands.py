"""Commands of identity for operators."""

from __future__ import annotations

import asyncio
import logging
import sys

from services.common.cache import Redis
from services.common.throttle import Throttle
from services.identity.accounts import as_e164
from services.identity.keys import add_signing_key
from services.identity.otp import PER_RECIPIENT
from services.identity.parts import build
from services.identity.settings import Settings

log = logging.getLogger(__name__)


async def rotate_keys(settings: Settings, _: asyncio.Event) -> None:
    """Makes the next signing key now: `python -m services.identity rotate-keys`."""
    async with build(settings) as parts:
        key_id = await parts.db.run(add_signing_key, parts.vault, lead_seconds=settings.key_lead_seconds)
        log.info("key %s signs in %d s", key_id, settings.key_lead_seconds)


async def forgive_guesses(settings: Settings, _: asyncio.Event) -> None:
    """Makes the one-time passwords of a number or an address good again that somebody has guessed at.

    Reads it from standard input, since a command line can be seen by others:
    `python -m services.identity forgive-guesses <<<+14155550100`.
    """
    given = sys.stdin.readline().strip()
    recipient = given.lower() if "@" in given else as_e164(given, settings.default_region)
    if not recipient:
        raise SystemExit("standard input must hold a phone number or an e-mail address")
    async with build(settings) as parts:
        redis = Redis(settings.redis_url, settings.redis_seconds)
        try:
            there = await Throttle(redis, parts.vault.throttle_key).forget(PER_RECIPIENT, recipient)
        finally:
            await redis.close()
    log.info("forgiven" if there else "there was nothing to forgive")
