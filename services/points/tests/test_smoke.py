from __future__ import annotations
import asyncio
from uuid import uuid4
import pytest
from services.points.tests.support import *
from tests.inprocess import reason, refusal

async def test_story(points: Points, platform: Platform) -> None:
    m = await platform.member()
    r = receipt(m.code, item(60000), item(2000, alcohol=True))
    a = await points.record(r)
    print(a)
    b = await points.record(r)
    assert a.SerializeToString() == b.SerializeToString()
    r.items[0].quantity = 2
    print(await refusal(points.record(r)))
    assert await points.balance(m) == 60
    await points.earn(m, 500)
    o = uuid4()
    print(await points.debit(o, m, 500), await points.debit(o, m, 500))
    print(await refusal(points.debit(uuid4(), m, 500)))
    print(await points.entries(m), await points.purchases(m))
    await points.undo(o, m); await points.undo(o, m)
    print(await refusal(points.debit(o, m, 500)))
    assert await points.balance(m) == 560
    print(await refusal(points.record(receipt("NOBODY"))))
    await points.assert_balanced()
