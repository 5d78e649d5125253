"""OrderService: what orders would cost."""

from __future__ import annotations

from uuid import UUID

from scrip.vouchers.v1 import order_pb2

from services.common.caller import caller
from services.common.encoding import Context, client_address
from services.vouchers.quotes.encoding import encode_quote
from services.vouchers.quotes.pricing import OrderPricing, PayingWith, Wanted


class QuoteHandlers:
    """Implements what OrderService has before an order."""

    def __init__(self, pricing: OrderPricing) -> None:
        self._pricing = pricing

    async def QuoteOrder(
        self, request: order_pb2.QuoteOrderRequest, context: Context
    ) -> order_pb2.QuoteOrderResponse:
        """Says what an order costs, and keeps it for a while."""
        wanted = Wanted(caller().id, UUID(request.voucher_id), request.quantity or 1, as_gift=request.as_gift)
        method_id = UUID(request.payment_method_id) if request.payment_method_id else None
        paying = PayingWith(method_id, request.promo_code, client_address(context))
        return order_pb2.QuoteOrderResponse(quote=encode_quote(await self._pricing.quote(wanted, paying)))
