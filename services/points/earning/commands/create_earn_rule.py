"""Making an earn rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.points.earning import queries as earn_rules
from services.points.earning.commands.publish_rules import publish_rules
from services.points.earning.queries import RuleRow


@dataclass(frozen=True)
class NewRule:
    """A rule as staff want it; `effect` is as `earning.Rule` has it."""

    name: str
    kind: str
    effect: Mapping[str, Any]
    priority: int
    starts_at: datetime | None
    ends_at: datetime | None
    enabled: bool


async def create_earn_rule(connection: Connection, *, actor: Caller, new: NewRule) -> RuleRow:
    """Makes a rule and, when it is enabled, puts it in force.

    Raises TOO_MANY_EARN_RULES, and VALIDATION_FAILED (by constraint) for a window that ends before it
    starts.
    """
    rule_id = new_id()
    await connection.execute(
        text(
            "INSERT INTO earn_rules (id, name, kind, effect, priority, starts_at, ends_at, enabled)"
            " VALUES (:id, :name, :kind, CAST(:effect AS jsonb), :priority, :starts_at, :ends_at, :enabled)"
        ),
        {"id": rule_id, **vars(new), "effect": orjson.dumps(new.effect).decode()},
    )
    await publish_rules(connection)
    row = await earn_rules.get_earn_rule(connection, rule_id)
    await audit.record(
        connection,
        actor,
        "earn_rule.created",
        rule_id,
        name=new.name,
        effect=row.rule.words,
        priority=new.priority,
        starts_at=new.starts_at,
        ends_at=new.ends_at,
        enabled=new.enabled,
    )
    return row
