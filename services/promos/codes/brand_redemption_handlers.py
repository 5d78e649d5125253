"""CodeService: the redemptions of a brand's codes, as the brand may know them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import code_pb2

from services.common.caller import caller
from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context, moment
from services.common.list_pages import read_page
from services.promos.brand_access import require_own_brand
from services.promos.codes.encoding import encode_brand_redemption
from services.promos.codes.queries import BRAND_REDEMPTIONS, BrandRedemptionRow
from services.promos.codes.set_queries import require_brands_set

_CSV = (
    "id",
    "code_set_id",
    "code_id",
    "code",
    "code_display",
    "member_id",
    "redeemed_at",
    "cancelled_at",
    "discount_minor",
    "currency_code",
)


class BrandRedemptionHandlers:
    """Implements what CodeService tells brands of redemptions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListBrandRedemptions(
        self, request: code_pb2.ListBrandRedemptionsRequest, context: Context
    ) -> code_pb2.ListBrandRedemptionsResponse:
        """Returns a page of the redemptions of a brand's codes."""
        wanted = await self._wanted(request)
        page = await read_page(self._db, BRAND_REDEMPTIONS, request, order_by=request.order_by, **wanted)
        return code_pb2.ListBrandRedemptionsResponse(
            redemptions=map(encode_brand_redemption, page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ExportBrandRedemptions(
        self, request: code_pb2.ExportBrandRedemptionsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns the redemptions of a brand's codes as CSV, in pieces."""
        wanted = await self._wanted(request)
        batches = BRAND_REDEMPTIONS.batches(self._db, order_by="", **wanted)
        lines = (map(_cells, rows) async for rows in batches)
        async for reply in csv_replies(context, "redemptions", _CSV, lines):
            yield reply

    async def _wanted(
        self, request: code_pb2.ListBrandRedemptionsRequest | code_pb2.ExportBrandRedemptionsRequest
    ) -> dict[str, object]:
        """Returns the filters: of a set when one is named, which is then the brand's; else of the brand.

        Raises BRAND_NOT_YOURS and CODE_SET_NOT_FOUND.
        """
        brand_id = UUID(request.brand_id)
        require_own_brand(caller(), brand_id)
        code_set_id = UUID(request.code_set_id) if request.code_set_id else None
        if code_set_id:
            await self._db.read(require_brands_set, brand_id, code_set_id)
        return {
            "brand_id": None if code_set_id else brand_id,
            "code_set_id": code_set_id,
            "redeemed_from": moment(request, "redeemed_from"),
            "redeemed_until": moment(request, "redeemed_until"),
        }


def _cells(row: BrandRedemptionRow) -> Sequence[object]:
    redemption = encode_brand_redemption(row)
    return [
        redemption.id,
        redemption.code_set_id,
        redemption.code_id,
        redemption.code,
        redemption.code_display,
        redemption.member_id,
        redemption.redeemed_at.ToJsonString(),
        redemption.cancelled_at.ToJsonString() if row.cancelled_at else None,
        row.discount_minor,
        row.discount_currency,
    ]
