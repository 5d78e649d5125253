"""BasketService."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.v1 import basket_pb2

from services.common.caller import MEMBER, Caller, caller
from services.common.codes import read_code
from services.common.currencies import require_currency
from services.common.db import Database
from services.common.encoding import Context, client_address, refuse_nul, set_timestamp
from services.common.errors import DomainError, invalid_field
from services.common.idempotency import fingerprint
from services.promos.baskets import encoding
from services.promos.baskets.commands import redeem_basket
from services.promos.baskets.discounts import Discount
from services.promos.baskets.queries import RedeemedBasket, find_redeemed_basket
from services.promos.baskets.quotes import Quote, Quotes
from services.promos.baskets.sales import Sale
from services.promos.codes import Guesser, NewRedemption
from services.promos.shown_members import ShownMembers


class BasketHandlers:
    """Implements BasketService."""

    def __init__(self, db: Database, quotes: Quotes, members: ShownMembers, currency: str) -> None:
        self._db = db
        self._quotes = quotes
        self._members = members
        self._currency = currency

    async def QuoteBasket(
        self, request: basket_pb2.QuoteBasketRequest, context: Context
    ) -> basket_pb2.QuoteBasketResponse:
        """Returns what codes take off a basket."""
        who = caller()
        require_currency(request.currency_code, self._currency, of="baskets")
        quote = await self._quotes.quote(
            encoding.read_lines(request.lines),
            _codes(request),
            guesser=Guesser(who, client_address(context), request.till_number),
            member_id=await self._buyer(who, request.member_code),
        )
        return encoding.encode_quote(quote, self._currency)

    async def RedeemBasket(
        self, request: basket_pb2.RedeemBasketRequest, context: Context
    ) -> basket_pb2.RedeemBasketResponse:
        """Redeems the codes of a basket, or none."""
        who = caller()
        refuse_nul(sale_reference=request.sale_reference, till_number=request.till_number)
        require_currency(request.currency_code, self._currency, of="baskets")
        lines = encoding.read_lines(request.lines)
        request.codes[:] = codes = _codes(request)
        request.member_code = read_code(request.member_code)
        content = fingerprint(request.SerializeToString(deterministic=True))
        sale = Sale(who.id, request.till_number, request.sale_reference)
        # A repetition needs neither the member's code, which may be over by then, nor points.
        kept = await self._db.read(find_redeemed_basket, sale, content)
        if kept is None:
            guesser = Guesser(who, client_address(context), request.till_number)
            try:
                member_id = await self._buyer(who, request.member_code)
                quote = await self._quotes.quote(
                    lines, codes, guesser=guesser, member_id=member_id, sale=sale
                )
                kept = await self._redeem(who, sale, quote, codes, content=content, member_id=member_id)
            except DomainError:
                # What refuses it may be itself, sent twice at once and redeemed a moment ago.
                kept = await self._db.read(find_redeemed_basket, sale, content)
                if kept is None:
                    raise
        return _reply(kept)

    async def _redeem(
        self,
        who: Caller,
        sale: Sale,
        quote: Quote,
        codes: list[str],
        *,
        content: bytes,
        member_id: UUID | None,
    ) -> RedeemedBasket:
        """Redeems what was quoted. Raises the refusal of the first code that does not apply."""
        applied: list[tuple[NewRedemption, Discount]] = []
        first_purchases: dict[UUID, dict[UUID, UUID]] = {}
        for code, given in zip(codes, quote.codes, strict=True):
            if isinstance(given.outcome, DomainError):
                raise given.outcome
            new = NewRedemption(
                who,
                code,
                sale.till_number,
                sale.sale_reference,
                member_id=member_id,
                discount_minor=given.outcome.minor,
                currency_code=self._currency,
                basket_hash=content,
            )
            applied.append((new, given.outcome))
            found = given.found
            if found and found.user_id and found.benefit.first_purchase_only:
                first_purchases.setdefault(found.user_id, {})[found.id] = new.id
        redeemed = [(new.id, discount) for new, discount in applied]
        return await self._db.run(
            redeem_basket,
            sale,
            [new for new, _ in applied],
            fingerprint=content,
            reply=encoding.encode_redeemed(quote, self._currency, redeemed).SerializeToString(),
            first_purchases=first_purchases,
        )

    async def _buyer(self, who: Caller, member_code: str) -> UUID | None:
        """Returns the member who buys: the caller itself, or the one that it was shown.

        Raises VALIDATION_FAILED for a member who sends a code, and MEMBER_CODE_UNKNOWN.
        """
        if who.role != MEMBER:
            return (await self._members.find(member_code)).id if member_code else None
        if member_code:
            raise invalid_field("member_code", "members are the caller, and send none")
        return who.id


def _codes(request: basket_pb2.QuoteBasketRequest | basket_pb2.RedeemBasketRequest) -> list[str]:
    """Returns the codes as they are stored."""
    for place, code in enumerate(request.codes):
        refuse_nul(**{f"codes[{place}]": code})
    return [read_code(code) for code in request.codes]


def _reply(kept: RedeemedBasket) -> basket_pb2.RedeemBasketResponse:
    reply = basket_pb2.RedeemBasketResponse.FromString(kept.reply)
    set_timestamp(reply.redeemed_at, kept.redeemed_at)
    return reply
