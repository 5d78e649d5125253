"""Examples of fields and whole requests, which keep every rule: a test looks at each as a service would."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from tools.openapi import rules
from tools.openapi.contract import Contract, Rpc

ID = "01993f6e-8c1a-7b2d-9e4f-3a5b6c7d8e9f"
_BEFORE, _AFTER = "2026-06-01T12:00:00Z", "2030-12-31T23:00:00Z"
_ENDS = re.compile(r"(^|_)(ends?|until|expires?|expired)(_|$)")
_SUCH_AS = re.compile(r"such as `([^`…]+)`")

# By the name of the field, or of its message and itself, where neither its rules nor its comment tell.
_BY_NAME: dict[str, str | int | float] = {
    "CreateBrandRequest.name": "Green Thumb",
    "CreateCodeSetRequest.name": "Leaflets in June",
    "CreateDiscountRequest.name": "10 % off garden chairs",
    "CreateEarnRuleRequest.name": "Summer rate",
    "CreatePaymentMethodRequest.name": "Card",
    "CreateStoreRequest.name": "Green Thumb, Main Street",
    "GiftRecipient.name": "Grace",
    "OtpProof.code": "473920",
    "UpdateBrandRequest.name": "Green Thumb",
    "UpdateCampaignRequest.name": "First 100 logins",
    "UpdateCodeSetRequest.name": "Leaflets in June",
    "UpdateDiscountRequest.name": "10 % off garden chairs",
    "UpdatePaymentMethodRequest.name": "Card",
    "UpdateStoreRequest.name": "Green Thumb, Main Street",
    "amount_minor": "500",
    "birthday": "1985-12-10",
    "category": "bakery",
    "city": "Berlin",
    "claim_code": "7K4M-2QXR",
    "code": "SUMMER-4H7K-9QRT",
    "country": "DE",
    "currency_code": "USD",
    "current_password": "Paper-Boat-31",
    "description": "For all who like gardens.",
    "display_name": "Till 1, Main Street",
    "email": "ada@example.com",
    "etag": "3",
    "full_name": "Ada Lovelace",
    "latitude": 52.52,
    "longitude": 13.405,
    "member_code": "7K4M-2QXR-9T3B",
    "message": "Happy birthday!",
    "name": "Garden table",
    "new_password": "Wooden-Horse-47",
    "note": "As agreed by telephone.",
    "password": "Wooden-Horse-47",
    "pattern": "SUMMER-######@@@@@",
    "phone": "+14155550123",
    "phone_number": "+14155550123",
    "provider": "SANDBOX",
    "reason": "As agreed by telephone.",
    "receipt_number": "R-1001",
    "refresh_token": "01993f6e8c1a7b2d.f7Qx0Zs1",
    "refund_number": "RF-1",
    "sale_reference": "S-2041",
    "sku": "100",
    "till_number": "3",
    "time_zone": "Europe/Berlin",
    "title": "$50 gift card",
    "token": "Zk3vQ1c9",
    "unit_price_minor": "450",
    "url": "https://shop.example/webhooks",
    "user_name": "ada.lovelace",
    "wording_version": "2026-05",
}
# Fields that a request shall show besides those that it must have.
_SHOWN: dict[str, tuple[str, ...]] = {
    "CreateCampaignRequest": ("name", "starts_at", "ends_at"),
    "CreateCodeSetRequest": ("name", "pattern", "quantity", "benefit", "expires_at"),
    "ListStoresRequest": ("query",),
    "LogInRequest": ("device_id",),
    "PurchaseItem": ("name", "category", "unit_price_minor"),
    "QuoteOrderRequest": ("voucher_id", "quantity"),
    "RecordPurchaseRequest": ("member_code",),
    "SuspendMemberRequest": ("reason", "note"),
    "UpdateMeRequest": ("full_name",),
}
_OTP = {"otp_id": ID, "code": "473920"}
# Where fields depend on each other.
_INSTEAD: dict[str, dict[str, Any]] = {
    "Card": {"number": "4242 4242 4242 4242", "expiry_month": 12, "expiry_year": 2030, "cvc": "123"},
    "CreateVoucherRequest": {
        "title": "$50 gift card",
        "quantity": 100,
        "face_value": {"currency_code": "USD", "amount_minor": "5000"},
        "price_points": 500,
        "max_per_member": 3,
    },
    "Money": {"currency_code": "USD", "amount_minor": "500"},
    "OtpProof": _OTP,
    "PlaceOrderRequest": {"voucher_id": ID, "quantity": 1},
    "RegisterMemberRequest": {"full_name": "Ada Lovelace", "otp": _OTP},
    "SendOtpRequest": {"phone": "+14155550123", "purpose": "OTP_PURPOSE_REGISTER"},
}


def of_scalar(field: FieldDescriptor, contract: Contract) -> str | int | float | None:
    """Returns an example of a field that is one text, number or time; None for any other."""
    if field.is_repeated or field.enum_type is not None or field.type == FieldDescriptor.TYPE_BOOL:
        return None
    if field.message_type is not None:
        if field.message_type.full_name != "google.protobuf.Timestamp":
            return None
        later = rules.rules_of(field).timestamp.gt_now or _ENDS.search(field.name)
        return _AFTER if later else _BEFORE
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(field, contract)
    return named if (named := _named(field)) is not None else _number(field)


def _text(field: FieldDescriptor, contract: Contract) -> str | None:
    of_text = rules.rules_of(field).string
    if of_text.uuid or field.name == "id" or field.name.endswith("_id"):
        return ID
    listed: list[str] = [value for value in getattr(of_text, "in") if value]
    if listed:
        return listed[0]
    if found := _SUCH_AS.search(contract.comment(field)):
        return found[1]
    return None if (named := _named(field)) is None else str(named)


def _named(field: FieldDescriptor) -> str | int | float | None:
    own = ".".join(field.full_name.split(".")[-2:])
    return _BY_NAME.get(own, _BY_NAME.get(field.name))


def _number(field: FieldDescriptor) -> str | int | float:
    kind = rules.rules_of(field).WhichOneof("type")
    least, most = 1, 100
    if kind in {"int32", "int64"}:
        of_kind = getattr(rules.rules_of(field), kind)
        least = max(of_kind.gte, 1) if of_kind.HasField("gte") else 1
        most = of_kind.lte if of_kind.HasField("lte") else most
    value = min(max(least, 10), most)
    return str(value) if field.type == FieldDescriptor.TYPE_INT64 else value


def of_request(rpc: Rpc, contract: Contract) -> dict[str, Any]:
    """Returns an example of the body of a call that takes JSON. Raises ValueError for a text without one."""
    request = rpc.method.input_type
    return _of_message(request, contract, rpc.in_path)


def _of_message(message: Descriptor, contract: Contract, without: Any = ()) -> dict[str, Any]:
    if message.name in _INSTEAD:
        return _INSTEAD[message.name]
    shown = _SHOWN.get(message.name, ())
    fields = [f for f in message.fields if f.name not in without]
    chosen = {oneof.fields[0].name for oneof in message.oneofs if not oneof.name.startswith("_")}
    given = [f for f in fields if rules.must_be_given(f) or f.name in shown or f.name in chosen]
    if not given:
        given = [f for f in fields if f.name not in {"clear", "etag"}][:1]
    return {field.name: _of_field(field, contract) for field in given}


def _of_field(field: FieldDescriptor, contract: Contract) -> Any:
    if field.is_repeated:
        return [_of_item(field, contract)]
    return _of_item(field, contract)


def _of_item(field: FieldDescriptor, contract: Contract) -> Any:
    if field.enum_type is not None:
        return _of_enum(field, field.enum_type)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    if field.is_repeated and field.message_type is None:
        return _of_listed(field)
    scalar = of_scalar(field, contract)
    if scalar is None and field.message_type is not None:
        return _of_message(field.message_type, contract)
    if scalar is None:
        raise ValueError(f"{field.full_name} needs an example in {__name__}")
    return scalar


def _of_enum(field: FieldDescriptor, enum: EnumDescriptor) -> str:
    of_enum = rules.rules_of(field).enum
    allowed = list(getattr(of_enum, "in")) or [value.number for value in enum.values][1:]
    number = next(number for number in allowed if number not in of_enum.not_in)
    return str(enum.values_by_number[number].name)


def _of_listed(field: FieldDescriptor) -> str | int | float:
    """Returns an example of a value of a list of texts or numbers."""
    items = rules.rules_of(field).repeated.items
    listed: list[str] = list(getattr(items.string, "in"))
    if listed:
        return listed[0]
    if items.string.uuid:
        return ID
    return 1 if items.HasField("int32") else _BY_NAME[field.name.removesuffix("s")]
