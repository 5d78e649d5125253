"""StoreService: the stores of brands, for everybody who looks for one and for staff."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.v1 import store_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, read_name
from services.common.errors import invalid_field
from services.common.idempotent import idempotent
from services.common.images import Images
from services.common.list_pages import read_page
from services.common.paging import Page
from services.common.words import key
from services.promos.brand_access import only_brand, require_own_brand
from services.promos.brands import store_queries
from services.promos.brands.encoding import (
    encode_found_store,
    encode_managed_store,
    encode_store,
    read_address,
    read_minutes,
    read_place,
)
from services.promos.brands.geography import Place
from services.promos.brands.logos import LOGO_PIXELS
from services.promos.brands.search import Wanted, search
from services.promos.brands.store_commands import (
    StoreChanges,
    StoreContent,
    create_store,
    delete_store,
    set_store_logo,
    update_store,
)

_RADIUS_METERS = 10_000


class StoreHandlers:
    """Implements StoreService."""

    def __init__(self, db: Database, images: Images) -> None:
        self._db = db
        self._images = images

    async def ListStores(
        self, request: store_pb2.ListStoresRequest, context: Context
    ) -> store_pb2.ListStoresResponse:
        """Returns a page of the stores that were found."""
        wanted = _wanted(request)
        page = Page(request.page_size, request.page_token, "ListStores", wanted)
        rows, next_page_token = await self._db.read(search, page, wanted)
        return store_pb2.ListStoresResponse(
            stores=map(encode_found_store, rows), next_page_token=next_page_token
        )

    async def GetStore(
        self, request: store_pb2.GetStoreRequest, context: Context
    ) -> store_pb2.GetStoreResponse:
        """Returns a store that everybody sees."""
        row = await self._db.read(store_queries.get_published_store, UUID(request.store_id))
        return store_pb2.GetStoreResponse(store=encode_store(row))

    async def ListManagedStores(
        self, request: store_pb2.ListManagedStoresRequest, context: Context
    ) -> store_pb2.ListManagedStoresResponse:
        """Returns a page of stores, whatever the state of their brands."""
        own = only_brand(caller())
        brand_id = UUID(request.brand_id) if request.brand_id else own
        require_own_brand(caller(), brand_id)
        page = await read_page(
            self._db,
            store_queries.MANAGED_STORES,
            request,
            order_by=request.order_by,
            brand_id=brand_id,
            named=key(request.query) if request.query.strip() else None,
        )
        return store_pb2.ListManagedStoresResponse(
            stores=map(encode_managed_store, page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def GetManagedStore(
        self, request: store_pb2.GetManagedStoreRequest, context: Context
    ) -> store_pb2.GetManagedStoreResponse:
        """Returns a store, whatever the state of its brand."""
        row = await self._db.read(store_queries.get_store, UUID(request.store_id))
        require_own_brand(caller(), row.brand_id)
        return store_pb2.GetManagedStoreResponse(store=encode_managed_store(row))

    async def CreateStore(
        self, request: store_pb2.CreateStoreRequest, context: Context
    ) -> store_pb2.CreateStoreResponse:
        """Makes a store, once per key when there is one."""

        async def create(connection: Connection) -> store_pb2.CreateStoreResponse:
            hours = request.opening_hours
            content = StoreContent(
                name=read_name(request.name, "name"),
                address=read_address(request.address),
                place=read_place(request.position) if request.HasField("position") else None,
                time_zone=request.time_zone,
                minutes=read_minutes(hours) if request.HasField("opening_hours") else None,
                phone=request.phone,
            )
            row = await create_store(
                connection, actor=caller(), brand_id=UUID(request.brand_id), content=content
            )
            return store_pb2.CreateStoreResponse(store=encode_managed_store(row))

        reply = store_pb2.CreateStoreResponse
        return await idempotent(self._db, context, request, reply, create, required=False)

    async def UpdateStore(
        self, request: store_pb2.UpdateStoreRequest, context: Context
    ) -> store_pb2.UpdateStoreResponse:
        """Changes what is given."""
        row = await self._db.run(
            update_store,
            actor=caller(),
            store_id=UUID(request.store_id),
            etag=request.etag,
            changes=_changes(request),
        )
        return store_pb2.UpdateStoreResponse(store=encode_managed_store(row))

    async def DeleteStore(
        self, request: store_pb2.DeleteStoreRequest, context: Context
    ) -> store_pb2.DeleteStoreResponse:
        """Deletes a store."""
        await self._db.run(delete_store, actor=caller(), store_id=UUID(request.store_id), etag=request.etag)
        return store_pb2.DeleteStoreResponse()

    async def UploadStoreLogo(
        self, request: store_pb2.UploadStoreLogoRequest, context: Context
    ) -> store_pb2.UploadStoreLogoResponse:
        """Gives a store a logo of its own."""
        store_id = UUID(request.store_id)
        require_own_brand(caller(), await self._db.read(store_queries.brand_of_store, store_id))
        (image,) = await self._images.copies(request.image.data, LOGO_PIXELS)
        row = await self._db.run(set_store_logo, actor=caller(), store_id=store_id, image=image)
        return store_pb2.UploadStoreLogoResponse(store=encode_managed_store(row))


def _wanted(request: store_pb2.ListStoresRequest) -> Wanted:
    around = request.HasField("latitude")
    return Wanted(
        query=request.query.strip(),
        category=request.category.strip(),
        brand_id=UUID(request.brand_id) if request.brand_id else None,
        place=Place(request.latitude, request.longitude) if around else None,
        meters=request.radius_meters or _RADIUS_METERS,
        open_now=request.open_now,
        order="distance" if request.order_by == "distance" else "relevance",
    )


def _changes(request: store_pb2.UpdateStoreRequest) -> StoreChanges:
    """Raises VALIDATION_FAILED for a field that is given and cleared at once."""
    for field in request.clear:
        if field != "logo" and request.HasField(field):  # type: ignore[arg-type]  # of the closed set
            raise invalid_field(field, "is both given and cleared")
    hours = request.opening_hours
    return StoreChanges(
        name=read_name(request.name, "name") if request.HasField("name") else None,
        address=read_address(request.address) if request.HasField("address") else None,
        place=read_place(request.position) if request.HasField("position") else None,
        time_zone=request.time_zone or None,
        minutes=read_minutes(hours) if request.HasField("opening_hours") else None,
        phone=request.phone or None,
        clear=frozenset(request.clear),
    )
