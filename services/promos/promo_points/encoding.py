"""Promos as protobuf has them, and back."""

from __future__ import annotations

from typing import Any, cast

from scrip.common.v1 import permission_pb2
from scrip.promos.v1 import promo_pb2

from services.common.encoding import moment, read_text, timestamp
from services.promos.promo_points.queries import PromoRow, PromoState, PromoType, PromoUseRow

_TYPE, _STATE, _ROLE = "PROMO_TYPE_", "PROMO_STATE_", "ROLE_"


def encode_promo(row: PromoRow) -> promo_pb2.Promo:
    """Returns a promo as messages have it."""
    return promo_pb2.Promo(
        id=str(row.id),
        member_id=str(row.member_id),
        type=promo_pb2.PromoType.Value(f"{_TYPE}{row.type}"),
        code=row.code,
        description=row.description,
        starts_at=timestamp(row.starts_at),
        ends_at=timestamp(row.ends_at),
        amount=row.amount,
        used=row.used,
        remaining=row.amount - row.used,
        active=row.active,
        state=promo_pb2.PromoState.Value(f"{_STATE}{row.state}"),
        created_at=timestamp(row.created_at),
        deleted_at=timestamp(row.deleted_at),
        etag=row.etag,
    )


def encode_use(row: PromoUseRow) -> promo_pb2.PromoUse:
    """Returns what a use took from one promo as messages have it."""
    return promo_pb2.PromoUse(
        id=str(row.id),
        promo_id=str(row.promo_id),
        amount=row.amount,
        remaining=row.remaining,
        used_at=timestamp(row.used_at),
        used_by=str(row.used_by),
        used_by_role=permission_pb2.Role.Value(f"{_ROLE}{row.used_by_role.upper()}"),
        till_number=row.till_number,
        sale_reference=row.sale_reference or "",
        cancelled_at=timestamp(row.cancelled_at),
    )


def read_type(value: promo_pb2.PromoType.ValueType) -> PromoType | None:
    """Returns the type in a request, or None when it names none."""
    name = promo_pb2.PromoType.Name(value).removeprefix(_TYPE)
    return cast("PromoType", name) if value else None


def read_state(value: promo_pb2.PromoState.ValueType) -> PromoState | None:
    """Returns the state in a filter, or None when it names none."""
    name = promo_pb2.PromoState.Name(value).removeprefix(_STATE)
    return cast("PromoState", name) if value else None


def read_changes(request: promo_pb2.UpdatePromoRequest) -> dict[str, Any]:
    """Returns the fields of a promo that a request changes. Raises VALIDATION_FAILED."""
    changes: dict[str, Any] = dict.fromkeys(request.clear)
    if request.HasField("type"):
        changes["type"] = read_type(request.type)
    if request.HasField("description"):
        changes["description"] = read_text(request.description, "description", lines=True)
    for field in ("starts_at", "ends_at"):
        if (given := moment(request, field)) is not None:
            changes[field] = given
    if request.HasField("amount"):
        changes["amount"] = request.amount
    if request.HasField("active"):
        changes["active"] = request.active
    return changes
