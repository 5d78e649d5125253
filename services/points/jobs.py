"""Points' jobs and chores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from services.common import audit
from services.common.audit_forwarding import audit_sender
from services.common.channels import Peers
from services.common.db import Database
from services.common.housekeeping import repeat
from services.common.idempotency import forget_old_keys
from services.common.jobs import Task
from services.common.outbox import OUTBOX_JOB, RETRY_SECONDS, retry_set_aside, send_outbox_task
from services.points.adjustments import IMPORT_JOB, IMPORT_QUEUE, Importer
from services.points.balances import Balances
from services.points.ledger import EXPIRY_SECONDS, expire_due

QUEUES = {IMPORT_QUEUE: 2}
"""Imports take minutes, and hold up nothing else."""


def tasks(db: Database, peers: Peers, importer: Importer) -> Mapping[str, Task]:
    """Returns what points' worker does, by job name."""
    send_outbox = send_outbox_task(db, {audit.TOPIC: audit_sender("points", peers)})
    return {OUTBOX_JOB: send_outbox, IMPORT_JOB: importer.run}


def loops(db: Database, balances: Balances) -> list[Callable[[], Awaitable[None]]]:
    """Returns what points' worker does again and again."""
    return [
        partial(repeat, 60, partial(db.run, forget_old_keys), name="forgetting old keys"),
        partial(repeat, RETRY_SECONDS, partial(retry_set_aside, db)),
        partial(repeat, EXPIRY_SECONDS, partial(expire_due, db, balances.void)),
    ]
