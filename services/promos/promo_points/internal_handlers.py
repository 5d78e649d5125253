"""What other services ask of promos: a part of PromosInternalService."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.internal.v1 import promos_pb2

from services.common.db import Database
from services.common.encoding import Context, timestamp
from services.promos.promo_points.queries import usable_promos


class UsablePromoHandlers:
    """Implements GetUsablePromos."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetUsablePromos(
        self, request: promos_pb2.GetUsablePromosRequest, context: Context
    ) -> promos_pb2.GetUsablePromosResponse:
        """Returns the promos whose points a member can use now."""
        rows = await self._db.read(usable_promos, UUID(request.member_id))
        return promos_pb2.GetUsablePromosResponse(
            promos=[
                promos_pb2.UsablePromo(
                    description=row.description, remaining=row.remaining, ends_at=timestamp(row.ends_at)
                )
                for row in rows
            ],
            remaining=rows[0].in_all if rows else 0,
        )
