"""GiftService: what a member is given."""

from __future__ import annotations

from uuid import UUID

from scrip.vouchers.v1 import gift_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context
from services.common.list_pages import read_page
from services.vouchers.gifts import commands, queries
from services.vouchers.gifts.advancing import Gifts
from services.vouchers.gifts.encoding import encode_received
from services.vouchers.gifts.queries import GiftRow
from services.vouchers.gifts.recipients import GiftRecipients


class GiftHandlers:
    """Implements what GiftService has for recipients: the number that a member has now decides."""

    def __init__(self, db: Database, gifts: Gifts, recipients: GiftRecipients) -> None:
        self._db = db
        self._gifts = gifts
        self._recipients = recipients

    async def ListMyGifts(
        self, request: gift_pb2.ListMyGiftsRequest, context: Context
    ) -> gift_pb2.ListMyGiftsResponse:
        """Returns a page of what is on offer to the caller, or of what the caller accepted."""
        if request.state == gift_pb2.GIFT_STATE_ACCEPTED:
            page = await read_page(self._db, queries.ACCEPTED_BY, request, receiver_id=caller().id)
        else:
            mine = await self._recipients.phone_hash(caller().id)
            page = await read_page(self._db, queries.OFFERED_TO, request, recipient_hash=mine)
        return gift_pb2.ListMyGiftsResponse(
            gifts=map(encode_received, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def GetMyGift(
        self, request: gift_pb2.GetMyGiftRequest, context: Context
    ) -> gift_pb2.GetMyGiftResponse:
        """Returns a gift that the caller was given."""
        mine = await self._recipients.phone_hash(caller().id)
        return gift_pb2.GetMyGiftResponse(gift=encode_received(await self._read(request.gift_id, mine)))

    async def AcceptGift(
        self, request: gift_pb2.AcceptGiftRequest, context: Context
    ) -> gift_pb2.AcceptGiftResponse:
        """Accepts a gift."""
        gift_id, mine = UUID(request.gift_id), await self._recipients.phone_hash(caller().id)
        await self._db.run(commands.accept_gift, gift_id, receiver_id=caller().id, recipient_hash=mine)
        await self._gifts.advance_now(gift_id)
        # What could not be handed over is refused now as it is when the call is repeated.
        await self._db.run(commands.accept_gift, gift_id, receiver_id=caller().id, recipient_hash=mine)
        return gift_pb2.AcceptGiftResponse(gift=encode_received(await self._read(request.gift_id, mine)))

    async def DeclineGift(
        self, request: gift_pb2.DeclineGiftRequest, context: Context
    ) -> gift_pb2.DeclineGiftResponse:
        """Declines a gift."""
        gift_id, mine = UUID(request.gift_id), await self._recipients.phone_hash(caller().id)
        await self._db.run(commands.decline_gift, gift_id, receiver_id=caller().id, recipient_hash=mine)
        await self._gifts.advance_now(gift_id)
        return gift_pb2.DeclineGiftResponse()

    async def _read(self, gift_id: str, mine: bytes) -> GiftRow:
        return await self._db.read(
            queries.get_received_gift, UUID(gift_id), receiver_id=caller().id, recipient_hash=mine
        )
