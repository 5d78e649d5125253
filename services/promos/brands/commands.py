"""Making and changing brands. What their stores have of them changes in the same transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import assert_never
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.etags import require_etag
from services.common.ids import new_id
from services.common.qr import Image
from services.common.search_words import remember_words
from services.common.words import key, name_terms
from services.promos.brand_access import require_own_brand
from services.promos.brands.logos import drop_logo, keep_logo
from services.promos.brands.queries import BrandRow, BrandState, get_brand, lock_brand
from services.promos.brands.refusals import brand_archived


async def create_brand(
    connection: Connection, *, actor: Caller, name: str, description: str, category: str, website: str
) -> BrandRow:
    """Makes a brand, as a draft, and returns it."""
    brand_id = new_id()
    await execute(
        connection,
        """
        INSERT INTO brands (id, name, name_key, description, category, website)
        VALUES (%(id)s, %(name)s, %(name_key)s, %(description)s, %(category)s, %(website)s)
        """,
        id=brand_id,
        name=name,
        name_key=key(name),
        description=description,
        category=category,
        website=website,
    )
    await audit.record(connection, actor, "brand.created", brand_id, name=name)
    return await get_brand(connection, brand_id)


@dataclass(frozen=True)
class BrandChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied."""

    name: str | None = None
    description: str | None = None
    category: str | None = None
    website: str | None = None
    clear: Collection[str] = ()

    def applied_to(self, row: BrandRow) -> BrandRow:
        """Returns the brand as it shall be."""
        return replace(
            row,
            name=self.name or row.name,
            name_key=key(self.name or row.name),
            description="" if "description" in self.clear else self.description or row.description,
            category=self.category or row.category,
            website="" if "website" in self.clear else self.website or row.website,
            logo_id=None if "logo" in self.clear else row.logo_id,
        )


async def update_brand(
    connection: Connection, *, actor: Caller, brand_id: UUID, etag: str, changes: BrandChanges
) -> BrandRow:
    """Changes a brand and returns it; where nothing is different, nothing is audited either.

    Raises BRAND_NOT_YOURS, BRAND_NOT_FOUND, BRAND_ARCHIVED and ETAG_MISMATCH.
    """
    before = await _locked(connection, actor, brand_id, etag)
    after = changes.applied_to(before)
    if after == before:
        return before
    after = await _write(connection, before, after)
    different = [
        name
        for name in ("name", "description", "category", "website", "logo_id")
        if getattr(before, name) != getattr(after, name)
    ]
    await audit.record(connection, actor, "brand.updated", brand_id, changed=different)
    return after


async def change_brand_state(
    connection: Connection, *, actor: Caller, brand_id: UUID, etag: str, state: BrandState
) -> BrandRow:
    """Brings a brand into a state and returns it; when it is in it already, nothing changes.

    Raises BRAND_NOT_YOURS, BRAND_NOT_FOUND, ETAG_MISMATCH, and BRAND_ARCHIVED for an archived one that shall
    not stay so.
    """
    require_own_brand(actor, brand_id)
    before = await lock_brand(connection, brand_id)
    require_etag(etag, before.etag, of="brand")
    if before.state == state:
        return before
    if before.state == "ARCHIVED":
        raise brand_archived(brand_id)
    after = await _write(connection, before, replace(before, state=state))
    await audit.record(connection, actor, _action(state), brand_id)
    return after


async def set_brand_logo(connection: Connection, *, actor: Caller, brand_id: UUID, image: Image) -> BrandRow:
    """Gives a brand another logo and returns it. Raises BRAND_NOT_YOURS, BRAND_NOT_FOUND, BRAND_ARCHIVED."""
    before = await _locked(connection, actor, brand_id, etag="")
    image_id = await keep_logo(connection, image)
    after = await _write(connection, before, replace(before, logo_id=image_id))
    await audit.record(connection, actor, "brand.updated", brand_id, changed=["logo_id"])
    return after


async def _locked(connection: Connection, actor: Caller, brand_id: UUID, etag: str) -> BrandRow:
    require_own_brand(actor, brand_id)
    brand = await lock_brand(connection, brand_id)
    require_etag(etag, brand.etag, of="brand")
    if brand.state == "ARCHIVED":
        raise brand_archived(brand_id)
    return brand


async def _write(connection: Connection, before: BrandRow, after: BrandRow) -> BrandRow:
    """Writes a brand that is locked, and what its stores have of it; returns it in its new version."""
    await execute(
        connection,
        """
        UPDATE brands SET
          name = %(name)s, name_key = %(name_key)s, description = %(description)s, category = %(category)s,
          website = %(website)s, logo_id = %(logo_id)s, state = %(state)s, version = version + 1
        WHERE id = %(id)s
        """,
        id=after.id,
        name=after.name,
        name_key=after.name_key,
        description=after.description,
        category=after.category,
        website=after.website,
        logo_id=after.logo_id,
        state=after.state,
    )
    if before.logo_id not in (None, after.logo_id):
        await drop_logo(connection, before.logo_id)
    if (before.name, before.category, before.state) != (after.name, after.category, after.state):
        await remember_words(connection, after.name)
        await execute(
            connection,
            """
            UPDATE stores SET
              published = %(published)s, category = %(category)s, brand_terms = %(brand_terms)s
            WHERE brand_id = %(id)s
            """,
            id=after.id,
            published=after.state == "PUBLISHED",
            category=after.category,
            brand_terms=name_terms(after.name),
        )
    return replace(after, version=before.version + 1)


def _action(state: BrandState) -> str:
    match state:
        case "PUBLISHED":
            return "brand.published"
        case "DRAFT":
            return "brand.unpublished"
        case "ARCHIVED":
            return "brand.archived"
        case _:
            assert_never(state)
