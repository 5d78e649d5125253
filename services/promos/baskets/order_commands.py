"""The promo codes of orders: redeemed once for each, and given back once."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.common.db import Connection, fetch_value
from services.promos.baskets import refusals
from services.promos.baskets.commands import redeem_basket
from services.promos.baskets.queries import find_redeemed_basket
from services.promos.baskets.sales import ORDERS, of_order
from services.promos.codes import NewRedemption, cancel_redemption


async def is_redeemed(connection: Connection, order_id: UUID, fingerprint: bytes) -> bool:
    """Returns whether the order's promo code was redeemed before.

    Raises ORDER_UNDONE when it was given back, and what `find_redeemed_basket` raises.
    """
    state = await fetch_value(
        connection, "SELECT state FROM redeemed_orders WHERE order_id = %(order_id)s", order_id=order_id
    )
    if state == "GIVEN_BACK":
        raise refusals.order_undone(order_id)
    return await find_redeemed_basket(connection, of_order(order_id), fingerprint) is not None


async def redeem_order_code(
    connection: Connection,
    order_id: UUID,
    new: NewRedemption,
    *,
    fingerprint: bytes,
    first_purchases: Mapping[UUID, Mapping[UUID, UUID]],
) -> None:
    """Redeems a code for an order, once.

    The claim of the order comes first: a repetition beside it, and what undoes the order, wait there for
    what becomes of it. Raises what `is_redeemed` and `redeem_basket` raise.
    """
    claimed = await fetch_value(
        connection,
        """
        INSERT INTO redeemed_orders (order_id, state, redemption_id)
        VALUES (%(order_id)s, 'REDEEMED', %(redemption_id)s)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        order_id=order_id,
        redemption_id=new.id,
    )
    if not claimed:
        assert await is_redeemed(connection, order_id, fingerprint), "what stood in the way is there"
        return
    await redeem_basket(
        connection,
        of_order(order_id),
        [new],
        fingerprint=fingerprint,
        reply=b"",
        first_purchases=first_purchases,
    )


async def give_back_order_code(connection: Connection, order_id: UUID) -> None:
    """Gives the use back that an order has, and refuses the order for ever, known or not.

    A repetition does nothing. A use that staff gave back before is left as it is.
    """
    redemption_id: UUID | None = await fetch_value(
        connection,
        """
        INSERT INTO redeemed_orders AS o (order_id, state, given_back_at)
        VALUES (%(order_id)s, 'GIVEN_BACK', now())
        ON CONFLICT (order_id) DO UPDATE SET state = 'GIVEN_BACK', given_back_at = now()
        WHERE o.state = 'REDEEMED'
        RETURNING redemption_id
        """,
        order_id=order_id,
    )
    if redemption_id is not None:
        await cancel_redemption(connection, actor=ORDERS, redemption_id=redemption_id)
