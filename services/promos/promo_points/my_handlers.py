"""MyPromoService: the promos of the member who calls."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.v1 import promo_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context
from services.common.idempotent import idempotent
from services.common.paging import Page
from services.promos.promo_points import queries
from services.promos.promo_points.encoding import encode_promo, encode_use, read_state
from services.promos.promo_points.using import use_promo


class MyPromoHandlers:
    """Implements MyPromoService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListMyPromos(
        self, request: promo_pb2.ListMyPromosRequest, context: Context
    ) -> promo_pb2.ListMyPromosResponse:
        """Returns a page of the caller's promos."""
        member_id, state = caller().id, read_state(request.state)
        page = Page(request.page_size, request.page_token, request.DESCRIPTOR.name, member_id, state)
        rows, token = await self._db.read(
            queries.PROMO_LIST.page, page=page, member_id=member_id, state=state, not_deleted=True
        )
        return promo_pb2.ListMyPromosResponse(promos=map(encode_promo, rows), next_page_token=token)

    async def GetMyPromo(
        self, request: promo_pb2.GetMyPromoRequest, context: Context
    ) -> promo_pb2.GetMyPromoResponse:
        """Returns one of the caller's promos."""
        row = await self._db.read(queries.get_promo, UUID(request.promo_id), member_id=caller().id)
        return promo_pb2.GetMyPromoResponse(promo=encode_promo(row))

    async def UsePromoPoints(
        self, request: promo_pb2.UsePromoPointsRequest, context: Context
    ) -> promo_pb2.UsePromoPointsResponse:
        """Uses some of a promo's points, once per key."""
        actor = caller()

        async def use(connection: Connection) -> promo_pb2.UsePromoPointsResponse:
            row = await use_promo(
                connection, actor=actor, promo_id=UUID(request.promo_id), amount=request.amount
            )
            return promo_pb2.UsePromoPointsResponse(use=encode_use(row))

        return await idempotent(self._db, context, request, promo_pb2.UsePromoPointsResponse, use)
