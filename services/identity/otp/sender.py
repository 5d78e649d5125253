"""How the code of a one-time password leaves identity: kept for a developer, or given to a worker."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

from services.common import jobs
from services.common.db import Connection, execute
from services.common.errors import unavailable
from services.identity.accounts import Recipient
from services.identity.keys import Vault
from services.identity.messages import MessageSender, Way

log = logging.getLogger(__name__)

SEND_JOB = "send_otp"
SEND_QUEUE = "otps"
"""A queue of its own: a provider that hangs must not delay what members wait for."""


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code, whom it is for, and the language of the words around it."""

    otp_id: UUID
    recipient: Recipient
    code: str
    language: str


async def send_code(connection: Connection, vault: Vault, sender: MessageSender, new: NewCode) -> None:
    """Keeps the code in the transaction that makes it: readable in the sandbox, else encrypted for a worker.

    It is not in the job. Raises DEPENDENCY_UNAVAILABLE when there is no way of sending to such a recipient.
    """
    match sender.way_to(new.recipient):
        case Way.NONE:
            raise unavailable("otp_sender")
        case Way.SANDBOX:
            await _keep_readable(connection, new)
        case Way.WORKER:
            await execute(
                connection,
                """
                INSERT INTO otp_deliveries (otp_id, sealed_code, language)
                VALUES (%(otp_id)s, %(sealed_code)s, %(language)s)
                """,
                otp_id=new.otp_id,
                sealed_code=vault.encrypt(new.code.encode()),
                language=new.language,
            )
            await jobs.defer(connection, SEND_JOB, queue=SEND_QUEUE, otp_id=str(new.otp_id))


async def _keep_readable(connection: Connection, new: NewCode) -> None:
    await execute(
        connection,
        "INSERT INTO sandbox_otps (otp_id, code) VALUES (%(otp_id)s, %(code)s)",
        otp_id=new.otp_id,
        code=new.code,
    )
    log.info("sandbox: the code of one-time password %s is %s", new.otp_id, new.code)
