"""What other services ask of claims: a part of PromosInternalService."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.internal.v1 import promos_pb2

from services.common.db import Database
from services.common.encoding import Context, timestamp
from services.promos.benefit_encoding import encode_benefit
from services.promos.claims.usable_claims import usable_claims


class UsableClaimHandlers:
    """Implements GetUsableClaims."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetUsableClaims(
        self, request: promos_pb2.GetUsableClaimsRequest, context: Context
    ) -> promos_pb2.GetUsableClaimsResponse:
        """Returns the codes that a member has claimed and can use now."""
        rows = await self._db.read(usable_claims, UUID(request.member_id))
        return promos_pb2.GetUsableClaimsResponse(
            claims=[
                promos_pb2.UsableClaim(
                    discount_name=row.discount_name,
                    brand_name=row.brand_name,
                    benefit=encode_benefit(row.benefit),
                    expires_at=timestamp(row.expires_at),
                    code=row.code,
                )
                for row in rows
            ]
        )
