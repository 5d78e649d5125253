"""CodeService: the redemptions of codes, for those who take them back or look at them all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import code_pb2

from services.common.caller import caller
from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context, moment
from services.common.list_pages import read_page
from services.promos.codes.commands.cancel_redemption import cancel_redemption
from services.promos.codes.encoding import encode_redemption
from services.promos.codes.queries import REDEMPTION_LIST, RedemptionRow

_CSV = (
    "id",
    "code_id",
    "code_set_id",
    "redeemed_by",
    "till_number",
    "sale_reference",
    "amount_off_minor",
    "currency_code",
    "percent_off",
    "redeemed_at",
    "cancelled_at",
    "member_id",
    "cancelled_by",
    "discount_minor",
)


class RedemptionHandlers:
    """Implements what CodeService does with redemptions."""

    def __init__(self, db: Database, *, cancel_days: int) -> None:
        self._db = db
        self._cancel_within = timedelta(days=cancel_days)

    async def CancelRedemption(
        self, request: code_pb2.CancelRedemptionRequest, context: Context
    ) -> code_pb2.CancelRedemptionResponse:
        """Gives a use back."""
        row = await self._db.run(
            cancel_redemption,
            actor=caller(),
            redemption_id=UUID(request.redemption_id),
            within=self._cancel_within,
        )
        return code_pb2.CancelRedemptionResponse(redemption=encode_redemption(row))

    async def ListRedemptions(
        self, request: code_pb2.ListRedemptionsRequest, context: Context
    ) -> code_pb2.ListRedemptionsResponse:
        """Returns a page of the redemptions of all codes."""
        order_by, wanted = request.order_by, _wanted(request)
        page = await read_page(self._db, REDEMPTION_LIST, request, order_by=order_by, **wanted)
        return code_pb2.ListRedemptionsResponse(
            redemptions=map(encode_redemption, page.rows),
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ExportRedemptions(
        self, request: code_pb2.ExportRedemptionsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns the redemptions of all codes as CSV, in pieces."""
        batches = REDEMPTION_LIST.batches(self._db, order_by="", **_wanted(request))
        lines = (map(_cells, rows) async for rows in batches)
        async for reply in csv_replies(context, "redemptions", _CSV, lines):
            yield reply


def _wanted(
    request: code_pb2.ListRedemptionsRequest | code_pb2.ExportRedemptionsRequest,
) -> dict[str, object]:
    cancelled = request.cancelled if request.HasField("cancelled") else None
    return {
        "redeemed_by": UUID(request.redeemed_by) if request.redeemed_by else None,
        "till_number": request.till_number or None,
        "sale_reference": request.sale_reference or None,
        "code_id": UUID(request.code_id) if request.code_id else None,
        "code_set_id": UUID(request.code_set_id) if request.code_set_id else None,
        "redeemed_from": moment(request, "redeemed_from"),
        "redeemed_until": moment(request, "redeemed_until"),
        "cancelled": True if cancelled else None,
        "standing": True if cancelled is False else None,
    }


def _cells(row: RedemptionRow) -> list[object]:
    redemption = encode_redemption(row)
    return [
        redemption.id,
        redemption.code_id,
        redemption.code_set_id,
        redemption.redeemed_by,
        redemption.till_number,
        redemption.sale_reference,
        row.amount_off_minor,
        row.currency_code,
        row.percent_off,
        redemption.redeemed_at.ToJsonString(),
        redemption.cancelled_at.ToJsonString() if row.cancelled_at else None,
        row.member_id,
        row.cancelled_by,
        row.discount_minor,
    ]
