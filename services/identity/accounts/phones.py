"""Phone numbers."""

from __future__ import annotations

from collections.abc import Collection

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

from services.common.errors import DomainError, invalid_field

_MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
_NO_COUNTRY = "001"
"""The region of satellite phones and the like, which cost a multiple."""


def as_e164(text: str, default_region: str) -> str | None:
    """Returns the number in E.164 form, or None when the text is not a phone number."""
    try:
        return _e164(_parse(text, default_region))
    except DomainError:
        return None


def to_e164(phone: str, default_region: str, regions: Collection[str] = ()) -> str:
    """Returns the number in E.164 form.

    Raises VALIDATION_FAILED when it can not be a mobile number, or is not one of `regions` (ISO 3166)
    where any are given. A message to a landline is lost, and one to a premium number costs whatever its
    owner, who may well be the one who asks for it, likes.
    """
    parsed = _parse(phone, default_region)
    region = phonenumbers.region_code_for_number(parsed)
    if phonenumbers.number_type(parsed) not in _MOBILE or region == _NO_COUNTRY:
        raise invalid_field("phone", "is not a mobile number")
    if regions and region not in regions:
        raise invalid_field("phone", "is of a country that is not served here")
    return _e164(parsed)


def _parse(phone: str, default_region: str) -> PhoneNumber:
    """Raises VALIDATION_FAILED, also for letters, which the library dials, and extensions, which it drops."""
    if any(character.isalpha() for character in phone):
        raise invalid_field("phone", "must not hold letters")
    try:
        parsed = phonenumbers.parse(phone, default_region)
    except phonenumbers.NumberParseException as error:
        raise invalid_field("phone", "is not a phone number") from error
    if parsed.extension:
        raise invalid_field("phone", "must not hold an extension")
    if not phonenumbers.is_valid_number(parsed):
        raise invalid_field("phone", "is not a valid phone number")
    return parsed


def _e164(parsed: PhoneNumber) -> str:
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
