"""Brands and stores as protobuf has them, and back."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.v1 import brand_pb2, store_pb2

from services.common.encoding import read_name, read_optional_text, timestamp
from services.promos.brands.geography import Place
from services.promos.brands.opening_hours import Interval, Minutes, to_intervals, to_minutes
from services.promos.brands.queries import BrandRow
from services.promos.brands.search import FoundRow
from services.promos.brands.store_commands import Address, minutes_of
from services.promos.brands.store_queries import StoreRow

BRAND_STATE = "BRAND_STATE_"


def encode_brand(row: BrandRow) -> brand_pb2.Brand:
    """Returns a brand as everybody sees it."""
    return brand_pb2.Brand(
        id=str(row.id),
        name=row.name,
        description=row.description,
        category=row.category,
        website=row.website,
        logo_path=logo_path(row.logo_id),
        stores=row.stores,
    )


def encode_managed_brand(row: BrandRow) -> brand_pb2.ManagedBrand:
    """Returns a brand as staff see it."""
    return brand_pb2.ManagedBrand(
        brand=encode_brand(row),
        state=brand_pb2.BrandState.Value(f"{BRAND_STATE}{row.state}"),
        created_at=timestamp(row.created_at),
        etag=row.etag,
    )


def encode_store(row: StoreRow) -> store_pb2.Store:
    """Returns a store as everybody sees it."""
    store = store_pb2.Store(
        id=str(row.id),
        brand_id=str(row.brand_id),
        brand_name=row.brand_name,
        category=row.category,
        name=row.name,
        address=store_pb2.Address(
            line=row.address_line, city=row.city, postal_code=row.postal_code, country=row.country
        ),
        time_zone=row.time_zone,
        phone=row.phone,
        logo_path=logo_path(row.logo_id or row.brand_logo_id),
    )
    if row.latitude is not None and row.longitude is not None:
        store.position.latitude, store.position.longitude = row.latitude, row.longitude
    if row.open_minutes is not None:
        store.opening_hours.intervals.extend(map(_interval, to_intervals(minutes_of(row))))
    if row.open_now is not None:
        store.open_now = row.open_now
    return store


def encode_managed_store(row: StoreRow) -> store_pb2.ManagedStore:
    """Returns a store as staff see it."""
    return store_pb2.ManagedStore(
        store=encode_store(row), created_at=timestamp(row.created_at), etag=row.etag
    )


def encode_found_store(row: FoundRow) -> store_pb2.FoundStore:
    """Returns a store that was found."""
    return store_pb2.FoundStore(store=encode_store(row), distance_meters=row.distance)


def logo_path(image_id: UUID | None) -> str:
    """Returns where a logo is read, or an empty text."""
    return f"/v1/logos/{image_id}" if image_id else ""


def read_address(message: store_pb2.Address) -> Address:
    """Returns an address. Raises VALIDATION_FAILED for characters that nobody would see."""
    return Address(
        read_optional_text(message.line, "address.line"),
        read_name(message.city, "address.city"),
        read_optional_text(message.postal_code, "address.postal_code"),
        message.country,
    )


def read_place(message: store_pb2.Position) -> Place:
    """Returns a place."""
    return Place(message.latitude, message.longitude)


def read_minutes(message: store_pb2.OpeningHours) -> Minutes:
    """Returns opening hours as minutes of the week. Raises VALIDATION_FAILED as `to_minutes` does."""
    return to_minutes(
        [
            Interval(one.weekday - 1, _minute(one.opens), _minute(one.closes), one.closes_next_day)
            for one in message.intervals
        ]
    )


def _minute(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _interval(interval: Interval) -> store_pb2.OpenInterval:
    return store_pb2.OpenInterval(
        weekday=store_pb2.Weekday.ValueType(interval.weekday + 1),
        opens=_clock(interval.opens),
        closes=_clock(interval.closes),
        closes_next_day=interval.closes_next_day,
    )
