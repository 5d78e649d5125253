"""A large catalogue: vouchers on sale that nobody orders, and which of them are looked at."""

from __future__ import annotations

import psycopg

from services.common.words import words

VOUCHERS, HOT = 100_000, 200
"""How many there are, and how many of them everybody looks at."""
PAGE = 20

_VOUCHERS = """
INSERT INTO vouchers (
  id, title, description, face_value_minor, currency_code, price_points, quantity, sale_starts_at, created_at,
  words
)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'Voucher ' || n, %(description)s, 100 + n %% 5000, 'USD',
  100 + n %% 5000, 1000, now() - interval '1 day', now() - n * interval '1 second',
  array_to_tsvector(%(words)s::text[] || ARRAY['voucher', n::text])
FROM generate_series(1, %(vouchers)s) AS n
"""
_DESCRIPTION = "Off your next purchase in every store, online too. Not for gift cards."


def voucher_id(number: int) -> str:
    """Returns the id of one of those that everybody looks at; numbers go round."""
    return f"00000000-0000-0000-0000-{1 + number % HOT:012x}"


def create(url: str) -> None:
    """Makes them."""
    with psycopg.connect(url, autocommit=True) as connection:
        values = {"vouchers": VOUCHERS, "description": _DESCRIPTION, "words": words(_DESCRIPTION)}
        connection.execute(_VOUCHERS, values)
        connection.execute("VACUUM ANALYZE vouchers")
