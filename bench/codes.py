"""Codes that members own, the same at Scrip and at the peer, which bear any number of redemptions."""

from __future__ import annotations

import psycopg

from bench.filling import unindexed
from bench.world import World

CODES = 20_000

_SET = """
INSERT INTO code_sets (id, purpose, amount_off_minor, currency_code, uses_allowed)
VALUES (%(set)s, 'CAMPAIGN', 500, 'USD', 1000000)
"""
_CODES = """
INSERT INTO codes (id, code_set_id, code, shuffle, state, uses_allowed, owner_member_id, assigned_at)
SELECT gen_random_uuid(), %(set)s, lpad(n::text, 12, '0'), 0, 'ASSIGNED', 1000000,
  (%(owners)s::uuid[])[1 + n %% cardinality(%(owners)s::uuid[])], now()
FROM generate_series(0, %(codes)s - 1) AS n
"""
_OTHERS = """
INSERT INTO codes (id, code_set_id, code, shuffle, state, uses_allowed, owner_member_id, assigned_at)
SELECT uuidv7(), %(set)s, upper(substr(md5(n::text), 1, 16)), 0, 'ASSIGNED', 1,
  (%(owners)s::uuid[])[1 + n %% cardinality(%(owners)s::uuid[])], now()
FROM generate_series(%(first)s, %(end)s - 1) AS n
"""
_AT_ONCE = 500_000
_SET_ID = "00000000-0000-7000-8000-00000000c0de"


def code_text(number: int) -> str:
    """Returns what the till scans of the code of this number, from 0."""
    return f"{number:012d}"


def create(url: str, world: World, *, schema: str = "public", others: int = 0) -> None:
    """Makes them, and so many others that nobody brings, spread among them."""
    values = {"set": _SET_ID, "owners": [member.id for member in world.members], "codes": CODES}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET search_path = {schema}".encode())
        connection.execute(_SET, values)
        if not others:
            connection.execute(_CODES, values)
        else:
            connection.execute("SET synchronous_commit = off")
            with unindexed(connection, "codes"):
                step = min(_AT_ONCE, others)
                for first in range(0, others, step):
                    if first == others // 2 // step * step:
                        connection.execute(_CODES, values)
                    connection.execute(_OTHERS, values | {"first": first, "end": min(others, first + step)})
        connection.execute("VACUUM ANALYZE codes")
