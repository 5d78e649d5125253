"""The promo codes that orders are paid with, as promos has them."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

import grpc
from scrip.common.v1 import money_pb2
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common import channels


class Discounted(Protocol):
    """An order, as far as its promo code goes."""

    @property
    def id(self) -> UUID:
        """Its id, by which the code is redeemed once."""

    @property
    def member_id(self) -> UUID:
        """Whose it is."""

    @property
    def promo_code_id(self) -> UUID | None:
        """Its promo code."""

    @property
    def amount_minor(self) -> int:
        """What it costs in money, after discounts."""

    @property
    def promo_discount_minor(self) -> int:
        """What the promo code takes off."""

    @property
    def currency_code(self) -> str | None:
        """In which currency."""


class OrderPromoCodes:
    """Quotes, redeems and gives back the promo codes of orders."""

    def __init__(self, promos: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(promos)
        self._token = token

    async def quote(
        self, member_id: UUID, code: str, *, amount_minor: int, currency_code: str, address: str
    ) -> tuple[UUID, int]:
        """Returns the code's id, and what it takes off an order that costs so much, in minor units.

        Raises why it does not apply, TOO_MANY_REQUESTS, and OutcomeUnknownError.
        """
        request = promos_pb2.QuoteOrderCodeRequest(
            member_id=str(member_id),
            code=code,
            price=money_pb2.Money(currency_code=currency_code, amount_minor=amount_minor),
            client_address=address,
        )
        reply = await channels.call("promos", self._stub.QuoteOrderCode, request, token=self._token)
        return UUID(reply.code_id), int(reply.discount_minor)

    async def redeem(self, order: Discounted) -> None:
        """Redeems the order's promo code, once. Raises why it does not apply any more."""
        request = promos_pb2.RedeemOrderCodeRequest(
            order_id=str(order.id),
            code_id=str(order.promo_code_id),
            member_id=str(order.member_id),
            price=money_pb2.Money(
                currency_code=order.currency_code or "",
                amount_minor=order.amount_minor + order.promo_discount_minor,
            ),
            discount_minor=order.promo_discount_minor,
        )
        await channels.call("promos", self._stub.RedeemOrderCode, request, token=self._token)

    async def give_back(self, order: Discounted) -> None:
        """Ensures that the order uses no promo code, now and later."""
        request = promos_pb2.GiveBackOrderCodeRequest(order_id=str(order.id))
        await channels.call("promos", self._stub.GiveBackOrderCode, request, token=self._token)
