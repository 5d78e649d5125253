"""Points' jobs and chores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from services.common.audit import FORWARD_JOB
from services.common.audit_forwarding import forward_audit_task
from services.common.channels import Peers
from services.common.db import Database
from services.common.housekeeping import repeat
from services.common.idempotency import forget_old_keys
from services.common.jobs import Task
from services.points.adjustments import IMPORT_JOB, IMPORT_QUEUE, Importer
from services.points.balances import Balances
from services.points.ledger import EXPIRY_SECONDS, expire_due

QUEUES = {IMPORT_QUEUE: 2}
"""Imports take minutes, and hold up nothing else."""


def tasks(db: Database, peers: Peers, importer: Importer) -> Mapping[str, Task]:
    """What points' worker does, by job name."""
    return {FORWARD_JOB: forward_audit_task("points", db, peers), IMPORT_JOB: importer.run}


def loops(db: Database, balances: Balances) -> list[Callable[[], Awaitable[None]]]:
    """What points' worker does again and again."""
    return [
        partial(repeat, 60, partial(db.run, forget_old_keys)),
        partial(repeat, EXPIRY_SECONDS, partial(expire_due, db, balances.void)),
    ]
