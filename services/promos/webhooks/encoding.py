"""Webhooks and deliveries as messages have them."""

from __future__ import annotations

from collections.abc import Sequence

from scrip.promos.v1 import webhook_pb2

from services.common.encoding import timestamp
from services.common.webhooks.deliveries import AttemptRow, DeliveryRow
from services.common.webhooks.endpoints import EndpointRow

_STATE, _ERROR = "DELIVERY_STATE_", "ATTEMPT_ERROR_"


def state_name(state: webhook_pb2.DeliveryState.ValueType) -> str:
    """Returns a state as the database has it."""
    return webhook_pb2.DeliveryState.Name(state).removeprefix(_STATE)


def encode_endpoint(row: EndpointRow) -> webhook_pb2.Webhook:
    """Returns a webhook."""
    return webhook_pb2.Webhook(
        id=str(row.id),
        brand_id=str(row.owner_id),
        url=row.url,
        event_types=row.kinds,
        description=row.description,
        enabled=row.enabled,
        failing_since=timestamp(row.failing_since),
        gone_at=timestamp(row.gone_at),
        old_secret_expires_at=timestamp(row.old_secret_expires_at),
        created_at=timestamp(row.created_at),
        etag=row.etag,
    )


def encode_delivery(row: DeliveryRow, attempts: Sequence[AttemptRow] = ()) -> webhook_pb2.Delivery:
    """Returns a delivery with its attempts."""
    return webhook_pb2.Delivery(
        id=str(row.event_id),
        webhook_id=str(row.endpoint_id),
        event_type=row.kind,
        subject_id=str(row.subject_id),
        occurred_at=timestamp(row.occurred_at),
        state=webhook_pb2.DeliveryState.Value(f"{_STATE}{row.state}"),
        created_at=timestamp(row.created_at),
        next_attempt_at=timestamp(row.next_attempt_at),
        completed_at=timestamp(row.completed_at),
        attempt_count=row.attempts,
        attempts=map(_attempt, attempts),
    )


def _attempt(row: AttemptRow) -> webhook_pb2.Attempt:
    return webhook_pb2.Attempt(
        number=row.number,
        started_at=timestamp(row.started_at),
        duration_ms=row.duration_ms,
        status=row.status,
        error=webhook_pb2.AttemptError.Value(f"{_ERROR}{row.error or 'UNSPECIFIED'}"),
    )
