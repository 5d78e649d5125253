"""What tests of discounts and claims share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.promos.tests.claims_help import Claims
from services.promos.tests.support import Promos
from tests import invariants


@pytest.fixture
async def claims(promos: Promos) -> Claims:
    """A brand of the test's own."""
    return await Claims.of(promos)


@pytest.fixture(autouse=True)
async def claims_consistent(promos: Promos) -> AsyncIterator[None]:
    """After every test, whatever it did: what must never be is not."""
    yield
    await asyncio.to_thread(invariants.check_claims, promos.platform.postgres.url("promos"))
