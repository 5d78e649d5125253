"""The gifts' calls to promos: nobody can use a code that is on hold for a gift."""

from __future__ import annotations

from datetime import datetime

import grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common import channels
from services.common.encoding import moment
from services.vouchers.gifts.queries import GiftStep


class GiftCodes:
    """Has the codes of gifts held, handed over and given back, each keyed by the gift."""

    def __init__(self, promos: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(promos)
        self._token = token

    async def hold(self, gift: GiftStep) -> datetime | None:
        """Puts the gift's code on hold, once; returns until when it can be used. Raises definite refusals."""
        request = promos_pb2.HoldCodeRequest(
            gift_id=str(gift.id), code_id=str(gift.code_id), owner_member_id=str(gift.giver_id)
        )
        reply = await channels.call("promos", self._stub.HoldCode, request, token=self._token)
        return moment(reply, "expires_at")

    async def hand_over(self, gift: GiftStep) -> None:
        """Makes the gift's code the receiver's, once. Raises definite refusals."""
        request = promos_pb2.TransferCodeRequest(
            gift_id=str(gift.id), new_owner_member_id=str(gift.receiver_id)
        )
        await channels.call("promos", self._stub.TransferCode, request, token=self._token)

    async def give_back(self, gift: GiftStep) -> None:
        """Ensures that no code is on hold for the gift, now and later."""
        request = promos_pb2.ReturnCodeRequest(gift_id=str(gift.id))
        await channels.call("promos", self._stub.ReturnCode, request, token=self._token)
