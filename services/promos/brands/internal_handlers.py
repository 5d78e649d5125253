"""What other services ask of brands: a part of PromosInternalService."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.internal.v1 import promos_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.promos.brands.queries import require_brand


class BrandCheckHandlers:
    """Implements CheckBrand."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CheckBrand(
        self, request: promos_pb2.CheckBrandRequest, context: Context
    ) -> promos_pb2.CheckBrandResponse:
        """Refuses unless somebody can be made to work for the brand."""
        await self._db.read(require_brand, UUID(request.brand_id))
        return promos_pb2.CheckBrandResponse()
