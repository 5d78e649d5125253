"""Reads of stores, one by one and as staff list them; how they are found is in `search`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL, Composed
from psycopg.types.multirange import Multirange

from services.common.db import Connection, fetch_first, fetch_value
from services.common.errors import invalid_field
from services.common.lists import Listing, SortKey, parse_moment, parse_text
from services.promos.brands.refusals import store_not_found


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A store, with what it shows of its brand. `logo_id` is its own logo, `brand_logo_id` the brand's.

    `open_minutes` are minutes since Monday began by the clock of its time zone; None when they are not known.
    """

    id: UUID
    brand_id: UUID
    brand_name: str
    category: str
    name: str
    name_key: str
    address_line: str
    city: str
    postal_code: str
    country: str
    latitude: float | None
    longitude: float | None
    time_zone: str
    open_minutes: Multirange[int] | None
    open_now: bool | None
    phone: str
    logo_id: UUID | None
    brand_logo_id: UUID | None
    published: bool
    version: int
    created_at: datetime

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)


OPEN_NOW = SQL(
    """
    s.open_minutes @> (
      SELECT (extract(isodow FROM l.clock)::integer - 1) * 1440
        + extract(hour FROM l.clock)::integer * 60 + extract(minute FROM l.clock)::integer
      FROM (SELECT now() AT TIME ZONE s.time_zone AS clock) l
    )
    """
)
"""Whether the store `s` is open at this moment; NULL when that is not known."""

COLUMNS: Composed = SQL(
    """
    s.id, s.brand_id, b.name AS brand_name, s.category, s.name, s.name_key, s.address_line, s.city,
    s.postal_code, s.country, s.latitude, s.longitude, s.time_zone, s.open_minutes, {open_now} AS open_now,
    s.phone, s.logo_id, b.logo_id AS brand_logo_id, s.published, s.version, s.created_at
    """
).format(open_now=OPEN_NOW)
_SOURCE = "stores s JOIN brands b ON b.id = s.brand_id"

MANAGED_STORES = Listing(
    row=StoreRow,
    columns=COLUMNS,
    source=_SOURCE,
    filters={
        "brand_id": "s.brand_id = %(brand_id)s",
        # No character comes behind the last one, so these are all that begin so.
        "named": "s.name_key >= %(named)s AND s.name_key < %(named)s || chr(1114111)",
    },
    keys={
        "name": SortKey("s.name_key", "name_key", parse_text),
        "created_at": SortKey("s.created_at", "created_at", parse_moment),
    },
    key=SortKey("s.id", "id", UUID),
    default_order="name",
)
"""The stores of all brands. They grow with the brands, so each filter and each order has an index."""

_STORE = SQL("SELECT {columns} FROM stores s JOIN brands b ON b.id = s.brand_id WHERE s.id = %(id)s").format(
    columns=COLUMNS
)


async def get_store(connection: Connection, store_id: UUID) -> StoreRow:
    """Returns a store, whatever the state of its brand. Raises STORE_NOT_FOUND."""
    found = await fetch_first(connection, StoreRow, _STORE, id=store_id)
    if found is None:
        raise store_not_found(store_id)
    return found


async def get_published_store(connection: Connection, store_id: UUID) -> StoreRow:
    """Returns a store that everybody sees. Raises STORE_NOT_FOUND, also when its brand is not published."""
    found = await get_store(connection, store_id)
    if not found.published:
        raise store_not_found(store_id)
    return found


async def brand_of_store(connection: Connection, store_id: UUID) -> UUID:
    """Returns the brand of a store, which never changes. Raises STORE_NOT_FOUND."""
    brand_id: UUID | None = await fetch_value(
        connection, "SELECT brand_id FROM stores WHERE id = %(id)s", id=store_id
    )
    if brand_id is None:
        raise store_not_found(store_id)
    return brand_id


async def require_time_zone(connection: Connection, name: str) -> None:
    """Raises VALIDATION_FAILED unless the database, which reckons with it, knows the time zone."""
    if not await fetch_value(
        connection, "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = %(name)s)", name=name
    ):
        raise invalid_field("time_zone", "is no time zone of the tz database")
