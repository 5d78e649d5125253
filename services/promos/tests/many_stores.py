"""A hundred thousand stores, as a country has them, for tests of plans and for the benchmark."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.multirange import Int4Multirange
from psycopg.types.range import Range

from services.common.words import errors_forgiven, key, name_terms, remainders, text_terms, words

CATEGORIES = (
    "Bakeries",
    "Books",
    "Cafés",
    "Electronics",
    "Fashion",
    "Flowers",
    "Pharmacies",
    "Shoes",
    "Toys",
)
_KINDS = (
    "Bakery",
    "Books",
    "Café",
    "Electronics",
    "Fashion",
    "Flowers",
    "Pharmacy",
    "Shoes",
    "Toys",
    "Corner",
)
_STREETS = ("Main Street", "Station Road", "Market Square", "Old Mill Lane", "Church Street", "Park Avenue")
_SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstv" for vowel in "aeiou"]
_HOURS = Int4Multirange([Range(day * 1440 + 540, day * 1440 + 1110) for day in range(6)])
_START = datetime(2026, 1, 1, tzinfo=UTC)
_STORE_COLUMNS = """
    id, brand_id, name, name_key, address_line, city, postal_code, country, latitude, longitude, time_zone,
    open_minutes, hours_id, phone, created_at, published, category, own_terms, brand_terms
"""


def fill(url: str, count: int, *, brands: int = 200) -> Sequence[UUID]:
    """Makes so many stores of so many published brands; returns the ids of the brands.

    A third of the stores have one word in common, and half of them lie in ten cities. The same count makes
    the same stores.
    """
    random_of = random.Random(count)
    cities = [_City(random_of) for _ in range(400)]
    names = [f"{_word(random_of)} {random_of.choice(_KINDS)}" for _ in range(brands)]
    ids = [UUID(int=random_of.getrandbits(128), version=4) for _ in names]
    known: set[str] = set()
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY brands (id, name, name_key, description, category, website, state, stores) FROM STDIN"
        ) as copy:
            for number, (brand_id, name) in enumerate(zip(ids, names, strict=True)):
                category = CATEGORIES[number % len(CATEGORIES)]
                copy.write_row((brand_id, name, key(name), "", category, "", "PUBLISHED", count // brands))
        terms = [name_terms(name) for name in names]
        hours_id = _keep_hours(cursor)
        cursor.execute("DROP INDEX ix_stores_terms")  # which is made faster than filled
        with cursor.copy(f"COPY stores ({_STORE_COLUMNS}) FROM STDIN") as copy:
            for number in range(count):
                city = random_of.choice(cities[:10]) if number % 2 else random_of.choice(cities)
                brand = number % brands
                name = " ".join(
                    (_word(random_of), random_of.choice(_KINDS), *(["Store"] * (number % 3 == 0)))
                )
                line = f"{random_of.choice(_STREETS)} {random_of.randrange(200)}"
                known.update(words(f"{name} {line} {city.name} {names[brand]}"))
                copy.write_row(
                    (
                        UUID(int=random_of.getrandbits(128), version=4),
                        ids[brand],
                        name,
                        key(name),
                        line,
                        city.name,
                        city.postal_code,
                        "DE",
                        city.latitude + random_of.gauss(0, 0.05),
                        city.longitude + random_of.gauss(0, 0.08),
                        "Europe/Berlin",
                        _HOURS,
                        hours_id,
                        "",
                        _START + timedelta(minutes=number),
                        True,
                        CATEGORIES[brand % len(CATEGORIES)],
                        list(
                            dict.fromkeys([*name_terms(name), *text_terms(line, city.name, city.postal_code)])
                        ),
                        terms[brand],
                    )
                )
        with cursor.copy("COPY search_words FROM STDIN") as copy:
            for word in known:
                if errors_forgiven(word):
                    copy.write_row((word, remainders(word)))
        cursor.execute("SET maintenance_work_mem = '256MB'")
        cursor.execute("CREATE INDEX ix_stores_terms ON stores USING gin (terms) WITH (fastupdate = off)")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return ids


def _keep_hours(cursor: psycopg.Cursor[Any]) -> int:
    found = cursor.execute(
        "INSERT INTO opening_hours (time_zone, open_minutes) VALUES ('Europe/Berlin', %s) RETURNING id",
        [_HOURS],
    ).fetchone()
    assert found, "the statement returns a row"
    return int(found[0])


class _City:
    def __init__(self, random_of: random.Random) -> None:
        self.name = f"{_word(random_of)}burg"
        self.postal_code = f"{random_of.randrange(10_000, 99_999)}"
        self.latitude, self.longitude = random_of.uniform(47.5, 54.5), random_of.uniform(6.5, 14.5)


def _word(random_of: random.Random) -> str:
    return "".join(random_of.choice(_SYLLABLES) for _ in range(random_of.randrange(2, 5))).title()
