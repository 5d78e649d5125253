"""Claiming codes: one statement for many claims, and why those that got no code did not.

It writes claims and codes together, because a code is given exactly when its claim is made.
"""

from __future__ import annotations

from psycopg.sql import SQL

from services.promos.brands import BRAND_NAMES
from services.promos.codes import CODE_SETS, STOCK

_GIVEN = SQL(
    """
    given AS (
      SELECT * FROM unnest(
        %(claim_ids)s::uuid[], %(discount_ids)s::uuid[], %(brand_ids)s::uuid[], %(member_ids)s::uuid[],
        %(keys)s::text[], %(agreed)s::bool[]
      ) WITH ORDINALITY AS g (claim_id, discount_id, brand_id, member_id, idempotency_key, agreed, place)
    )
    """
)
_IN_WINDOW = SQL(
    """
    coalesce(d.starts_at <= now(), true) AND coalesce(now() < d.ends_at, true)
      AND coalesce(now() < s.expires_at, true)
    """
)
"""Whether now is the time to claim the discount `d` with the code set `s`."""

CLAIM = SQL(
    """
    WITH {given}, open AS (
      SELECT d.id, d.brand_id, s.valid_days FROM discounts d JOIN {code_sets} s ON s.id = d.id
      WHERE d.id = ANY(%(discount_ids)s::uuid[]) AND d.state = 'ACTIVE' AND {in_window}
      ORDER BY d.id
      FOR NO KEY UPDATE OF d
    ), wanting AS (
      SELECT g.*, row_number() OVER (PARTITION BY g.discount_id ORDER BY g.place) AS nth
      FROM given g
      JOIN open d ON d.id = g.discount_id AND d.brand_id = g.brand_id
      JOIN {brands} b ON b.id = g.brand_id AND b.published
      LEFT JOIN members m ON m.member_id = g.member_id
      LEFT JOIN member_consents a ON a.member_id = g.member_id
      WHERE coalesce(m.status, 'ACTIVE') = 'ACTIVE' AND (g.agreed OR a.shares_contact)
        AND NOT EXISTS (
          SELECT FROM claims c WHERE c.member_id = g.member_id AND c.discount_id = g.discount_id
        )
        AND NOT EXISTS (
          SELECT FROM claims c WHERE c.member_id = g.member_id AND c.idempotency_key = g.idempotency_key
        )
    ), picked AS (
      SELECT w.discount_id, c.id AS code_id, row_number() OVER (PARTITION BY w.discount_id) AS nth
      FROM (SELECT discount_id, count(*) AS codes FROM wanting GROUP BY discount_id) w
      CROSS JOIN LATERAL (
        SELECT id FROM codes
        WHERE code_set_id = w.discount_id AND state = 'READY' AND shuffle >= %(start)s
        ORDER BY shuffle LIMIT w.codes
        FOR NO KEY UPDATE SKIP LOCKED
      ) c
    ), claimed AS (
      INSERT INTO claims (id, discount_id, brand_id, member_id, code_id, idempotency_key)
      SELECT w.claim_id, w.discount_id, w.brand_id, w.member_id, p.code_id, w.idempotency_key
      FROM wanting w JOIN picked p USING (discount_id, nth)
      ORDER BY w.discount_id, w.member_id
      ON CONFLICT DO NOTHING
      RETURNING id, discount_id, member_id, code_id, claimed_at
    ), taken AS (
      UPDATE codes SET
        state = 'ASSIGNED', owner_member_id = n.member_id, assigned_at = n.claimed_at,
        expires_at = n.claimed_at + interval '1 day' * s.valid_days, version = codes.version + 1
      FROM claimed n JOIN open s ON s.id = n.discount_id
      WHERE codes.id = n.code_id
    ), counted AS (
      UPDATE discounts SET claimed = discounts.claimed + n.claims
      FROM (SELECT discount_id, count(*) AS claims FROM claimed GROUP BY discount_id) n
      WHERE discounts.id = n.discount_id
    )
    SELECT g.place, n.claimed_at FROM claimed n JOIN given g ON g.claim_id = n.id
    """
).format(given=_GIVEN, in_window=_IN_WINDOW, brands=BRAND_NAMES, code_sets=CODE_SETS, stock=STOCK)
"""Gives a ready code to each who may claim one, and returns who got one.

The discounts are locked first, in the order of their ids: whether they are open holds until the commit, and
claims of other processes wait. A code that was picked for a claim which somebody else made meanwhile stays
ready.
"""

JUDGE = SQL(
    """
    WITH {given}, stock AS (
      SELECT
        s.id, s.lacking, s.expires_at,
        EXISTS (SELECT FROM {stock} k WHERE k.code_set_id = s.id) AS ready
      FROM {code_sets} s WHERE s.id = ANY(%(discount_ids)s::uuid[])
    )
    SELECT
      g.place, d.state, coalesce(b.published, false) AS published,
      {in_window} AS in_window,
      own.id AS claim_id, own.idempotency_key = g.idempotency_key AS same_key,
      EXISTS (
        SELECT FROM claims c
        WHERE c.member_id = g.member_id AND c.idempotency_key = g.idempotency_key
          AND c.discount_id <> g.discount_id
      ) AS key_used,
      m.status, g.agreed OR coalesce(a.shares_contact, false) AS agreed, s.ready, s.lacking
    FROM given g
    LEFT JOIN discounts d ON d.id = g.discount_id AND d.brand_id = g.brand_id
    LEFT JOIN {brands} b ON b.id = d.brand_id
    LEFT JOIN stock s ON s.id = d.id
    LEFT JOIN claims own ON own.member_id = g.member_id AND own.discount_id = d.id
    LEFT JOIN members m ON m.member_id = g.member_id
    LEFT JOIN member_consents a ON a.member_id = g.member_id
    """
).format(given=_GIVEN, in_window=_IN_WINDOW, brands=BRAND_NAMES, code_sets=CODE_SETS, stock=STOCK)
"""Returns what stands in the way of each claim, or the claim that was made before."""
