"""ClientService: tills."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import client_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, read_text, timestamp
from services.common.paging import Page
from services.identity.tills.commands import create_till, rotate_till_secret, set_till_enabled
from services.identity.tills.queries import TillRow, list_tills


class TillHandlers:
    """Implements ClientService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateClient(
        self, request: client_pb2.CreateClientRequest, context: Context
    ) -> client_pb2.CreateClientResponse:
        """Makes a till."""
        display_name = read_text(request.display_name, "display_name")
        till, secret = await self._db.run(create_till, actor=caller(), display_name=display_name)
        return client_pb2.CreateClientResponse(client=_till(till), client_secret=secret)

    async def RotateClientSecret(
        self, request: client_pb2.RotateClientSecretRequest, context: Context
    ) -> client_pb2.RotateClientSecretResponse:
        """Returns a new secret."""
        secret = await self._db.run(
            rotate_till_secret,
            actor=caller(),
            till_id=UUID(request.client_id),
            overlap_seconds=request.overlap_seconds,
        )
        return client_pb2.RotateClientSecretResponse(client_secret=secret)

    async def DisableClient(
        self, request: client_pb2.DisableClientRequest, context: Context
    ) -> client_pb2.DisableClientResponse:
        """Disables a till: it gets no tokens any more."""
        till_id = UUID(request.client_id)
        row = await self._db.run(set_till_enabled, actor=caller(), till_id=till_id, enabled=False)
        return client_pb2.DisableClientResponse(client=_till(row))

    async def EnableClient(
        self, request: client_pb2.EnableClientRequest, context: Context
    ) -> client_pb2.EnableClientResponse:
        """Enables a till: it gets tokens again."""
        till_id = UUID(request.client_id)
        row = await self._db.run(set_till_enabled, actor=caller(), till_id=till_id, enabled=True)
        return client_pb2.EnableClientResponse(client=_till(row))

    async def ListClients(
        self, request: client_pb2.ListClientsRequest, context: Context
    ) -> client_pb2.ListClientsResponse:
        """Returns a page of tills."""
        page = Page(request.page_size, request.page_token, "clients")
        rows, next_token = await self._db.read(list_tills, page)
        return client_pb2.ListClientsResponse(
            clients=[_till(row) for row in rows], next_page_token=next_token
        )


def _till(row: TillRow) -> client_pb2.Client:
    return client_pb2.Client(
        id=str(row.id),
        display_name=row.display_name,
        created_at=timestamp(row.created_at),
        enabled=row.enabled,
    )
