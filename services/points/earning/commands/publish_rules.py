"""Making the rules that are enabled now the ones that judge purchases."""

from __future__ import annotations

from datetime import timedelta

import orjson
from sqlalchemy import text

from services.common.errors import DomainError
from services.common.ids import utc_now
from services.common.legacy_db import Connection
from services.points.earning import queries as earn_rules
from services.points.earning.earning import RuleSet
from services.points.programme import MAX_AGE
from services.points.purchases.purchase import EarnRule

MOST_RULES = 500
"""Rules that may be enabled at a time; those whose window closed too long ago for any sale do not count."""

_OVER_FOR = MAX_AGE + timedelta(days=1)


async def publish_rules(connection: Connection, default: EarnRule | None = None) -> RuleSet:
    """Has all enabled rules in force from now on; answers them. `default` is the programme's rate, if it
    changed.

    Every change of a rule ends in this, in its own transaction, after its change: whoever publishes at the
    same time waits, and then sees that change. Where nothing is different nothing is written. Raises
    TOO_MANY_EARN_RULES.
    """
    await connection.execute(text("LOCK TABLE earn_rule_sets IN SHARE ROW EXCLUSIVE MODE"))
    newest = (
        await connection.execute(text("SELECT id, content FROM earn_rule_sets ORDER BY id DESC LIMIT 1"))
    ).first()
    if default is None:
        assert newest is not None, "the service publishes when it starts"
        default = RuleSet.from_content(newest.id, newest.content).default
    rules = await earn_rules.enabled_rules(connection, ends_after=utc_now() - _OVER_FOR)
    if len(rules) > MOST_RULES:
        raise DomainError(
            "TOO_MANY_EARN_RULES", f"at most {MOST_RULES} rules may be enabled at a time", limit=MOST_RULES
        )
    content = RuleSet(0, default, rules).content()
    if newest and newest.content == content:
        return RuleSet(newest.id, default, rules)
    made = await connection.execute(
        text("INSERT INTO earn_rule_sets (content) VALUES (CAST(:content AS jsonb)) RETURNING id"),
        {"content": orjson.dumps(content).decode()},
    )
    return RuleSet(made.scalar_one(), default, rules)
