"""Calls of CodeSetService that tests make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from scrip.common.v1 import money_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc
from scrip.promos.v1 import code_pb2, code_set_pb2, code_set_pb2_grpc

from services.common.ids import new_id
from services.promos.tests.support import Promos
from tests.inprocess import bearer, eventually

TEN_PERCENT = code_pb2.Benefit(percent_off=10)
NOTHING_OFF = code_pb2.Benefit(amount_off=money_pb2.Money(currency_code="USD", amount_minor=0))
MAKING = code_set_pb2.CODE_SET_STATE_MAKING
READY = code_set_pb2.CODE_SET_STATE_READY
HANDED_OUT = code_set_pb2.CODE_SET_PURPOSE_HANDED_OUT


def stub_of(promos: Promos) -> code_set_pb2_grpc.CodeSetServiceStub:
    """CodeSetService."""
    return code_set_pb2_grpc.CodeSetServiceStub(promos.channel)


async def create_set(
    promos: Promos, token: str = "", *, key: str = "", **fields: Any
) -> code_set_pb2.CodeSet:
    """Returns a new set; by default 5 codes that take off 10 %."""
    request = code_set_pb2.CreateCodeSetRequest(
        **{"name": "Flyer", "quantity": 5, "benefit": TEN_PERCENT, **fields}
    )
    metadata = bearer(token or promos.admin, idempotency_key=key or str(new_id()))
    return (await stub_of(promos).CreateCodeSet(request, metadata=metadata)).code_set


async def get_set(promos: Promos, code_set_id: str, token: str = "") -> code_set_pb2.CodeSet:
    """Reads a set."""
    request = code_set_pb2.GetCodeSetRequest(code_set_id=code_set_id)
    return (await stub_of(promos).GetCodeSet(request, metadata=bearer(token or promos.admin))).code_set


async def update_set(
    promos: Promos, code_set_id: str, token: str = "", **fields: Any
) -> code_set_pb2.CodeSet:
    """Changes a set."""
    request = code_set_pb2.UpdateCodeSetRequest(code_set_id=code_set_id, **fields)
    return (await stub_of(promos).UpdateCodeSet(request, metadata=bearer(token or promos.admin))).code_set


async def list_sets(promos: Promos, token: str = "", **fields: Any) -> code_set_pb2.ListCodeSetsResponse:
    """Returns a page of sets."""
    request = code_set_pb2.ListCodeSetsRequest(**fields)
    return await stub_of(promos).ListCodeSets(request, metadata=bearer(token or promos.admin))


async def made_set(promos: Promos, **fields: Any) -> code_set_pb2.CodeSet:
    """Returns a new set that has all its codes."""
    made = await create_set(promos, **fields)
    return await until_ready(promos, made.id)


async def until_ready(promos: Promos, code_set_id: str) -> code_set_pb2.CodeSet:
    """Returns a set once it has all its codes."""

    async def check() -> None:
        assert (await get_set(promos, code_set_id)).state == READY

    await eventually(check, seconds=30)
    return await get_set(promos, code_set_id)


async def texts_of(promos: Promos, code_set_id: str) -> list[str]:
    """Returns the codes of a set, as they are stored."""
    return list(
        await promos.value(
            "SELECT array_agg(code ORDER BY code) FROM codes WHERE code_set_id = %(id)s", id=code_set_id
        )
        or ()
    )


async def watch(promos: Promos, code_set_id: str, token: str = "") -> AsyncIterator[code_set_pb2.CodeSet]:
    """Yields a set, now and at each change."""
    request = code_set_pb2.WatchCodeSetRequest(code_set_id=code_set_id)
    async for reply in stub_of(promos).WatchCodeSet(request, metadata=bearer(token or promos.admin)):
        yield reply.code_set


async def actions_on(promos: Promos, target: str) -> list[str]:
    """Returns what was done to a target, as identity keeps it."""
    stub = audit_pb2_grpc.AuditServiceStub(promos.platform.channels["identity"])
    request = audit_pb2.ListAuditEntriesRequest(target_id=target)
    reply = await stub.ListAuditEntries(request, metadata=bearer(promos.admin))
    return sorted(entry.action for entry in reply.entries)
