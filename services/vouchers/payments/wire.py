"""A payment as gateways write it, in replies and notifications. Nothing of what they send is trusted."""

from __future__ import annotations

import re
from typing import Any, cast, get_args
from uuid import UUID

import orjson

from services.common.urls import is_safe_url
from services.vouchers.payments.providers import ProviderPayment, ProviderState

MOST_BYTES = 65_536
_STATES = get_args(ProviderState)
_CURRENCY = re.compile(r"[A-Z]{3}")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_REFERENCE = re.compile(r"[\x21-\x7e]{0,200}")
_URL = re.compile(r"[\x21-\x7e]{0,2000}")
_MOST_MINOR = 10**15


def read_payment(body: bytes) -> ProviderPayment:
    """Returns what a body says of a payment. Raises ValueError, which never quotes it."""
    if len(body) >= MOST_BYTES:
        raise ValueError("the body is too long")
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("the body is not JSON") from None
    if not isinstance(sent, dict):
        raise ValueError("the body is not an object")  # noqa: TRY004  # as all that is wrong with it
    state = sent.get("state")
    if state not in _STATES:
        raise ValueError("state is none of those that there are")
    url = _text(sent, "redirect_url", _URL)
    if url and not is_safe_url(url):
        raise ValueError("redirect_url is not an https URL")
    return ProviderPayment(
        payment_id=_id(sent.get("payment_id")),
        state=cast("ProviderState", state),
        amount_minor=_amount(sent.get("amount_minor")),
        currency_code=_text(sent, "currency_code", _CURRENCY, required=True),
        reference=_text(sent, "reference", _REFERENCE),
        redirect_url=url,
        decline_code=_text(sent, "decline_code", _CODE),
    )


def _id(value: object) -> UUID:
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("payment_id is not a UUID") from None


def _amount(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_MINOR:
        raise ValueError("amount_minor is not a number of minor units")
    return value


def _text(sent: dict[str, Any], field: str, pattern: re.Pattern[str], *, required: bool = False) -> str:
    value = sent.get(field)
    if (value is None or value == "") and not required:
        return ""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{field} is not as it must be")
    return value
