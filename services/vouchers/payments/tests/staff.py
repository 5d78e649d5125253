"""What staff do with payment methods, over a real channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scrip.vouchers.v1 import payment_method_pb2 as pb
from scrip.vouchers.v1 import payment_method_pb2_grpc

from services.common.ids import new_id
from tests.inprocess import Platform, bearer


@dataclass(frozen=True)
class Staff:
    """An admin."""

    stub: payment_method_pb2_grpc.PaymentMethodServiceStub
    token: str

    @classmethod
    async def of(cls, platform: Platform) -> Staff:
        """Returns the admin of the platform."""
        stub = payment_method_pb2_grpc.PaymentMethodServiceStub(platform.channels["vouchers"])
        return cls(stub, await platform.admin())

    async def create(self, key: str = "", **fields: Any) -> pb.PaymentMethod:
        """Creates a payment method of the sandbox, if `fields` say nothing else."""
        request = pb.CreatePaymentMethodRequest(**{"name": "Card", "provider": "SANDBOX"} | fields)
        metadata = bearer(self.token, idempotency_key=key or str(new_id()))
        return (await self.stub.CreatePaymentMethod(request, metadata=metadata)).payment_method

    async def get(self, method_id: str) -> pb.PaymentMethod:
        """Reads a payment method."""
        request = pb.GetPaymentMethodRequest(payment_method_id=method_id)
        return (await self.stub.GetPaymentMethod(request, metadata=bearer(self.token))).payment_method

    async def update(self, method_id: str, **fields: Any) -> pb.PaymentMethod:
        """Changes a payment method."""
        request = pb.UpdatePaymentMethodRequest(payment_method_id=method_id, **fields)
        return (await self.stub.UpdatePaymentMethod(request, metadata=bearer(self.token))).payment_method

    async def archive(self, method_id: str, etag: str = "") -> pb.PaymentMethod:
        """Puts a payment method away."""
        request = pb.ArchivePaymentMethodRequest(payment_method_id=method_id, etag=etag)
        return (await self.stub.ArchivePaymentMethod(request, metadata=bearer(self.token))).payment_method

    async def set_discount(self, voucher_id: str, method_id: str, **fields: Any) -> pb.PaymentDiscount:
        """Sets a discount."""
        request = pb.SetPaymentDiscountRequest(voucher_id=voucher_id, payment_method_id=method_id, **fields)
        return (await self.stub.SetPaymentDiscount(request, metadata=bearer(self.token))).payment_discount

    async def discounts(self, voucher_id: str) -> list[pb.PaymentDiscount]:
        """Lists the discounts of a voucher."""
        request = pb.ListPaymentDiscountsRequest(voucher_id=voucher_id)
        reply = await self.stub.ListPaymentDiscounts(request, metadata=bearer(self.token))
        return list(reply.payment_discounts)

    async def delete_discount(self, voucher_id: str, method_id: str, etag: str = "") -> None:
        """Takes a discount away."""
        request = pb.DeletePaymentDiscountRequest(
            voucher_id=voucher_id, payment_method_id=method_id, etag=etag
        )
        await self.stub.DeletePaymentDiscount(request, metadata=bearer(self.token))
