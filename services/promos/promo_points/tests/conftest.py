"""What the tests of promo points share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.common.members import ACTIVE
from services.promos.promo_points.tests.gifts import Gifts
from services.promos.tests.support import Promos
from tests.inprocess import Member, Platform
from tests.waiting import eventually


@pytest.fixture
async def gifts(promos: Promos) -> AsyncIterator[Gifts]:
    """Promos, as staff, members and tills know them. In the end all uses add up."""
    found = Gifts(promos)
    yield found
    await found.assert_adds_up()


@pytest.fixture
async def member(platform: Platform, promos: Promos) -> Member:
    """A member of whom promos knows."""
    made = await platform.member()

    async def known() -> None:
        query = "SELECT status FROM members WHERE member_id = %(id)s"
        assert await promos.value(query, id=made.id) == ACTIVE

    await eventually(known)
    return made
