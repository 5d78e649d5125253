"""Recipients of gifts: identity alone knows their phone numbers, and tells them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import grpc
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common import channels
from services.common.errors import DomainError, OutcomeUnknownError, invalid_field
from services.common.throttle import Limit, Throttle
from services.vouchers.gifts.refusals import gift_to_oneself

_NOT_A_NUMBER = "VALIDATION_FAILED"
_LANGUAGES = 200
"""So many characters of `accept-language` are handed on."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """To whom a gift is, as its giver wrote it; the message may be empty."""

    phone_number: str
    name: str
    message: str


class GiftRecipients:
    """Turns phone numbers into keyed hashes, and has their owners told."""

    def __init__(
        self,
        identity: grpc.aio.Channel,
        token: channels.TokenSource,
        throttle: Throttle,
        *,
        gifts_per_day: int,
    ) -> None:
        self._stub = identity_pb2_grpc.IdentityInternalServiceStub(identity)
        self._token = token
        self._throttle = throttle
        self._limit = Limit("gifts_per_giver", gifts_per_day, 86_400, open_when_away=True)

    async def prepare(
        self, notice_id: UUID, *, giver_id: UUID, phone_number: str, accept_language: str | None
    ) -> bytes:
        """Has identity keep a recipient's number until it is told or forgotten; returns its keyed hash.

        `notice_id` is the gift's or, of an order that is one, the order's. Raises TOO_MANY_REQUESTS,
        GIFT_TO_ONESELF, and VALIDATION_FAILED for what is no mobile number.
        """
        await self._throttle.hit(self._limit, str(giver_id))
        request = identity_pb2.PrepareGiftNoticeRequest(
            gift_id=str(notice_id),
            giver_id=str(giver_id),
            phone_number=phone_number,
            accept_language=(accept_language or "")[:_LANGUAGES],
        )
        try:
            reply = await channels.call("identity", self._stub.PrepareGiftNotice, request, token=self._token)
        except OutcomeUnknownError:
            raise
        except DomainError as refusal:
            if refusal.reason != _NOT_A_NUMBER:
                raise
            raise invalid_field("phone_number", refusal.message.rpartition(": ")[2]) from None
        if reply.is_giver:
            raise gift_to_oneself()
        phone_hash: bytes = reply.phone_hash
        return phone_hash

    def fingerprint(self, phone_number: str) -> str:
        """Returns by what a number is compared as it was written, and from which nobody can tell it."""
        return self._throttle.name_of(self._limit, phone_number)

    async def tell(self, notice_id: UUID) -> None:
        """Has the recipient told that there is a gift, once."""
        request = identity_pb2.SendGiftNoticeRequest(gift_id=str(notice_id))
        await channels.call("identity", self._stub.SendGiftNotice, request, token=self._token)

    async def forget(self, notice_id: UUID) -> None:
        """Has the number erased."""
        request = identity_pb2.ForgetGiftRecipientRequest(gift_id=str(notice_id))
        await channels.call("identity", self._stub.ForgetGiftRecipient, request, token=self._token)

    async def forget_if_possible(self, notice_id: UUID) -> None:
        """Has a number erased that is not needed; if identity is away, it stays there for 7 days."""
        with suppress(OutcomeUnknownError):
            await self.forget(notice_id)

    async def phone_hash(self, member_id: UUID) -> bytes:
        """Returns the keyed hash of the number that a member has now, empty without one."""
        request = identity_pb2.GetPhoneHashRequest(member_id=str(member_id))
        reply = await channels.call("identity", self._stub.GetPhoneHash, request, token=self._token)
        phone_hash: bytes = reply.phone_hash
        return phone_hash
