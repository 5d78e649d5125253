"""Statements that write orders together with their stock and limits, or with vouchers in wallets.

Each is one statement for what must not come apart. Those that take or give back stock are run with the
vouchers locked (`lock_vouchers`), in the same transaction: so the stock that they see is the stock there is,
and so are the counts of members and recipients, which nobody changes without that lock.
"""

from __future__ import annotations

from psycopg.sql import SQL

from services.common.set_aside import ORDER, forgetting
from services.vouchers.catalogue import FEW_CODES_LEFT, ON_SALE, POINTS_ALONE, VOUCHERS
from services.vouchers.orders.queries import COLUMNS

_GIVEN = SQL(
    """
    given AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(%(orders)s) AS g (
        place int, id uuid, member_id uuid, key text, voucher_id uuid, quantity int, price_points int,
        amount_minor bigint, currency_code text, method_discount_minor bigint, promo_discount_minor bigint,
        payment_method_id uuid, promo_code_id uuid, pay_until timestamptz, recipient_hash bytea,
        recipient_name text, gift_message text, request_hash bytea
      )
    )
    """
)

# What a member has ordered of a voucher without a limit is counted when it is first asked for, and kept from
# then on; a member's orders are few.
_ORDERED = SQL(
    """
    CASE WHEN vouchers.max_per_member > 0 THEN coalesce(
      (
        SELECT m.ordered FROM voucher_members m
        WHERE m.voucher_id = g.voucher_id AND m.member_id = g.member_id
      ),
      (
        SELECT sum(p.quantity) FROM orders p
        WHERE p.member_id = g.member_id AND p.voucher_id = g.voucher_id
          AND p.state NOT IN ('FAILED', 'CANCELLED', 'REFUNDED')
      ),
      0
    ) END
    """
)
_GIVEN_BEFORE = SQL(
    """
    CASE WHEN vouchers.max_gifts_per_recipient > 0 AND g.recipient_hash IS NOT NULL THEN coalesce(
      (
        SELECT r.given FROM voucher_recipients r
        WHERE r.voucher_id = g.voucher_id AND r.recipient_hash = g.recipient_hash
      ),
      0
    ) END
    """
)

_LEFT = SQL("vouchers.quantity - vouchers.issued")
_POINTS = SQL("coalesce(g.price_points, vouchers.price_points::bigint * g.quantity)")
_PAYABLE = SQL("(g.price_points IS NOT NULL OR {points_alone})").format(points_alone=POINTS_ALONE)

# Each CTE leaves out those that something stands in the way of; the sums are of those that are left, in order
# of arrival. One that wants more than there is keeps those behind it waiting for the next round.
PLACE = SQL(
    """
    WITH {given}, wanting AS (
      SELECT
        g.*, {points} AS points, {left} AS pieces_left, vouchers.max_per_member,
        vouchers.max_gifts_per_recipient, {ordered} AS ordered, {given_before} AS given_before,
        sum(g.quantity) OVER (PARTITION BY g.voucher_id, g.member_id ORDER BY g.place) AS by_member,
        sum(g.quantity) OVER (PARTITION BY g.voucher_id, g.recipient_hash ORDER BY g.place) AS by_recipient
      FROM given g JOIN vouchers ON vouchers.id = g.voucher_id
      WHERE {on_sale} AND {payable} AND {points} <= 2147483647 AND NOT EXISTS (
        SELECT FROM orders k WHERE k.member_id = g.member_id AND k.idempotency_key = g.key
      )
    ), allowed AS (
      SELECT *, sum(quantity) OVER (PARTITION BY voucher_id ORDER BY place) AS pieces
      FROM wanting
      WHERE coalesce(ordered + by_member <= max_per_member, true)
        AND coalesce(given_before + by_recipient <= max_gifts_per_recipient, true)
    ), o AS (
      INSERT INTO orders AS o (
        id, member_id, idempotency_key, voucher_id, price_points, state, deadline_at, quantity,
        currency_code, amount_minor, method_discount_minor, promo_discount_minor, payment_method_id,
        promo_code_id, pay_until, recipient_hash, recipient_name, gift_message, request_hash, steps,
        step_times
      )
      SELECT
        id, member_id, key, voucher_id, points, 'PENDING',
        now() + make_interval(secs => %(lease_seconds)s), quantity, currency_code, amount_minor,
        method_discount_minor, promo_discount_minor, payment_method_id, promo_code_id, pay_until,
        recipient_hash, recipient_name, gift_message, request_hash, ARRAY['PENDING'], ARRAY[now()]
      FROM allowed WHERE pieces <= pieces_left
      ORDER BY member_id, key
      ON CONFLICT (member_id, idempotency_key) DO NOTHING
      RETURNING {columns}
    ), taken AS (
      UPDATE vouchers SET issued = vouchers.issued + n.pieces
      FROM (SELECT voucher_id, sum(quantity) AS pieces FROM o GROUP BY voucher_id) AS n
      WHERE vouchers.id = n.voucher_id
      RETURNING vouchers.id, {few_codes_left} AS few_codes_left
    ), members_counted AS (
      INSERT INTO voucher_members (voucher_id, member_id, ordered)
      SELECT o.voucher_id, o.member_id, max(a.ordered) + sum(o.quantity)
      FROM o JOIN allowed a ON a.id = o.id
      WHERE a.ordered IS NOT NULL
      GROUP BY o.voucher_id, o.member_id
      ON CONFLICT (voucher_id, member_id) DO UPDATE SET ordered = excluded.ordered
    ), recipients_counted AS (
      INSERT INTO voucher_recipients AS r (voucher_id, recipient_hash, given)
      SELECT voucher_id, recipient_hash, sum(quantity) FROM o
      WHERE recipient_hash IS NOT NULL
      GROUP BY voucher_id, recipient_hash
      ON CONFLICT (voucher_id, recipient_hash) DO UPDATE SET given = r.given + excluded.given
    )
    SELECT {columns}, taken.few_codes_left FROM o JOIN taken ON taken.id = o.voucher_id
    """
).format(
    given=_GIVEN,
    points=_POINTS,
    left=_LEFT,
    ordered=_ORDERED,
    given_before=_GIVEN_BEFORE,
    on_sale=ON_SALE,
    payable=_PAYABLE,
    columns=COLUMNS,
    few_codes_left=FEW_CODES_LEFT,
)
"""Places the orders that nothing stands in the way of, and returns them. Needs the vouchers' locks."""

