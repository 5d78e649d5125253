"""GiftService: what a member gives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from scrip.vouchers.v1 import gift_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, header
from services.common.errors import DomainError, is_away
from services.common.idempotency import parse_key
from services.common.idempotent import idempotent
from services.common.ids import new_id
from services.common.list_pages import read_page
from services.vouchers.gifts import commands, queries
from services.vouchers.gifts.advancing import Gifts
from services.vouchers.gifts.encoding import encode_given, read_recipient, read_state
from services.vouchers.gifts.recipients import GiftRecipients


class GivenGiftHandlers:
    """Implements what GiftService has for givers."""

    def __init__(self, db: Database, gifts: Gifts, recipients: GiftRecipients, *, lasts: timedelta) -> None:
        self._db = db
        self._gifts = gifts
        self._recipients = recipients
        self._lasts = lasts

    async def GiveVoucher(
        self, request: gift_pb2.GiveVoucherRequest, context: Context
    ) -> gift_pb2.GiveVoucherResponse:
        """Offers a voucher as a gift."""
        parse_key(header(context, "idempotency-key"), required=True)  # before a number is kept
        to, gift_id = read_recipient(request.recipient), new_id()
        recipient_hash = await self._recipients.prepare(
            gift_id,
            giver_id=caller().id,
            phone_number=to.phone_number,
            accept_language=header(context, "accept-language"),
        )
        gift = commands.Gift(recipient_hash, to.name, to.message, self._lasts)
        given = await self._give(context, request, gift_id, gift)
        if given != gift_id:
            await self._recipients.forget_if_possible(gift_id)
        await self._gifts.advance_now(given)
        row = await self._db.read(queries.get_given_gift, given, caller().id)
        if row.refusal:
            raise _refusal(row.refusal)
        return gift_pb2.GiveVoucherResponse(gift=encode_given(row))

    async def _give(
        self, context: Context, request: gift_pb2.GiveVoucherRequest, gift_id: UUID, gift: commands.Gift
    ) -> UUID:
        """Returns the gift, or the one that has the call's key."""

        async def effect(connection: Connection) -> gift_pb2.GiveVoucherResponse:
            await commands.give_voucher(
                connection,
                gift_id=gift_id,
                giver_id=caller().id,
                wallet_voucher_id=UUID(request.wallet_voucher_id),
                gift=gift,
            )
            return gift_pb2.GiveVoucherResponse(gift=gift_pb2.GivenGift(id=str(gift_id)))

        # Not with the number, which could be told from what is kept of the content.
        same = gift_pb2.GiveVoucherRequest()
        same.CopyFrom(request)
        same.recipient.phone_number = self._recipients.fingerprint(request.recipient.phone_number)
        try:
            reply = await idempotent(
                self._db,
                context,
                request,
                gift_pb2.GiveVoucherResponse,
                effect,
                content=same.SerializeToString(deterministic=True),
            )
        except DomainError as error:
            if not is_away(error):  # else it may have been given
                await self._recipients.forget_if_possible(gift_id)
            raise
        return UUID(reply.gift.id)

    async def ListMyGivenGifts(
        self, request: gift_pb2.ListMyGivenGiftsRequest, context: Context
    ) -> gift_pb2.ListMyGivenGiftsResponse:
        """Returns a page of the gifts that the caller gave."""
        state = read_state(request.state)
        page = await read_page(self._db, queries.GIVEN, request, giver_id=caller().id, state=state)
        return gift_pb2.ListMyGivenGiftsResponse(
            gifts=map(encode_given, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def WithdrawGift(
        self, request: gift_pb2.WithdrawGiftRequest, context: Context
    ) -> gift_pb2.WithdrawGiftResponse:
        """Takes a gift back."""
        gift_id = UUID(request.gift_id)
        await self._db.run(commands.withdraw_gift, gift_id, giver_id=caller().id)
        await self._gifts.advance_now(gift_id)
        row = await self._db.read(queries.get_given_gift, gift_id, caller().id)
        return gift_pb2.WithdrawGiftResponse(gift=encode_given(row))


def _refusal(kept: Mapping[str, Any]) -> DomainError:
    """Returns why a gift never came to be on offer, the same for every repetition of the call."""
    metadata = dict(kept)
    reason, message = metadata.pop("reason"), metadata.pop("message")
    refusal = DomainError(reason, message)
    refusal.metadata.update(metadata)
    return refusal
