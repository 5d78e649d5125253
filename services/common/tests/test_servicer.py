"""A proto service is put together from objects, and each RPC is there once."""

from __future__ import annotations

import pytest
from scrip.points.internal.v1 import points_pb2_grpc

from services.common.server import servicer

NAME = "scrip.points.internal.v1.PointsInternalService"
add = points_pb2_grpc.add_PointsInternalServiceServicer_to_server


class Debits:
    """Has all RPCs but one."""

    async def Debit(self) -> str:
        return "debited"

    async def BatchDebit(self) -> str:
        return "all debited"

    async def GetBalance(self) -> str:
        return "balance"

    async def HasPurchases(self) -> str:
        return "purchases"


class Undoing:
    """Has the other."""

    async def UndoDebit(self) -> str:
        return "undone"


async def test_each_rpc_goes_to_the_object_that_has_it() -> None:
    merged = servicer(NAME, add, Debits(), Undoing())
    assert await merged.implementation.Debit() == "debited"  # type: ignore[attr-defined]  # put together
    assert await merged.implementation.UndoDebit() == "undone"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((Debits(),), "UndoDebit must be implemented once, not 0"),
        ((Debits(), Debits(), Undoing()), "Debit must be implemented once, not 2"),
    ],
)
def test_an_rpc_that_is_missing_or_there_twice_keeps_the_service_from_starting(
    parts: tuple[object, ...], said: str
) -> None:
    with pytest.raises(RuntimeError, match=said):
        servicer(NAME, add, *parts)
