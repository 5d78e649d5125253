"""Tables of brands and their stores."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Computed,
    Double,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INT4MULTIRANGE
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from services.promos.tables import Base

SORTED = Text(collation="C")
"""Texts of which the beginning is searched by index, in the order of their characters."""


class Point(UserDefinedType[Any]):
    """PostgreSQL's own type of a point in a plane."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Returns the name of the type."""
        return "point"


class Logo(Base):
    """An image as it was judged and made smaller. It never changes: another image is another row."""

    __tablename__ = "logos"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    content_type: Mapped[str]
    data: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Brand(Base):
    """A brand's page. `name_key` is what its name is sorted and searched by.

    `stores` counts its stores and decides whether there may be one more. `version` does not count them.
    """

    __tablename__ = "brands"
    __table_args__ = (
        CheckConstraint("state IN ('DRAFT', 'PUBLISHED', 'ARCHIVED')", name="state_known"),
        CheckConstraint("stores BETWEEN 0 AND 10000", name="stores_within_limit"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(SORTED)
    description: Mapped[str]
    category: Mapped[str]
    website: Mapped[str]
    logo_id: Mapped[UUID | None] = mapped_column(ForeignKey("logos.id"))
    state: Mapped[str] = mapped_column(server_default="DRAFT")
    stores: Mapped[int] = mapped_column(server_default="0")
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OpeningHours(Base):
    """A week of opening hours, by the clock of a time zone, once for all stores that have it.

    So a search looks at those alone, and knows how many stores have them. One that no store has any more
    stays, and leads to nothing.
    """

    __tablename__ = "opening_hours"
    __table_args__ = (UniqueConstraint("open_minutes", "time_zone"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    time_zone: Mapped[str]
    open_minutes: Mapped[Any] = mapped_column(INT4MULTIRANGE)


class Store(Base):
    """A store. What it has of its brand, so that a search reads no other table, changes with the brand.

    That is `published`, `category` and `brand_terms`. `position` is its place on Mercator's map, and
    `open_minutes` are minutes since Monday began, by the clock of its time zone; `hours_id` names both.
    """

    __tablename__ = "stores"
    __table_args__ = (
        CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name="place_is_whole"),
        CheckConstraint(
            "latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", name="place_on_earth"
        ),
        CheckConstraint("open_minutes <@ int4range(0, 10080)", name="open_within_a_week"),
        Index("ix_stores_terms", "terms", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        Index(
            "ix_stores_position",
            "position",
            postgresql_using="gist",
            postgresql_where=text("published"),
        ),
        Index("ix_stores_published", "name_key", "id", postgresql_where=text("published")),
        Index("ix_stores_category", "category", "name_key", "id", postgresql_where=text("published")),
        Index("ix_stores_name_key", "name_key", "id"),
        Index("ix_stores_created_at", "created_at", "id"),
        Index("ix_stores_hours_id", "hours_id", postgresql_where=text("published")),
        Index("ix_stores_brand_id", "brand_id", "name_key", "id"),
        Index("ix_stores_brand_id_created_at", "brand_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    brand_id: Mapped[UUID] = mapped_column(ForeignKey("brands.id"))
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(SORTED)
    address_line: Mapped[str]
    city: Mapped[str]
    postal_code: Mapped[str]
    country: Mapped[str]
    latitude: Mapped[float | None] = mapped_column(Double)
    longitude: Mapped[float | None] = mapped_column(Double)
    position: Mapped[Any | None] = mapped_column(
        Point, Computed("point(longitude, degrees(asinh(tan(radians(latitude)))))", persisted=True)
    )
    time_zone: Mapped[str]
    open_minutes: Mapped[Any | None] = mapped_column(INT4MULTIRANGE)
    hours_id: Mapped[int | None] = mapped_column(ForeignKey("opening_hours.id"))
    phone: Mapped[str]
    logo_id: Mapped[UUID | None] = mapped_column(ForeignKey("logos.id"))
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    published: Mapped[bool]
    category: Mapped[str]
    own_terms: Mapped[list[str]] = mapped_column(ARRAY(Text))
    brand_terms: Mapped[list[str]] = mapped_column(ARRAY(Text))
    terms: Mapped[list[str]] = mapped_column(
        ARRAY(Text), Computed("own_terms || brand_terms", persisted=True)
    )
