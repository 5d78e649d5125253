"""CodeSetService: sets of codes, and how far they are made."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import code_set_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, moment, read_text, timestamp
from services.common.errors import invalid_field
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.common.live_streams import LiveStreams
from services.common.server_sent_events import as_events, as_json, event_id
from services.promos.benefit_encoding import encode_benefit, read_benefit
from services.promos.brand_access import only_brand, require_own_brand
from services.promos.codes.commands.code_sets import CodeSetChanges
from services.promos.codes.commands.handed_out_sets import NewCodeSet, create_code_set, update_code_set
from services.promos.codes.set_queries import CODE_SET_LIST, CodeSetRow, get_code_set

_PURPOSE = "CODE_SET_PURPOSE_"
_MOST_WATCHERS = 100
"""Each reads the database twice a second; those who watch are staff."""


class CodeSetHandlers:
    """Implements CodeSetService."""

    def __init__(self, db: Database, currency_code: str, *, most_watchers: int = _MOST_WATCHERS) -> None:
        self._db = db
        self._currency_code = currency_code
        self._streams = LiveStreams("promos", most=most_watchers)

    def close_streams(self) -> None:
        """Ends all live streams, because the service stops."""
        self._streams.close()

    async def CreateCodeSet(
        self, request: code_set_pb2.CreateCodeSetRequest, context: Context
    ) -> code_set_pb2.CreateCodeSetResponse:
        """Makes a set, once per key."""

        async def create(connection: Connection) -> code_set_pb2.CreateCodeSetResponse:
            row = await create_code_set(
                connection, actor=caller(), new=_new_set(request, self._currency_code)
            )
            return code_set_pb2.CreateCodeSetResponse(code_set=_code_set(row))

        return await idempotent(self._db, context, request, code_set_pb2.CreateCodeSetResponse, create)

    async def GetCodeSet(
        self, request: code_set_pb2.GetCodeSetRequest, context: Context
    ) -> code_set_pb2.GetCodeSetResponse:
        """Returns one set."""
        return code_set_pb2.GetCodeSetResponse(code_set=_code_set(await self._read(request.code_set_id)))

    async def ListCodeSets(
        self, request: code_set_pb2.ListCodeSetsRequest, context: Context
    ) -> code_set_pb2.ListCodeSetsResponse:
        """Returns a page of sets."""
        page = await read_page(
            self._db, CODE_SET_LIST, request, order_by=request.order_by, **_wanted(request)
        )
        return code_set_pb2.ListCodeSetsResponse(
            code_sets=map(_code_set, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def UpdateCodeSet(
        self, request: code_set_pb2.UpdateCodeSetRequest, context: Context
    ) -> code_set_pb2.UpdateCodeSetResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            update_code_set,
            actor=caller(),
            code_set_id=UUID(request.code_set_id),
            etag=request.etag,
            changes=_changes(request, self._currency_code),
            allow_guessable=request.allow_guessable,
        )
        return code_set_pb2.UpdateCodeSetResponse(code_set=_code_set(row))

    async def WatchCodeSet(
        self, request: code_set_pb2.WatchCodeSetRequest, context: Context
    ) -> AsyncIterator[code_set_pb2.WatchCodeSetResponse]:
        """The set, now and at each change, until it has all its codes."""
        async with aclosing(self._watch(request.code_set_id)) as changes:
            async for row in changes:
                if row:
                    yield code_set_pb2.WatchCodeSetResponse(code_set=_code_set(row))

    async def WatchCodeSetEvents(
        self, request: code_set_pb2.WatchCodeSetEventsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """The same as server-sent events."""
        changes = (
            None
            if row is None
            else (event_id(), as_json(code_set_pb2.WatchCodeSetResponse(code_set=_code_set(row))))
            async for row in self._watch(request.code_set_id)
        )
        async for event in as_events(context, changes):
            yield event

    async def _watch(self, code_set_id: str) -> AsyncGenerator[CodeSetRow | None]:
        """Yields the set, now and at each change, until it has all its codes; None after 15 s without one."""
        async with self._streams.open() as stream:
            changes = stream.changes(partial(self._read, code_set_id), is_last=lambda row: not row.lacking)
            async for row in changes:
                yield row

    async def _read(self, code_set_id: str) -> CodeSetRow:
        row = await self._db.read(get_code_set, UUID(code_set_id))
        require_own_brand(caller(), row.brand_id)
        return row


def _new_set(request: code_set_pb2.CreateCodeSetRequest, currency_code: str) -> NewCodeSet:
    return NewCodeSet(
        name=read_text(request.name, "name"),
        brand_id=UUID(request.brand_id) if request.brand_id else None,
        pattern=request.pattern or None,
        quantity=request.quantity,
        benefit=read_benefit(request.benefit, currency_code),
        starts_at=moment(request, "starts_at"),
        expires_at=moment(request, "expires_at"),
        uses_allowed=request.uses_allowed if request.HasField("uses_allowed") else 1,
        uses_per_member=request.uses_per_member if request.HasField("uses_per_member") else None,
        enabled=request.enabled if request.HasField("enabled") else True,
        allow_guessable=request.allow_guessable,
    )


def _changes(request: code_set_pb2.UpdateCodeSetRequest, currency_code: str) -> CodeSetChanges:
    for field in request.clear:
        if request.HasField(field):  # type: ignore[arg-type]  # one of three fields, by validation
            raise invalid_field("clear", f"{field} can not be given and emptied at once")
    return CodeSetChanges(
        name=read_text(request.name, "name") if request.HasField("name") else None,
        benefit=read_benefit(request.benefit, currency_code) if request.HasField("benefit") else None,
        quantity=request.quantity if request.HasField("quantity") else None,
        starts_at=moment(request, "starts_at"),
        expires_at=moment(request, "expires_at"),
        uses_allowed=request.uses_allowed if request.HasField("uses_allowed") else None,
        uses_per_member=request.uses_per_member if request.HasField("uses_per_member") else None,
        enabled=request.enabled if request.HasField("enabled") else None,
        clear=list(request.clear),
    )


def _wanted(request: code_set_pb2.ListCodeSetsRequest) -> dict[str, object]:
    who, brand_id = caller(), UUID(request.brand_id) if request.brand_id else None
    own = only_brand(who)
    if brand_id is not None:
        require_own_brand(who, brand_id)
    purpose = code_set_pb2.CodeSetPurpose.Name(request.purpose).removeprefix(_PURPOSE)
    making = request.state == code_set_pb2.CODE_SET_STATE_MAKING
    return {
        "brand_id": own or brand_id,
        "purpose": purpose if request.purpose else None,
        "making": making if request.state else None,
        "query": request.query or None,
    }


def _code_set(row: CodeSetRow) -> code_set_pb2.CodeSet:
    rate = row.made_per_second
    return code_set_pb2.CodeSet(
        id=str(row.id),
        name=row.name,
        purpose=code_set_pb2.CodeSetPurpose.Value(f"{_PURPOSE}{row.purpose}"),
        brand_id=str(row.brand_id or ""),
        pattern=row.pattern or "",
        benefit=encode_benefit(row.benefit),
        quantity=row.wanted,
        made=row.usable,
        state=code_set_pb2.CODE_SET_STATE_MAKING if row.lacking else code_set_pb2.CODE_SET_STATE_READY,
        made_per_second=rate,
        seconds_left=math.ceil(row.lacking / rate) if rate else None,
        starts_at=timestamp(row.starts_at),
        expires_at=timestamp(row.expires_at),
        valid_days=row.valid_days,
        uses_allowed=row.uses_allowed,
        uses_per_member=row.uses_per_member,
        enabled=row.enabled,
        created_at=timestamp(row.created_at),
        etag=row.etag,
    )
