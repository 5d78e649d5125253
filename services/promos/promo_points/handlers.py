"""PromoService: what staff do with promos, and what tills use of them."""

from __future__ import annotations

import hashlib
from uuid import UUID

from scrip.promos.v1 import promo_pb2

from services.common.caller import caller
from services.common.codes import read_code
from services.common.db import Connection, Database
from services.common.encoding import Context, moment, read_text, refuse_nul
from services.common.errors import DomainError
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.promos.promo_points import queries
from services.promos.promo_points.commands import NewPromo, create_promo, delete_promo, update_promo
from services.promos.promo_points.encoding import (
    encode_promo,
    encode_use,
    read_changes,
    read_state,
    read_type,
)
from services.promos.promo_points.new_members import NewMembers
from services.promos.promo_points.using import Sale, cancel_use, use_for_sale, used_before
from services.promos.shown_members import ShownMembers


class PromoHandlers:
    """Implements PromoService."""

    def __init__(self, db: Database, members: ShownMembers, new_members: NewMembers) -> None:
        self._db = db
        self._members = members
        self._new_members = new_members

    async def CreatePromo(
        self, request: promo_pb2.CreatePromoRequest, context: Context
    ) -> promo_pb2.CreatePromoResponse:
        """Gives a member a promo, once per key.

        Events of members lag behind: identity is asked about one who is not known here.
        """
        actor, kind = caller(), read_type(request.type)
        assert kind, "the contract requires one"
        new = NewPromo(
            member_id=UUID(request.member_id),
            type=kind,
            description=read_text(request.description, "description", lines=True),
            starts_at=moment(request, "starts_at"),
            ends_at=moment(request, "ends_at"),
            amount=request.amount,
            active=not request.inactive,
        )

        async def create(connection: Connection) -> promo_pb2.CreatePromoResponse:
            row = await create_promo(connection, actor=actor, new=new)
            return promo_pb2.CreatePromoResponse(promo=encode_promo(row))

        try:
            return await idempotent(self._db, context, request, promo_pb2.CreatePromoResponse, create)
        except DomainError as error:
            if error.reason != "MEMBER_NOT_FOUND":
                raise
        await self._new_members.keep(new.member_id)
        return await idempotent(self._db, context, request, promo_pb2.CreatePromoResponse, create)

    async def GetPromo(
        self, request: promo_pb2.GetPromoRequest, context: Context
    ) -> promo_pb2.GetPromoResponse:
        """Returns one promo."""
        row = await self._db.read(queries.get_promo, UUID(request.promo_id))
        return promo_pb2.GetPromoResponse(promo=encode_promo(row))

    async def ListPromos(
        self, request: promo_pb2.ListPromosRequest, context: Context
    ) -> promo_pb2.ListPromosResponse:
        """Returns a page of all promos."""
        page = await read_page(
            self._db,
            queries.PROMO_LIST,
            request,
            order_by=request.order_by,
            member_id=UUID(request.member_id) if request.member_id else None,
            type=read_type(request.type),
            state=read_state(request.state),
        )
        return promo_pb2.ListPromosResponse(
            promos=map(encode_promo, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def UpdatePromo(
        self, request: promo_pb2.UpdatePromoRequest, context: Context
    ) -> promo_pb2.UpdatePromoResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            update_promo,
            actor=caller(),
            promo_id=UUID(request.promo_id),
            etag=request.etag,
            changes=read_changes(request),
        )
        return promo_pb2.UpdatePromoResponse(promo=encode_promo(row))

    async def DeletePromo(
        self, request: promo_pb2.DeletePromoRequest, context: Context
    ) -> promo_pb2.DeletePromoResponse:
        """Ends a promo for good."""
        await self._db.run(delete_promo, actor=caller(), promo_id=UUID(request.promo_id), etag=request.etag)
        return promo_pb2.DeletePromoResponse()

    async def ListPromoUses(
        self, request: promo_pb2.ListPromoUsesRequest, context: Context
    ) -> promo_pb2.ListPromoUsesResponse:
        """Returns a page of what was used of a promo."""
        promo_id = UUID(request.promo_id)
        await self._db.read(queries.get_promo, promo_id)
        page = await read_page(self._db, queries.USE_LIST, request, promo_id=promo_id)
        return promo_pb2.ListPromoUsesResponse(
            uses=map(encode_use, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def UsePromos(
        self, request: promo_pb2.UsePromosRequest, context: Context
    ) -> promo_pb2.UsePromosResponse:
        """Uses promo points for a sale, once."""
        refuse_nul(sale_reference=request.sale_reference, till_number=request.till_number)
        actor = caller()
        asked = f"{request.amount} {read_code(request.member_code)}"
        sale = Sale(request.sale_reference, request.till_number, hashlib.sha256(asked.encode()).digest())
        # First, for a signed code is good for a minute, and its sale may be sent again later.
        uses = await self._db.read(used_before, actor=actor, sale=sale)
        if not uses:
            member = await self._members.find(request.member_code)
            uses = await self._db.run(
                use_for_sale,
                actor=actor,
                member_id=member.id,
                signed_code_id=member.signed_code_id,
                amount=request.amount,
                sale=sale,
            )
        return promo_pb2.UsePromosResponse(promo_use_id=str(uses[0].id), uses=map(encode_use, uses))

    async def CancelPromoUse(
        self, request: promo_pb2.CancelPromoUseRequest, context: Context
    ) -> promo_pb2.CancelPromoUseResponse:
        """Gives back what was used."""
        uses = await self._db.run(cancel_use, actor=caller(), promo_use_id=UUID(request.promo_use_id))
        return promo_pb2.CancelPromoUseResponse(uses=map(encode_use, uses))
