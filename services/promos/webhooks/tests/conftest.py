"""A receiver, and a brand whose webhooks are there for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.promos.tests.support import Promos
from services.promos.tests.webhooks_help import BrandsWebhooks
from tests.receiver import Receiver


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is looked for ten times a second, not once."""
    monkeypatch.setattr("services.common.webhooks.dispatcher._POLL_SECONDS", 0.1)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes all."""
    async with Receiver().listening() as one:
        yield one


@pytest.fixture
async def brand(promos: Promos) -> AsyncIterator[BrandsWebhooks]:
    """The webhooks of a new brand, which sends nothing any more in the end."""
    webhooks = await BrandsWebhooks.of_new_brand(promos)
    yield webhooks
    await promos.execute(
        "UPDATE webhook_endpoints SET deleted_at = now(), slot = NULL, enabled = false"
        " WHERE owner_id = %(id)s AND deleted_at IS NULL",
        id=webhooks.brand_id,
    )