JUDGE = SQL(
    """
    WITH {given}
    SELECT
      g.place, k.id AS order_id, {on_sale} AS on_sale, {payable} AS payable, {points} AS points,
      {left} AS pieces_left, vouchers.max_per_member, {ordered} AS ordered,
      vouchers.max_gifts_per_recipient, {given_before} AS given_before
    FROM given g
    LEFT JOIN vouchers ON vouchers.id = g.voucher_id
    LEFT JOIN orders k ON k.member_id = g.member_id AND k.idempotency_key = g.key
    """
).format(
    given=_GIVEN,
    on_sale=ON_SALE,
    payable=_PAYABLE,
    points=_POINTS,
    left=_LEFT,
    ordered=_ORDERED,
    given_before=_GIVEN_BEFORE,
)
"""Returns what stands in the way of each order, or the order that has its key. Locks nothing."""

_WELL = forgetting(ORDER, "o", "o.id::text")

COMPLETE = SQL(
    """
    WITH given AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(%(pieces)s) AS g (order_id uuid, number int, id uuid, code_id uuid)
    ), o AS (
      UPDATE orders AS o SET
        state = 'COMPLETED', steps = array_append(o.steps, 'COMPLETED'),
        step_times = array_append(o.step_times, clock_timestamp()),
        cancellable_until = CASE WHEN v.cancel_days > 0 THEN now() + v.cancel_days * interval '1 day' END
      FROM {vouchers} v
      WHERE o.id = ANY(%(order_ids)s) AND o.state = 'PENDING' AND v.id = o.voucher_id
      RETURNING {columns}
    ), owned AS (
      INSERT INTO wallet_vouchers (id, order_id, number, voucher_id, member_id, code_id)
      SELECT g.id, o.id, g.number, o.voucher_id, o.member_id, g.code_id
      FROM o JOIN given g ON g.order_id = o.id
      RETURNING id, order_id, number
    ), well AS (
      {well}
    )
    SELECT {columns}, w.ids AS wallet_voucher_ids
    FROM o
    JOIN (SELECT order_id, array_agg(id ORDER BY number) AS ids FROM owned GROUP BY order_id) AS w
      ON w.order_id = o.id
    """
).format(columns=COLUMNS, vouchers=VOUCHERS, well=_WELL)
"""PENDING -> COMPLETED, with vouchers in the wallets; returns those that were pending."""

_END = SQL(
    """
    CASE
      WHEN o.state = 'REFUNDING' THEN 'REFUNDED'
      WHEN o.failure_reason = 'ORDER_CANCELLED' THEN 'CANCELLED'
      ELSE 'FAILED'
    END
    """
)

FAIL = SQL(
    """
    WITH o AS (
      UPDATE orders AS o SET
        state = {end}, steps = array_append(o.steps, {end}),
        step_times = array_append(o.step_times, clock_timestamp())
      WHERE o.id = %(id)s AND o.state IN ('UNDOING', 'REFUNDING')
      RETURNING {columns}
    ), given_back AS (
      UPDATE vouchers SET issued = vouchers.issued - o.quantity FROM o WHERE vouchers.id = o.voucher_id
    ), members_counted AS (
      UPDATE voucher_members AS m SET ordered = m.ordered - o.quantity
      FROM o WHERE m.voucher_id = o.voucher_id AND m.member_id = o.member_id
    ), recipients_counted AS (
      UPDATE voucher_recipients AS r SET given = r.given - o.quantity
      FROM o
      WHERE r.voucher_id = o.voucher_id AND r.recipient_hash = o.recipient_hash AND o.state <> 'REFUNDED'
    ), well AS (
      {well}
    )
    SELECT {columns} FROM o
    """
).format(columns=COLUMNS, end=_END, well=_WELL)
"""UNDOING -> FAILED or CANCELLED, REFUNDING -> REFUNDED: stock and limits get back what was ordered.

What vouchers that were brought count for recipients, their gifts give back. Needs the voucher's lock.
"""
