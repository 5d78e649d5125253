"""Redeeming the codes of a basket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first, fetch_value
from services.promos.baskets import refusals
from services.promos.baskets.queries import RedeemedBasket, find_redeemed_basket
from services.promos.baskets.sales import Sale
from services.promos.codes import CANCELLED_REDEMPTIONS, NewRedemption, redeem_all


async def redeem_basket(
    connection: Connection,
    sale: Sale,
    redemptions: Sequence[NewRedemption],
    *,
    fingerprint: bytes,
    reply: bytes,
    first_purchases: Mapping[UUID, Mapping[UUID, UUID]],
) -> RedeemedBasket:
    """Redeems all of these codes for a sale, or none, once; returns the reply to it, the same ever after.

    `first_purchases` are the redemptions of codes that are for a first purchase alone: for each member, the
    redemption's id by the code's. The claim of the sale comes first: a repetition beside it waits there for
    what becomes of it.

    Raises what `redeem_all` and `find_redeemed_basket` raise, and NOT_FIRST_PURCHASE.
    """
    claimed = await fetch_first(
        connection,
        RedeemedBasket,
        """
        INSERT INTO redeemed_baskets
          (caller_id, till_number, sale_reference, fingerprint, redemption_ids, reply)
        VALUES (
          %(caller_id)s, %(till_number)s, %(sale_reference)s, %(fingerprint)s, %(redemption_ids)s, %(reply)s
        )
        ON CONFLICT DO NOTHING
        RETURNING reply, redeemed_at
        """,
        **sale._asdict(),
        fingerprint=fingerprint,
        redemption_ids=[new.id for new in redemptions],
        reply=reply,
    )
    if claimed is None:
        kept = await find_redeemed_basket(connection, sale, fingerprint)
        assert kept is not None, "what stood in the way is there"
        return kept
    rows = await redeem_all(connection, redemptions)
    assert [row.id for row in rows] == [new.id for new in redemptions], "a new sale has new redemptions"
    for member_id, by_code in sorted(first_purchases.items()):
        await _claim_first_purchase(connection, member_id, by_code)
    return claimed


_CLAIM = SQL(
    """
    INSERT INTO first_purchases AS f (member_id, redemption_ids)
    VALUES (%(member_id)s, %(redemption_ids)s)
    ON CONFLICT (member_id) DO UPDATE SET redemption_ids = excluded.redemption_ids
    WHERE (SELECT count(*) FROM {cancelled} c WHERE c.id = ANY(f.redemption_ids))
      = cardinality(f.redemption_ids)
    RETURNING true
    """
).format(cancelled=CANCELLED_REDEMPTIONS)
"""It counts what was cancelled, never what stands: the redemptions of a sale that commits while this waits
for its row are not seen yet, and so are taken as standing."""


async def _claim_first_purchase(
    connection: Connection, member_id: UUID, by_code: Mapping[UUID, UUID]
) -> None:
    """Makes this sale the member's first purchase. Raises NOT_FIRST_PURCHASE when another one is."""
    claimed = await fetch_value(
        connection, _CLAIM, member_id=member_id, redemption_ids=list(by_code.values())
    )
    if not claimed:
        raise refusals.not_first_purchase(next(iter(by_code)))
