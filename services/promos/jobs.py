"""Promos' jobs and chores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from services.common import audit
from services.common.audit_forwarding import audit_sender
from services.common.channels import Peers
from services.common.db import Database
from services.common.housekeeping import repeat
from services.common.idempotency import forget_old_keys
from services.common.jobs import Task
from services.common.outbox import OUTBOX_JOB, RETRY_SECONDS, retry_set_aside, send_outbox_task
from services.common.webhooks.dispatcher import forget_old
from services.promos.claims.contacts import Contacts
from services.promos.claims.payloads import ClaimPayloads
from services.promos.codes.commands.code_sets import MAKE_JOB
from services.promos.codes.commands.code_states import TOPIC as CODE_STATE_TOPIC
from services.promos.codes.commands.make_codes import make_codes
from services.promos.codes.vouchers_client import code_state_sender
from services.promos.webhooks import Event, EventKind, Payload


def tasks(db: Database, peers: Peers) -> Mapping[str, Task]:
    """Returns what promos' worker does, by job name."""

    async def make(code_set_id: str) -> None:
        """Makes the codes that a set lacks. Each batch is kept, so a job that was killed goes on."""
        while await db.run(make_codes, UUID(code_set_id)):
            pass

    senders = {audit.TOPIC: audit_sender("promos", peers), CODE_STATE_TOPIC: code_state_sender(peers)}
    send_outbox = send_outbox_task(db, senders)
    return {MAKE_JOB: make, OUTBOX_JOB: send_outbox}


def payloads(db: Database, peers: Peers) -> Mapping[str, Payload]:
    """Returns what builds the data that webhooks are sent, by kind of event."""
    claims = ClaimPayloads(db, Contacts(db, peers))

    async def ping(event: Event) -> Mapping[str, Any]:
        """A ping tells which webhook it is sent to."""
        return {"webhook_id": event.subject_id}

    built: dict[EventKind, Payload] = {"ping": ping, "claim.created": claims.created}
    return {str(kind): payload for kind, payload in built.items()}


def loops(db: Database) -> list[Callable[[], Awaitable[None]]]:
    """Returns what promos' worker does again and again."""
    return [
        partial(repeat, 60, partial(db.run, forget_old_keys), name="forgetting old keys"),
        partial(repeat, 60, partial(forget_old, db), name="forgetting old deliveries"),
        partial(repeat, RETRY_SECONDS, partial(retry_set_aside, db)),
    ]
