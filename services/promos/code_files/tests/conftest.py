"""Who looks after codes."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest

from services.common.ids import new_id
from services.promos.tests.files_help import Files
from services.promos.tests.support import Promos
from tests.inprocess import Platform


@dataclass(frozen=True)
class Brand:
    """A brand, and its manager's way to its codes."""

    id: UUID
    files: Files


@pytest.fixture
async def files(promos: Promos, platform: Platform) -> Files:
    """Codes as a manager of the retailer sees them."""
    return Files(promos, await platform.token("manager"))


@pytest.fixture
async def brand(promos: Promos, platform: Platform) -> Brand:
    """A brand."""
    return await _brand(promos, platform)


@pytest.fixture
async def other_brand(promos: Promos, platform: Platform) -> Brand:
    """Another one."""
    return await _brand(promos, platform)


async def _brand(promos: Promos, platform: Platform) -> Brand:
    brand_id = new_id()
    return Brand(brand_id, Files(promos, await platform.brand_manager(brand_id)))
