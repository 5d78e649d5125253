"""DiscountService: the discounts of brands."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.v1 import discount_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, refuse_nul
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.common.paging import Page
from services.promos.brand_access import require_own_brand
from services.promos.claims import encoding
from services.promos.claims.commands import change_discount_state, create_discount, update_discount
from services.promos.claims.queries import (
    DISCOUNT_LIST,
    OPEN_DISCOUNTS,
    DiscountState,
    get_discount,
    get_open_discount,
)

_Change = (
    discount_pb2.ActivateDiscountRequest | discount_pb2.PauseDiscountRequest | discount_pb2.EndDiscountRequest
)


class DiscountHandlers:
    """Implements DiscountService."""

    def __init__(self, db: Database, currency: str) -> None:
        self._db = db
        self._currency = currency

    async def CreateDiscount(
        self, request: discount_pb2.CreateDiscountRequest, context: Context
    ) -> discount_pb2.CreateDiscountResponse:
        """Makes a discount, once per key."""
        actor, new = caller(), encoding.new_discount(request, self._currency)

        async def create(connection: Connection) -> discount_pb2.CreateDiscountResponse:
            row = await create_discount(connection, actor=actor, brand_id=UUID(request.brand_id), new=new)
            return discount_pb2.CreateDiscountResponse(discount=encoding.discount(row))

        return await idempotent(self._db, context, request, discount_pb2.CreateDiscountResponse, create)

    async def GetDiscount(
        self, request: discount_pb2.GetDiscountRequest, context: Context
    ) -> discount_pb2.GetDiscountResponse:
        """Returns one discount."""
        brand_id = UUID(request.brand_id)
        require_own_brand(caller(), brand_id)
        row = await self._db.read(get_discount, brand_id, UUID(request.discount_id))
        return discount_pb2.GetDiscountResponse(discount=encoding.discount(row))

    async def ListDiscounts(
        self, request: discount_pb2.ListDiscountsRequest, context: Context
    ) -> discount_pb2.ListDiscountsResponse:
        """Returns a page of a brand's discounts."""
        brand_id = UUID(request.brand_id)
        require_own_brand(caller(), brand_id)
        refuse_nul(query=request.query)
        page = await read_page(
            self._db,
            DISCOUNT_LIST,
            request,
            order_by=request.order_by,
            brand_id=brand_id,
            state=encoding.discount_state_filter(request.state),
            query=request.query or None,
        )
        return discount_pb2.ListDiscountsResponse(
            discounts=map(encoding.discount, page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def UpdateDiscount(
        self, request: discount_pb2.UpdateDiscountRequest, context: Context
    ) -> discount_pb2.UpdateDiscountResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            update_discount,
            actor=caller(),
            brand_id=UUID(request.brand_id),
            discount_id=UUID(request.discount_id),
            etag=request.etag,
            changes=encoding.changes(request),
        )
        return discount_pb2.UpdateDiscountResponse(discount=encoding.discount(row))

    async def ActivateDiscount(
        self, request: discount_pb2.ActivateDiscountRequest, context: Context
    ) -> discount_pb2.ActivateDiscountResponse:
        """Lets members claim."""
        discount = await self._change(request, "ACTIVE")
        return discount_pb2.ActivateDiscountResponse(discount=discount)

    async def PauseDiscount(
        self, request: discount_pb2.PauseDiscountRequest, context: Context
    ) -> discount_pb2.PauseDiscountResponse:
        """Stops claims for now."""
        discount = await self._change(request, "PAUSED")
        return discount_pb2.PauseDiscountResponse(discount=discount)

    async def EndDiscount(
        self, request: discount_pb2.EndDiscountRequest, context: Context
    ) -> discount_pb2.EndDiscountResponse:
        """Stops claims for good."""
        discount = await self._change(request, "ENDED")
        return discount_pb2.EndDiscountResponse(discount=discount)

    async def ListOpenDiscounts(
        self, request: discount_pb2.ListOpenDiscountsRequest, context: Context
    ) -> discount_pb2.ListOpenDiscountsResponse:
        """Returns a page of what can be claimed now."""
        brand_id = UUID(request.brand_id) if request.brand_id else None
        page = Page(request.page_size, request.page_token, "open_discounts", brand_id)
        rows, next_token = await self._db.read(OPEN_DISCOUNTS.page, page, brand_id=brand_id)
        return discount_pb2.ListOpenDiscountsResponse(
            discounts=map(encoding.open_discount, rows), next_page_token=next_token
        )

    async def GetOpenDiscount(
        self, request: discount_pb2.GetOpenDiscountRequest, context: Context
    ) -> discount_pb2.GetOpenDiscountResponse:
        """Returns one discount that can be claimed now."""
        row = await self._db.read(get_open_discount, UUID(request.discount_id))
        return discount_pb2.GetOpenDiscountResponse(discount=encoding.open_discount(row))

    async def _change(self, request: _Change, state: DiscountState) -> discount_pb2.Discount:
        row = await self._db.run(
            change_discount_state,
            actor=caller(),
            brand_id=UUID(request.brand_id),
            discount_id=UUID(request.discount_id),
            etag=request.etag,
            state=state,
        )
        return encoding.discount(row)
