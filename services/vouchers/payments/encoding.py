"""Payment methods, discounts, options and cards as protobuf has them, and back."""

from __future__ import annotations

from typing import Any

from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import payment_method_pb2, payment_pb2

from services.common.currencies import require_currency
from services.common.encoding import read_name, read_optional_text, read_text, timestamp
from services.common.ids import utc_now
from services.vouchers.payments.cards import Card, checked_card
from services.vouchers.payments.commands import NewMethod
from services.vouchers.payments.discounts import AmountOff, MethodDiscount, PercentOff
from services.vouchers.payments.queries import PaymentDiscountRow, PaymentMethodRow
from services.vouchers.payments.sandbox import SandboxRow


def read_card(message: payment_pb2.Card) -> Card:
    """Returns a card that may be good. Raises CARD_NOT_VALID, naming what is wrong with it."""
    typed = Card(
        number=message.number,
        expiry_month=message.expiry_month,
        expiry_year=message.expiry_year,
        cvc=message.cvc,
        holder=message.holder,
    )
    return checked_card(typed, utc_now())


def encode_method(row: PaymentMethodRow) -> payment_method_pb2.PaymentMethod:
    """Returns a payment method as staff see it."""
    return payment_method_pb2.PaymentMethod(
        id=str(row.id),
        name=row.name,
        provider=row.provider,
        active=row.active,
        position=row.position,
        description=row.description,
        created_at=timestamp(row.created_at),
        archived_at=timestamp(row.archived_at),
        etag=row.etag,
    )


def encode_option(row: PaymentMethodRow, *, card_required: bool) -> payment_pb2.PaymentOption:
    """Returns a payment method as members see it."""
    return payment_pb2.PaymentOption(
        payment_method_id=str(row.id),
        name=row.name,
        description=row.description,
        card_required=card_required,
    )


def read_new_method(request: payment_method_pb2.CreatePaymentMethodRequest) -> NewMethod:
    """Returns what staff want to create. Raises VALIDATION_FAILED."""
    return NewMethod(
        name=read_name(request.name, "name"),
        provider=request.provider,
        active=not request.inactive,
        position=request.position,
        description=read_optional_text(request.description, "description", lines=True),
    )


def read_changes(request: payment_method_pb2.UpdatePaymentMethodRequest) -> dict[str, Any]:
    """Returns the fields of a payment method that a request changes. Raises VALIDATION_FAILED."""
    changes: dict[str, Any] = dict.fromkeys(request.clear, "")
    if request.HasField("name"):
        changes["name"] = read_name(request.name, "name")
    if request.HasField("description"):
        changes["description"] = read_text(request.description, "description", lines=True)
    if request.HasField("active"):
        changes["active"] = request.active
    if request.HasField("position"):
        changes["position"] = request.position
    return changes


def read_discount(request: payment_method_pb2.SetPaymentDiscountRequest, currency: str) -> MethodDiscount:
    """Returns a discount. Raises CURRENCY_NOT_SUPPORTED."""
    if request.WhichOneof("discount") == "percent_off":
        return PercentOff(request.percent_off)
    require_currency(request.amount_off.currency_code, currency, of="vouchers")
    return AmountOff(request.amount_off.amount_minor)


def encode_discount(row: PaymentDiscountRow) -> payment_method_pb2.PaymentDiscount:
    """Returns what a payment method takes off a voucher."""
    discount = payment_method_pb2.PaymentDiscount(
        voucher_id=str(row.voucher_id), payment_method_id=str(row.payment_method_id), etag=row.etag
    )
    if row.percent_off is not None:
        discount.percent_off = row.percent_off
    else:
        discount.amount_off.amount_minor = row.amount_off_minor or 0
        discount.amount_off.currency_code = row.currency_code
    return discount


def encode_sandbox_payment(row: SandboxRow) -> payment_pb2.SandboxPayment:
    """Returns a payment as the sandbox shows it."""
    amount = None
    if row.currency_code:
        amount = money_pb2.Money(currency_code=row.currency_code, amount_minor=row.amount_minor)
    return payment_pb2.SandboxPayment(
        id=str(row.id),
        state=payment_pb2.PaymentState.Value(f"PAYMENT_STATE_{row.state}"),
        amount=amount,
        decline_code=row.decline_code,
    )
