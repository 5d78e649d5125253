"""Brands' webhooks: where a brand wants to be told what happens to its discounts, and what it was told.

The mechanism, with its tables, is `services/common/webhooks`; here are who may use it, and what brands are
told of. Features queue events in the transactions that decide them, and give the worker the function that
builds what is sent (`jobs.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.common.db import Connection
from services.common.webhooks.events import Event as Event  # handed on
from services.common.webhooks.events import OwnersEvent, write_events
from services.common.webhooks.events import Payload as Payload  # handed on

__all__ = ["Event", "EventKind", "NewEvent", "Payload", "queue_events"]

EventKind = Literal["claim.created", "ping"]
"""What happens. A ping is asked for by staff, and sent to the endpoint that it was asked for."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that a brand is told of.

    `subject_id` is what it happened to, such as a claim; `member_id` the member who did it.
    """

    brand_id: UUID
    kind: EventKind
    subject_id: UUID
    occurred_at: datetime
    member_id: UUID | None = None


async def queue_events(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Queues what brands are told of, in the transaction of `connection`: one round trip for all.

    An event of a brand without an enabled endpoint that wants its kind writes nothing.
    """
    await write_events(
        connection,
        [
            OwnersEvent(one.brand_id, one.kind, one.subject_id, one.occurred_at, one.member_id)
            for one in events
        ],
    )
