"""Reads of brands and of their logos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first
from services.common.lists import Listing, SortKey, parse_moment, parse_text
from services.common.qr import Image
from services.promos.brands.refusals import brand_archived, brand_not_found, image_not_found

BrandState = Literal["DRAFT", "PUBLISHED", "ARCHIVED"]


@dataclass(frozen=True, slots=True)
class BrandRow:
    """A brand. `name_key` is what its name is sorted by."""

    id: UUID
    name: str
    name_key: str
    description: str
    category: str
    website: str
    logo_id: UUID | None
    state: BrandState
    stores: int
    version: int
    created_at: datetime

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A category, and how many published brands have it."""

    category: str
    brands: int


_COLUMNS = SQL(
    """
    b.id, b.name, b.name_key, b.description, b.category, b.website, b.logo_id, b.state, b.stores, b.version,
    b.created_at
    """
)

BRAND_NAMES = SQL("(SELECT id, name, state = 'PUBLISHED' AS published FROM brands)")
"""What brands are called and whether everybody sees them, for statements that join it."""

MANAGED_BRANDS = Listing(
    row=BrandRow,
    columns=_COLUMNS,
    source="brands b",
    filters={
        "id": "b.id = %(id)s",
        "state": "b.state = %(state)s",
        "category": "b.category = %(category)s",
        "query": "starts_with(b.name_key, %(query)s)",
    },
    keys={
        "name": SortKey("b.name_key", "name_key", parse_text),
        "created_at": SortKey("b.created_at", "created_at", parse_moment),
    },
    key=SortKey("b.id", "id", UUID),
    default_order="name",
)
"""All brands. Staff make them one by one, so no filter needs an index."""

BRANDS = replace(MANAGED_BRANDS, always="b.state = 'PUBLISHED'")
"""Those that everybody sees."""

_BRAND = SQL("SELECT {columns} FROM brands b WHERE b.id = %(id)s").format(columns=_COLUMNS)


async def get_brand(connection: Connection, brand_id: UUID) -> BrandRow:
    """Returns a brand in whatever state. Raises BRAND_NOT_FOUND."""
    found = await fetch_first(connection, BrandRow, _BRAND, id=brand_id)
    if found is None:
        raise brand_not_found(brand_id)
    return found


async def get_published_brand(connection: Connection, brand_id: UUID) -> BrandRow:
    """Returns a brand that everybody sees. Raises BRAND_NOT_FOUND, also for one that is not published."""
    found = await get_brand(connection, brand_id)
    if found.state != "PUBLISHED":
        raise brand_not_found(brand_id)
    return found


_LOCKED_BRAND = SQL("SELECT {columns} FROM brands b WHERE b.id = %(id)s FOR UPDATE").format(columns=_COLUMNS)


async def lock_brand(connection: Connection, brand_id: UUID) -> BrandRow:
    """Returns a brand that nobody else changes until the commit, nor its stores. Raises BRAND_NOT_FOUND."""
    found = await fetch_first(connection, BrandRow, _LOCKED_BRAND, id=brand_id)
    if found is None:
        raise brand_not_found(brand_id)
    return found


# Not FOR UPDATE: those who need the brand do not wait for each other, but for who archives it.
_HELD_BRAND = SQL("SELECT {columns} FROM brands b WHERE b.id = %(id)s FOR SHARE").format(columns=_COLUMNS)


async def require_brand(connection: Connection, brand_id: UUID) -> None:
    """Raises BRAND_NOT_FOUND, and BRAND_ARCHIVED for a brand that was archived: it gets nothing new.

    Nobody changes the brand until the commit.
    """
    found = await fetch_first(connection, BrandRow, _HELD_BRAND, id=brand_id)
    if found is None:
        raise brand_not_found(brand_id)
    if found.state == "ARCHIVED":
        raise brand_archived(brand_id)


async def brand_categories(connection: Connection) -> Sequence[CategoryRow]:
    """Returns the categories of published brands, by name: 200 at most."""
    return await fetch_all(
        connection,
        CategoryRow,
        """
        SELECT category, count(*)::integer AS brands FROM brands WHERE state = 'PUBLISHED'
        GROUP BY category ORDER BY category LIMIT 200
        """,
    )


async def get_logo(connection: Connection, image_id: UUID) -> Image:
    """Returns a logo. Raises IMAGE_NOT_FOUND."""
    found = await fetch_first(
        connection, Image, "SELECT content_type, data FROM logos WHERE id = %(id)s", id=image_id
    )
    if found is None:
        raise image_not_found(image_id)
    return found
