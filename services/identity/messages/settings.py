"""Settings of identity about messages to people: one-time passwords, how many, and how all are sent."""

from __future__ import annotations

from base64 import b64decode
from string import Formatter
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from services.common.settings import ServiceSettings


class MessageSettings(ServiceSettings):
    """What decides how people get their one-time passwords, and notices by the same ways."""

    sandbox: bool = False
    """Whether one-time passwords are kept where an admin can read them, and logged, instead of sent."""
    otp_sends_per_phone: int = 5
    """One-time passwords that one number, or one e-mail address, may ask for in ten minutes."""
    otp_sends_per_address: int = 60
    """One-time passwords that may be asked for from one network address in ten minutes; a shop may be one."""
    otp_sends_in_all: int = 20_000
    """One-time passwords sent in ten minutes in all: a bound on what an attack may cost."""
    otp_sender: Literal["sandbox", "smtp", "webhook", "none"] | None = None
    """How one-time passwords are sent to phone numbers; `sandbox` also keeps those for e-mail addresses.

    When not given: `sandbox` while the sandbox is on, else `none`.
    """
    otp_text: str = ""
    """What people read with a code; `{code}` must be in it, `{minutes}` may.

    When not given: a text in the language that was asked for, of those in `messages/texts.py`.
    """
    otp_send_seconds: Annotated[float, Field(gt=0, le=30)] = 10.0
    """How long a mail server or provider may take before the message is tried again."""
    otp_smtp_host: str = ""
    """The mail server. With it, one-time passwords are sent to e-mail addresses, whatever numbers get."""
    otp_smtp_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    """Its port."""
    otp_smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """`tls` from the start, as on port 465; `none` only for a server on the same machine."""
    otp_smtp_user_name: str = ""
    """Name to log in to the mail server with; empty for none."""
    otp_smtp_password: SecretStr = SecretStr("")
    """Password for it."""
    otp_smtp_from: str = ""
    """Address of the sender."""
    otp_smtp_to: str = ""
    """Address for a phone number, made from `{phone}` (with `+`) or `{digits}`: `{digits}@sms.example`."""
    otp_smtp_subject: str = "Your code"
    """Subject of the e-mail with a code, which gateways may leave out. It never holds the code."""
    otp_webhook_url: str = ""
    """Where the provider takes messages; `http` only within a network that can be trusted."""
    otp_webhook_secret: SecretStr = SecretStr("")
    """Secret for the signature, at least 16 characters; one that begins with `whsec_` is base64."""
    otp_webhook_authorization: SecretStr = SecretStr("")
    """Value of the `authorization` header, for a provider that wants one."""

    @property
    def sender(self) -> str:
        """How one-time passwords are sent to phone numbers."""
        return self.otp_sender or ("sandbox" if self.sandbox else "none")

    @property
    def sends_to_phones(self) -> bool:
        """Whether there is a way of sending to phone numbers."""
        return self.sender in {"smtp", "webhook"}

    @property
    def sends_to_emails(self) -> bool:
        """Whether there is a way of sending to e-mail addresses."""
        return bool(self.otp_smtp_host)

    @model_validator(mode="after")
    def _sender_can_send(self) -> Self:
        if self.sender == "sandbox" and not self.sandbox:
            raise ValueError("SCRIP_OTP_SENDER=sandbox needs SCRIP_SANDBOX=true")
        if self.otp_text:
            _check_text(self.otp_text)
        if self.sender == "smtp" or self.otp_smtp_host or self.otp_smtp_from:
            self._check_smtp()
        if self.sender == "smtp":
            self._check_smtp_to()
        if self.sender == "webhook":
            self._check_webhook()
        return self

    def _check_smtp(self) -> None:
        if not (self.otp_smtp_host and self.otp_smtp_from):
            raise ValueError("sending e-mail needs SCRIP_OTP_SMTP_HOST and SCRIP_OTP_SMTP_FROM")
        if self.otp_smtp_user_name and self.otp_smtp_security == "none":
            raise ValueError("SCRIP_OTP_SMTP_PASSWORD would travel readable; set SCRIP_OTP_SMTP_SECURITY")

    def _check_smtp_to(self) -> None:
        if not self.otp_smtp_to:
            raise ValueError(
                "SCRIP_OTP_SENDER=smtp sends to phone numbers and needs SCRIP_OTP_SMTP_TO; e-mail addresses"
                " need SCRIP_OTP_SMTP_HOST and SCRIP_OTP_SMTP_FROM alone"
            )
        fields = _placeholders("SCRIP_OTP_SMTP_TO", self.otp_smtp_to)
        if len(fields) != 1 or fields - {"phone", "digits"}:
            raise ValueError("SCRIP_OTP_SMTP_TO must hold {phone} or {digits}")
        example = _filled("SCRIP_OTP_SMTP_TO", self.otp_smtp_to, phone="+14155550100", digits="14155550100")
        if "14155550100" not in example:
            raise ValueError("SCRIP_OTP_SMTP_TO must hold all of the number")

    def _check_webhook(self) -> None:
        url, secret = urlsplit(self.otp_webhook_url), self.otp_webhook_secret.get_secret_value()
        if url.scheme not in {"http", "https"} or not url.hostname or url.username:
            raise ValueError("SCRIP_OTP_SENDER=webhook needs SCRIP_OTP_WEBHOOK_URL, an http or https URL")
        if len(secret) < 16:
            raise ValueError(
                "SCRIP_OTP_SENDER=webhook needs SCRIP_OTP_WEBHOOK_SECRET of 16 characters or more"
            )
        if secret.startswith("whsec_"):
            try:
                b64decode(secret.removeprefix("whsec_"), validate=True)
            except ValueError as error:
                raise ValueError(f"SCRIP_OTP_WEBHOOK_SECRET after whsec_: {error}") from None


def _placeholders(variable: str, template: str) -> set[str]:
    """Returns the names in braces. Raises ValueError when the braces do not fit."""
    try:
        return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None


def _check_text(template: str) -> None:
    found = _placeholders("SCRIP_OTP_TEXT", template)
    if not {"code"} <= found <= {"code", "minutes"}:
        raise ValueError("SCRIP_OTP_TEXT must hold {code}, and may hold {minutes} only")
    if "123456" not in _filled("SCRIP_OTP_TEXT", template, code="123456", minutes=5):
        raise ValueError("SCRIP_OTP_TEXT must show all of {code}")


def _filled(variable: str, template: str, **values: object) -> str:
    """Returns the template with these values. Raises ValueError for a format that does not fit a value."""
    try:
        return template.format(**values)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None
