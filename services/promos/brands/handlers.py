"""BrandService: pages of brands, for everybody and for staff."""

from __future__ import annotations

from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import brand_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, read_name, read_optional_text, read_text
from services.common.errors import invalid_field
from services.common.idempotent import idempotent
from services.common.images import Images
from services.common.list_pages import read_page
from services.common.words import key
from services.promos.brand_access import only_brand, require_own_brand
from services.promos.brands import queries
from services.promos.brands.commands import (
    BrandChanges,
    change_brand_state,
    create_brand,
    set_brand_logo,
    update_brand,
)
from services.promos.brands.encoding import BRAND_STATE, encode_brand, encode_managed_brand
from services.promos.brands.logos import LOGO_PIXELS
from services.promos.brands.queries import BrandState

_Change = brand_pb2.PublishBrandRequest | brand_pb2.UnpublishBrandRequest | brand_pb2.ArchiveBrandRequest
_FOR_EVER = "public, max-age=31536000, immutable"


class BrandHandlers:
    """Implements BrandService."""

    def __init__(self, db: Database, images: Images) -> None:
        self._db = db
        self._images = images

    async def ListBrands(
        self, request: brand_pb2.ListBrandsRequest, context: Context
    ) -> brand_pb2.ListBrandsResponse:
        """Returns a page of the brands that everybody sees."""
        category = request.category.strip() or None
        page = await read_page(
            self._db, queries.BRANDS, request, category=category, query=_beginning(request.query)
        )
        return brand_pb2.ListBrandsResponse(
            brands=map(encode_brand, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def GetBrand(
        self, request: brand_pb2.GetBrandRequest, context: Context
    ) -> brand_pb2.GetBrandResponse:
        """Returns a brand that everybody sees."""
        row = await self._db.read(queries.get_published_brand, UUID(request.brand_id))
        return brand_pb2.GetBrandResponse(brand=encode_brand(row))

    async def GetBrandCategories(
        self, request: brand_pb2.GetBrandCategoriesRequest, context: Context
    ) -> brand_pb2.GetBrandCategoriesResponse:
        """Returns the categories of the brands that everybody sees."""
        rows = await self._db.read(queries.brand_categories)
        return brand_pb2.GetBrandCategoriesResponse(
            categories=[brand_pb2.BrandCategory(category=row.category, brands=row.brands) for row in rows]
        )

    async def GetLogo(self, request: brand_pb2.GetLogoRequest, context: Context) -> httpbody_pb2.HttpBody:
        """Returns a logo, which never changes and anybody may cache."""
        image = await self._db.read(queries.get_logo, UUID(request.image_id))
        await context.send_initial_metadata(
            (("cache-control", _FOR_EVER), ("etag", f'"{UUID(request.image_id)}"'))
        )
        return httpbody_pb2.HttpBody(content_type=image.content_type, data=image.data)

    async def ListManagedBrands(
        self, request: brand_pb2.ListManagedBrandsRequest, context: Context
    ) -> brand_pb2.ListManagedBrandsResponse:
        """Returns a page of brands in every state."""
        state = brand_pb2.BrandState.Name(request.state).removeprefix(BRAND_STATE)
        page = await read_page(
            self._db,
            queries.MANAGED_BRANDS,
            request,
            order_by=request.order_by,
            id=only_brand(caller()),
            state=state if request.state else None,
            category=request.category.strip() or None,
            query=_beginning(request.query),
        )
        return brand_pb2.ListManagedBrandsResponse(
            brands=map(encode_managed_brand, page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def GetManagedBrand(
        self, request: brand_pb2.GetManagedBrandRequest, context: Context
    ) -> brand_pb2.GetManagedBrandResponse:
        """Returns a brand in whatever state."""
        brand_id = UUID(request.brand_id)
        require_own_brand(caller(), brand_id)
        row = await self._db.read(queries.get_brand, brand_id)
        return brand_pb2.GetManagedBrandResponse(brand=encode_managed_brand(row))

    async def CreateBrand(
        self, request: brand_pb2.CreateBrandRequest, context: Context
    ) -> brand_pb2.CreateBrandResponse:
        """Makes a brand, once per key when there is one."""

        async def create(connection: Connection) -> brand_pb2.CreateBrandResponse:
            row = await create_brand(
                connection,
                actor=caller(),
                name=read_name(request.name, "name"),
                description=read_optional_text(request.description, "description", lines=True),
                category=read_name(request.category, "category"),
                website=request.website,
            )
            return brand_pb2.CreateBrandResponse(brand=encode_managed_brand(row))

        reply = brand_pb2.CreateBrandResponse
        return await idempotent(self._db, context, request, reply, create, required=False)

    async def UpdateBrand(
        self, request: brand_pb2.UpdateBrandRequest, context: Context
    ) -> brand_pb2.UpdateBrandResponse:
        """Changes what is given."""
        row = await self._db.run(
            update_brand,
            actor=caller(),
            brand_id=UUID(request.brand_id),
            etag=request.etag,
            changes=_changes(request),
        )
        return brand_pb2.UpdateBrandResponse(brand=encode_managed_brand(row))

    async def PublishBrand(
        self, request: brand_pb2.PublishBrandRequest, context: Context
    ) -> brand_pb2.PublishBrandResponse:
        """Shows a brand to everybody."""
        return brand_pb2.PublishBrandResponse(brand=await self._change(request, "PUBLISHED"))

    async def UnpublishBrand(
        self, request: brand_pb2.UnpublishBrandRequest, context: Context
    ) -> brand_pb2.UnpublishBrandResponse:
        """Makes a brand a draft again."""
        return brand_pb2.UnpublishBrandResponse(brand=await self._change(request, "DRAFT"))

    async def ArchiveBrand(
        self, request: brand_pb2.ArchiveBrandRequest, context: Context
    ) -> brand_pb2.ArchiveBrandResponse:
        """Puts a brand away for good."""
        return brand_pb2.ArchiveBrandResponse(brand=await self._change(request, "ARCHIVED"))

    async def UploadBrandLogo(
        self, request: brand_pb2.UploadBrandLogoRequest, context: Context
    ) -> brand_pb2.UploadBrandLogoResponse:
        """Gives a brand a logo."""
        brand_id = UUID(request.brand_id)
        require_own_brand(caller(), brand_id)
        (image,) = await self._images.copies(request.image.data, LOGO_PIXELS)
        row = await self._db.run(set_brand_logo, actor=caller(), brand_id=brand_id, image=image)
        return brand_pb2.UploadBrandLogoResponse(brand=encode_managed_brand(row))

    async def _change(self, request: _Change, state: BrandState) -> brand_pb2.ManagedBrand:
        row = await self._db.run(
            change_brand_state,
            actor=caller(),
            brand_id=UUID(request.brand_id),
            etag=request.etag,
            state=state,
        )
        return encode_managed_brand(row)


def _beginning(query: str) -> str | None:
    return key(query) if query.strip() else None


def _changes(request: brand_pb2.UpdateBrandRequest) -> BrandChanges:
    """Raises VALIDATION_FAILED for a field that is given and cleared at once."""
    for field in request.clear:
        if field != "logo" and request.HasField(field):  # type: ignore[arg-type]  # of the closed set
            raise invalid_field(field, "is both given and cleared")
    description = read_text(request.description, "description", lines=True) if request.description else None
    return BrandChanges(
        name=read_name(request.name, "name") if request.HasField("name") else None,
        description=description,
        category=read_name(request.category, "category") if request.HasField("category") else None,
        website=request.website or None,
        clear=frozenset(request.clear),
    )
