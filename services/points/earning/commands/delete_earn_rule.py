"""Deleting an earn rule."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.legacy_db import Connection
from services.points.earning import queries as earn_rules
from services.points.earning.commands.publish_rules import publish_rules


async def delete_earn_rule(connection: Connection, *, actor: Caller, rule_id: UUID) -> None:
    """Takes a rule out of force for ever. Its row stays, for purchases were judged by it.

    Raises EARN_RULE_NOT_FOUND.
    """
    deleted = await connection.execute(
        text(
            "UPDATE earn_rules SET deleted = true, version = version + 1, updated_at = now()"
            " WHERE id = :id AND NOT deleted RETURNING name"
        ),
        {"id": rule_id},
    )
    name = deleted.scalar_one_or_none()
    if name is None:
        raise earn_rules.earn_rule_not_found(rule_id)
    await publish_rules(connection)
    await audit.record(connection, actor, "earn_rule.deleted", rule_id, name=name)
