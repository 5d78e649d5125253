"""What several tests do with brands and stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.api import httpbody_pb2
from scrip.promos.v1 import brand_pb2, brand_pb2_grpc, store_pb2, store_pb2_grpc

from services.common.ids import new_id
from services.promos.tests.support import Promos
from tests.inprocess import bearer

DRAFT = brand_pb2.BRAND_STATE_DRAFT
PUBLISHED = brand_pb2.BRAND_STATE_PUBLISHED
ARCHIVED = brand_pb2.BRAND_STATE_ARCHIVED


@dataclass
class Brands:
    """Brands and stores as staff and everybody see them. Refused calls raise what gRPC raises."""

    promos: Promos

    @property
    def stub(self) -> brand_pb2_grpc.BrandServiceStub:
        """BrandService."""
        return brand_pb2_grpc.BrandServiceStub(self.promos.channel)

    @property
    def stores(self) -> store_pb2_grpc.StoreServiceStub:
        """StoreService."""
        return store_pb2_grpc.StoreServiceStub(self.promos.channel)

    async def brand(self, *, token: str = "", key: str = "", **fields: Any) -> brand_pb2.ManagedBrand:
        """Returns a new brand, a draft."""
        values = {"name": f"Brand {new_id()}", "category": "Bakeries"} | fields
        metadata = bearer(token or self.promos.admin, **({"idempotency_key": key} if key else {}))
        return (await self.stub.CreateBrand(brand_pb2.CreateBrandRequest(**values), metadata=metadata)).brand

    async def published(self, **fields: Any) -> brand_pb2.ManagedBrand:
        """Returns a new brand that everybody sees."""
        return await self.publish((await self.brand(**fields)).brand.id)

    async def publish(self, brand_id: str, *, token: str = "", etag: str = "") -> brand_pb2.ManagedBrand:
        """Publishes a brand."""
        request = brand_pb2.PublishBrandRequest(brand_id=brand_id, etag=etag)
        return (await self.stub.PublishBrand(request, metadata=bearer(token or self.promos.admin))).brand

    async def unpublish(self, brand_id: str, *, token: str = "", etag: str = "") -> brand_pb2.ManagedBrand:
        """Makes a brand a draft again."""
        request = brand_pb2.UnpublishBrandRequest(brand_id=brand_id, etag=etag)
        return (await self.stub.UnpublishBrand(request, metadata=bearer(token or self.promos.admin))).brand

    async def archive(self, brand_id: str, *, token: str = "", etag: str = "") -> brand_pb2.ManagedBrand:
        """Puts a brand away."""
        request = brand_pb2.ArchiveBrandRequest(brand_id=brand_id, etag=etag)
        return (await self.stub.ArchiveBrand(request, metadata=bearer(token or self.promos.admin))).brand

    async def update(self, brand_id: str, *, token: str = "", **fields: Any) -> brand_pb2.ManagedBrand:
        """Changes a brand."""
        request = brand_pb2.UpdateBrandRequest(brand_id=brand_id, **fields)
        return (await self.stub.UpdateBrand(request, metadata=bearer(token or self.promos.admin))).brand

    async def get(self, brand_id: str, *, token: str = "") -> brand_pb2.ManagedBrand:
        """Returns a brand as staff see it."""
        request = brand_pb2.GetManagedBrandRequest(brand_id=brand_id)
        return (await self.stub.GetManagedBrand(request, metadata=bearer(token or self.promos.admin))).brand

    async def logo(self, brand_id: str, data: bytes, *, token: str = "") -> brand_pb2.ManagedBrand:
        """Gives a brand a logo."""
        request = brand_pb2.UploadBrandLogoRequest(
            brand_id=brand_id, image=httpbody_pb2.HttpBody(content_type="image/png", data=data)
        )
        return (await self.stub.UploadBrandLogo(request, metadata=bearer(token or self.promos.admin))).brand

    async def store(
        self, brand_id: str, name: str = "Store", *, token: str = "", key: str = "", **fields: Any
    ) -> store_pb2.ManagedStore:
        """Returns a new store."""
        values: dict[str, Any] = {
            "name": name,
            "address": store_pb2.Address(line="Main Street 1", city="Springfield", country="US"),
            "time_zone": "Europe/Berlin",
        } | fields
        request = store_pb2.CreateStoreRequest(brand_id=brand_id, **values)
        metadata = bearer(token or self.promos.admin, **({"idempotency_key": key} if key else {}))
        return (await self.stores.CreateStore(request, metadata=metadata)).store

    async def update_store(self, store_id: str, *, token: str = "", **fields: Any) -> store_pb2.ManagedStore:
        """Changes a store."""
        request = store_pb2.UpdateStoreRequest(store_id=store_id, **fields)
        return (await self.stores.UpdateStore(request, metadata=bearer(token or self.promos.admin))).store

    async def delete_store(self, store_id: str, *, token: str = "", etag: str = "") -> None:
        """Deletes a store."""
        request = store_pb2.DeleteStoreRequest(store_id=store_id, etag=etag)
        await self.stores.DeleteStore(request, metadata=bearer(token or self.promos.admin))

    async def get_store(self, store_id: str, *, token: str = "") -> store_pb2.ManagedStore:
        """Returns a store as staff see it."""
        request = store_pb2.GetManagedStoreRequest(store_id=store_id)
        return (await self.stores.GetManagedStore(request, metadata=bearer(token or self.promos.admin))).store

    async def find(self, **fields: Any) -> list[store_pb2.FoundStore]:
        """Returns what everybody finds, all pages of it."""
        found: list[store_pb2.FoundStore] = []
        token = ""
        while True:
            request = store_pb2.ListStoresRequest(page_token=token, **{"page_size": 200, **fields})
            reply = await self.stores.ListStores(request)
            assert len(reply.stores) <= (request.page_size or 50)
            found += reply.stores
            token = reply.next_page_token
            if not token:
                return found

    async def names(self, **fields: Any) -> list[str]:
        """Returns the names of what everybody finds."""
        return [one.store.name for one in await self.find(**fields)]
