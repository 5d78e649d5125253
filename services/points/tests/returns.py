"""What the tests of refunds, claims and purchase reads share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
from google.rpc import error_details_pb2
from scrip.points.v1 import points_pb2, points_pb2_grpc, purchase_pb2, purchase_pb2_grpc

from services.common.db import Connection
from services.points.tests.support import Points, receipt
from tests.inprocess import Member, bearer, refused_status

RULES = (
    "INSERT INTO earn_rule_sets (content) SELECT jsonb_set(content, '{rules}', %(rules)s::jsonb)"
    " FROM earn_rule_sets ORDER BY id DESC LIMIT 1"
)
"""Has other rules hold from within a second on."""
BONUS = (
    '[{"id": "01990000-0000-7000-8000-000000000001", "name": "Welcome", "kind": "FIRST_PURCHASE_BONUS",'
    ' "effect": {"points": 50}, "priority": 0, "starts_at": null, "ends_at": null},'
    ' {"id": "01990000-0000-7000-8000-000000000002", "name": "Double", "kind": "MULTIPLIER",'
    ' "effect": {"percent": 200, "categories": []}, "priority": 0, "starts_at": null, "ends_at": null}]'
)

Lines = Sequence[tuple[int, int] | purchase_pb2.RefundLine]
"""Line and quantity of each, or as it is."""


async def refund(
    points: Points, purchase_id: str, number: str = "F-1", lines: Lines | None = None, **options: Any
) -> purchase_pb2.RefundPurchaseResponse:
    """Refunds a purchase, all that is left of it when no lines are given; as the till, or with a `token`."""
    token = options.pop("token", points.till)
    request = purchase_pb2.RefundPurchaseRequest(
        purchase_id=purchase_id,
        refund_number=number,
        lines=map(_refund_line, lines or ()),
        **options,
    )
    stub = purchase_pb2_grpc.PurchaseServiceStub(points.channel)
    return await stub.RefundPurchase(request, metadata=bearer(token))


def _refund_line(line: tuple[int, int] | purchase_pb2.RefundLine) -> purchase_pb2.RefundLine:
    if isinstance(line, purchase_pb2.RefundLine):
        return line
    return purchase_pb2.RefundLine(line=line[0], quantity=line[1])


async def claim(
    points: Points, receipt_number: str, member_code: str, *, till_number: str = "", token: str = ""
) -> purchase_pb2.ClaimPurchaseResponse:
    """Claims a receipt for the member with the code, as the till."""
    request = purchase_pb2.ClaimPurchaseRequest(
        receipt_number=receipt_number, till_number=till_number, member_code=member_code
    )
    stub = purchase_pb2_grpc.PurchaseServiceStub(points.channel)
    return await stub.ClaimPurchase(request, metadata=bearer(token or points.till))


async def claim_mine(points: Points, member: Member, code: str) -> points_pb2.ClaimMyPurchaseResponse:
    """Claims a receipt by the code on it, as the member; again when Redis was too slow to count guesses."""
    stub = points_pb2_grpc.PointsServiceStub(points.channel)
    request = points_pb2.ClaimMyPurchaseRequest(claim_code=code)
    for _ in range(10):
        try:
            return await stub.ClaimMyPurchase(request, metadata=bearer(member.token))
        except grpc.aio.AioRpcError as error:
            if not (error.details() or "").startswith("redis"):
                raise
            await asyncio.sleep(0.5)
    raise AssertionError("Redis was away for ten tries")


async def unclaimed(
    points: Points, *items: purchase_pb2.PurchaseItem, **fields: Any
) -> purchase_pb2.RecordPurchaseResponse:
    """Returns a receipt recorded without a member."""
    return await points.record(receipt("", *items, **fields))


async def find(points: Points, *, token: str = "", **fields: Any) -> purchase_pb2.PurchaseDetails:
    """Returns a purchase by its receipt, as the till or with another token."""
    stub = purchase_pb2_grpc.PurchaseServiceStub(points.channel)
    request = purchase_pb2.FindPurchaseRequest(**fields)
    return (await stub.FindPurchase(request, metadata=bearer(token or points.till))).details


async def get(points: Points, purchase_id: str, *, token: str = "") -> purchase_pb2.PurchaseDetails:
    """Returns a purchase by its id, as the till or with another token."""
    stub = purchase_pb2_grpc.PurchaseServiceStub(points.channel)
    request = purchase_pb2.GetPurchaseRequest(purchase_id=purchase_id)
    return (await stub.GetPurchase(request, metadata=bearer(token or points.till))).details


async def get_mine(points: Points, member: Member, purchase_id: str) -> purchase_pb2.PurchaseDetails:
    """Returns one of the member's purchases, as the member sees it."""
    stub = points_pb2_grpc.PointsServiceStub(points.channel)
    request = points_pb2.GetMyPurchaseRequest(purchase_id=purchase_id)
    return (await stub.GetMyPurchase(request, metadata=bearer(member.token))).details


async def owing(points: Points, member: Member) -> tuple[int, int]:
    """Balance and debt as the member sees them."""
    stub = points_pb2_grpc.PointsServiceStub(points.channel)
    reply = await stub.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=bearer(member.token))
    return reply.balance, reply.debt


def split(reply: purchase_pb2.RefundPurchaseResponse) -> tuple[int, int, int, int, int]:
    """Returns points of a refund, and what of them was taken, owed, expired and waived."""
    made = reply.refund
    return made.points, made.points_taken, made.points_owed, made.points_expired, made.points_waived


def encoded(reply: Any) -> bytes:
    """Returns a reply byte for byte."""
    return bytes(reply.SerializeToString(deterministic=True))


async def fields_refused(call: Any) -> list[str]:
    """Returns the fields that a refusal names."""
    status, _ = await refused_status(call)
    found = error_details_pb2.BadRequest()
    assert any(detail.Unpack(found) for detail in status.details), status
    return [violation.field for violation in found.field_violations]


async def change(points: Points, statement: str, **values: Any) -> None:
    """Changes rows behind the service's back."""

    async def execute(connection: Connection) -> None:
        await connection.execute(statement, values or None)

    await points.database.run(execute)


async def expire(points: Points, member: Member, lots: int = 1) -> None:
    """Has the member's oldest open lots expire, as the nightly job does it."""
    await change(
        points,
        "WITH due AS (SELECT id, remaining, sum(remaining) OVER (ORDER BY id) AS gone FROM lots"
        " WHERE member_id = %(id)s AND remaining > 0 ORDER BY id LIMIT %(lots)s),"
        " total AS (SELECT coalesce(max(gone), 0) AS points FROM due),"
        " emptied AS (UPDATE lots l SET expired = l.expired + d.remaining, remaining = 0,"
        " expires_at = now() - interval '1 hour' FROM due d WHERE l.member_id = %(id)s AND l.id = d.id),"
        " account AS (UPDATE accounts SET balance = balance - points, version = version + 1 FROM total"
        " WHERE member_id = %(id)s AND points > 0 RETURNING balance, version, points)"
        " INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)"
        " SELECT %(id)s, version, 'EXPIRE', -points, balance, %(moment)s FROM account",
        id=member.id,
        lots=lots,
        moment=datetime.now(UTC).isoformat(),
    )
