"""What each movement of points was caused by, as members read it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from scrip.points.v1 import points_pb2

from services.common.ids import new_id
from services.points.adjustments.tests.test_adjustments import heard_member
from services.points.ledger import EntryKind
from services.points.ledger.entries import OfClosing, OfExpiry, OfImportLine, cause_of
from services.points.tests.manager import Manager, csv_file
from services.points.tests.returns import expire, refund
from services.points.tests.support import Points
from tests.inprocess import Platform


@pytest.mark.covers("P4 PointsService.ListMyEntries")
async def test_every_movement_names_its_cause(points: Points, platform: Platform) -> None:
    member, manager = await heard_member(points, platform), Manager(points, await platform.token("manager"))
    order, closing = uuid4(), new_id()
    bought = (await points.earn(member, 60)).purchase.id
    await points.debit(order, member, 10)
    await points.undo(order, member)
    await refund(points, bought)
    adjusted = (await manager.adjust(member.id, 20)).entry
    begun = await manager.upload(csv_file((member.id, 5, "Sorry")))
    await manager.finished(begun.id)
    await expire(points, member)
    open_order = uuid4()
    await points.earn(member, 7)
    await points.debit(open_order, member, 3)
    await points.send_event(member.id, 3, "CLOSED", event_id=closing)
    await points.undo(open_order, member)
    entries = list((await points.entries(member)).entries)[::-1]
    assert [(points_pb2.EntryKind.Name(one.kind)[11:], one.WhichOneof("cause")) for one in entries] == [
        ("EARN", "purchase_id"),
        ("SPEND", "order_id"),
        ("SPEND_UNDONE", "order_id"),
        ("REFUND", "purchase_id"),
        ("ADJUST", "adjustment_id"),
        ("ADJUST", "adjustment_import_line"),
        ("EXPIRE", "expired_at"),
        ("EARN", "purchase_id"),
        ("SPEND", "order_id"),
        ("FORFEIT", "closing_event_id"),
        ("SPEND_UNDONE", "order_id"),
        ("FORFEIT", "order_id"),
    ]
    assert {entries[0].purchase_id, entries[3].purchase_id} == {bought}
    assert {entries[1].order_id, entries[2].order_id} == {str(order)}
    assert entries[4] == adjusted
    line = entries[5].adjustment_import_line
    assert (line.adjustment_import_id, line.line) == (begun.id, 2)
    assert entries[9].closing_event_id == str(closing)
    assert {entries[8].order_id, entries[10].order_id, entries[11].order_id} == {str(open_order)}


def test_references_are_read_as_they_are_kept() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert cause_of(EntryKind.EXPIRE, "2026-01-02T00:00:00Z", of_order=False) == OfExpiry(moment)
    assert cause_of(EntryKind.ADJUST, "a-b:17", of_order=False) == OfImportLine("a-b", 17)
    assert cause_of(EntryKind.FORFEIT, "x", of_order=False) == OfClosing("x")
