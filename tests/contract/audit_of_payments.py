"""What staff change of payments, for the test that all of it is audited."""

from __future__ import annotations

from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    order_pb2,
    order_pb2_grpc,
    payment_method_pb2,
    payment_method_pb2_grpc,
    payment_pb2,
)

from services.common.ids import new_id
from tests.contract.audit_of_promos import Admin, Done
from tests.inprocess import bearer
from tests.waiting import eventually


async def change_payments(admin: Admin) -> Done:
    """A payment method and what it takes off a voucher, which the caller lists apart."""
    channel = admin.platform.channels["vouchers"]
    value = money_pb2.Money(currency_code="USD", amount_minor=500)
    offer = catalogue_pb2.CreateVoucherRequest(title="$5 off", face_value=value, price=value, quantity=1)
    other = bearer(await admin.platform.admin())
    made = await catalogue_pb2_grpc.CatalogueServiceStub(channel).CreateVoucher(offer, metadata=other)
    voucher = made.voucher.id
    stub = payment_method_pb2_grpc.PaymentMethodServiceStub(channel)
    wanted = payment_method_pb2.CreatePaymentMethodRequest(name="Card", provider="SANDBOX")
    method = (await admin.call(stub, "PaymentMethodService", wanted)).payment_method.id
    order = await _refunded(admin, voucher, method)
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
    return [*of_method, ("payment_discount.set", voucher), ("payment_discount.deleted", voucher), order]


async def _refunded(admin: Admin, voucher: str, method: str) -> tuple[str, str]:
    """An order of a member, refunded."""
    orders = order_pb2_grpc.OrderServiceStub(admin.platform.channels["vouchers"])
    card = payment_pb2.Card(number="4242424242424242", expiry_month=12, expiry_year=2050, cvc="123")
    wanted = order_pb2.PlaceOrderRequest(voucher_id=voucher, payment_method_id=method, card=card)
    member = bearer((await admin.platform.member()).token, idempotency_key=str(new_id()))

    async def placed() -> str:
        order = (await orders.PlaceOrder(wanted, metadata=member)).order
        assert order.state == order_pb2.ORDER_STATE_COMPLETED
        return order.id

    order_id = await eventually(placed, seconds=10)
    await admin.call(orders, "OrderService", order_pb2.RefundOrderRequest(order_id=order_id, note="Returned"))
    return ("order.refund_begun", order_id)
