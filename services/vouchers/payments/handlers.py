"""PaymentMethodService: what staff do with payment methods and their discounts."""

from __future__ import annotations

from uuid import UUID

from scrip.vouchers.v1 import payment_method_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.vouchers.payments import commands, encoding, queries
from services.vouchers.payments.providers import Providers


class PaymentMethodHandlers:
    """Implements PaymentMethodService."""

    def __init__(self, db: Database, providers: Providers, currency_code: str) -> None:
        self._db = db
        self._providers = providers
        self._currency_code = currency_code

    async def CreatePaymentMethod(
        self, request: payment_method_pb2.CreatePaymentMethodRequest, context: Context
    ) -> payment_method_pb2.CreatePaymentMethodResponse:
        """Creates a payment method, once per key."""
        self._providers.get(request.provider)
        actor, new = caller(), encoding.read_new_method(request)

        async def create(connection: Connection) -> payment_method_pb2.CreatePaymentMethodResponse:
            row = await commands.create_method(connection, actor=actor, new=new)
            return payment_method_pb2.CreatePaymentMethodResponse(payment_method=encoding.encode_method(row))

        reply = payment_method_pb2.CreatePaymentMethodResponse
        return await idempotent(self._db, context, request, reply, create)

    async def GetPaymentMethod(
        self, request: payment_method_pb2.GetPaymentMethodRequest, context: Context
    ) -> payment_method_pb2.GetPaymentMethodResponse:
        """Returns one payment method."""
        row = await self._db.read(queries.get_method, UUID(request.payment_method_id))
        return payment_method_pb2.GetPaymentMethodResponse(payment_method=encoding.encode_method(row))

    async def ListPaymentMethods(
        self, request: payment_method_pb2.ListPaymentMethodsRequest, context: Context
    ) -> payment_method_pb2.ListPaymentMethodsResponse:
        """Returns a page of payment methods."""
        page = await read_page(
            self._db,
            queries.METHOD_LIST,
            request,
            order_by=request.order_by,
            active=request.active if request.HasField("active") else None,
            archived=None if request.with_archived else False,
        )
        return payment_method_pb2.ListPaymentMethodsResponse(
            payment_methods=map(encoding.encode_method, page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def UpdatePaymentMethod(
        self, request: payment_method_pb2.UpdatePaymentMethodRequest, context: Context
    ) -> payment_method_pb2.UpdatePaymentMethodResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            commands.update_method,
            actor=caller(),
            payment_method_id=UUID(request.payment_method_id),
            etag=request.etag,
            changes=encoding.read_changes(request),
        )
        return payment_method_pb2.UpdatePaymentMethodResponse(payment_method=encoding.encode_method(row))

    async def ArchivePaymentMethod(
        self, request: payment_method_pb2.ArchivePaymentMethodRequest, context: Context
    ) -> payment_method_pb2.ArchivePaymentMethodResponse:
        """Puts a payment method away for good."""
        row = await self._db.run(
            commands.archive_method,
            actor=caller(),
            payment_method_id=UUID(request.payment_method_id),
            etag=request.etag,
        )
        return payment_method_pb2.ArchivePaymentMethodResponse(payment_method=encoding.encode_method(row))

    async def SetPaymentDiscount(
        self, request: payment_method_pb2.SetPaymentDiscountRequest, context: Context
    ) -> payment_method_pb2.SetPaymentDiscountResponse:
        """Sets what a payment method takes off a voucher."""
        row = await self._db.run(
            commands.set_discount,
            actor=caller(),
            voucher_id=UUID(request.voucher_id),
            payment_method_id=UUID(request.payment_method_id),
            discount=encoding.read_discount(request, self._currency_code),
            currency_code=self._currency_code,
            etag=request.etag,
        )
        return payment_method_pb2.SetPaymentDiscountResponse(payment_discount=encoding.encode_discount(row))

    async def ListPaymentDiscounts(
        self, request: payment_method_pb2.ListPaymentDiscountsRequest, context: Context
    ) -> payment_method_pb2.ListPaymentDiscountsResponse:
        """Returns a page of the discounts of a voucher."""
        voucher_id = UUID(request.voucher_id)
        await self._db.read(commands.require_voucher, voucher_id)
        page = await read_page(self._db, queries.DISCOUNT_LIST, request, voucher_id=voucher_id)
        return payment_method_pb2.ListPaymentDiscountsResponse(
            payment_discounts=map(encoding.encode_discount, page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def DeletePaymentDiscount(
        self, request: payment_method_pb2.DeletePaymentDiscountRequest, context: Context
    ) -> payment_method_pb2.DeletePaymentDiscountResponse:
        """Takes a discount away."""
        await self._db.run(
            commands.delete_discount,
            actor=caller(),
            voucher_id=UUID(request.voucher_id),
            payment_method_id=UUID(request.payment_method_id),
            etag=request.etag,
        )
        return payment_method_pb2.DeletePaymentDiscountResponse()
