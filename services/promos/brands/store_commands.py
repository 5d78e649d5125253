"""Making, changing and deleting stores. The brand's row is locked first, as by changes of the brand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import UUID

from psycopg.types.multirange import Int4Multirange
from psycopg.types.range import Range

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_value
from services.common.etags import require_etag
from services.common.ids import new_id
from services.common.qr import Image
from services.common.search_words import remember_words
from services.common.words import key, name_terms, text_terms
from services.promos.brand_access import require_own_brand
from services.promos.brands.geography import Place
from services.promos.brands.logos import drop_logo, keep_logo
from services.promos.brands.opening_hours import Minutes
from services.promos.brands.queries import BrandRow, get_brand, lock_brand
from services.promos.brands.refusals import brand_archived
from services.promos.brands.store_queries import StoreRow, brand_of_store, get_store, require_time_zone


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is, for people."""

    line: str
    city: str
    postal_code: str
    country: str


@dataclass(frozen=True, slots=True)
class StoreContent:
    """What staff say of a store."""

    name: str
    address: Address
    place: Place | None
    time_zone: str
    minutes: Minutes | None
    """When it is open; None when that is not known."""
    phone: str


@dataclass(frozen=True, slots=True)
class StoreChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied."""

    name: str | None = None
    address: Address | None = None
    place: Place | None = None
    time_zone: str | None = None
    minutes: Minutes | None = None
    phone: str | None = None
    clear: Collection[str] = ()

    def applied_to(self, was: StoreContent) -> StoreContent:
        """Returns the content as it shall be."""
        return StoreContent(
            self.name or was.name,
            self.address or was.address,
            None if "position" in self.clear else self.place or was.place,
            self.time_zone or was.time_zone,
            None if "opening_hours" in self.clear else self.minutes or was.minutes,
            "" if "phone" in self.clear else self.phone or was.phone,
        )


async def create_store(
    connection: Connection, *, actor: Caller, brand_id: UUID, content: StoreContent
) -> StoreRow:
    """Makes a store of a brand and returns it.

    Raises BRAND_NOT_YOURS, BRAND_NOT_FOUND, BRAND_ARCHIVED, VALIDATION_FAILED for an unknown time zone, and
    TOO_MANY_STORES (by constraint).
    """
    require_own_brand(actor, brand_id)
    await require_time_zone(connection, content.time_zone)
    counted = await fetch_value(
        connection,
        "UPDATE brands SET stores = stores + 1 WHERE id = %(id)s AND state <> 'ARCHIVED' RETURNING id",
        id=brand_id,
    )
    brand = await get_brand(connection, brand_id)
    if counted is None:
        raise brand_archived(brand_id)
    store_id = new_id()
    await execute(
        connection,
        """
        INSERT INTO stores (
          id, brand_id, name, name_key, address_line, city, postal_code, country, latitude, longitude,
          time_zone, open_minutes, hours_id, phone, published, category, own_terms, brand_terms
        ) VALUES (
          %(id)s, %(brand_id)s, %(name)s, %(name_key)s, %(address_line)s, %(city)s, %(postal_code)s,
          %(country)s, %(latitude)s, %(longitude)s, %(time_zone)s, %(open_minutes)s, %(hours_id)s,
          %(phone)s, %(published)s, %(category)s, %(own_terms)s, %(brand_terms)s
        )
        """,
        id=store_id,
        brand_id=brand_id,
        published=brand.state == "PUBLISHED",
        category=brand.category,
        brand_terms=name_terms(brand.name),
        hours_id=await _keep_hours(connection, content),
        **_columns(content),
    )
    await remember_words(connection, *_texts(content), brand.name)
    await audit.record(
        connection, actor, "store.created", store_id, brand_id=str(brand_id), name=content.name
    )
    return await get_store(connection, store_id)


async def update_store(
    connection: Connection, *, actor: Caller, store_id: UUID, etag: str, changes: StoreChanges
) -> StoreRow:
    """Changes a store and returns it; where nothing is different, nothing is audited either.

    Raises STORE_NOT_FOUND, BRAND_NOT_YOURS, BRAND_ARCHIVED, ETAG_MISMATCH, and VALIDATION_FAILED for an
    unknown time zone.
    """
    row, _ = await _locked(connection, actor, store_id, etag)
    before = _content(row)
    after = changes.applied_to(before)
    no_logo = "logo" in changes.clear and row.logo_id is not None
    if after == before and not no_logo:
        return row
    if after.time_zone != before.time_zone:
        await require_time_zone(connection, after.time_zone)
    await execute(
        connection,
        """
        UPDATE stores SET
          name = %(name)s, name_key = %(name_key)s, address_line = %(address_line)s, city = %(city)s,
          postal_code = %(postal_code)s, country = %(country)s, latitude = %(latitude)s,
          longitude = %(longitude)s, time_zone = %(time_zone)s, open_minutes = %(open_minutes)s,
          hours_id = %(hours_id)s, phone = %(phone)s, own_terms = %(own_terms)s, logo_id = %(logo_id)s,
          version = version + 1
        WHERE id = %(id)s
        """,
        id=store_id,
        logo_id=None if no_logo else row.logo_id,
        hours_id=await _keep_hours(connection, after),
        **_columns(after),
    )
    if no_logo:
        await drop_logo(connection, row.logo_id)
    await remember_words(connection, *_texts(after))
    changed = [one.name for one in fields(after) if getattr(after, one.name) != getattr(before, one.name)]
    await audit.record(
        connection, actor, "store.updated", store_id, changed=[*changed, *(["logo_id"] if no_logo else [])]
    )
    return await get_store(connection, store_id)


async def set_store_logo(connection: Connection, *, actor: Caller, store_id: UUID, image: Image) -> StoreRow:
    """Gives a store a logo of its own and returns it.

    Raises STORE_NOT_FOUND, BRAND_NOT_YOURS and BRAND_ARCHIVED.
    """
    before, _ = await _locked(connection, actor, store_id, etag="")
    image_id = await keep_logo(connection, image)
    await execute(
        connection,
        "UPDATE stores SET logo_id = %(logo_id)s, version = version + 1 WHERE id = %(id)s",
        id=store_id,
        logo_id=image_id,
    )
    await drop_logo(connection, before.logo_id)
    await audit.record(connection, actor, "store.updated", store_id, changed=["logo_id"])
    return replace(before, logo_id=image_id, version=before.version + 1)


async def delete_store(connection: Connection, *, actor: Caller, store_id: UUID, etag: str) -> None:
    """Deletes a store. Raises STORE_NOT_FOUND, BRAND_NOT_YOURS, BRAND_ARCHIVED and ETAG_MISMATCH."""
    store, brand = await _locked(connection, actor, store_id, etag)
    await execute(connection, "DELETE FROM stores WHERE id = %(id)s", id=store_id)
    await execute(connection, "UPDATE brands SET stores = stores - 1 WHERE id = %(id)s", id=brand.id)
    await drop_logo(connection, store.logo_id)
    await audit.record(connection, actor, "store.deleted", store_id, brand_id=str(brand.id), name=store.name)


async def _locked(
    connection: Connection, actor: Caller, store_id: UUID, etag: str
) -> tuple[StoreRow, BrandRow]:
    """Returns a store and its brand, neither of which anybody else changes until the commit.

    The lock on the brand is that of its stores too, for every change of a store takes it first.
    """
    brand_id = await brand_of_store(connection, store_id)
    require_own_brand(actor, brand_id)
    brand = await lock_brand(connection, brand_id)
    store = await get_store(connection, store_id)
    require_etag(etag, store.etag, of="store")
    if brand.state == "ARCHIVED":
        raise brand_archived(brand_id)
    return store, brand


async def _keep_hours(connection: Connection, content: StoreContent) -> int | None:
    """Returns the id of a store's opening hours, which others may have too. None when they are not known."""
    if content.minutes is None:
        return None
    values = {"time_zone": content.time_zone, "open_minutes": _multirange(content.minutes)}
    await execute(
        connection,
        """
        INSERT INTO opening_hours (time_zone, open_minutes) VALUES (%(time_zone)s, %(open_minutes)s)
        ON CONFLICT (open_minutes, time_zone) DO NOTHING
        """,
        **values,
    )
    return int(
        await fetch_value(
            connection,
            """
            SELECT id FROM opening_hours
            WHERE open_minutes = %(open_minutes)s AND time_zone = %(time_zone)s
            """,
            **values,
        )
    )


