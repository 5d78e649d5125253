"""Phone numbers."""

from __future__ import annotations

import phonenumbers

from services.common.errors import invalid_field


def to_e164(phone: str, default_region: str) -> str:
    """The number in E.164 form. Raises VALIDATION_FAILED when it can not be a phone number."""
    try:
        parsed = phonenumbers.parse(phone, default_region)
    except phonenumbers.NumberParseException as error:
        raise invalid_field("phone", "is not a phone number") from error
    if not phonenumbers.is_valid_number(parsed):
        raise invalid_field("phone", "is not a valid phone number")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
