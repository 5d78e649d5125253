"""What was on its way before there was one outbox is on its way in it afterwards."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg.types.json import Jsonb

from services.common import migrations
from services.common.ids import new_id
from stack.postgres import Postgres
from stack.settings import ROOT

BEFORE = {"points": "0004", "promos": "0002", "vouchers": "0002", "identity": "0007"}


def migrated_until(postgres: Postgres, service: str) -> str:
    """Returns the URL of a new database of the version before the outbox."""
    name = f"{service}_before_outbox"
    postgres.create_database(name)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "migrations"))
    config.attributes["database_url"] = postgres.url(name)
    command.upgrade(config, BEFORE[service])
    return postgres.url(name)


def defer(connection: psycopg.Connection[Any], task: str, status: str, **arguments: str) -> None:
    """Leaves a job behind."""
    connection.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) VALUES ('default', %s, %s, %s)",
        [task, Jsonb(arguments), status],
    )


def queued(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Returns the jobs that there are now."""
    return connection.execute(
        """
        SELECT task_name, queue_name, lock, status::text FROM procrastinate_jobs ORDER BY lock
        """
    ).fetchall()


@pytest.mark.parametrize("service", ["points", "promos", "vouchers"])
def test_audit_entries_on_their_way_move_into_the_outbox(postgres: Postgres, service: str) -> None:
    url = migrated_until(postgres, service)
    entries = sorted(str(new_id()) for _ in range(3))
    with psycopg.connect(url) as connection:
        for entry, status in zip(entries, ("todo", "doing", "failed"), strict=True):
            connection.execute(
                """
                INSERT INTO audit_outbox (id, actor_id, actor_role, action, target_id, details, occurred_at)
                VALUES (%s, 'ada', 'admin', 'points.adjusted', 'grace', '{"delta": 7}', '2026-01-02')
                """,
                [entry],
            )
            defer(connection, "forward_audit", status, entry_id=entry)
    migrations.upgrade(service, url)
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT topic, receiver, subject, version, content, created_at::date::text FROM outbox ORDER BY 3"
        ).fetchall()
        content = {
            "actor_id": "ada",
            "actor_role": "admin",
            "action": "points.adjusted",
            "target_id": "grace",
            "details": {"delta": 7},
        }
        assert found == [("audit", "identity", entry, 1, content, "2026-01-02") for entry in entries]
        assert queued(connection) == [
            ("send_outbox", "default", f"audit:identity:{entry}", "todo") for entry in entries
        ]


def test_member_events_that_were_not_delivered_move_into_the_outbox(postgres: Postgres) -> None:
    url = migrated_until(postgres, "identity")
    member, events = new_id(), [new_id() for _ in range(3)]
    with psycopg.connect(url) as connection:
        connection.execute(
            """
            INSERT INTO accounts (id, kind, user_name, password_hash) VALUES (%s, 'MEMBER', 'ada', 'none')
            """,
            [member],
        )
        connection.execute(
            """
            INSERT INTO members (id, full_name, member_code, event_version) VALUES (%s, 'Ada', 'ABC', 3)
            """,
            [member],
        )
        for number, kind in enumerate(("REGISTERED", "FIRST_LOGIN", "SUSPENDED")):
            connection.execute(
                """
                INSERT INTO member_events (member_id, version, id, type, phone_hash, shares_contact)
                VALUES (%s, %s, %s, %s, %s, true)
                """,
                [member, number + 1, events[number], kind, b"\xab" if number else None],
            )
        for service, version in (("points", 3), ("promos", 1)):  # and vouchers none
            connection.execute(
                "INSERT INTO member_event_deliveries VALUES (%s, %s, %s)", [service, member, version]
            )
            defer(connection, "deliver_member_events", "todo", service=service, member_id=str(member))
    migrations.upgrade("identity", url)
    with psycopg.connect(url) as connection:
        found = connection.execute(
            """
            SELECT receiver, version, content ->> 'kind', content ->> 'phone_hash', content ->> 'event_id'
            FROM outbox WHERE topic = 'member_event' AND subject = %s AND queue = 'member_events_' || receiver
            ORDER BY receiver, version
            """,
            [str(member)],
        ).fetchall()
        assert found == [
            ("promos", 2, "FIRST_LOGIN", "ab", str(events[1])),
            ("promos", 3, "SUSPENDED", "ab", str(events[2])),
            ("vouchers", 1, "REGISTERED", None, str(events[0])),
            ("vouchers", 2, "FIRST_LOGIN", "ab", str(events[1])),
            ("vouchers", 3, "SUSPENDED", "ab", str(events[2])),
        ]
        assert queued(connection) == [
            ("send_outbox", f"member_events_{name}", f"member_event:{name}:{member}", "todo")
            for name in ("promos", "vouchers")
        ]