def _multirange(minutes: Minutes) -> Int4Multirange:
    return Int4Multirange([Range(start, end) for start, end in minutes])


def _content(row: StoreRow) -> StoreContent:
    place = None
    if row.latitude is not None and row.longitude is not None:
        place = Place(row.latitude, row.longitude)
    minutes = None
    if row.open_minutes is not None:
        minutes = minutes_of(row)
    address = Address(row.address_line, row.city, row.postal_code, row.country)
    return StoreContent(row.name, address, place, row.time_zone, minutes, row.phone)


def minutes_of(row: StoreRow) -> Minutes:
    """Returns when a store is open; nothing when that is not known."""
    return [(one.lower or 0, one.upper or 0) for one in row.open_minutes or ()]


def _texts(content: StoreContent) -> tuple[str, ...]:
    address = content.address
    return content.name, address.line, address.city, address.postal_code


def _columns(content: StoreContent) -> dict[str, Any]:
    place, minutes, address = content.place, content.minutes, content.address
    name, *others = _texts(content)
    return {
        "name": name,
        "name_key": key(name),
        "address_line": address.line,
        "city": address.city,
        "postal_code": address.postal_code,
        "country": address.country,
        "latitude": place.latitude if place else None,
        "longitude": place.longitude if place else None,
        "time_zone": content.time_zone,
        "open_minutes": None if minutes is None else _multirange(minutes),
        "phone": content.phone,
        "own_terms": list(dict.fromkeys([*name_terms(name), *text_terms(*others)])),
    }
