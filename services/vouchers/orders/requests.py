"""What members ask for, as orders that can be placed: priced, and with a time to pay."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from scrip.vouchers.v1 import order_pb2

from services.common.currencies import require_currency
from services.common.db import Database
from services.common.errors import DomainError
from services.common.idempotency import fingerprint, reused
from services.vouchers.catalogue import get_gift_terms
from services.vouchers.gifts import GiftRecipients, Recipient, gift_not_allowed
from services.vouchers.orders.new_orders import NewOrder
from services.vouchers.orders.queries import OrderRow, find_order
from services.vouchers.orders.refusals import amount_mismatch
from services.vouchers.payments import Card
from services.vouchers.quotes import PricedOrder


class Pricing(Protocol):
    """Says what orders cost."""

    async def priced(
        self, request: order_pb2.PlaceOrderRequest, member_id: UUID, *, address: str
    ) -> PricedOrder:
        """Returns what is charged, by the request's quote or as of now. Raises why it can not be had."""

    async def take_quote(self, quote_id: UUID, member_id: UUID, key: str) -> None:
        """Takes a quote for the order with this key, and for no other. Raises why it can not be had."""


class MoneyChecks(Protocol):
    """Checks what is to be paid with, before anything is ordered."""

    async def require_card(self, payment_method_id: UUID, card: Card | None) -> None:
        """Raises CARD_REQUIRED without a card where one is needed, and the other way round."""


class OrderRequests:
    """Reads requests for orders."""

    def __init__(
        self,
        db: Database,
        pricing: Pricing,
        payments: MoneyChecks,
        recipients: GiftRecipients,
        *,
        currency: str,
        pay_seconds: int,
    ) -> None:
        self._recipients = recipients
        self._db = db
        self._pricing = pricing
        self._payments = payments
        self._currency = currency
        self._pay_time = timedelta(seconds=pay_seconds)

    async def read(
        self,
        request: order_pb2.PlaceOrderRequest,
        member_id: UUID,
        key: str,
        *,
        card: Card | None = None,
        to: Recipient | None = None,
        accept_language: str | None = None,
        address: str = "",
    ) -> NewOrder | OrderRow:
        """Returns the order to be placed, or the one that has this key already; `to` is whom it is for.

        `address` is where the member calls from. Raises IDEMPOTENCY_KEY_REUSED, AMOUNT_MISMATCH,
        CURRENCY_NOT_SUPPORTED, what pricing raises, and for a gift GIFT_NOT_ALLOWED and what
        `GiftRecipients.prepare` raises.
        """
        voucher_id, quantity = UUID(request.voucher_id), request.quantity or 1
        request_hash = self._hash(request)
        if request_hash is None:
            return NewOrder(member_id, voucher_id, key, quantity)
        existing = await self._db.read(find_order, member_id, key)
        if existing is not None:
            if existing.request_hash != request_hash:
                raise reused(key)
            return existing
        if request.payment_method_id or request.quote_id or request.promo_code:
            priced = await self._pricing.priced(request, member_id, address=address)
        else:
            priced = PricedOrder(voucher_id, quantity, price_points=None)
        self._check_amount(request, priced)
        if priced.amount_minor and priced.payment_method_id:
            await self._payments.require_card(priced.payment_method_id, card)
        new = NewOrder(
            member_id,
            priced.voucher_id,
            key,
            priced.quantity,
            price_points=priced.price_points,
            amount_minor=priced.amount_minor,
            currency_code=priced.currency_code,
            method_discount_minor=priced.method_discount_minor,
            promo_discount_minor=priced.promo_discount_minor,
            payment_method_id=priced.payment_method_id,
            promo_code_id=priced.promo_code_id,
            pay_until=datetime.now(UTC) + self._pay_time if priced.amount_minor else None,
            request_hash=request_hash,
        )
        if to:
            new = await self._as_gift(new, to, accept_language)
        if request.quote_id:
            await self._take_quote(UUID(request.quote_id), new)
        return new

    async def _take_quote(self, quote_id: UUID, new: NewOrder) -> None:
        """Takes the quote last, so that a request which is refused leaves it for another try with any key."""
        try:
            await self._pricing.take_quote(quote_id, new.member_id, new.key)
        except DomainError:
            await self.drop(new)
            raise

    async def _as_gift(self, new: NewOrder, to: Recipient, accept_language: str | None) -> NewOrder:
        """Returns the order as a gift, whose recipient's number is kept until it is told or forgotten."""
        if not (await self._db.read(get_gift_terms, new.voucher_id)).allowed:
            raise gift_not_allowed(new.voucher_id)
        recipient_hash = await self._recipients.prepare(
            new.id, giver_id=new.member_id, phone_number=to.phone_number, accept_language=accept_language
        )
        return replace(new, recipient_hash=recipient_hash, recipient_name=to.name, gift_message=to.message)

    async def drop(self, new: NewOrder) -> None:
        """Has the recipient forgotten of an order that was not placed."""
        if new.recipient_hash is not None:
            await self._recipients.forget_if_possible(new.id)

    def _hash(self, request: order_pb2.PlaceOrderRequest) -> bytes | None:
        """Returns a hash of what is ordered, None when it is but so many pieces of a voucher for points."""
        compared = order_pb2.PlaceOrderRequest()
        compared.CopyFrom(request)
        # How it is paid may differ when it is repeated; what is ordered may not.
        compared.ClearField("card")
        compared.ClearField("return_url")
        plain = order_pb2.PlaceOrderRequest(voucher_id=request.voucher_id, quantity=request.quantity)
        if compared == plain:
            return None
        compared.quantity = request.quantity or 1
        if compared.HasField("gift"):
            compared.gift.phone_number = self._recipients.fingerprint(request.gift.phone_number)
        return fingerprint(compared.SerializeToString(deterministic=True))

    def _check_amount(self, request: order_pb2.PlaceOrderRequest, priced: PricedOrder) -> None:
        if not request.HasField("amount"):
            return
        require_currency(request.amount.currency_code, self._currency, of="orders")
        if request.amount.amount_minor != priced.amount_minor:
            raise amount_mismatch(priced.amount_minor, self._currency)
