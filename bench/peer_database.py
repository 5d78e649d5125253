"""Databases of those that Scrip is compared with, on the same server, made by the services' migrations.

The peer's has the tables of points, vouchers and promos in one place; another has those of points alone.
"""

from __future__ import annotations

from urllib.parse import quote

import psycopg

from bench import codes
from bench.peers.app import SCHEMAS
from bench.world import FACE_VALUE_MINOR, PRICE_POINTS, World
from services.common.migrations import upgrade

DATABASE, ALONE_DATABASE = "bench_peer", "bench_alone"

_VOUCHER = """
INSERT INTO vouchers.vouchers
  (id, title, description, face_value_minor, currency_code, price_points, quantity, sale_starts_at)
VALUES (%(id)s, '$5 off your next purchase', '', %(face_value)s, 'USD', %(price)s, %(stock)s, now())
"""
_CODE_SET = """
INSERT INTO promos.code_sets (id, purpose, amount_off_minor, currency_code, wanted, made)
VALUES (%(id)s, 'VOUCHER', %(face_value)s, 'USD', %(stock)s, %(stock)s)
"""
_CODES = """
INSERT INTO promos.codes (id, code_set_id, code, shuffle, state, uses_allowed)
SELECT gen_random_uuid(), %(id)s, upper(substr(md5(n::text), 1, 12)) || n,
  (random() * 2147483647)::bigint::int, 'READY', 1
FROM generate_series(1, %(stock)s) AS n
"""


def create(server_url: str, world: World, *, stock: int) -> str:
    """Makes it on the same server, with the same members, voucher and number of codes; returns its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    url = server_url.replace("/points?", f"/{DATABASE}?")
    assert url != server_url
    for schema in SCHEMAS:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        # All three have tables of the same name, such as `members`.
        upgrade(schema, f"{url}&options={quote(f'-csearch_path={schema}')}")
    with psycopg.connect(url) as connection:
        values = {
            "id": world.voucher_id,
            "face_value": FACE_VALUE_MINOR,
            "price": PRICE_POINTS,
            "stock": stock,
        }
        for statement in (_VOUCHER, _CODE_SET, _CODES):
            connection.execute(statement, values)
        rows = [(member.code, member.id) for member in world.members]
        connection.cursor().executemany("INSERT INTO points.member_codes VALUES (%s, %s)", rows)
    codes.create(url, world, schema="promos")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return url


def create_alone(server_url: str, world: World) -> str:
    """Makes points' tables with the same members; returns the URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {ALONE_DATABASE}".encode())
    url = server_url.replace("/points?", f"/{ALONE_DATABASE}?")
    assert url != server_url
    upgrade("points", url)
    with psycopg.connect(url) as connection:
        rows = [(member.code, member.id) for member in world.members]
        connection.cursor().executemany("INSERT INTO member_codes VALUES (%s, %s)", rows)
    return url
