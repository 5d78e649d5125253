"""Whether staff can work for a brand: asked of promos, which owns brands."""

from __future__ import annotations

from uuid import UUID

import grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common import channels


class Brands:
    """Asks promos about brands."""

    def __init__(self, promos: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(promos)
        self._token = token

    async def require(self, brand_id: UUID) -> None:
        """Raises BRAND_NOT_FOUND, BRAND_ARCHIVED, and DEPENDENCY_UNAVAILABLE when promos does not reply."""
        request = promos_pb2.CheckBrandRequest(brand_id=str(brand_id))
        await channels.call("promos", self._stub.CheckBrand, request, token=self._token)
