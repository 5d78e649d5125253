"""What the tests of brands share."""

from __future__ import annotations

import pytest

from services.promos.tests.brands_help import Brands
from services.promos.tests.support import Promos


@pytest.fixture
def brands(promos: Promos) -> Brands:
    """Brands, as the tests speak to them."""
    return Brands(promos)
