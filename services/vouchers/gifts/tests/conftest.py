"""What the tests of gifts ask for."""

from __future__ import annotations

import pytest

from services.vouchers.gifts.tests.giving import Giving
from services.vouchers.tests.support import Create, Earn, Order
from tests.inprocess import Platform


@pytest.fixture(scope="session")
def giving(platform: Platform, create: Create, earn: Earn, order: Order) -> Giving:
    """Gifts, as members see them."""
    return Giving(platform, create, earn, order)
