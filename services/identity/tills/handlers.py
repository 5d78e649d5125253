"""ClientService: tills."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import client_pb2

from services.common.caller import caller
from services.common.encoding import Context
from services.common.legacy_db import Database
from services.common.paging import Page
from services.identity import encoding
from services.identity.tills import queries as clients
from services.identity.tills.commands.create_client import create_client
from services.identity.tills.commands.rotate_client_secret import rotate_client_secret
from services.identity.tills.commands.set_client_enabled import set_client_enabled


class ClientHandlers:
    """Implements ClientService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateClient(
        self, request: client_pb2.CreateClientRequest, context: Context
    ) -> client_pb2.CreateClientResponse:
        """Makes a till."""
        display_name = encoding.name(request.display_name, "display_name")
        client, secret = await self._db.run(create_client, actor=caller(), display_name=display_name)
        return client_pb2.CreateClientResponse(client=encoding.client(client), client_secret=secret)

    async def RotateClientSecret(
        self, request: client_pb2.RotateClientSecretRequest, context: Context
    ) -> client_pb2.RotateClientSecretResponse:
        """A new secret."""
        secret = await self._db.run(
            rotate_client_secret,
            actor=caller(),
            client_id=UUID(request.client_id),
            overlap_seconds=request.overlap_seconds,
        )
        return client_pb2.RotateClientSecretResponse(client_secret=secret)

    async def DisableClient(
        self, request: client_pb2.DisableClientRequest, context: Context
    ) -> client_pb2.DisableClientResponse:
        """No tokens any more."""
        client_id = UUID(request.client_id)
        row = await self._db.run(set_client_enabled, actor=caller(), client_id=client_id, enabled=False)
        return client_pb2.DisableClientResponse(client=encoding.client(row))

    async def EnableClient(
        self, request: client_pb2.EnableClientRequest, context: Context
    ) -> client_pb2.EnableClientResponse:
        """Tokens again."""
        client_id = UUID(request.client_id)
        row = await self._db.run(set_client_enabled, actor=caller(), client_id=client_id, enabled=True)
        return client_pb2.EnableClientResponse(client=encoding.client(row))

    async def ListClients(
        self, request: client_pb2.ListClientsRequest, context: Context
    ) -> client_pb2.ListClientsResponse:
        """A page of tills."""
        page = Page(request.page_size, request.page_token, "clients")
        rows, next_token = await self._db.read(clients.list_clients, page)
        return client_pb2.ListClientsResponse(
            clients=[encoding.client(row) for row in rows], next_page_token=next_token
        )
