"""Vouchers' jobs and chores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from uuid import UUID

from services.common import audit
from services.common.audit_forwarding import audit_sender
from services.common.channels import Peers
from services.common.db import Database
from services.common.housekeeping import repeat
from services.common.idempotency import forget_old_keys
from services.common.jobs import Task
from services.common.outbox import OUTBOX_JOB, RETRY_SECONDS, retry_set_aside, send_outbox_task
from services.common.storage import Storage
from services.vouchers.catalogue.code_stock import ENSURE_CODES_JOB
from services.vouchers.catalogue.codes_client import LOOK_SECONDS, CodesMaker
from services.vouchers.gifts.advancing import RETURN_SECONDS, Gifts
from services.vouchers.gifts.commands import ADVANCE_JOB, FORGET_JOB
from services.vouchers.gifts.recipients import GiftRecipients
from services.vouchers.images.sweeping import FILES_SECONDS, sweep_files
from services.vouchers.orders.saga import SWEEP_SECONDS, OrderSaga
from services.vouchers.payments import SWEEP_SECONDS as PAYMENTS_SWEEP_SECONDS
from services.vouchers.payments import Payments
from services.vouchers.quotes.commands import forget_old_quotes


def tasks(
    db: Database, peers: Peers, codes: CodesMaker, gifts: Gifts, recipients: GiftRecipients
) -> Mapping[str, Task]:
    """Returns what vouchers' worker does, by job name."""

    async def forget_gift_recipient(notice_id: str) -> None:
        """Has identity forget to whom an order would have been."""
        await recipients.forget(UUID(notice_id))

    send_outbox = send_outbox_task(db, {audit.TOPIC: audit_sender("vouchers", peers)})
    return {
        ENSURE_CODES_JOB: codes.run,
        OUTBOX_JOB: send_outbox,
        ADVANCE_JOB: gifts.run,
        FORGET_JOB: forget_gift_recipient,
    }


def loops(
    db: Database, *, codes: CodesMaker, saga: OrderSaga, payments: Payments, gifts: Gifts, storage: Storage
) -> list[Callable[[], Awaitable[None]]]:
    """Returns what vouchers' worker does again and again."""
    return [
        partial(repeat, SWEEP_SECONDS, saga.sweep),
        partial(repeat, LOOK_SECONDS, codes.look, name="looking at codes that are made"),
        partial(repeat, PAYMENTS_SWEEP_SECONDS, payments.sweep),
        partial(repeat, RETURN_SECONDS, gifts.return_overdue, name="returning gifts"),
        partial(repeat, 60, partial(db.run, forget_old_keys), name="forgetting old keys"),
        partial(repeat, 60, partial(db.run, forget_old_quotes), name="forgetting old quotes"),
        partial(repeat, FILES_SECONDS, partial(sweep_files, db, storage)),
        partial(repeat, RETRY_SECONDS, partial(retry_set_aside, db)),
    ]
