"""Orders that lie in vouchers' tables from before: each completed, with its voucher in a wallet."""

from __future__ import annotations

import psycopg

from bench.filling import unindexed
from bench.world import World

_MANY_MEMBERS = 1_000_000
_AT_ONCE = 500_000

# Those of the world's members have some as well, so that what is measured meets rows of its own.
_ORDERS = """
CREATE TEMP TABLE given AS
SELECT uuidv7() AS id, n,
  CASE WHEN n %% 100 = 0 THEN (%(members)s::uuid[])[1 + n / 100 %% cardinality(%(members)s::uuid[])]
    ELSE md5((n %% %(many)s)::text)::uuid END AS member_id,
  now() - interval '2 years' + n * interval '5 s' AS at
FROM generate_series(%(first)s, %(end)s - 1) AS n
"""
_FILL = """
INSERT INTO orders (id, member_id, idempotency_key, voucher_id, price_points, state, placed_at, deadline_at,
    steps, step_times)
  SELECT id, member_id, 'before-' || n, '{voucher}', 500, 'COMPLETED', at, at,
    ARRAY['PENDING', 'COMPLETED'], ARRAY[at, at] FROM given;
INSERT INTO wallet_vouchers (id, order_id, voucher_id, member_id, code_id, acquired_at)
  SELECT uuidv7(), id, '{voucher}', member_id, uuidv7(), at FROM given;
DROP TABLE given;
"""


def fill(url: str, world: World, count: int) -> None:
    """Makes so many, of the world's voucher, which has as many pieces more."""
    if not count:
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(
            """
            UPDATE vouchers SET quantity = quantity + %(count)s, issued = issued + %(count)s
            WHERE id = %(id)s
            """,
            {"count": count, "id": world.voucher_id},
        )
        with unindexed(connection, "orders", "wallet_vouchers"):
            for first in range(0, count, _AT_ONCE):
                connection.execute(
                    _ORDERS,
                    {
                        "members": [member.id for member in world.members],
                        "many": _MANY_MEMBERS,
                        "first": first,
                        "end": min(count, first + _AT_ONCE),
                    },
                )
                connection.execute(_FILL.format(voucher=world.voucher_id).encode())
        connection.execute("VACUUM ANALYZE")
