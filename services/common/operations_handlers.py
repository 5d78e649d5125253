"""What every service tells whoever runs Scrip: `PointsOperationsService` and the like."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

from scrip.common.v1 import list_pb2, set_aside_pb2

from services.common import audit
from services.common.caller import Caller, caller
from services.common.db import Connection, Database
from services.common.encoding import Context, refuse_nul, timestamp
from services.common.paging import Page
from services.common.set_aside import SET_ASIDE, SetAsideRow, retry_now

_PREFIX = "SET_ASIDE_KIND_"


class Record(Protocol):
    """Keeps an audit entry, as `audit.record` does."""

    async def __call__(
        self, connection: Connection, actor: Caller, action: str, target_id: object, **details: object
    ) -> None:
        """Keeps it, in the transaction of the change."""


class OperationsHandlers:
    """Implements the operations of a service, with its own messages: its module `operations_pb2`.

    Identity, which lists audit entries, keeps its own in its own way: `record`.
    """

    def __init__(self, db: Database, messages: ModuleType, record: Record = audit.record) -> None:
        self._db = db
        self._messages: Any = messages
        self._record = record
        self._list = f"set_aside of {self._messages.DESCRIPTOR.package}"

    async def ListSetAside(self, request: Any, context: Context) -> Any:
        """Returns a page of what is set aside."""
        kind = _kind(request.kind)
        page = Page(request.page_size, request.page_token, self._list, kind, request.order_by)
        rows, next_token = await self._db.read(
            SET_ASIDE.page, page=page, order_by=request.order_by, kind=kind
        )
        response = self._messages.ListSetAsideResponse(
            set_aside=map(_encode, rows), next_page_token=next_token
        )
        if request.with_total:
            total = await self._db.read(SET_ASIDE.total, kind=kind)
            response.total.CopyFrom(list_pb2.ListTotal(count=total.count, more=total.more))
        return response

    async def RetrySetAside(self, request: Any, context: Context) -> Any:
        """Has it tried soon."""
        refuse_nul(id=request.id)
        kind = _kind(request.kind)
        retried = await self._db.run(self._retry, actor=caller(), kind=kind, subject_id=request.id or None)
        return self._messages.RetrySetAsideResponse(retried=retried)

    async def _retry(
        self, connection: Connection, *, actor: Caller, kind: str | None, subject_id: str | None
    ) -> int:
        retried = await retry_now(connection, kind=kind, subject_id=subject_id)
        await self._record(
            connection, actor, "set_aside.retried", subject_id or "", kind=kind or "", retried=retried
        )
        return retried


def _kind(number: int) -> str | None:
    if not number:
        return None
    name: str = set_aside_pb2.SetAsideKind.Name(set_aside_pb2.SetAsideKind.ValueType(number))
    return name.removeprefix(_PREFIX)


def _encode(row: SetAsideRow) -> set_aside_pb2.SetAside:
    return set_aside_pb2.SetAside(
        kind=set_aside_pb2.SetAsideKind.Value(f"{_PREFIX}{row.kind}"),
        id=row.id,
        set_aside_at=timestamp(row.set_aside_at),
        attempts=row.attempts,
        next_attempt_at=timestamp(row.next_attempt_at),
        last_error=row.error,
    )
