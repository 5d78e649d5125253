"""ClientService: tills."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import client_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, read_name, timestamp
from services.common.list_pages import read_page
from services.identity.sessions import Logins
from services.identity.tills.commands import (
    create_till,
    delete_till,
    disable_till,
    enable_till,
    rotate_till_secret,
    update_till,
)
from services.identity.tills.queries import TILLS, TillRow, get_till


class TillHandlers:
    """Implements ClientService."""

    def __init__(self, db: Database, logins: Logins) -> None:
        self._db = db
        self._logins = logins

    async def CreateClient(
        self, request: client_pb2.CreateClientRequest, context: Context
    ) -> client_pb2.CreateClientResponse:
        """Makes a till."""
        display_name = read_name(request.display_name, "display_name")
        till, secret = await self._db.run(create_till, actor=caller(), display_name=display_name)
        return client_pb2.CreateClientResponse(client=_till(till), client_secret=secret)

    async def GetClient(
        self, request: client_pb2.GetClientRequest, context: Context
    ) -> client_pb2.GetClientResponse:
        """Returns a till."""
        row = await self._db.read(get_till, UUID(request.client_id))
        return client_pb2.GetClientResponse(client=_till(row))

    async def UpdateClient(
        self, request: client_pb2.UpdateClientRequest, context: Context
    ) -> client_pb2.UpdateClientResponse:
        """Changes what is given."""
        given = request.HasField("display_name")
        row = await self._db.run(
            update_till,
            actor=caller(),
            till_id=UUID(request.client_id),
            etag=request.etag,
            display_name=read_name(request.display_name, "display_name") if given else None,
        )
        return client_pb2.UpdateClientResponse(client=_till(row))

    async def DeleteClient(
        self, request: client_pb2.DeleteClientRequest, context: Context
    ) -> client_pb2.DeleteClientResponse:
        """Deletes a till: its tokens and secrets end, and it is not listed."""
        till_id = UUID(request.client_id)
        await self._logins.run(delete_till, actor=caller(), till_id=till_id, etag=request.etag)
        return client_pb2.DeleteClientResponse()

    async def RotateClientSecret(
        self, request: client_pb2.RotateClientSecretRequest, context: Context
    ) -> client_pb2.RotateClientSecretResponse:
        """Returns a new secret."""
        rotated = await self._logins.run(
            rotate_till_secret,
            actor=caller(),
            till_id=UUID(request.client_id),
            overlap_seconds=request.overlap_seconds,
            etag=request.etag,
        )
        return client_pb2.RotateClientSecretResponse(client_secret=rotated.secret, client=_till(rotated.till))

    async def DisableClient(
        self, request: client_pb2.DisableClientRequest, context: Context
    ) -> client_pb2.DisableClientResponse:
        """Disables a till: its tokens and secrets end."""
        changed = await self._logins.run(
            disable_till, actor=caller(), till_id=UUID(request.client_id), etag=request.etag
        )
        return client_pb2.DisableClientResponse(client=_till(changed.till))

    async def EnableClient(
        self, request: client_pb2.EnableClientRequest, context: Context
    ) -> client_pb2.EnableClientResponse:
        """Enables a till: it gets tokens by a new secret."""
        changed = await self._logins.run(
            enable_till, actor=caller(), till_id=UUID(request.client_id), etag=request.etag
        )
        return client_pb2.EnableClientResponse(client=_till(changed.till))

    async def ListClients(
        self, request: client_pb2.ListClientsRequest, context: Context
    ) -> client_pb2.ListClientsResponse:
        """Returns a page of tills."""
        wanted: dict[str, object] = {
            "enabled": request.enabled if request.HasField("enabled") else None,
            "begins_with": request.query.strip() or None,
        }
        page = await read_page(self._db, TILLS, request, order_by=request.order_by, **wanted)
        return client_pb2.ListClientsResponse(
            clients=[_till(row) for row in page.rows], next_page_token=page.next_page_token, total=page.total
        )


def _till(row: TillRow) -> client_pb2.Client:
    return client_pb2.Client(
        id=str(row.id),
        display_name=row.display_name,
        created_at=timestamp(row.created_at),
        enabled=row.enabled,
        etag=row.etag,
    )
