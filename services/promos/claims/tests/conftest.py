"""What tests of discounts and claims share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.common.db import fetch_values
from services.promos.tests.claims_help import BROKEN, Claims
from services.promos.tests.support import Promos


@pytest.fixture
async def claims(promos: Promos) -> Claims:
    """A brand of the test's own."""
    return await Claims.of(promos)


@pytest.fixture(autouse=True)
async def claims_consistent(promos: Promos) -> AsyncIterator[None]:
    """After every test, whatever it did: what must never be is not."""
    yield
    for fault, query in BROKEN.items():
        assert await promos.db.read(fetch_values, query) == [], fault
