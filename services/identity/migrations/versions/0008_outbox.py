"""One outbox for all messages to other services. What happened to members is kept as before."""

from __future__ import annotations

from services.common.migrations import create_outbox, execute, queue_outbox

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Applies the change."""
    create_outbox()
    execute(
        """
        INSERT INTO outbox (id, topic, receiver, subject, version, content, queue, created_at)
        SELECT gen_random_uuid(), 'member_event', l.service, e.member_id::text, e.version, jsonb_build_object(
          'event_id', e.id, 'kind', e.type, 'phone_hash', encode(e.phone_hash, 'hex'),
          'shares_contact', e.shares_contact
        ), 'member_events_' || l.service, e.occurred_at
        FROM (VALUES ('points'), ('vouchers'), ('promos')) AS l (service)
        CROSS JOIN member_events e
        LEFT JOIN member_event_deliveries d ON d.service = l.service AND d.member_id = e.member_id
        WHERE e.version > coalesce(d.delivered_version, 0);
        DROP TABLE member_event_deliveries;
        DELETE FROM procrastinate_jobs WHERE task_name = 'deliver_member_events';
        """
    )
    queue_outbox()
