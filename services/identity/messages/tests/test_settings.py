"""Settings of sending one-time passwords: what could not work does not start."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.identity.settings import Settings

_GOOD: dict[str, dict[str, Any]] = {
    "smtp": {
        "otp_sender": "smtp",
        "otp_smtp_host": "mail.example",
        "otp_smtp_from": "club@shop.example",
        "otp_smtp_to": "{phone}@sms.example",
    },
    "webhook": {
        "otp_sender": "webhook",
        "otp_webhook_url": "https://sms.example/send",
        "otp_webhook_secret": "0123456789abcdef",
    },
    "sandbox": {"otp_sender": "sandbox", "sandbox": True},
    "none": {"otp_sender": "none"},
}
_EMAIL = {"otp_smtp_host": "mail.example", "otp_smtp_from": "club@shop.example"}


def _settings(**changes: Any) -> Settings:
    return Settings(
        database_url="postgresql:///x",
        redis_url="redis://x",
        identity_target="x",
        points_target="x",
        vouchers_target="x",
        promos_target="x",
        master_key=SecretStr("x"),
        service_secret_hashes={},
        **changes,
    )


def test_the_sender_is_the_sandbox_when_that_is_on_and_else_none() -> None:
    assert _settings().sender == "none"
    assert _settings(sandbox=True).sender == "sandbox"
    for name, good in _GOOD.items():
        assert _settings(**good).sender == name


@pytest.mark.covers("I1 AuthService.SendOtp")
@pytest.mark.parametrize(
    ("sender", "changes", "told"),
    [
        ("sandbox", {"sandbox": False}, "SCRIP_SANDBOX"),
        ("smtp", {"otp_smtp_host": ""}, "SCRIP_OTP_SMTP_HOST"),
        ("smtp", {"otp_smtp_from": ""}, "SCRIP_OTP_SMTP_FROM"),
        ("smtp", {"otp_smtp_to": ""}, "SCRIP_OTP_SMTP_TO"),
        (
            "smtp",
            {"otp_smtp_to": ""},
            "e-mail addresses need SCRIP_OTP_SMTP_HOST",
        ),
        ("smtp", {"otp_smtp_to": "all@sms.example"}, "SCRIP_OTP_SMTP_TO"),
        ("webhook", {"otp_smtp_host": "mail.example"}, "SCRIP_OTP_SMTP_FROM"),
        ("none", {"otp_smtp_from": "club@shop.example"}, "SCRIP_OTP_SMTP_HOST"),
        (
            "webhook",
            {**_EMAIL, "otp_smtp_user_name": "x", "otp_smtp_security": "none"},
            "SCRIP_OTP_SMTP_SECURITY",
        ),
        ("smtp", {"otp_smtp_to": "{code}@sms.example"}, "SCRIP_OTP_SMTP_TO"),
        ("smtp", {"otp_smtp_to": "{phone.__class__}@sms.example"}, "SCRIP_OTP_SMTP_TO"),
        ("smtp", {"otp_smtp_user_name": "x", "otp_smtp_security": "none"}, "SCRIP_OTP_SMTP_SECURITY"),
        ("webhook", {"otp_webhook_url": ""}, "SCRIP_OTP_WEBHOOK_URL"),
        ("webhook", {"otp_webhook_url": "ftp://sms.example"}, "SCRIP_OTP_WEBHOOK_URL"),
        ("webhook", {"otp_webhook_url": "https://"}, "SCRIP_OTP_WEBHOOK_URL"),
        ("webhook", {"otp_webhook_secret": "short"}, "SCRIP_OTP_WEBHOOK_SECRET"),
        ("webhook", {"otp_webhook_secret": "whsec_not base64 at all"}, "SCRIP_OTP_WEBHOOK_SECRET"),
        ("none", {"otp_text": "hello"}, "SCRIP_OTP_TEXT"),
        ("none", {"otp_text": "{code} {phone}"}, "SCRIP_OTP_TEXT"),
        ("none", {"otp_text": "{code"}, "SCRIP_OTP_TEXT"),
        ("none", {"otp_text": "{code:d}"}, "SCRIP_OTP_TEXT"),
        ("none", {"otp_text": "{code:.3}"}, "SCRIP_OTP_TEXT"),
        ("none", {"otp_text": "{code} {minutes:x}y{minutes:}z{minutes:%H}"}, "SCRIP_OTP_TEXT"),
        ("smtp", {"otp_smtp_to": "{digits:d}@sms.example"}, "SCRIP_OTP_SMTP_TO"),
        ("smtp", {"otp_smtp_to": "{digits:.5}@sms.example"}, "SCRIP_OTP_SMTP_TO"),
        ("none", {"default_region": "UK"}, "SCRIP_DEFAULT_REGION"),
        ("none", {"phone_regions": "US,XX"}, "SCRIP_PHONE_REGIONS"),
        ("none", {"phone_regions": "US, CA"}, "phone_regions"),
        ("none", {"otp_sender": "pigeon"}, "otp_sender"),
    ],
)
def test_settings_with_which_nothing_could_be_sent_are_refused(
    sender: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        _settings(**_GOOD[sender] | changes)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("sender", "changes", "phones", "emails"),
    [
        ("none", {}, False, False),
        ("none", _EMAIL, False, True),
        ("webhook", {}, True, False),
        ("webhook", _EMAIL, True, True),
        ("smtp", {}, True, True),
    ],
)
def test_numbers_and_addresses_have_ways_of_their_own(
    sender: str, changes: dict[str, Any], phones: bool, emails: bool
) -> None:
    settings = _settings(**_GOOD[sender] | changes)
    assert (settings.sends_to_phones, settings.sends_to_emails) == (phones, emails)


def test_codes_and_minutes_may_be_written_in_any_format_that_shows_them() -> None:
    assert _settings(otp_text="{minutes:02d} min: {code}").otp_text


def test_regions_are_a_list() -> None:
    assert _settings().regions == frozenset()
    assert _settings(phone_regions="US,CA").regions == {"US", "CA"}
