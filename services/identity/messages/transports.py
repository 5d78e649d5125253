"""The ways by which a worker sends messages to people: by e-mail, or by any provider of SMS."""

from __future__ import annotations

import http.client
import smtplib
import ssl
from contextlib import closing
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from services.common.threads import in_own_thread
from services.common.webhooks.signing import key_of, signed
from services.identity.accounts import Recipient
from services.identity.messages.settings import MessageSettings


@dataclass(frozen=True)
class Message:
    """A text for somebody. The id is the same in every repetition; no subject is that of the settings."""

    id: UUID
    recipient: Recipient
    text: str
    subject: str = ""


class SendError(Exception):
    """The message was not taken. Holds the reason in words for staff, neither recipient nor text."""


class Transport(Protocol):
    """Sends messages."""

    async def send(self, message: Message) -> None:
        """Hands a message over. Raises SendError when it was not taken, or perhaps not."""


class NoTransport:
    """Used when no way of sending is set up: what was queued before waits until it is too late."""

    async def send(self, message: Message) -> None:  # noqa: ARG002
        """Refuses."""
        raise SendError("no way of sending is set up")


class SmtpTransport:
    """Sends e-mail; for a phone number to an address made from it, as gateways of SMS providers take it."""

    def __init__(self, settings: MessageSettings) -> None:
        self._settings = settings

    async def send(self, message: Message) -> None:
        """Sends an e-mail over a connection of its own."""
        seconds = self._settings.otp_send_seconds
        try:
            await in_own_thread(lambda: self._send(message, seconds), seconds=seconds)
        except smtplib.SMTPRecipientsRefused as error:
            [(code, _)] = error.recipients.values()
            raise SendError(f"the mail server refused the recipient with {code}") from None
        except smtplib.SMTPResponseException as error:
            raise SendError(f"the mail server answered {error.smtp_code}") from None
        except OSError as error:  # which may hold the address
            raise SendError(f"the mail server {_in_words(error)}") from None

    def _send(self, message: Message, seconds: float) -> None:
        settings = self._settings
        host, port, security = settings.otp_smtp_host, settings.otp_smtp_port, settings.otp_smtp_security
        trusted = ssl.create_default_context()
        if security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=seconds, context=trusted)
        else:
            server = smtplib.SMTP(host, port, timeout=seconds)
        with server:
            if security == "starttls":
                server.starttls(context=trusted)
            if settings.otp_smtp_user_name:
                server.login(settings.otp_smtp_user_name, settings.otp_smtp_password.get_secret_value())
            to = self._address(message.recipient)
            server.send_message(self._mail(message, to), to_addrs=[to])

    def _address(self, recipient: Recipient) -> str:
        if recipient.email:
            return recipient.email
        assert recipient.phone, "it is one of the two"
        return self._settings.otp_smtp_to.format(
            phone=recipient.phone, digits=recipient.phone.removeprefix("+")
        )

    def _mail(self, message: Message, to: str) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._settings.otp_smtp_from
        if "=?" not in to:  # which a header would take for the encoding of another address
            mail["To"] = to
        mail["Subject"] = message.subject or self._settings.otp_smtp_subject
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.id}@{self._settings.otp_smtp_from.rpartition('@')[2]}>"
        mail.set_content(message.text)
        return mail


class WebhookTransport:
    """Posts JSON to a provider, signed by Standard Webhooks. Follows no redirect."""

    def __init__(self, settings: MessageSettings) -> None:
        self._url = urlsplit(settings.otp_webhook_url)
        self._secret = key_of(settings.otp_webhook_secret.get_secret_value())
        self._authorization = settings.otp_webhook_authorization.get_secret_value()
        self._seconds = settings.otp_send_seconds

    async def send(self, message: Message) -> None:
        """Posts a message; any 2xx takes it."""
        try:
            status = await in_own_thread(lambda: self._post(message), seconds=self._seconds)
        except (http.client.HTTPException, OSError) as error:
            raise SendError(f"the provider {_in_words(error)}") from None
        if not 200 <= status < 300:
            raise SendError(f"the provider answered {status}")

    def _post(self, message: Message) -> int:
        url, body = self._url, orjson.dumps({"phone": message.recipient.phone, "text": message.text})
        assert url.hostname is not None, "the settings see to it"
        if url.scheme == "https":
            trusted = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.hostname, url.port, timeout=self._seconds, context=trusted
            )
        else:
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=self._seconds)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        with closing(connection):
            connection.request("POST", path, body, self._headers(message.id, body))
            return connection.getresponse().status

    def _headers(self, message_id: UUID, body: bytes) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "user-agent": "scrip",
            **signed(str(message_id), body, [self._secret]),
        }
        return {**headers, "authorization": self._authorization} if self._authorization else headers


class TwoTransports:
    """Sends to phone numbers in one way and to e-mail addresses in another."""

    def __init__(self, phones: Transport, emails: Transport) -> None:
        self._phones = phones
        self._emails = emails

    async def send(self, message: Message) -> None:
        """Hands a message over."""
        await (self._emails if message.recipient.email else self._phones).send(message)


def open_transport(settings: MessageSettings) -> Transport:
    """Returns the ways of sending that the settings name."""
    emails = SmtpTransport(settings) if settings.sends_to_emails else NoTransport()
    if settings.sender == "webhook":
        return TwoTransports(WebhookTransport(settings), emails)
    return TwoTransports(emails if settings.sender == "smtp" else NoTransport(), emails)


def _in_words(error: Exception) -> str:
    """Returns what went wrong with a connection, without the library's message about it."""
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "has a certificate that is not trusted"
    if isinstance(error, smtplib.SMTPException | http.client.HTTPException | ssl.SSLError):
        return "broke off or does not speak as it should"
    return "can not be reached"
