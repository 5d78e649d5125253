"""A gift on its way between the services.

    OFFERING   promos holds the code             -> OFFERED, and identity tells the recipient
    ACCEPTING  promos makes it the receiver's    -> ACCEPTED, into the receiver's wallet
    RETURNING  promos gives it back to the giver -> RETURNED

Each step is keyed by the gift, so any process may repeat it at any time; promos keeps that a gift was
returned, so that a hold that comes late does nothing. A definite refusal returns the gift. An unknown outcome
is asked again, by the job that was queued in the transaction that made the step due. Who was first of
accepting, declining, withdrawing and time is decided by the gift's row, before any step is taken; who was
first of these and the till, by the code's row at promos.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never
from uuid import UUID

from services.common.db import Connection, Database
from services.common.errors import DomainError, OutcomeUnknownError, is_away
from services.vouchers.gifts import commands
from services.vouchers.gifts.codes_client import GiftCodes
from services.vouchers.gifts.queries import GiftStep, find_step, is_recipient_needed
from services.vouchers.gifts.recipients import GiftRecipients

RETURN_SECONDS = 30.0
"""How often gifts are looked for that were not accepted in time."""
_MOST_STEPS = 4
"""From the first state to the last there are not more."""

OnEnded = Callable[[Connection, UUID], Awaitable[None]]
"""What else forgets the recipient of an order when the last gift of it has ended."""


class Gifts:
    """Takes gifts from state to state."""

    def __init__(
        self, db: Database, codes: GiftCodes, recipients: GiftRecipients, forget_recipient: OnEnded
    ) -> None:
        self._db = db
        self._codes = codes
        self._recipients = recipients
        self._forget_recipient = forget_recipient

    async def advance(self, gift_id: UUID) -> GiftStep | None:
        """Does what a gift's state asks for until it waits for people, or has ended; returns it then.

        Raises what leaves an outcome open, and what is a defect.
        """
        gift = await self._db.read(find_step, gift_id)
        for _ in range(_MOST_STEPS):
            if gift is None or gift.state in ("OFFERED", "ACCEPTED", "RETURNED"):
                break
            await self._step(gift)
            gift = await self._db.read(find_step, gift_id)
        return gift

    async def advance_now(self, gift_id: UUID) -> None:
        """Does the same if all that it takes is there; else the job does it later."""
        try:
            await self.advance(gift_id)
        except DomainError as error:
            if not is_away(error):
                raise

    async def run(self, gift_id: str) -> None:
        """Advances a gift; then tells the recipient of it, or forgets who that was."""
        gift = await self.advance(UUID(gift_id))
        if gift is None:
            return
        if gift.state == "OFFERED":
            await self._recipients.tell(gift.notice_id)
        elif not await self._db.read(is_recipient_needed, gift):
            await self._recipients.forget(gift.notice_id)
            await self._db.run(self._forget_recipient, gift.notice_id)

    async def return_overdue(self) -> None:
        """Returns what was not accepted in time."""
        while await self._db.run(commands.return_overdue_gifts):
            pass

    async def _step(self, gift: GiftStep) -> None:
        match gift.state:
            case "OFFERING":
                await self._offer(gift)
            case "ACCEPTING":
                await self._hand_over(gift)
            case "RETURNING":
                await self._codes.give_back(gift)
                await self._db.run(commands.set_returned, gift)
            case "OFFERED" | "ACCEPTED" | "RETURNED":
                return
            case _:
                assert_never(gift.state)

    async def _offer(self, gift: GiftStep) -> None:
        try:
            expires_at = await self._codes.hold(gift)
        except OutcomeUnknownError:
            raise
        except DomainError as refusal:
            await self._db.run(commands.end_refused, gift, refusal)
        else:
            await self._db.run(commands.set_offered, gift.id, expires_at=expires_at)

    async def _hand_over(self, gift: GiftStep) -> None:
        try:
            await self._codes.hand_over(gift)
        except OutcomeUnknownError:
            raise
        except DomainError as refusal:
            await self._db.run(commands.end_refused, gift, refusal)
        else:
            await self._db.run(commands.set_accepted, gift)
