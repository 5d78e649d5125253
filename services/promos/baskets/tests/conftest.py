"""What must hold after each test of baskets, and BasketService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import LiteralString

import pytest

from services.common.db import fetch_values
from services.promos.tests.baskets_help import Baskets
from services.promos.tests.support import Promos

_BROKEN: dict[str, LiteralString] = {
    "a redeemed basket lacks a redemption, or has one of another sale": """
        SELECT b.sale_reference FROM redeemed_baskets b
        WHERE cardinality(b.redemption_ids) <> (
          SELECT count(*) FROM redemptions r
          WHERE r.id = ANY(b.redemption_ids) AND r.basket_hash = b.fingerprint
            AND (r.caller_id, r.till_number, r.sale_reference)
              = (b.caller_id, b.till_number, b.sale_reference)
        )
        """,
    "a redemption with a basket is of none that was redeemed": """
        SELECT r.id FROM redemptions r
        WHERE r.basket_hash IS NOT NULL AND NOT EXISTS (
          SELECT FROM redeemed_baskets b
          WHERE b.caller_id = r.caller_id AND b.till_number = r.till_number
            AND b.sale_reference = r.sale_reference AND r.id = ANY(b.redemption_ids)
        )
        """,
    "a member has first purchases that stand for two sales": """
        SELECT r.member_id FROM redemptions r JOIN code_sets s ON s.id = r.code_set_id
        WHERE s.first_purchase_only AND r.cancelled_at IS NULL AND r.basket_hash IS NOT NULL
        GROUP BY r.member_id
        HAVING count(DISTINCT (r.caller_id, r.till_number, r.sale_reference)) > 1
        """,
}


@pytest.fixture
def baskets(promos: Promos) -> Baskets:
    """BasketService."""
    return Baskets(promos)


@pytest.fixture(autouse=True)
async def baskets_consistent(promos: Promos) -> AsyncIterator[None]:
    """After every test, whatever it did: what must never be is not."""
    yield
    for fault, query in _BROKEN.items():
        assert await promos.db.read(fetch_values, query) == [], fault
