"""IdentityInternalService: recipients of gifts, for vouchers, which knows no phone number."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.errors import DomainError
from services.common.throttle import Limit, Throttle
from services.identity.accounts import Recipient, proven_contact, to_e164
from services.identity.keys import Vault
from services.identity.messages import gift_notices
from services.identity.messages.languages import pick_language
from services.identity.messages.sender import MessageSender
from services.identity.settings import Settings

_PER_PHONE = Limit("gift_notices_per_phone", 5, 86_400, open_when_away=True)
"""Messages about gifts that one number gets in a day, by all givers."""


class GiftNoticeHandlers:
    """Implements what IdentityInternalService has for gifts."""

    def __init__(
        self, db: Database, settings: Settings, vault: Vault, sender: MessageSender, throttle: Throttle
    ) -> None:
        self._db = db
        self._settings = settings
        self._vault = vault
        self._sender = sender
        self._throttle = throttle

    async def PrepareGiftNotice(
        self, request: identity_pb2.PrepareGiftNoticeRequest, context: Context
    ) -> identity_pb2.PrepareGiftNoticeResponse:
        """Keeps the number until the gift is on offer. Looks up nobody but the giver."""
        phone = to_e164(request.phone_number, self._settings.default_region, self._settings.regions)
        giver_id = UUID(request.giver_id)
        giver = await self._db.read(proven_contact, giver_id)
        if giver.phone != phone:
            await self._db.run(
                gift_notices.prepare_gift_notice,
                self._vault,
                gift_id=UUID(request.gift_id),
                giver_id=giver_id,
                phone=phone,
                language=pick_language(request.accept_language),
            )
        return identity_pb2.PrepareGiftNoticeResponse(
            phone_hash=self._vault.hash_phone(phone), is_giver=giver.phone == phone
        )

    async def SendGiftNotice(
        self, request: identity_pb2.SendGiftNoticeRequest, context: Context
    ) -> identity_pb2.SendGiftNoticeResponse:
        """Tells the recipient, unless that number was told of too many gifts; the giver learns neither."""
        gift_id = UUID(request.gift_id)
        phone = await self._db.read(gift_notices.prepared_phone, self._vault, gift_id)
        if phone is None:
            return identity_pb2.SendGiftNoticeResponse()
        try:
            await self._throttle.hit(_PER_PHONE, phone)
        except DomainError as refusal:
            await self._db.run(gift_notices.withhold_gift_notice, gift_id, refusal.message)
        else:
            way = self._sender.way_to(Recipient(phone))
            await self._db.run(gift_notices.send_gift_notice, gift_id, way)
        return identity_pb2.SendGiftNoticeResponse()

    async def ForgetGiftRecipient(
        self, request: identity_pb2.ForgetGiftRecipientRequest, context: Context
    ) -> identity_pb2.ForgetGiftRecipientResponse:
        """Erases the number."""
        await self._db.run(gift_notices.forget_gift_recipient, UUID(request.gift_id))
        return identity_pb2.ForgetGiftRecipientResponse()

    async def GetPhoneHash(
        self, request: identity_pb2.GetPhoneHashRequest, context: Context
    ) -> identity_pb2.GetPhoneHashResponse:
        """Returns by what the number of a member is known again. Every number of an account is proven."""
        contact = await self._db.read(proven_contact, UUID(request.member_id))
        phone_hash = self._vault.hash_phone(contact.phone) if contact.phone else b""
        return identity_pb2.GetPhoneHashResponse(phone_hash=phone_hash)
