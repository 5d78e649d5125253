"""What staff changed. The entry commits with the change; the outbox takes it to identity, which lists all."""

from __future__ import annotations

from services.common import outbox
from services.common.caller import Caller
from services.common.db import Connection
from services.common.ids import new_id

TOPIC = "audit"
RECEIVER = "identity"


async def record(
    connection: Connection, actor: Caller, action: str, target_id: object, **details: object
) -> None:
    """Keeps an audit entry: `actor` did `action` (such as `voucher.created`) to a target."""
    await outbox.put(
        connection,
        topic=TOPIC,
        receiver=RECEIVER,
        subject=str(new_id()),
        version=1,
        content={
            "actor_id": actor.subject,
            "actor_role": actor.role,
            "action": action,
            "target_id": str(target_id),
            "details": details,
        },
    )
