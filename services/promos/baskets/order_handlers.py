"""PromosInternalService: the promo codes that orders of vouchers are paid with."""

from __future__ import annotations

from uuid import UUID

from scrip.common.v1 import money_pb2
from scrip.promos.internal.v1 import promos_pb2

from services.common.caller import MEMBER, Caller
from services.common.codes import read_code
from services.common.currencies import require_currency
from services.common.db import Database
from services.common.encoding import Context, refuse_nul
from services.common.errors import DomainError
from services.common.idempotency import fingerprint
from services.promos.baskets import refusals
from services.promos.baskets.discounts import Line
from services.promos.baskets.order_commands import give_back_order_code, is_redeemed, redeem_order_code
from services.promos.baskets.quotes import Quote, Quotes
from services.promos.baskets.sales import ORDERS, of_order
from services.promos.codes import Guesser, NewRedemption, RedeemableCode, get_code_text

CATEGORY = "vouchers"
"""Of the one line of an order."""


class OrderPromoCodeHandlers:
    """Implements PromosInternalService."""

    def __init__(self, db: Database, quotes: Quotes, currency: str) -> None:
        self._db = db
        self._quotes = quotes
        self._currency = currency

    async def QuoteOrderCode(
        self, request: promos_pb2.QuoteOrderCodeRequest, context: Context
    ) -> promos_pb2.QuoteOrderCodeResponse:
        """Returns what a code takes off an order."""
        refuse_nul(code=request.code)
        lines, code = self._lines(request.price), read_code(request.code)
        member = Caller(request.member_id, MEMBER)
        quote = await self._quotes.quote(
            lines, [code], guesser=Guesser(member, request.client_address), member_id=member.id
        )
        found, minor = _discount(quote)
        return promos_pb2.QuoteOrderCodeResponse(code_id=str(found.id), discount_minor=minor)

    async def RedeemOrderCode(
        self, request: promos_pb2.RedeemOrderCodeRequest, context: Context
    ) -> promos_pb2.RedeemOrderCodeResponse:
        """Redeems a code for an order."""
        order_id, content = UUID(request.order_id), fingerprint(request.SerializeToString(deterministic=True))
        if not await self._db.read(is_redeemed, order_id, content):
            try:
                await self._redeem(request, content)
            except DomainError:
                # What refuses it may be itself, sent twice at once and redeemed a moment ago.
                if not await self._db.read(is_redeemed, order_id, content):
                    raise
        return promos_pb2.RedeemOrderCodeResponse()

    async def GiveBackOrderCode(
        self, request: promos_pb2.GiveBackOrderCodeRequest, context: Context
    ) -> promos_pb2.GiveBackOrderCodeResponse:
        """Gives the use of an order's code back."""
        await self._db.run(give_back_order_code, UUID(request.order_id))
        return promos_pb2.GiveBackOrderCodeResponse()

    async def _redeem(self, request: promos_pb2.RedeemOrderCodeRequest, content: bytes) -> None:
        order_id, member_id = UUID(request.order_id), UUID(request.member_id)
        sale, lines = of_order(order_id), self._lines(request.price)
        code_id = UUID(request.code_id)
        code = await self._db.read(get_code_text, code_id=code_id, owner=None, brand_id=None)
        quote = await self._quotes.quote_known(lines, code, member_id=member_id, sale=sale)
        found, minor = _discount(quote)
        if minor != request.discount_minor:
            raise refusals.order_discount_differs(code_id, quoted=request.discount_minor, discount=minor)
        new = NewRedemption(
            ORDERS,
            code,
            sale.till_number,
            sale.sale_reference,
            member_id=member_id,
            discount_minor=minor,
            currency_code=self._currency,
            basket_hash=content,
        )
        first = {member_id: {code_id: new.id}} if found.benefit.first_purchase_only else {}
        await self._db.run(redeem_order_code, order_id, new, fingerprint=content, first_purchases=first)

    def _lines(self, price: money_pb2.Money) -> list[Line]:
        require_currency(price.currency_code, self._currency, of="orders")
        return [Line(CATEGORY, price.amount_minor)]


def _discount(quote: Quote) -> tuple[RedeemableCode, int]:
    """Returns the one code of a quote and what it takes off, or raises why it does not apply."""
    [given] = quote.codes
    if isinstance(given.outcome, DomainError):
        raise given.outcome
    assert given.found, "what takes something off was found"
    return given.found, given.outcome.minor
