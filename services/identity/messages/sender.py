"""By which way a message leaves identity: kept for a developer, or given to a worker to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self

from services.identity.accounts import Recipient
from services.identity.messages.settings import MessageSettings


class Way(Enum):
    """A way for messages to leave."""

    SANDBOX = "kept where an admin can read them"
    WORKER = "sent by a worker"
    NONE = "none is set up"


@dataclass(frozen=True)
class MessageSender:
    """The ways of messages to phone numbers and to e-mail addresses.

    What is to be sent is kept in the transaction that decides it, by the room whose message it is.
    """

    phones: Way
    emails: Way

    @classmethod
    def sandbox(cls) -> Self:
        """Returns the one that sends nothing."""
        return cls(Way.SANDBOX, Way.SANDBOX)

    def way_to(self, recipient: Recipient) -> Way:
        """Returns by which way a message to this number or address leaves."""
        return self.emails if recipient.email else self.phones


def choose_sender(settings: MessageSettings) -> MessageSender:
    """Returns the sender that the settings name."""
    if settings.sender == "sandbox":
        return MessageSender.sandbox()
    return MessageSender(
        Way.WORKER if settings.sends_to_phones else Way.NONE,
        Way.WORKER if settings.sends_to_emails else Way.NONE,
    )
