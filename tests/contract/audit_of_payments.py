"""What staff change of payments, for the test that all of it is audited."""

from __future__ import annotations

from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc, payment_method_pb2, payment_method_pb2_grpc

from tests.contract.audit_of_promos import Admin, Done
from tests.inprocess import bearer


async def change_payments(admin: Admin) -> Done:
    """A payment method and what it takes off a voucher, which the caller lists apart."""
    channel = admin.platform.channels["vouchers"]
    value = money_pb2.Money(currency_code="USD", amount_minor=500)
    offer = catalogue_pb2.CreateVoucherRequest(title="$5 off", face_value=value, price_points=1, quantity=1)
    other = bearer(await admin.platform.admin())
    made = await catalogue_pb2_grpc.CatalogueServiceStub(channel).CreateVoucher(offer, metadata=other)
    voucher = made.voucher.id
    stub = payment_method_pb2_grpc.PaymentMethodServiceStub(channel)
    wanted = payment_method_pb2.CreatePaymentMethodRequest(name="Card", provider="SANDBOX")
    method = (await admin.call(stub, "PaymentMethodService", wanted)).payment_method.id
    for request in (
        payment_method_pb2.UpdatePaymentMethodRequest(payment_method_id=method, name="Cards"),
        payment_method_pb2.SetPaymentDiscountRequest(
            voucher_id=voucher, payment_method_id=method, percent_off=10
        ),
        payment_method_pb2.DeletePaymentDiscountRequest(voucher_id=voucher, payment_method_id=method),
        payment_method_pb2.ArchivePaymentMethodRequest(payment_method_id=method),
    ):
        await admin.call(stub, "PaymentMethodService", request)
    of_method = [(f"payment_method.{what}", method) for what in ("created", "updated", "archived")]
    return [*of_method, ("payment_discount.set", voucher), ("payment_discount.deleted", voucher)]
